//! The engine from afar: TLS with certificates on both sides, and ssh.

use promises::{Cli, Engine, Ran, binary, docker, finish, until};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

const ADDRESS: &str = "tcp://127.0.0.1:2376";

/// Certificates of an authority: `ca.pem`, and for the server and a client
/// `cert.pem` and `key.pem` in folders of their own.
struct Papers(tempfile::TempDir);

impl Papers {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("cofferdam-papers-").tempdir();
        let papers = Self(folder.expect("tempdir"));
        let script = "
            ca() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$1 \
                -keyout $1.key -out $1.pem 2> /dev/null; }
            signed() {
                mkdir $1
                openssl req -newkey rsa:2048 -nodes -subj /CN=$1 -keyout $1/key.pem -out $1/csr \
                    2> /dev/null
                printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=%s\\n' $3 > $1/ext
                openssl x509 -req -in $1/csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2 \
                    -extfile $1/ext -out $1/cert.pem 2> /dev/null
                cp ours.pem $1/ca.pem
            }
            ca ours; ca theirs
            signed server ours serverAuth
            signed client ours clientAuth
            signed stranger theirs clientAuth
            signed impostor theirs serverAuth";
        let made = Command::new("sh").args(["-ec", script]).current_dir(papers.0.path()).status();
        assert!(made.expect("sh starts").success());
        papers
    }

    fn of(&self, who: &str) -> PathBuf {
        self.0.path().join(who)
    }

    /// What the daemon is started with, under this name.
    fn daemon(&self, who: &str) -> Vec<String> {
        let file = |name: &str| self.of(who).join(name).display().to_string();
        let words = ["-H", ADDRESS, "--tlsverify", "--tlscacert"].map(str::to_owned);
        let more = ["--tlscert".to_owned(), file("cert.pem"), "--tlskey".into(), file("key.pem")];
        [&words[..], &[file("ca.pem")], &more].concat()
    }
}

fn engine(papers: &Papers) -> Engine {
    let words = papers.daemon("server");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let engine = Engine::with(&words);
    promises::busybox(&engine);
    engine
}

/// A command of a CLI over the network, with the papers of somebody.
fn afar(engine: &Engine, papers: &Papers, who: &str, cli: Cli, words: &[&str]) -> Command {
    let mut command = engine.command(cli, words);
    command.env("DOCKER_HOST", ADDRESS).env("DOCKER_TLS_VERIFY", "1");
    command.env("DOCKER_CERT_PATH", papers.of(who));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn runs(engine: &Engine, papers: &Papers, who: &str, cli: Cli, words: &[&str]) -> Ran {
    let mut command = afar(engine, papers, who, cli, words);
    finish(command.stdin(Stdio::null()).spawn().expect("starts"), &format!("{words:?}"))
}

/// The same with an input that ends.
fn told(mut command: Command, input: &[u8]) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the CLI starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let ran = finish(child, "a command with an input");
    // A program that does not read it all is no failure of ours.
    let _ = writer.join().expect("no panic");
    ran
}

#[test]
fn both_clis_work_over_the_network_with_certificates() {
    let papers = Papers::new();
    let engine = engine(&papers);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let says = |words: &[&str]| {
            let ran = runs(&engine, &papers, "client", cli, words);
            assert_eq!(ran.code, 0, "{cli:?} {words:?}: {ran:?}\n{}", engine.logged());
            ran.out
        };
        assert_eq!(says(&["run", "--rm", "busybox", "echo", "hi"]), "hi");
        // The end of the input comes through, and what is said after it.
        let script = "wc -c; echo after; sleep 0.1; echo last >&2; exit 3";
        let words = ["run", "--rm", "-i", "busybox", "sh", "-c", script];
        let input = vec![b'x'; 3 << 20];
        let ran = told(afar(&engine, &papers, "client", cli, &words), &input);
        assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (3, "3145728\nafter", "last"));
        // Much the other way.
        let words =
            ["run", "--rm", "busybox", "sh", "-c", "head -c 3145728 /dev/zero | tr '\\0' y"];
        assert_eq!(says(&words).len(), 3 << 20);
        says(&["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
        let file = engine.scratch().join("file");
        fs::write(&file, "by tar").expect("scratch");
        says(&["cp", &file.display().to_string(), "c:/file"]);
        let ran = told(
            afar(&engine, &papers, "client", cli, &["exec", "-i", "c", "cat", "/file", "-"]),
            b" and hand",
        );
        assert_eq!(ran.out, "by tar and hand", "{cli:?}: {ran:?}");
        says(&["rm", "-f", "c"]);
    }
    engine.leaves_nothing();
}

