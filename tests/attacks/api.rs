//! Clients of the API that are not what they seem: names that are paths,
//! requests inside others, bodies without end.

use crate::wire::{ask, connect, is_well, say};
use promises::{Engine, Outside, SECRET, attack::must_fail};
use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
};

/// Written as they are, and as URLs have them.
fn names(outside: &Outside<'_>) -> Vec<String> {
    let up = "../".repeat(30) + outside.path().trim_start_matches('/');
    let encoded = up.replace('.', "%2e").replace('/', "%2f");
    let twice = encoded.replace('%', "%25");
    let named =
        ["..", ".", "a/../../b", "a%00b", "%2e%2e%2f%2e%2e", "a%0d%0aX: y", "*", "-x", "%ff"];
    let mut names: Vec<String> = named.iter().map(ToString::to_string).collect();
    names.extend([up, encoded, twice, outside.path()]);
    names
}

#[test]
fn names_that_are_paths_name_nothing() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    // A naive engine: a directory of its own and the name, put together.
    fs::create_dir_all(engine.data_root().join("volumes")).expect("scratch");
    let climbs = "../".repeat(30) + &outside.path()[1..];
    outside.falls("made by path", || {
        let place = engine.data_root().join("volumes").join(&climbs).join("made");
        fs::create_dir(place).expect("led outside");
    });
    engine.says(&["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
    for name in names(&outside) {
        let shown = name.chars().take(60).collect::<String>();
        for (method, path) in [
            ("GET", "/containers/NAME/json"),
            ("GET", "/containers/NAME/logs?stdout=1"),
            ("POST", "/containers/NAME/start"),
            ("POST", "/containers/NAME/rename?name=NAME"),
            ("POST", "/containers/c/rename?name=NAME"),
            ("DELETE", "/containers/NAME"),
            ("GET", "/images/NAME/json"),
            ("GET", "/images/NAME/get"),
            ("DELETE", "/images/NAME"),
            ("POST", "/images/busybox/tag?repo=NAME&tag=NAME"),
            ("GET", "/volumes/NAME"),
            ("DELETE", "/volumes/NAME"),
            ("GET", "/networks/NAME"),
            ("DELETE", "/networks/NAME"),
            ("GET", "/exec/NAME/json"),
            ("GET", "/distribution/NAME/json"),
            ("GET", "/containers/c/archive?path=NAME"),
            ("POST", "/build?dockerfile=NAME"),
            ("POST", "/build?remote=NAME"),
            ("POST", "/build?remote=file%3a%2f%2fNAME"),
            ("POST", "/images/create?fromSrc=NAME"),
        ] {
            let path = path.replace("NAME", &name);
            outside.holds(&format!("{method} {shown}"), || {
                let (status, body) = ask(&engine, method, &path, "");
                let made = status == 201 || status == 204;
                (made || body.contains(SECRET))
                    .then(|| format!("{method} {path}: {status} {body:.200}"))
            });
        }
        for (path, body) in [
            ("/volumes/create", format!("{{\"Name\":{}}}", serde_json::json!(name))),
            ("/networks/create", format!("{{\"Name\":{}}}", serde_json::json!(name))),
            ("/containers/create?name=q", format!("{{\"Image\":{}}}", serde_json::json!(name))),
        ] {
            outside.holds(&format!("{path} {shown}"), || {
                let (status, text) = ask(&engine, "POST", path, &body);
                let made = status == 201 && path == "/volumes/create";
                // A network's name may be what it likes: it is no file's.
                let networks = engine.says(&["network", "ls", "-q", "--filter", "type=custom"]);
                for id in networks.lines() {
                    engine.says(&["network", "rm", id]);
                }
                made.then(|| format!("{path} {body:.200}: {status} {text:.200}"))
            });
        }
    }
    engine.says(&["volume", "prune", "-a", "-f"]);
    assert!(is_well(&engine));
    engine.says(&["rm", "-f", "c"]);
    engine.leaves_nothing();
}

/// What is carried out if the words behind a request are taken for another.
const SMUGGLED: &str = "POST /volumes/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                        Content-Type: application/json\r\nContent-Length: 19\r\n\r\n{\"Name\":\"smuggled\"}";

fn is_smuggled(engine: &Engine) -> Option<String> {
    let all = engine.says(&["volume", "ls", "-q"]);
    all.contains("smuggled").then_some(all)
}

/// Behind an upgrade there are a program's streams, and no requests.
#[test]
fn a_request_inside_a_stream_is_bytes() {
    let engine = Engine::new();
    let plain = say(&engine, SMUGGLED, None);
    assert!(plain.starts_with("HTTP/1.1 201 ") && is_smuggled(&engine).is_some(), "{plain}");
    engine.says(&["volume", "rm", "smuggled"]);
    engine.says(&["run", "-d", "-i", "--name", "c", "busybox", "sh", "-c", "cat; sleep 1000"]);
    engine.says(&["create", "--name", "idle", "busybox", "true"]);
    let exec = || {
        let wish = r#"{"Cmd":["cat"],"AttachStdin":true,"AttachStdout":true}"#;
        let (_, made) = ask(&engine, "POST", "/containers/c/exec", wish);
        let made: serde_json::Value = serde_json::from_str(&made).expect("JSON");
        format!(
            "POST /exec/{}/start HTTP/1.1\r\nHost: x\r\nUPGRADEContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n{{}}",
            made["Id"].as_str().expect("an id")
        )
    };
    for head in [
        "POST /containers/c/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nUPGRADE\r\n".to_owned(),
        "POST /containers/c/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nUPGRADE\r\n".to_owned(),
        "POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\nUPGRADEContent-Length: 0\r\n\r\n".to_owned(),
        "POST /containers/idle/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: x\r\nUPGRADE\r\n".to_owned(),
        String::new(),
    ] {
        for upgrade in ["", "Connection: Upgrade\r\nUpgrade: tcp\r\n", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
            must_fail("a request behind an upgrade", || {
                let mut stream = connect(&engine);
                stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).expect("a bound");
                // A session runs once.
                let head = if head.is_empty() { exec() } else { head.clone() };
                let _ = stream.write_all((head.replace("UPGRADE", upgrade) + SMUGGLED).as_bytes());
                let mut answer = [0; 4096];
                while stream.read(&mut answer).is_ok_and(|length| length > 0) {}
                drop(stream);
                is_smuggled(&engine)
            });
        }
    }
    engine.says(&["rm", "-f", "c", "idle"]);
    engine.leaves_nothing();
}

