//! BUILD: contexts and sources that are elsewhere: git repositories, archives
//! and Dockerfiles on the web, standard input.

use promises::{
    Cli, Engine,
    kitchen::{BOTH, Context, Kitchen, Serving},
    until,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

/// `git` that asks nobody, as somebody.
const GIT: &str = "git -c user.name=me -c user.email=me@example.com -c init.defaultBranch=main \
                   -c protocol.file.allow=always";

/// Repositories on the test host, by `git://127.0.0.1/NAME`. Ends when dropped.
struct Repositories {
    daemon: Child,
    dir: PathBuf,
}

impl Repositories {
    fn serve(engine: &Engine) -> Self {
        let dir = engine.scratch().join("git");
        fs::create_dir(&dir).expect("scratch");
        let place = engine.host().says("git --exec-path");
        let mut command = engine.host().command(Path::new(&place).join("git-daemon"));
        command.args(["--export-all", "--listen=127.0.0.1", "--reuseaddr"]);
        command.arg(format!("--base-path={}", dir.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = command.spawn().expect("git is installed");
        until("the repositories", || {
            engine.host().sh("ss -Hltn src 127.0.0.1:9418 | grep -q .").status.success()
        });
        Self { daemon, dir }
    }

    /// One with three commits of `f`: `one` (tag v1), `two`, `three`; and a
    /// branch `side` with `sub/g`. Gives the second commit.
    fn fill(&self, engine: &Engine, name: &str) -> String {
        let dir = self.dir.join(name);
        engine.host().says(&format!(
            "G='{GIT}'; $G init -q {dir} && cd {dir} && commit() {{ $G add . && $G commit -qm $1; }}
             printf 'FROM busybox\\nCOPY . /all/\\nRUN cat /all/f > /was\\n' > Dockerfile
             echo one > f && commit one && $G tag v1
             echo two > f && commit two && second=$($G rev-parse HEAD)
             $G checkout -q -b side && mkdir sub && echo deep > sub/g
             printf 'FROM busybox\\nCOPY g /g\\n' > sub/Dockerfile && commit side
             $G checkout -q main && echo three > f && commit three && echo $second",
            dir = dir.display()
        ))
    }
}

impl Drop for Repositories {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Serves repositories by git's own way over HTTP.
const BACKEND: &str = "
import http.server, os, subprocess, sys
class Backend(http.server.BaseHTTPRequestHandler):
    def serve(self):
        path, _, query = self.path.partition('?')
        length = int(self.headers.get('Content-Length') or 0)
        env = dict(os.environ, GIT_PROJECT_ROOT=sys.argv[1], GIT_HTTP_EXPORT_ALL='1', PATH_INFO=path,
            QUERY_STRING=query, REQUEST_METHOD=self.command, CONTENT_LENGTH=str(length),
            CONTENT_TYPE=self.headers.get('Content-Type') or '',
            HTTP_CONTENT_ENCODING=self.headers.get('Content-Encoding') or '',
            GIT_PROTOCOL=self.headers.get('Git-Protocol') or '', REMOTE_ADDR='127.0.0.1',
            GIT_CONFIG_COUNT='1', GIT_CONFIG_KEY_0='safe.directory', GIT_CONFIG_VALUE_0='*')
        out = subprocess.run(['git', 'http-backend'], input=self.rfile.read(length), env=env,
            stdout=subprocess.PIPE).stdout
        head, _, body = out.partition(b'\\r\\n\\r\\n')
        lines = [line.split(': ', 1) for line in head.decode().split('\\r\\n') if line]
        status = [value for name, value in lines if name == 'Status']
        self.send_response(int(status[0].split()[0]) if status else 200)
        for name, value in lines:
            if name != 'Status': self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = serve
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Backend)
print('Serving HTTP on 127.0.0.1 port', server.server_port, flush=True)
server.serve_forever()
";

fn backend(engine: &Engine, dir: &Path) -> Serving {
    let mut command = engine.host().command("python3");
    let child = command.args(["-c", BACKEND]).arg(dir).stdout(Stdio::piped());
    Serving::of(child.spawn().expect("python3 starts"))
}

fn remote(kitchen: &Kitchen, context: &str, words: &[&str]) -> promises::Ran {
    let mut all = vec!["build", "--progress=plain", "-t", "made"];
    all.extend(words);
    all.push(context);
    kitchen.engine.run_as(Cli::Docker, &all)
}

fn builds(kitchen: &Kitchen, context: &str) {
    let ran = remote(kitchen, context, &[]);
    assert_eq!(ran.code, 0, "{context}: {ran:?}\ndaemon: {}", kitchen.engine.logged());
}

#[test]
fn a_repository_is_a_context_by_branch_tag_commit_and_directory() {
    let kitchen = Kitchen::new();
    let repositories = Repositories::serve(&kitchen.engine);
    let second = repositories.fill(&kitchen.engine, "r.git");
    let mut backend = backend(&kitchen.engine, &repositories.dir);
    let web = format!("http://127.0.0.1:{}/r.git", backend.port());
    for base in ["git://127.0.0.1/r.git", web.as_str()] {
        for (fragment, was) in [
            ("", "three"),
            ("#v1", "one"),
            ("#main", "three"),
            ("#side", "two"),
            (&format!("#{second}"), "two"),
        ] {
            builds(&kitchen, &format!("{base}{fragment}"));
            assert_eq!(kitchen.holds("made", "/was"), was, "{base}{fragment}");
        }
        builds(&kitchen, &format!("{base}#side:sub"));
        assert_eq!(kitchen.holds("made", "/g"), "deep");
    }
    let listed = kitchen.engine.says(&["run", "--rm", "made", "ls", "-a", "/"]);
    assert!(!listed.contains(".git"), "{listed}");
    let said = remote(&kitchen, "git://127.0.0.1/r.git#nope", &[]);
    assert!(said.code != 0 && said.err.contains("nope"), "{said:?}");
    let said = remote(&kitchen, "git://127.0.0.1/none.git", &[]);
    assert!(said.code != 0 && said.err.contains("none.git"), "{said:?}");
    let place = kitchen.engine.data_root().display().to_string();
    assert!(!said.err.contains(&place), "where it works is nobody's business: {said:?}");
    backend.stop();
    drop(repositories);
    kitchen.engine.leaves_nothing();
}

#[test]
fn add_brings_a_repository_with_its_history_or_without() {
    let kitchen = Kitchen::new();
    let repositories = Repositories::serve(&kitchen.engine);
    let second = repositories.fill(&kitchen.engine, "r.git");
    let first = kitchen.engine.host().says(&format!(
        "git -c safe.directory='*' -C {}/r.git rev-parse v1",
        repositories.dir.display()
    ));
    kitchen.builds(
        &format!(
            "FROM busybox
ADD git://127.0.0.1/r.git#v1 /plain
ADD --keep-git-dir git://127.0.0.1/r.git /whole
ADD --checksum={first} git://127.0.0.1/r.git#v1 /checked/
ADD --chown=7:8 git://127.0.0.1/r.git#side:sub /owned
"
        ),
        &["-t", "made"],
    );
    let script = "cat /plain/f /whole/f /checked/f /owned/g; ls -d /plain/.git /whole/.git 2>/dev/null; \
                  stat -c '%u %g' /owned/g";
    let said = kitchen.engine.run(&["run", "--rm", "made", "sh", "-c", script]).out;
    assert_eq!(said, "one\nthree\none\ndeep\n/whole/.git\n7 8");
    let wrong = format!("FROM busybox\nADD --checksum={second} git://127.0.0.1/r.git#v1 /x\n");
    let said = kitchen.fails(&wrong, &[]);
    assert!(said.contains("expected checksum"), "{said}");
    drop(repositories);
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_repository_that_asks_who_comes_is_told_by_a_secret_of_the_client() {
    let kitchen = Kitchen::new();
    let repositories = Repositories::serve(&kitchen.engine);
    repositories.fill(&kitchen.engine, "r.git");
    // `x-access-token:sesame`, as the registries of sources want it.
    let wanted = "basic eC1hY2Nlc3MtdG9rZW46c2VzYW1l";
    let guard = format!(
        "    def serve(self):\n        if self.headers.get('Authorization') != '{wanted}':\n            \
         self.send_response(401); self.end_headers(); return"
    );
    let guarded = BACKEND.replacen("    def serve(self):", &guard, 1);
    let mut command = kitchen.engine.host().command("python3");
    let child = command.args(["-c", &guarded]).arg(&repositories.dir).stdout(Stdio::piped());
    let mut backend = Serving::of(child.stderr(Stdio::null()).spawn().expect("python3 starts"));
    let port = backend.port();
    let web = format!("http://127.0.0.1:{port}/r.git");
    let secret = |name: &str, text: &str| {
        let path = kitchen.engine.scratch().join("secret");
        fs::write(&path, text).expect("scratch");
        format!("id={name},src={}", path.display())
    };
    let refused = remote(&kitchen, &web, &[]);
    assert!(refused.code != 0 && !refused.err.contains("sesame"), "{refused:?}");
    let wrong = remote(&kitchen, &web, &["--secret", &secret("GIT_AUTH_TOKEN", "closed")]);
    assert!(wrong.code != 0 && !wrong.err.contains("closed"), "{wrong:?}");
    let of_host = format!("GIT_AUTH_TOKEN.127.0.0.1:{port}");
    for (name, text) in
        [("GIT_AUTH_TOKEN", "sesame\n"), (of_host.as_str(), "sesame"), ("GIT_AUTH_HEADER", wanted)]
    {
        kitchen.engine.run(&["rmi", "-f", "made"]);
        let told = remote(&kitchen, &web, &["--secret", &secret(name, text)]);
        assert_eq!(told.code, 0, "{name}: {told:?}");
        assert_eq!(kitchen.holds("made", "/was"), "three", "{name}");
    }
    let add = format!("FROM busybox\nADD {web} /r\nRUN cat /r/f > /was\n");
    assert_ne!(kitchen.build(&add, &[]).code, 0);
    kitchen.builds(&add, &["-t", "added", "--secret", &secret("GIT_AUTH_TOKEN", "sesame")]);
    assert_eq!(kitchen.holds("added", "/was"), "three");
    let lines = secret("GIT_AUTH_HEADER", "a\nEvil: b");
    let evil = remote(&kitchen, &web, &["--secret", &lines]);
    assert!(evil.code != 0 && evil.err.contains("more than one line"), "{evil:?}");
    drop(repositories);
    backend.stop();
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_hostile_repository_starts_no_program_and_reads_no_file_of_the_host() {
    let kitchen = Kitchen::new();
    let repositories = Repositories::serve(&kitchen.engine);
    repositories.fill(&kitchen.engine, "r.git");
    let dir = repositories.dir.join("r.git");
    let mark = kitchen.engine.scratch().join("started");
    let secret = kitchen.engine.scratch().join("secret");
    kitchen.engine.host().says(&format!(
        "git init -q {0} && cd {0} && echo x > x && {GIT} add . && {GIT} commit -qm x",
        secret.display()
    ));
    let head = kitchen.engine.host().says(&format!("git -C {} rev-parse HEAD", secret.display()));
    // A submodule whose address is a program, or a directory of the host.
    for address in [format!("ext::touch {}", mark.display()), secret.display().to_string()] {
        kitchen.engine.host().says(&format!(
            "cd {} && G='{GIT} -c safe.directory=*' && printf '[submodule \"s\"]\\n\\tpath = s\\n\\turl = {address}\\n' > .gitmodules \
             && $G update-index --add --cacheinfo 160000,{head},s && $G add .gitmodules && $G commit -qm s",
            dir.display()
        ));
        let said = remote(&kitchen, "git://127.0.0.1/r.git", &[]);
        assert!(said.code != 0 && said.err.contains("not allowed"), "{address}: {said:?}");
        assert!(!mark.exists(), "{address}: a program was started");
    }
    // An address that git would take for an option.
    let said = kitchen.fails("FROM busybox\nADD git://127.0.0.1/r.git#--upload-pack=x /x\n", &[]);
    assert!(said.contains("no git repository"), "{said}");
    drop(repositories);
    kitchen.engine.leaves_nothing();
}

#[test]
fn archives_and_dockerfiles_come_from_the_web() {
    let kitchen = Kitchen::new();
    let web = kitchen.engine.scratch().join("web");
    fs::create_dir(&web).expect("scratch");
    kitchen.file("f", "in the archive\n").file("Dockerfile", "FROM busybox\nCOPY f /f\n");
    kitchen.file("other/File", "FROM busybox\nCOPY f /g\n");
    kitchen.engine.host().says(&format!(
        "tar -C {context} -cf {web}/c.tar . && gzip -k {web}/c.tar && \
         printf 'FROM busybox\\nRUN echo alone > /f\\n' > {web}/Dockerfile",
        context = kitchen.context.display(),
        web = web.display()
    ));
    let mut serving = Serving::start(&kitchen.engine, &web);
    let base = format!("http://127.0.0.1:{}", serving.port());
    for (name, holds) in
        [("c.tar", "in the archive"), ("c.tar.gz", "in the archive"), ("Dockerfile", "alone")]
    {
        builds(&kitchen, &format!("{base}/{name}"));
        assert_eq!(kitchen.holds("made", "/f"), holds, "{name}");
    }
    let ran = remote(&kitchen, &format!("{base}/c.tar"), &["-f", "other/File"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(kitchen.holds("made", "/g"), "in the archive");
    // The same by the classic door, and whoever asks for it in its words.
    for (name, holds) in [("c.tar.gz", "in the archive"), ("Dockerfile", "alone")] {
        let address = format!("{base}/{name}");
        for cli in BOTH {
            let mut command = kitchen.engine.command(cli, &["build", "-t", "classic", &address]);
            command.env("DOCKER_BUILDKIT", "0").stdin(Stdio::null());
            let out = command.output().expect("starts");
            assert!(
                out.status.success(),
                "{cli:?} {name}: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            assert_eq!(kitchen.holds("classic", "/f"), holds, "{cli:?} {name}");
        }
        let said = kitchen.engine.host().says(&format!(
            "curl -s --unix-socket {} -X POST 'http://d/build?remote={address}&t=asked'",
            kitchen.engine.socket().display()
        ));
        assert!(said.contains("Successfully tagged asked:latest"), "{said}");
        assert_eq!(kitchen.holds("asked", "/f"), holds, "{name}");
    }
    let said = remote(&kitchen, &format!("{base}/none.tar"), &[]);
    assert!(said.code != 0 && said.err.contains("404"), "{said:?}");
    serving.stop();
    kitchen.engine.leaves_nothing();
}

#[test]
fn dockerfiles_and_contexts_come_from_standard_input() {
    let kitchen = Kitchen::new();
    kitchen.file("f", "beside\n");
    let context = kitchen.context.display().to_string();
    let feed = |words: &[&str], input: &Path, builder: &str| {
        let mut command = kitchen.engine.command(Cli::Docker, words);
        command.env("DOCKER_BUILDKIT", builder).env("PWD", std::env::current_dir().expect("there"));
        command.stdin(fs::File::open(input).expect("made"));
        let out = command.output().expect("starts");
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
    };
    let alone = kitchen.engine.scratch().join("alone");
    fs::write(&alone, "FROM busybox\nRUN echo alone > /f\n").expect("scratch");
    let beside = kitchen.engine.scratch().join("beside");
    fs::write(&beside, "FROM busybox\nCOPY f /f\n").expect("scratch");
    for builder in ["0", "1"] {
        feed(&["build", "-t", "made", "-"], &alone, builder);
        assert_eq!(kitchen.holds("made", "/f"), "alone", "{builder}");
        feed(&["build", "-t", "made", "-f", "-", &context], &beside, builder);
        assert_eq!(kitchen.holds("made", "/f"), "beside", "{builder}");
    }
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_download_is_what_its_checksum_says() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("web/page", "web\n");
    let mut web = Serving::start(&engine, &context.dir.join("web"));
    let port = web.port();
    let sum = engine.host().says(&format!("sha256sum < {}/web/page", context.dir.display()));
    let sum = sum.split(' ').next().expect("a sum");
    let text = |sum: &str| {
        format!(
            "FROM busybox\nADD --checksum=sha256:{sum} --chmod=644 http://127.0.0.1:{port}/page /web/\n"
        )
    };
    context.dockerfile(&text(sum));
    context.builds(Cli::Cofferdam, &["-t", "a"]);
    let script = "cat /web/page; stat -c %a /web/page";
    assert_eq!(engine.says(&["run", "--rm", "a", "sh", "-c", script]), "web\n644");
    context.dockerfile(&text(&"0".repeat(64)));
    let wrong = context.fails(Cli::Cofferdam, &[]);
    assert!(wrong.contains("digest mismatch"), "{wrong}");
    web.stop();
    engine.leaves_nothing();
}
