//! The API as bytes on a socket: what clients of every kind rely on, and what
//! hostile ones try.

use promises::{Engine, PATIENCE, until};
use serde_json::Value;
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
};

/// One connection.
struct Wire(UnixStream);

/// A response, its body unchunked.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Wire {
    fn to(engine: &Engine) -> Self {
        let stream = UnixStream::connect(engine.socket()).expect("the daemon listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        stream.set_write_timeout(Some(PATIENCE)).expect("a bound");
        Self(stream)
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("sent");
    }

    /// Status line and headers.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("text")
    }

    fn exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("as many bytes");
        bytes
    }

    /// All until the end of the connection.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).expect("an end, and no reset");
        bytes
    }

    /// One chunk of a chunked body.
    fn chunk(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.exactly(1));
        }
        let size = String::from_utf8(line).expect("text");
        let chunk = self.exactly(usize::from_str_radix(size.trim(), 16).expect("a size"));
        self.exactly(2);
        chunk
    }
}

/// Asks one thing on a connection of its own.
fn ask(engine: &Engine, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let mut wire = Wire::to(engine);
    wire.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let head = wire.head();
    let mut body = Vec::new();
    if head.contains("Transfer-Encoding: chunked") {
        loop {
            let chunk = wire.chunk();
            if chunk.is_empty() {
                break;
            }
            body.extend(chunk);
        }
    } else {
        body = wire.rest();
    }
    Answer { head, body }
}

fn get(engine: &Engine, path: &str) -> Answer {
    ask(engine, "GET", path, "", "")
}

fn post(engine: &Engine, path: &str, body: &Value) -> Answer {
    ask(engine, "POST", path, "Content-Type: application/json\r\n", &body.to_string())
}

impl Answer {
    fn status(&self) -> u16 {
        self.head[9..12].parse().expect("a status")
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// Status and message, as one line.
    fn refusal(&self) -> String {
        let value = self.json();
        assert!(self.body.ends_with(b"}\n"), "ended by a newline: {}", self.text());
        let message = value["message"].as_str();
        format!("{} {}", self.status(), message.unwrap_or_else(|| panic!("{}", self.text())))
    }
}

/// A container of `busybox`, made through the API.
fn create(engine: &Engine, body: &Value) -> String {
    let answer = post(engine, "/containers/create", body);
    assert_eq!(answer.status(), 201, "{}", answer.text());
    answer.json()["Id"].as_str().expect("an id").to_owned()
}

fn start(engine: &Engine, id: &str) {
    let answer = ask(engine, "POST", &format!("/containers/{id}/start"), "", "");
    assert!(matches!(answer.status(), 204 | 304), "{}", answer.text());
}

fn frame(stream: u8, text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).expect("short");
    [&[stream, 0, 0, 0, 0, 0, 0, len], text.as_bytes()].concat()
}

#[test]
fn every_response_carries_what_clients_negotiate_with() {
    let engine = Engine::with(&[]);
    for (method, path, status) in
        [("GET", "/_ping", 200), ("HEAD", "/_ping", 200), ("GET", "/nonesuch", 404)]
    {
        let answer = ask(&engine, method, path, "", "");
        assert_eq!(answer.status(), status, "{path}");
        for header in [
            "Api-Version: 1.51\r\n",
            "Ostype: linux\r\n",
            "Docker-Experimental: false\r\n",
            "Server: Cofferdam/",
        ] {
            assert!(answer.head.contains(header), "{path}: {}", answer.head);
        }
    }
    assert_eq!(get(&engine, "/_ping").body, b"OK");
    assert_eq!(ask(&engine, "HEAD", "/_ping", "", "").body, b"");
}