/// Two readings of where a body ends are one too many.
#[test]
fn a_body_has_one_length_or_none() {
    let engine = Engine::new();
    let length = SMUGGLED.len();
    // Read by one rule by all, what follows is a request, and carried out.
    let plain = "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    let answer = say(&engine, plain.to_owned() + SMUGGLED, None);
    assert!(is_smuggled(&engine).is_some(), "the look must be able to find it: {answer}");
    engine.says(&["volume", "rm", "smuggled"]);
    let chunked = plain.replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let answer = say(&engine, chunked + "0\r\n\r\n" + SMUGGLED, None);
    assert!(is_smuggled(&engine).is_some(), "nor behind a body in chunks: {answer}");
    engine.says(&["volume", "rm", "smuggled"]);
    for head in [
        format!("Content-Length: 0\r\nContent-Length: {length}\r\n"),
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        "Content-Length : 0\r\n".to_owned(),
        format!("Content-Length: {length}, 0\r\n"),
        "Content-Length: +0\r\n".to_owned(),
        "Content-Length: 0x0\r\n".to_owned(),
        "Content-Length: 18446744073709551616\r\n".to_owned(),
        "X: y\rContent-Length: 0\r\n".to_owned(),
    ] {
        must_fail(&format!("{head:?}"), || {
            // A client in front that counts all of it to one request's body.
            let request = format!(
                "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n"
            );
            let sense = head.starts_with("Transfer-Encoding: chunked\r\nContent")
                || head.starts_with("Content-Length: 0\r\nTransfer");
            let body = if sense { format!("0\r\n\r\n{SMUGGLED}") } else { SMUGGLED.to_owned() };
            let answer = say(&engine, request + &body, None);
            // Ended by a zero of its own the next request is one for everybody
            // who reads the chunks: RFC 9112, 6.3. It must then be closed.
            is_smuggled(&engine).map(|_| answer)
        });
    }
    assert!(is_well(&engine));
    engine.leaves_nothing();
}

/// Bodies that do not end, nest without end, or are more heads than body.
#[test]
fn a_body_without_end_is_ended() {
    let engine = Engine::new();
    let rss = || {
        let status =
            fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("it lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("listed");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };
    let before = rss();
    for path in [
        "/containers/create",
        "/volumes/create",
        "/networks/create",
        "/auth",
        "/containers/x/exec",
        "/containers/x/update",
    ] {
        must_fail(path, || {
            let mut stream = connect(&engine);
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).expect("sent");
            let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 0x10000], b"\r\n"].concat();
            // It is told so, or hung up on, long before a gigabyte.
            let sent = (0..16384).take_while(|_| stream.write_all(&chunk).is_ok()).count();
            (sent == 16384).then(|| "it was heard out".to_owned())
        });
    }
    for nested in ["[", "{\"a\":"] {
        must_fail("nested without end", || {
            let body = nested.repeat(200_000);
            let (status, text) = ask(&engine, "POST", "/containers/create", &body);
            (status != 400).then(|| format!("{status} {text:.200}"))
        });
    }
    must_fail("a head without end", || {
        let mut stream = connect(&engine);
        stream.write_all(b"GET /_ping HTTP/1.1\r\n").expect("sent");
        let line = format!("X-{}: y\r\n", "x".repeat(1000));
        let sent = (0..100_000).take_while(|_| stream.write_all(line.as_bytes()).is_ok()).count();
        (sent == 100_000).then(|| "it was heard out".to_owned())
    });
    must_fail("a filter without end", || {
        let filters = "%5B".repeat(20_000);
        let (status, text) =
            ask(&engine, "GET", &format!("/containers/json?filters={filters}"), "");
        (!(400..500).contains(&status)).then(|| format!("{status} {text:.200}"))
    });
    assert!(is_well(&engine));
    let after = rss();
    assert!(after < before + 200_000, "{before} kB became {after} kB");
    engine.leaves_nothing();
}

/// Those who speak half a request and stay.
#[test]
fn clients_that_say_half_a_word_hold_nobody_up() {
    let engine = Engine::new();
    let halves = [
        "",
        "G",
        "GET /_ping HTTP/1.1\r\nHost: x\r\n",
        "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{",
    ];
    let mut held = Vec::new();
    for n in 0..400 {
        let mut stream = connect(&engine);
        match stream.write_all(halves[n % halves.len()].as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            sent => sent.expect("sent"),
        }
        held.push(stream);
    }
    must_fail("four hundred of them", || {
        let ran = engine.container(&[], "echo here");
        (!is_well(&engine) || ran.out != "here").then(|| format!("{ran:?}"))
    });
    drop(held);
    engine.leaves_nothing();
}
