//! What is wrong is said in one line, with the right status, and leaves
//! nothing behind.

use promises::{Cli, Engine};
use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

/// A raw request to the socket; the status and the body.
fn ask(engine: &Engine, request: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(engine.socket()).expect("the daemon listens");
    stream.set_read_timeout(Some(promises::PATIENCE)).expect("a bound");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

fn post(engine: &Engine, path: &str, kind: &str, body: &str) -> (u16, String) {
    let length = body.len();
    ask(
        engine,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn get(engine: &Engine, path: &str) -> (u16, String) {
    ask(engine, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

#[test]
fn statuses_and_words_are_dockers() {
    let engine = Engine::new();
    let json = "application/json";
    let (status, body) = get(&engine, "/v1.51/containers/none/json");
    assert_eq!((status, &*body), (404, "{\"message\":\"No such container: none\"}\n"));
    let (status, body) = get(&engine, "/nonesuch");
    assert_eq!((status, &*body), (404, "{\"message\":\"page not found\"}\n"));
    let (status, body) = get(&engine, "/v1.99/version");
    assert_eq!(status, 400, "{body}");
    assert!(
        body.contains("client version 1.99 is too new. Maximum supported API version is 1.51"),
        "{body}"
    );
    let (status, body) = get(&engine, "/v1.23/version");
    assert_eq!(status, 400, "{body}");
    assert!(
        body.contains("client version 1.23 is too old. Minimum supported API version is 1.24"),
        "{body}"
    );
    let (status, body) = post(&engine, "/containers/create", json, "{\"Image\":\"nonesuch\"}");
    assert_eq!((status, body.trim()), (404, "{\"message\":\"No such image: nonesuch:latest\"}"));
    let (status, body) = post(&engine, "/containers/create", json, "{\"Image\":");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("invalid JSON"), "{body}");
    let (status, body) = post(&engine, "/containers/create", "text/plain", "{}");
    assert_eq!(status, 400, "{body}");
    assert!(
        body.contains("unsupported Content-Type header (text/plain): must be 'application/json'"),
        "{body}"
    );
    let (status, body) =
        post(&engine, "/containers/create?name=a/b", json, "{\"Image\":\"busybox\"}");
    assert_eq!(status, 400, "{body}");
    assert!(
        body.contains("Invalid container name (a/b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        "{body}"
    );
    let (status, body) = get(&engine, "/containers/json?filters={\"zzz\":[\"1\"]}");
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("invalid filter 'zzz'"), "{body}");
}

#[test]
fn a_name_in_use_is_a_conflict() {
    let engine = Engine::new();
    let id = engine.says(&["create", "--name", "a", "busybox"]);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = engine.run_as(cli, &["run", "--name", "a", "busybox"]);
        assert_eq!(ran.code, 125, "{ran:?}");
        assert!(
            ran.err.contains(&format!(
                "The container name \"/a\" is already in use by container \"{id}\""
            )),
            "{ran:?}"
        );
    }
    assert_eq!(engine.says(&["ps", "-aq"]).lines().count(), 1);
}

#[test]
fn what_is_not_http_does_no_harm() {
    let engine = Engine::new();
    for request in [
        "\0\0\0\0",
        "GET",
        "GET / HTTP/9.9\r\n\r\n",
        "POST /containers/create HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "\r\n\r\n\r\n",
    ] {
        let mut stream = UnixStream::connect(engine.socket()).expect("the daemon listens");
        stream.write_all(request.as_bytes()).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("ours");
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(promises::PATIENCE)).expect("a bound");
        stream.read_to_end(&mut answer).expect("closed");
    }
    assert_eq!(engine.says(&["version", "-f", "{{.Server.APIVersion}}"]), "1.51");
}

#[test]
fn values_out_of_range_are_refused() {
    let engine = Engine::new();
    for options in [
        &["--memory", "1k"][..],
        &["--cpus", "-1"],
        &["--cpus", "100000"],
        &["--cpuset-cpus", "4000"],
        &["--ulimit", "nonesuch=1"],
        &["--sysctl", "kernel.core_pattern=x"],
        &["--network", "nonesuch"],
        &["--pid", "container:nonesuch"],
        &["--security-opt", "nonesuch"],
        &["--user", "4294967296"],
        &["--user", "nonesuch"],
        &["--restart", "sometimes"],
        &["-v", "relative:/x:badmode"],
        &["-v", "/x:relative"],
        &["--mount", "type=nonesuch,dst=/x"],
        &["--log-driver", "nonesuch"],
        &["--stop-signal", "NONESUCH"],
    ] {
        let ran = engine.container(options, "true");
        assert_eq!(ran.code, 125, "{options:?}: {ran:?}");
        assert!(
            ran.err.starts_with("error: ") && !ran.err.contains("panicked"),
            "{options:?}: {ran:?}"
        );
    }
    assert_eq!(engine.says(&["ps", "-aq"]), "", "nothing is left");
    engine.leaves_nothing();
}

#[test]
fn a_hostile_image_is_refused_and_writes_nothing_outside() {
    let engine = Engine::new();
    let sentinel = engine.scratch().join("sentinel");
    std::fs::create_dir(&sentinel).expect("scratch");
    let make = |name: &str, script: &str| {
        let tar = engine.scratch().join(format!("{name}.tar"));
        let python = format!(
            "import tarfile, io, sys\nt = tarfile.open({:?}, 'w')\nS = {:?}\ndef f(name, data=b'x', **k):\n i = tarfile.TarInfo(name); i.size = len(data)\n for a, b in k.items(): setattr(i, a, b)\n t.addfile(i, io.BytesIO(data))\n{script}\nt.close()\n",
            tar.display().to_string(),
            sentinel.display().to_string()
        );
        engine.host().says(&format!("python3 - <<'EOS'\n{python}EOS"));
        tar.display().to_string()
    };
    for (name, script) in [
        ("dotdot", "f('../../../../../../..' + S + '/a')"),
        ("absolute", "f(S + '/b')"),
        ("link", "f('l', b'', type=tarfile.SYMTYPE, linkname=S)\nf('l/c')"),
        ("hardlink", "f('h', b'', type=tarfile.LNKTYPE, linkname=S + '/../daemon.log')"),
        ("whiteout", "f('.wh...', b'')\nf('d/.wh..wh..opq', b'')"),
    ] {
        let ran = engine.run(&["import", &make(name, script), name]);
        assert!(ran.code == 0 || ran.err.starts_with("error: "), "{name}: {ran:?}");
        let files = std::fs::read_dir(&sentinel).expect("scratch").count();
        assert_eq!(files, 0, "{name} wrote outside: {ran:?}");
    }
    let ran = engine.run(&["load", "-i", &make("nothing", "f('unrelated')")]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn an_ambiguous_or_unknown_name_is_said_so() {
    let engine = Engine::new();
    let ran = engine.run(&["start", "nonesuch"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("No such container: nonesuch"), "{ran:?}");
    let gone = engine.run(&["--host", "unix:///nonesuch.sock", "ps"]);
    assert_eq!(gone.code, 1, "{gone:?}");
    assert!(gone.err.contains("cannot reach the engine") && gone.err.contains("hint:"), "{gone:?}");
}