#[test]
fn mistakes_are_named_in_dockers_words() {
    let engine = Engine::with(&[]);
    let refusal = |path: &str| get(&engine, path).refusal();
    assert_eq!(
        refusal("/v1.99/version"),
        "400 client version 1.99 is too new. Maximum supported API version is 1.51"
    );
    let old = get(&engine, "/v1.23/version");
    assert!(old.head.contains("Content-Type: text/plain"), "{}", old.head);
    assert!(old.text().starts_with("client version 1.23 is too old."));
    assert_eq!(refusal("/nonesuch"), "404 page not found");
    assert_eq!(refusal("/containers/none/json"), "404 No such container: none");
    assert_eq!(refusal("/images/none/json"), "404 No such image: none:latest");
    assert_eq!(
        refusal("/containers/json?filters=%7B%22zzz%22%3A%5B%5D%7D"),
        "400 invalid filter 'zzz'"
    );
    assert_eq!(refusal("/volumes/none"), "404 get none: no such volume");
    assert_eq!(refusal("/networks/some"), "404 network some not found");
    assert!(refusal("/swarm").starts_with("503 This node is not a swarm manager."));
}

#[test]
fn a_body_that_makes_no_sense_is_the_clients_mistake() {
    let engine = Engine::with(&[]);
    let create = |headers: &str, body: &str| {
        ask(&engine, "POST", "/v1.43/containers/create", headers, body).refusal()
    };
    let json = "Content-Type: application/json\r\n";
    assert_eq!(create(json, "{\"Image\":"), "400 invalid JSON: unexpected EOF");
    assert_eq!(
        create("Content-Type: text/plain\r\n", "{}"),
        "400 unsupported Content-Type header (text/plain): must be 'application/json'"
    );
    assert_eq!(create(json, "{}"), "400 config cannot be empty in order to create a container");
    assert_eq!(create(json, "{\"Image\":\"none\"}"), "404 No such image: none:latest");
    assert!(create(json, "{\"Image\":7}").starts_with("400 invalid JSON: "));
}

