//! Ways to a registry, and what is seen of it: proxies, searches, bars.

use promises::{Cli, Engine, Registry, Wants};
use std::{
    fs,
    process::{Child, Stdio},
};

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

/// A process that goes with its test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A proxy that writes down whom it was asked for, and for what if that was
/// said in the clear.
const PROXY: &str = r#"
import http.client, http.server, select, socket
class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(self.path, flush=True)
        host, path = self.path.removeprefix("http://").split("/", 1)
        there = http.client.HTTPConnection(host)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "proxy-connection"}
        there.request("GET", "/" + path, headers=headers)
        answer = there.getresponse()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(answer.read())
    def do_CONNECT(self):
        print("to", self.path, flush=True)
        host, port = self.path.split(":")
        there = socket.create_connection((host, int(port)))
        self.send_response(200)
        self.end_headers()
        ends = {self.connection: there, there: self.connection}
        while True:
            for end in select.select(list(ends), [], [])[0]:
                piece = end.recv(65536)
                if not piece:
                    return
                ends[end].sendall(piece)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 3128), Proxy).serve_forever()
"#;

/// A host that is searched for `bb`.
const SEARCHED: &str = r#"
import http.server, json
class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        found = self.path.startswith("/v1/search?") and "q=bb" in self.path
        hit = {"name": "some/bb", "description": "a box", "star_count": 7, "is_official": True}
        answer = {"num_results": 1, "query": "bb", "results": [hit]} if found else {}
        text = json.dumps(answer).encode()
        self.send_response(200 if found or self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", 5000), Index).serve_forever()
"#;

/// Starts a server in Python, whose output is the file `said`.
fn serve(engine: &Engine, program: &str, port: u16) -> Ended {
    let mut command = engine.host().command("python3");
    command.args(["-c", program]).stdin(Stdio::null());
    command.stdout(fs::File::create(engine.scratch().join("said")).expect("scratch"));
    let server = Ended(command.spawn().expect("python3 starts"));
    promises::until("the server", || {
        let listens = format!("ss -Hltn src 127.0.0.1:{port} | grep -q .");
        engine.host().sh(&listens).status.success()
    });
    server
}

fn said(engine: &Engine) -> String {
    fs::read_to_string(engine.scratch().join("said")).expect("a log")
}

/// Fetches the image by a daemon that has these variables.
fn pull(engine: &mut Engine, name: &str, variables: &[(&str, &str)]) {
    assert!(engine.stop().success());
    engine.start_in(variables);
    engine.says(&["rmi", name]);
    engine.says(&["pull", name]);
}

/// A host with an address that is not the loopback's, and a registry there.
fn registry_at(address: &str, wants: Wants) -> (Engine, Registry) {
    let host = format!("ip addr add {address}/32 dev lo");
    let engine = Engine::prepared(&host, &["--insecure-registry", address]);
    promises::busybox(&engine);
    let registry = Registry::start(&engine, address, 5000, wants);
    let name = registry.name("bb:v1");
    engine.says(&["tag", "busybox", &name]);
    engine.says(&["push", &name]);
    engine.says(&["rmi", "busybox"]);
    (engine, registry)
}

#[test]
fn a_registry_is_asked_by_way_of_the_proxy_unless_it_is_excepted() {
    let (mut engine, registry) = registry_at("192.0.2.7", Wants::Nothing);
    let name = registry.name("bb:v1");
    let proxy = serve(&engine, PROXY, 3128);
    let through = ("HTTP_PROXY", "http://127.0.0.1:3128");
    pull(&mut engine, &name, &[through, ("NO_PROXY", "example.org,192.0.2.0/24")]);
    assert_eq!(said(&engine), "", "it is excepted");
    pull(&mut engine, &name, &[through]);
    for part in ["/v2/bb/manifests/v1", "/v2/bb/blobs/sha256:"] {
        let line = format!("http://{}{part}", registry.address);
        assert!(said(&engine).contains(&line), "{line}: {}", said(&engine));
    }
    drop((proxy, registry));
    engine.leaves_nothing();
}

#[test]
fn what_is_encrypted_passes_a_proxy_unread() {
    let (mut engine, registry) = registry_at("192.0.2.7", Wants::Tls);
    let name = registry.name("bb:v1");
    let proxy = serve(&engine, PROXY, 3128);
    let through = ("HTTPS_PROXY", "http://127.0.0.1:3128");
    pull(&mut engine, &name, &[through, ("NO_PROXY", "192.0.2.7")]);
    assert_eq!(said(&engine), "", "it is excepted");
    pull(&mut engine, &name, &[through]);
    let lines = said(&engine);
    let line = format!("to {}", registry.address);
    assert!(!lines.is_empty() && lines.lines().all(|said| said == line), "{lines}");
    drop((proxy, registry));
    engine.leaves_nothing();
}

#[test]
fn a_registry_that_can_be_searched_is() {
    let engine = Engine::new();
    let index = serve(&engine, SEARCHED, 5000);
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        let form = "{{.Name}} {{.StarCount}} {{.IsOfficial}} {{.Description}}";
        let found = says(&["search", "--format", form, "127.0.0.1:5000/bb"]);
        let found = found.strip_prefix("127.0.0.1:5000/").unwrap_or(&found).to_owned();
        assert!(found.starts_with("some/bb 7 ") && found.ends_with(" a box"), "{cli:?}: {found}");
        let all = says(&["search", "127.0.0.1:5000/bb"]);
        assert!(all.starts_with("NAME") && all.contains("[OK]"), "{cli:?}: {all}");
        let starred = says(&["search", "--filter", "stars=8", "127.0.0.1:5000/bb"]);
        assert!(!starred.contains("some/bb"), "{cli:?}: {starred}");
    }
    drop(index);
    engine.leaves_nothing();
}

/// What a command draws on a terminal of 120 columns.
fn drawn(engine: &Engine, cli: Cli, words: &[&str]) -> String {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy());
    let command = engine.command(cli, words);
    let program = command.get_args().map(quoted).collect::<Vec<_>>().join(" ");
    let mut script = std::process::Command::new("script");
    for (key, value) in command.get_envs() {
        script.env(key, value.unwrap_or_default());
    }
    let line = format!("stty rows 24 cols 120; nsenter {program}");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).stdin(Stdio::null());
    let out = script.output().expect("script(1) starts");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{cli:?}: {text}");
    text
}

#[test]
fn a_terminal_shows_how_far_a_pull_and_a_push_are() {
    let (engine, registry) = registry_at("192.0.2.7", Wants::Nothing);
    let name = registry.name("bb:v1");
    for cli in BOTH {
        engine.says(&["rmi", &name]);
        let pulled = drawn(&engine, cli, &["pull", &name]);
        assert!(pulled.contains("Pull complete") && pulled.contains('['), "{cli:?}: {pulled}");
        let bar = pulled.split('[').find(|rest| rest.starts_with('='));
        let bar = bar.unwrap_or_else(|| panic!("{cli:?}: {pulled}"));
        assert!(bar.contains("MB") || bar.contains("kB"), "{cli:?}: {bar}");
        let copy = registry.name(&format!("{}:v2", format!("{cli:?}").to_lowercase()));
        engine.says(&["tag", &name, &copy]);
        let pushed = drawn(&engine, cli, &["push", &copy]);
        assert!(pushed.contains("digest: sha256:"), "{cli:?}: {pushed}");
        engine.says(&["rmi", &copy]);
    }
    drop(registry);
    engine.leaves_nothing();
}