#[test]
fn flags_say_the_same_as_variables() {
    let papers = Papers::new();
    let engine = engine(&papers);
    let file = |name: &str| papers.of("client").join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let words = [
        "-H",
        ADDRESS,
        "--tlsverify",
        "--tlscacert",
        &ca,
        "--tlscert",
        &cert,
        "--tlskey",
        &key,
        "version",
        "--format",
        "{{.Server.APIVersion}}",
    ];
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = engine.run_as(cli, &words);
        assert_eq!((ran.code, ran.out.as_str()), (0, "1.51"), "{cli:?}: {ran:?}");
    }
    // Without them ours says no word.
    let ran = engine.run(&["-H", ADDRESS, "version"]);
    assert!(ran.code != 0 && ran.err.contains("add --tlsverify"), "{ran:?}");
}

#[test]
fn who_does_not_prove_who_it_is_is_not_heard() {
    let papers = Papers::new();
    let engine = engine(&papers);
    let curl = |how: &str| {
        let out = engine.host().sh(&format!("curl -sS -m 10 {how}"));
        let text = [out.stdout, out.stderr].concat();
        (out.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let url = "https://127.0.0.1:2376/_ping";
    let with = |who: &str| {
        let file = |name: &str| papers.of(who).join(name).display().to_string();
        format!("--cacert {} --cert {} --key {}", file("ca.pem"), file("cert.pem"), file("key.pem"))
    };
    let (code, text) = curl(&format!("{} {url}", with("client")));
    assert_eq!((code, text.as_str()), (Some(0), "OK"), "the others must be able to succeed");
    let without = format!("--cacert {} {url}", papers.of("client").join("ca.pem").display());
    // As a client, a server's certificate is as good as none.
    for how in [without, format!("{} {url}", with("stranger")), format!("{} {url}", with("server"))]
    {
        let (code, text) = curl(&how);
        assert!(code != Some(0) && !text.contains("OK"), "{how}: {text}");
    }
    let (code, text) = curl("http://127.0.0.1:2376/_ping");
    assert!(code != Some(0) && !text.contains("OK"), "plaintext: {text}");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = runs(&engine, &papers, "stranger", cli, &["ps"]);
        assert_ne!(ran.code, 0, "{cli:?}: {ran:?}");
    }
    assert!(engine.logged().contains("a client is not let in"), "{}", engine.logged());
}

#[test]
fn an_engine_that_is_not_who_it_should_be_is_told_nothing() {
    let papers = Papers::new();
    let words = papers.daemon("impostor");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let engine = Engine::with(&words);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = runs(&engine, &papers, "client", cli, &["ps"]);
        assert_ne!(ran.code, 0, "{cli:?}: {ran:?}");
    }
    let ran = runs(&engine, &papers, "client", Cli::Cofferdam, &["ps"]);
    assert!(ran.err.contains("cannot reach the engine at tcp://127.0.0.1:2376"), "{ran:?}");
    assert!(ran.err.contains("certificate"), "{ran:?}");
}