#[test]
fn a_query_may_be_written_as_people_type_it() {
    let engine = Engine::with(&[]);
    let refused = get(&engine, "/containers/json?filters={\"zzz\":[\"1\"]}");
    assert_eq!(refused.refusal(), "400 invalid filter 'zzz'");
    // Of a second request on the connection, too, and in pieces.
    let mut wire = Wire::to(&engine);
    wire.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.head();
    assert_eq!(wire.exactly(2), b"OK");
    wire.send("GET //containers/json?filters={\"status\":");
    wire.send("[\"running\"]} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(wire.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(wire.rest(), b"[]\n");
}

#[test]
fn only_a_missing_image_is_not_found_when_a_container_is_made() {
    let engine = Engine::new();
    for host in [
        serde_json::json!({"NetworkMode": "nope"}),
        serde_json::json!({"NetworkMode": "container:nope"}),
        serde_json::json!({"PidMode": "container:nope"}),
        serde_json::json!({"VolumesFrom": ["nope"]}),
    ] {
        let body = serde_json::json!({"Image": "busybox", "HostConfig": host});
        let answer = post(&engine, "/containers/create", &body);
        assert_eq!(answer.status(), 400, "{host}: {}", answer.text());
    }
    let missing = post(&engine, "/containers/create", &serde_json::json!({"Image": "nope"}));
    assert_eq!(missing.refusal(), "404 No such image: nope:latest");
}

#[test]
fn what_would_have_no_effect_is_refused() {
    let engine = Engine::new();
    let create = |body: Value| {
        let mut whole = serde_json::json!({"Image": "busybox"});
        whole.as_object_mut().expect("one").extend(body.as_object().expect("one").clone());
        post(&engine, "/containers/create", &whole).refusal()
    };
    let host = |config: Value| create(serde_json::json!({"HostConfig": config}));
    assert_eq!(create(serde_json::json!({"StopSignal": "bogus"})), "400 invalid signal: bogus");
    assert_eq!(
        host(serde_json::json!({"Runtime": "runsc"})),
        "400 unknown or invalid runtime name: runsc"
    );
    assert!(host(serde_json::json!({"Isolation": "hyperv"})).starts_with("400 invalid isolation"));
    assert!(host(serde_json::json!({"StorageOpt": {"size": "1g"}})).starts_with("501 "));
    let check = serde_json::json!({"Healthcheck": {"Test": ["CMD", "true"], "Interval": 1}});
    assert!(create(check).starts_with("400 Interval in Healthcheck"));
}

#[test]
fn bytes_that_are_no_http_harm_nobody() {
    let engine = Engine::with(&[]);
    let hostile: [Vec<u8>; 6] = [
        b"\0\0\0\0".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"GET /_ping HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_vec(),
        b"POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
            .to_vec(),
        [b"GET /".as_slice(), &vec![b'a'; 1 << 20], b" HTTP/1.1\r\n\r\n"].concat(),
        b"GET /%00%ff/%2e%2e/json?%=&&=%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            .to_vec(),
    ];
    for bytes in hostile {
        let mut wire = Wire::to(&engine);
        // It may hang up in the middle.
        let _ = wire.0.write_all(&bytes);
        let mut answer = Vec::new();
        if let Err(error) = wire.0.read_to_end(&mut answer) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let text = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
        assert_eq!(get(&engine, "/_ping").status(), 200, "the daemon still answers");
    }
}

#[test]
fn a_body_beyond_all_measure_is_refused() {
    let engine = Engine::with(&[]);
    let mut wire = Wire::to(&engine);
    wire.send("POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    assert!(wire.head().starts_with("HTTP/1.1 413 "));
}

#[test]
fn an_attach_without_upgrade_is_bytes_behind_a_bare_200() {
    let engine = Engine::new();
    let id = create(
        &engine,
        &serde_json::json!({"Image": "busybox", "Cmd": ["cat"], "OpenStdin": true, "StdinOnce": true}),
    );
    let mut wire = Wire::to(&engine);
    // Input stands right behind the request, and ends before the answer.
    wire.send(format!(
        "POST /containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1 HTTP/1.1\r\nHost: x\r\n\r\nhello"
    ));
    wire.0.shutdown(Shutdown::Write).expect("half-closed");
    let head = wire.head();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: application/vnd.docker.raw-stream\r\n"), "{head}");
    assert!(!head.contains("Content-Length") && !head.contains("Transfer-Encoding"), "{head}");
    start(&engine, &id);
    assert_eq!(wire.rest(), frame(1, "hello"));
    let waited = ask(&engine, "POST", &format!("/containers/{id}/wait"), "", "");
    assert_eq!(waited.text(), "{\"StatusCode\":0}\n");
}

#[test]
fn an_attach_with_upgrade_is_told_what_it_gets() {
    let engine = Engine::new();
    for (tty, kind) in [(false, "multiplexed-stream"), (true, "raw-stream")] {
        let id = create(
            &engine,
            &serde_json::json!({"Image": "busybox", "Cmd": ["echo", "out"], "Tty": tty}),
        );
        let mut wire = Wire::to(&engine);
        wire.send(format!(
            "POST /containers/{id}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        ));
        let head = wire.head();
        assert!(head.starts_with("HTTP/1.1 101 UPGRADED\r\n"), "{head}");
        assert!(
            head.contains("Connection: Upgrade\r\n") && head.contains("Upgrade: tcp\r\n"),
            "{head}"
        );
        assert!(
            head.contains(&format!("Content-Type: application/vnd.docker.{kind}\r\n")),
            "{head}"
        );
        start(&engine, &id);
        let expected = if tty { b"out\r\n".to_vec() } else { frame(1, "out\n") };
        assert_eq!(wire.rest(), expected);
    }
}

#[test]
fn what_was_said_before_waits_until_the_head_is_read() {
    let engine = Engine::new();
    let id = create(&engine, &serde_json::json!({"Image": "busybox", "Cmd": ["echo", "out"]}));
    start(&engine, &id);
    ask(&engine, "POST", &format!("/containers/{id}/wait"), "", "");
    let mut wire = Wire::to(&engine);
    wire.send(format!(
        "POST /containers/{id}/attach?logs=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    ));
    // Some clients read the head through a buffer and lose what it holds more.
    let mut buffer = [0; 4096];
    let read = wire.0.read(&mut buffer).expect("a head");
    assert!(buffer[..read].ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&buffer));
    assert_eq!(wire.rest(), frame(1, "out\n"));
}

#[test]
fn an_attach_to_no_stream_ends_at_once() {
    let engine = Engine::new();
    let id = create(&engine, &serde_json::json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    start(&engine, &id);
    let mut wire = Wire::to(&engine);
    wire.send(format!("POST /containers/{id}/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(wire.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(wire.rest(), b"");
}

#[test]
fn a_wait_sends_its_headers_before_the_end_and_its_code_after_it() {
    let engine = Engine::new();
    let id =
        create(&engine, &serde_json::json!({"Image": "busybox", "Cmd": ["sh", "-c", "exit 7"]}));
    let mut wire = Wire::to(&engine);
    wire.send(format!(
        "POST /containers/{id}/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n"
    ));
    let head = wire.head();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.contains("Transfer-Encoding: chunked"),
        "{head}"
    );
    start(&engine, &id);
    assert_eq!(wire.chunk(), b"{\"StatusCode\":7}\n");
    assert_eq!(wire.chunk(), b"");
}

#[test]
fn an_idle_stream_ends_when_its_client_leaves() {
    let engine = Engine::with(&[]);
    let listeners = || get(&engine, "/info").json()["NEventsListener"].as_u64().expect("a number");
    let mut wire = Wire::to(&engine);
    wire.send("GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(wire.head().starts_with("HTTP/1.1 200 "), "headers come with no event yet");
    assert_eq!(listeners(), 1);
    wire.0.shutdown(Shutdown::Write).expect("half-closed: it still listens");
    assert_eq!(listeners(), 1);
    drop(wire);
    until("the subscription to end", || listeners() == 0);
}

#[test]
fn an_event_is_told_while_its_client_listens() {
    let engine = Engine::with(&[]);
    let mut wire = Wire::to(&engine);
    wire.send("GET /events?filters=%7B%22type%22%3A%7B%22volume%22%3Atrue%7D%7D HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.head();
    let made = post(&engine, "/volumes/create", &serde_json::json!({"Name": "vol"}));
    assert_eq!(made.status(), 201, "{}", made.text());
    let event: Value = serde_json::from_slice(&wire.chunk()).expect("one object a chunk");
    assert_eq!((&event["Type"], &event["Action"]), (&"volume".into(), &"create".into()));
    assert_eq!(event["Actor"]["ID"], "vol");
}

#[test]
fn an_exec_session_runs_once() {
    let engine = Engine::new();
    let id = create(&engine, &serde_json::json!({"Image": "busybox", "Cmd": ["sleep", "1000"]}));
    let wish = serde_json::json!({"Cmd": ["sh", "-c", "echo hi; exit 3"], "AttachStdout": true, "AttachStderr": true});
    let path = format!("/containers/{id}/exec");
    let stopped = post(&engine, &path, &wish);
    assert_eq!(stopped.refusal(), format!("409 container {id} is not running"));
    start(&engine, &id);
    let nobody = serde_json::json!({"Cmd": ["true"], "User": "nosuch"});
    assert_eq!(
        post(&engine, &path, &nobody).refusal(),
        "400 unable to find user nosuch: no matching entries in passwd file"
    );
    let exec = post(&engine, &path, &wish).json()["Id"].as_str().expect("an id").to_owned();
    let begin = || {
        let mut wire = Wire::to(&engine);
        wire.send(format!(
            "POST /exec/{exec}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        assert!(wire.head().starts_with("HTTP/1.1 200 OK\r\n"));
        wire.rest()
    };
    assert_eq!(begin(), frame(1, "hi\n"));
    let inspected = get(&engine, &format!("/exec/{exec}/json")).json();
    assert_eq!((&inspected["ExitCode"], &inspected["Running"]), (&3.into(), &false.into()));
    let again = String::from_utf8(begin()).expect("text");
    assert!(again.contains(&format!("exec command {exec} has already run\r\n")), "{again}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let engine = Engine::with(&[]);
    let mut wire = Wire::to(&engine);
    wire.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /nonesuch HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let all = String::from_utf8(wire.rest()).expect("text");
    let (first, second) =
        (all.find("200 OK").expect("first"), all.find("404 Not").expect("second"));
    assert!(first < second, "{all}");
}

#[test]
fn a_body_that_breaks_off_is_not_waited_for() {
    let engine = Engine::with(&[]);
    for (path, kind) in
        [("/containers/create", "application/json"), ("/images/load", "application/x-tar")]
    {
        let mut wire = Wire::to(&engine);
        wire.send(format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 500\r\n\r\n{{}}"
        ));
        wire.0.shutdown(Shutdown::Write).expect("half-closed");
        let answer = String::from_utf8(wire.rest()).expect("text");
        let refused = answer.starts_with("HTTP/1.1 4") || answer.contains("\"errorDetail\":");
        assert!(answer.is_empty() || refused, "{path}: {answer}");
    }
}

#[test]
fn who_is_refused_at_once_may_end_what_it_says() {
    let engine = Engine::with(&[]);
    // More than a socket holds unread (`unix(7)`).
    let body = "x".repeat(250 << 10);
    let length = body.len();
    let mut wire = Wire::to(&engine);
    wire.send(format!("POST /nonesuch HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"));
    wire.send(body);
    // And says more on the same connection.
    wire.send("GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let all = String::from_utf8(wire.rest()).expect("text");
    assert!(all.starts_with("HTTP/1.1 404 ") && all.ends_with("\r\n\r\nOK"), "{all}");
    // Who asks first is told without it.
    let mut wire = Wire::to(&engine);
    wire.send(
        "POST /nonesuch HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    );
    let all = String::from_utf8(wire.rest()).expect("text");
    assert!(all.starts_with("HTTP/1.1 404 "), "{all}");
}

#[test]
fn a_client_that_has_finished_speaking_still_gets_its_answer() {
    let engine = Engine::with(&[]);
    let mut wire = Wire::to(&engine);
    wire.send("GET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    wire.0.shutdown(Shutdown::Write).expect("half-closed");
    let all = String::from_utf8(wire.rest()).expect("text");
    assert!(all.contains("MinAPIVersion") && all.ends_with("\r\n\r\nOK"), "{all}");
}

#[test]
fn a_client_that_ends_with_its_body_still_gets_its_answer() {
    let engine = Engine::with(&[]);
    let head = "POST /volumes/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for round in 0..20 {
        let body = format!("{{\"Name\":\"volume{round}\"}}");
        let (size, length) = (body.len(), format!("{:x}", body.len()));
        let whole = format!("{head}Content-Length: {size}\r\n\r\n{body}");
        let pieces =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{length}\r\n{body}\r\n0\r\n\r\n");
        for text in [whole, pieces] {
            // At once, and its body by itself.
            let behind_head = text.find("\r\n\r\n").expect("a head") + 4;
            for cut in [0, behind_head] {
                let mut wire = Wire::to(&engine);
                let (first, second) = text.split_at(cut);
                wire.send(first);
                wire.send(second);
                wire.0.shutdown(Shutdown::Write).expect("half-closed");
                let answer = String::from_utf8(wire.rest()).expect("text");
                assert!(answer.starts_with("HTTP/1.1 201 "), "{text:?} at {cut}: {answer:?}");
            }
        }
    }
}

#[test]
fn a_websocket_carries_a_programs_streams() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "-i", "--name", "a", "busybox", "cat"]);
    let mut wire = Wire::to(&engine);
    wire.send(
        "GET /v1.51/containers/a/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let head = wire.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // A text of six letters, masked with nothing.
    wire.send(b"\x81\x86\0\0\0\0hello\n");
    assert_eq!(wire.exactly(8), b"\x82\x06hello\n");
    engine.says(&["kill", "a"]);
    assert_eq!(wire.rest(), [0x88, 2, 0x03, 0xe8]);
    let plain = ask(&engine, "GET", "/containers/a/attach/ws?stream=1", "", "");
    assert!(plain.head.starts_with("HTTP/1.1 400 "), "{}", plain.head);
    engine.says(&["rm", "a"]);
    engine.leaves_nothing();
}