#[test]
fn who_says_nothing_is_waited_for_no_longer_than_it_takes() {
    let papers = Papers::new();
    let engine = engine(&papers);
    let mut silent = engine.host().command("python3");
    silent.args(["-c", SILENT]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut silent = silent.spawn().expect("python3 starts");
    let mut word = [0; 3];
    silent.stdout.as_mut().expect("piped").read_exact(&mut word).expect("connected");
    assert_eq!(&word, b"up\n");
    // A hundred of them keep nobody out.
    let ran = runs(&engine, &papers, "client", Cli::Cofferdam, &["ps", "-q"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(finish(silent, "the silent to be closed").out, "100 closed");
}

/// Connects a hundred times, says nothing or a first byte, and waits for each
/// to be closed.
const SILENT: &str = "
import socket
lines = [socket.create_connection(('127.0.0.1', 2376)) for _ in range(100)]
for line in lines[::2]: line.send(b'\\x16')
print('up', flush=True)
def closed(line):
    try: return line.recv(1) == b'' or True
    except ConnectionResetError: return True
print(sum(closed(line) for line in lines), 'closed')
";

#[test]
fn a_line_that_is_cut_is_no_half_close() {
    let papers = Papers::new();
    let engine = engine(&papers);
    let script = CUT.replace("PAPERS", &papers.of("client").display().to_string());
    let mut command = engine.host().command("python3");
    command.args(["-c", &script]).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = finish(command.spawn().expect("python3 starts"), "the cut line to be closed");
    assert_eq!((ran.code, ran.out.as_str()), (0, "events\nclosed"), "{ran:?}");
}

/// Asks for a stream that does not end, and ends its own side of TCP without a
/// word of TLS, as anybody on the way could.
const CUT: &str = "
import socket, ssl
context = ssl.create_default_context(cafile='PAPERS/ca.pem')
context.load_cert_chain('PAPERS/cert.pem', 'PAPERS/key.pem')
line = context.wrap_socket(socket.create_connection(('127.0.0.1', 2376)), server_hostname='127.0.0.1')
line.settimeout(20)
line.sendall(b'GET /v1.51/events HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')
assert line.recv(100).startswith(b'HTTP/1.1 200')
print('events')
line.shutdown(socket.SHUT_WR)
try:
    while line.recv(4096): pass
except ConnectionResetError: pass
print('closed')
";

#[test]
fn a_context_of_dockers_leads_both_clis_over_the_network() {
    let papers = Papers::new();
    let engine = engine(&papers);
    let file = |name: &str| papers.of("client").join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let docker = format!("host={ADDRESS},ca={ca},cert={cert},key={key}");
    let made = context(&engine, Cli::Docker, &["context", "create", "far", "--docker", &docker]);
    assert_eq!(made.code, 0, "{made:?}");
    let words = ["--context", "far", "version", "--format", "{{.Server.APIVersion}}"];
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = context(&engine, cli, &words);
        assert_eq!((ran.code, ran.out.as_str()), (0, "1.51"), "{cli:?}: {ran:?}");
    }
    // The current one is meant where nothing is said.
    let ran = context(&engine, Cli::Docker, &["context", "use", "far"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = context(&engine, Cli::Cofferdam, &words[2..]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1.51"), "{ran:?}");
    let ran = context(&engine, Cli::Cofferdam, &["-c", "near", "ps"]);
    assert!(ran.code == 1 && ran.err.contains("there is no context \"near\""), "{ran:?}");
    let ran = engine.run(&["-H", ADDRESS, "-c", "far", "ps"]);
    assert!(ran.code == 1 && ran.err.contains("--host and --context"), "{ran:?}");
    // One that would take any engine is not used.
    let loose = format!("host={ADDRESS},skip-tls-verify=true");
    let made = context(&engine, Cli::Docker, &["context", "create", "loose", "--docker", &loose]);
    assert_eq!(made.code, 0, "{made:?}");
    let ran = context(&engine, Cli::Cofferdam, &["-c", "loose", "ps"]);
    assert!(ran.code == 1 && ran.err.contains("takes any engine"), "{ran:?}");
}

/// A command of a CLI to which nothing else says where the engine is.
fn context(engine: &Engine, cli: Cli, words: &[&str]) -> Ran {
    let mut command = engine.command(cli, words);
    command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().expect("starts"), &format!("{words:?}"))
}

#[test]
fn a_daemon_without_certificates_does_not_listen_on_the_network() {
    let papers = Papers::new();
    let mut engine = Engine::with(&[]);
    engine.stop();
    for words in
        [&["-H", ADDRESS][..], &["-H", ADDRESS, "--tls"], &["-H", ADDRESS, "--tlsverify=false"]]
    {
        let refused = engine.refuses_to_start(words);
        let says = format!("error: cannot listen on {ADDRESS} without certificates");
        assert!(refused.starts_with(&says) && refused.contains("--tlsverify"), "{refused}");
    }
    let gone = papers.of("nobody").join("ca.pem").display().to_string();
    let refused = engine.refuses_to_start(&["-H", ADDRESS, "--tlsverify", "--tlscacert", &gone]);
    assert!(refused.contains(&format!("cannot read certificates from {gone}")), "{refused}");
    let (cert, key) = (papers.of("server").join("cert.pem"), papers.of("client").join("key.pem"));
    let (ca, cert, key) = (
        papers.of("server").join("ca.pem").display().to_string(),
        cert.display().to_string(),
        key.display().to_string(),
    );
    let words =
        ["-H", ADDRESS, "--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key];
    let refused = engine.refuses_to_start(&words);
    assert!(
        refused.contains(&format!("cannot use the certificate {cert} with its key")),
        "{refused}"
    );
}

#[test]
fn a_websocket_and_a_library_work_over_the_network() {
    let papers = Papers::new();
    let engine = engine(&papers);
    engine.says(&[
        "run",
        "-d",
        "-i",
        "--name",
        "c",
        "busybox",
        "sh",
        "-c",
        "read line; echo got $line",
    ]);
    let script = PYTHON.replace("PAPERS", &papers.of("client").display().to_string());
    let mut command = engine.host().command("python3");
    command
        .args(["-c", &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let ran = finish(command.spawn().expect("python3 starts"), "the library");
    assert_eq!((ran.code, ran.out.as_str()), (0, "got hello"), "{ran:?}");
}

/// Speaks to a container over a WebSocket, by Python's own TLS.
const PYTHON: &str = "
import os, socket, ssl, struct
context = ssl.create_default_context(cafile='PAPERS/ca.pem')
context.load_cert_chain('PAPERS/cert.pem', 'PAPERS/key.pem')
line = context.wrap_socket(socket.create_connection(('127.0.0.1', 2376)), server_hostname='127.0.0.1')
line.settimeout(20)
line.sendall(b'GET /v1.51/containers/c/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\\r\\nHost: x\\r\\n'
  b'Connection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n'
  b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n')
file = line.makefile('rb')
assert b'101' in file.readline()
while file.readline() != b'\\r\\n': pass
mask, text = os.urandom(4), b'hello\\n'
line.sendall(bytes([0x81, 0x80 | len(text)]) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(text)))
said = b''
while b'\\n' not in said:
    kind, size = file.read(2)
    if kind & 15 == 8: break
    said += file.read(size & 127)
print(said.decode().strip())
";

/// A host with a secure shell, whose `cofferdam` or `docker` reaches the
/// engine: a container with the engine's socket.
struct Shore<'a> {
    engine: &'a Engine,
    folder: PathBuf,
}

impl<'a> Shore<'a> {
    fn new(engine: &'a Engine, cli: Cli) -> Self {
        let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`");
        engine.says_as(Cli::Docker, &["import", &tar, "debian"]);
        let folder = engine.scratch().join(format!("shore-{cli:?}"));
        fs::create_dir(&folder).expect("scratch");
        let key = folder.join("key");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key);
        assert!(keygen.status().expect("ssh-keygen starts").success());
        let (program, name, socket) = match cli {
            Cli::Cofferdam => (binary("cofferdam"), "cofferdam", "/run/cofferdam/cofferdam.sock"),
            Cli::Docker => (docker(), "docker", "/var/run/docker.sock"),
        };
        let program = format!("{}:/usr/bin/{name}:ro", program.display());
        let socket = format!("{}:{socket}", engine.socket().display());
        let public = format!("{}:/authorized:ro", folder.join("key.pub").display());
        let script = "mkdir -p /run/sshd /root/.ssh && cp /authorized /root/.ssh/authorized_keys && \
            chmod 700 /root/.ssh && chmod 600 /root/.ssh/authorized_keys && ssh-keygen -A > /dev/null && \
            exec /usr/sbin/sshd -D -e";
        let words = ["run", "-d", "--name", "shore", "-v", &program, "-v", &socket, "-v", &public];
        engine.says(&[&words[..], &["debian", "sh", "-c", script]].concat());
        let shore = Self { engine, folder };
        shore.settle();
        until("sshd", || shore.ssh("true").code == 0);
        shore
    }

    /// What ssh is to know of it. It reads no variable, so the test's own
    /// stands before it on the path.
    fn settle(&self) {
        let address = self.engine.inspect("shore", "{{.NetworkSettings.IPAddress}}");
        let config = format!(
            "Host shore\n HostName {address}\n User root\n IdentityFile {}\n \
             StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n BatchMode yes\n",
            self.folder.join("key").display()
        );
        fs::write(self.folder.join("config"), config).expect("scratch");
        let ssh = self.folder.join("ssh");
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            self.folder.join("config").display()
        );
        fs::write(&ssh, script).expect("scratch");
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).expect("scratch");
    }

    fn ssh(&self, script: &str) -> Ran {
        let mut command = self.engine.host().command(self.folder.join("ssh"));
        command.args(["shore", script]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("ssh starts"), "ssh")
    }

    fn command(&self, cli: Cli, words: &[&str]) -> Command {
        let mut command = self.engine.command(cli, words);
        let path = std::env::var("PATH").expect("a path");
        command.env("PATH", format!("{}:{path}", self.folder.display()));
        command.env("DOCKER_HOST", "ssh://root@shore");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What goes through, both ways and half-closed.
    fn carries(&self, cli: Cli) {
        let script = "wc -c; echo after; exit 3";
        let words = ["run", "--rm", "-i", "busybox", "sh", "-c", script];
        let ran = told(self.command(cli, &words), &vec![b'x'; 1 << 20]);
        assert_eq!((ran.code, ran.out.as_str()), (3, "1048576\nafter"), "{cli:?}: {ran:?}");
        let ran = told(self.command(cli, &["ps", "--format", "{{.Names}}"]), b"");
        assert_eq!((ran.code, ran.out.as_str()), (0, "shore"), "{cli:?}: {ran:?}");
    }
}

#[test]
fn an_engine_behind_ssh_is_reached_by_both_clis() {
    let engine = Engine::new();
    let shore = Shore::new(&engine, Cli::Cofferdam);
    shore.carries(Cli::Cofferdam);
    // Docker's CLI calls `docker` there: ours under that name.
    assert_eq!(shore.ssh("ln -s /usr/bin/cofferdam /usr/local/bin/docker").code, 0);
    until("docker there", || shore.ssh("command -v docker").code == 0);
    engine.says(&[
        "exec",
        "shore",
        "sh",
        "-c",
        "ln -sf /run/cofferdam/cofferdam.sock /var/run/docker.sock",
    ]);
    shore.carries(Cli::Docker);
    engine.leaves_nothing();
}

#[test]
fn an_engine_behind_ssh_is_reached_by_a_context() {
    let engine = Engine::new();
    let shore = Shore::new(&engine, Cli::Docker);
    let at = ["context", "create", "shore", "--docker", "host=ssh://root@shore"];
    let made = context(&engine, Cli::Docker, &at);
    assert_eq!(made.code, 0, "{made:?}");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = ["--context", "shore", "ps", "--format", "{{.Names}}"];
        let mut command = shore.command(cli, &words);
        command.env_remove("DOCKER_HOST");
        let ran = told(command, b"");
        assert_eq!((ran.code, ran.out.as_str()), (0, "shore"), "{cli:?}: {ran:?}");
    }
}

#[test]
fn who_is_killed_leaves_nothing_on_the_far_side_of_ssh() {
    let engine = Engine::new();
    let shore = Shore::new(&engine, Cli::Cofferdam);
    let dialled = || {
        let processes = engine.says(&["top", "shore", "-eo", "pid,args"]);
        processes.lines().filter(|line| line.contains("dial-stdio")).count()
    };
    // Nothing happens that the line would have to carry.
    let words = ["events", "--filter", "event=nonesuch"];
    let mut command = shore.command(Cli::Cofferdam, &words);
    let mut client = command.stdin(Stdio::null()).spawn().expect("the CLI starts");
    until("the line", || dialled() > 0);
    client.kill().expect("ours");
    client.wait().expect("ours");
    until("the far side to end", || dialled() == 0);
}

#[test]
fn an_engine_behind_a_host_that_has_docker_alone_is_reached() {
    let engine = Engine::new();
    let shore = Shore::new(&engine, Cli::Docker);
    shore.carries(Cli::Cofferdam);
    shore.carries(Cli::Docker);
}

#[test]
fn a_dialled_line_ends_with_who_listens() {
    let engine = Engine::new();
    let mut command = engine.command(Cli::Cofferdam, &["system", "dial-stdio"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the CLI starts");
    let mut input = child.stdin.take().expect("piped");
    // A stream without an end, and an input that has one.
    input.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    drop(input);
    let mut output = child.stdout.take().expect("piped");
    let mut head = [0; 15];
    output.read_exact(&mut head).expect("an answer after the end of the input");
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    // It goes on until nobody listens, and then no longer, though nothing is said.
    drop(output);
    assert_eq!(finish(child, "the line to end").code, 0);
    engine.leaves_nothing();
}

#[test]
fn a_host_that_ssh_does_not_reach_is_told_as_such() {
    let engine = Engine::with(&[]);
    for (host, says) in [
        ("ssh://nobody@host.invalid", "host.invalid"),
        ("ssh://-oProxyCommand=x", "[USER@]HOST[:PORT] is wanted"),
        ("ssh://me:sesame@host", "with a password"),
        ("ftp://host", "is wanted"),
    ] {
        let ran = engine.run(&["-H", host, "ps"]);
        assert!(ran.code != 0 && ran.err.contains(says), "{host}: {ran:?}");
    }
}
