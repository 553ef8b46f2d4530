//! BUILD: Dockerfiles into images, through `DOCKER_BUILDKIT=0 docker build`
//! and through `cofferdam build`.

use promises::{Cli, Engine, Ran, until};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A context in the engine's scratch directory.
struct Context<'a> {
    engine: &'a Engine,
    dir: PathBuf,
}

impl<'a> Context<'a> {
    fn new(engine: &'a Engine, name: &str) -> Self {
        let dir = engine.scratch().join(name);
        fs::create_dir(&dir).expect("scratch");
        Self { engine, dir }
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("scratch");
        fs::write(path, text).expect("scratch");
        self
    }

    fn command(&self, cli: Cli, words: &[&str]) -> Command {
        let mut all = vec!["build"];
        all.extend(words);
        let dir = self.dir.display().to_string();
        if !words.contains(&"-") {
            all.push(&dir);
        }
        let mut command = self.engine.command(cli, &all);
        command.env("DOCKER_BUILDKIT", "0").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Builds through one of the CLIs.
    fn build(&self, cli: Cli, words: &[&str]) -> Ran {
        let ran = promises::finish(self.command(cli, words).spawn().expect("starts"), "a build");
        let shown = |line: &&str| !line.contains("IPv4 forwarding");
        Ran { out: ran.out.lines().filter(shown).collect::<Vec<_>>().join("\n"), ..ran }
    }

    /// Builds what must succeed; what was said.
    fn builds(&self, cli: Cli, words: &[&str]) -> String {
        let ran = self.build(cli, words);
        assert_eq!(ran.code, 0, "{ran:?}\ndaemon: {}", self.engine.logged());
        ran.out
    }

    /// Builds what must fail; the words.
    fn fails(&self, cli: Cli, words: &[&str]) -> String {
        let ran = self.build(cli, words);
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.err
    }

    fn dockerfile(&self, text: &str) -> &Self {
        self.file("Dockerfile", text)
    }
}

/// A context that is there already.
fn at<'a>(engine: &'a Engine, dir: &Path) -> Context<'a> {
    Context { engine, dir: dir.to_owned() }
}

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

fn id(engine: &Engine, image: &str) -> String {
    engine.says(&["image", "inspect", "--format", "{{.Id}}", image])
}

#[test]
fn build1_every_instruction_is_recorded_as_docker_records_it() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("f", "hi\n").file("d/y", "x\n").dockerfile(
        "# a comment
ARG BASE=busybox
FROM $BASE AS one
ARG X=1
ENV A=b C=\"d e\"
RUN echo out; echo err >&2; echo $X > /x
COPY f d /dst/
FROM busybox
LABEL l=1
MAINTAINER me
WORKDIR /w/x
USER user
EXPOSE 80 53/udp
VOLUME /data /d2
STOPSIGNAL SIGINT
HEALTHCHECK --interval=5s CMD true
ONBUILD RUN echo trig
SHELL [\"/bin/sh\", \"-ec\"]
COPY --from=one /x /y
ADD f /added
ENTRYPOINT [\"/bin/echo\"]
CMD hello world
",
    );
    let words = ["-t", "t1", "-t", "t2:3", "--label", "k=v", "--build-arg", "X=7"];
    let said = context.builds(Cli::Docker, &words);
    let line = |text: &str| assert!(said.lines().any(|line| line == text), "{text} in\n{said}");
    line("Step 1/22 : ARG BASE=busybox");
    line("Step 2/22 : FROM $BASE AS one");
    line("Step 22/22 : LABEL k=v");
    line("out");
    assert!(said.contains("\u{1b}[91merr\n\u{1b}[0m"), "{said}");
    assert!(said.contains(" ---> Running in ") && said.contains(" ---> Removed intermediate"));
    line("Successfully tagged t1:latest");
    line("Successfully tagged t2:3");
    let short = id(&engine, "t1")["sha256:".len()..][..12].to_owned();
    line(&format!("Successfully built {short}"));
    let config = engine.says_as(Cli::Docker, &["inspect", "--format", "{{json .Config}}", "t1"]);
    let config: serde_json::Value = serde_json::from_str(&config).expect("json");
    assert_eq!(config["Cmd"], serde_json::json!(["/bin/sh", "-ec", "hello world"]));
    assert_eq!(config["Entrypoint"], serde_json::json!(["/bin/echo"]));
    assert_eq!(config["ExposedPorts"], serde_json::json!({"53/udp": {}, "80/tcp": {}}));
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD-SHELL", "true"]));
    assert_eq!(config["Labels"], serde_json::json!({"k": "v", "l": "1"}));
    assert_eq!(config["OnBuild"], serde_json::json!(["RUN echo trig"]));
    assert_eq!(config["Volumes"], serde_json::json!({"/d2": {}, "/data": {}}));
    assert_eq!(
        (&config["StopSignal"], &config["User"], &config["WorkingDir"]),
        (&"SIGINT".into(), &"user".into(), &"/w/x".into())
    );
    // What the same build came to on Docker 26.1.
    let format = ["history", "--no-trunc", "--format", "{{.CreatedBy}}", "t1"];
    let history = engine.says_as(Cli::Docker, &format);
    for told in [
        "/bin/sh -ec #(nop)  LABEL k=v",
        "/bin/sh -ec #(nop)  CMD [\"/bin/sh\" \"-ec\" \"hello world\"]",
        "/bin/sh -ec #(nop)  ENTRYPOINT [\"/bin/echo\"]",
        "/bin/sh -ec #(nop)  SHELL [/bin/sh -ec]",
        "/bin/sh -c #(nop)  ONBUILD RUN echo trig",
        "/bin/sh -c #(nop)  HEALTHCHECK &{[CMD-SHELL true] 5s 0s 0s 0s 0}",
        "/bin/sh -c #(nop)  STOPSIGNAL SIGINT",
        "/bin/sh -c #(nop)  VOLUME [/data /d2]",
        "/bin/sh -c #(nop)  EXPOSE 53/udp 80",
        "/bin/sh -c #(nop)  USER user",
        "/bin/sh -c #(nop) WORKDIR /w/x",
        "/bin/sh -c #(nop)  MAINTAINER me",
        "/bin/sh -c #(nop)  LABEL l=1",
    ] {
        assert!(history.lines().any(|line| line == told), "{told} in\n{history}");
    }
    assert!(history.contains("#(nop) COPY file:") && history.contains(" in /y"), "{history}");
    // The argument's value came from the client; the trigger runs in what is built on it.
    context.dockerfile("FROM t1\nUSER root\nRUN [\"/bin/sh\", \"-c\", \"cat /y /added\"]\n");
    let said = context.builds(Cli::Docker, &[]);
    assert!(said.contains("# Executing 1 build trigger\n"), "{said}");
    assert!(said.contains("\ntrig\n") && said.contains("7\nhi"), "{said}");
    engine.leaves_nothing();
}

#[test]
fn build2_what_was_built_is_known_again_even_by_the_next_daemon() {
    let mut engine = Engine::new();
    let dir = Context::new(&engine, "c").dir;
    at(&engine, &dir)
        .file("f", "1")
        .dockerfile("FROM busybox\nENV A=1\nRUN echo $A > /a\nCOPY f /f\nRUN cat /f > /g\nCMD x\n");
    let hits = |said: &str| said.matches("---> Using cache").count();
    let first = at(&engine, &dir).builds(Cli::Docker, &["-t", "a"]);
    assert_eq!(hits(&first), 0, "{first}");
    let built = id(&engine, "a");
    for cli in BOTH {
        assert_eq!(hits(&at(&engine, &dir).builds(cli, &["-t", "a"])), 5, "{cli:?}");
    }
    assert_eq!(id(&engine, "a"), built);
    engine.kill_daemon();
    engine.start();
    // Another time is no other file; another mode or text is.
    let f = dir.join("f");
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    fs::File::options().write(true).open(&f).expect("open").set_modified(old).expect("touch");
    assert_eq!(hits(&at(&engine, &dir).builds(Cli::Docker, &[])), 5);
    fs::set_permissions(&f, fs::Permissions::from_mode(0o600)).expect("chmod");
    assert_eq!(hits(&at(&engine, &dir).builds(Cli::Docker, &[])), 2);
    at(&engine, &dir).file("f", "2");
    assert_eq!(hits(&at(&engine, &dir).builds(Cli::Docker, &[])), 2);
    assert_eq!(hits(&at(&engine, &dir).builds(Cli::Docker, &["--no-cache", "-t", "b"])), 0);
    assert_ne!(id(&engine, "b"), built);
    // The cache outlives its images, until it is pruned.
    for image in ["a", "b"] {
        engine.says(&["rmi", "-f", image]);
    }
    engine.says_as(Cli::Docker, &["image", "prune", "-f"]);
    assert_eq!(hits(&at(&engine, &dir).builds(Cli::Docker, &["-t", "a"])), 5);
    let df =
        engine.says_as(Cli::Docker, &["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]);
    assert!(
        df.lines().any(|line| line.starts_with("Build Cache ") && line != "Build Cache 0"),
        "{df}"
    );
    engine.says_as(Cli::Docker, &["builder", "prune", "-a", "-f"]);
    let df =
        engine.says_as(Cli::Docker, &["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]);
    assert!(df.lines().any(|line| line == "Build Cache 0"), "{df}");
    assert_eq!(hits(&at(&engine, &dir).builds(Cli::Docker, &[])), 0);
    assert_eq!(engine.container(&[], "true").code, 0, "images are not harmed");
    engine.leaves_nothing();
}

#[test]
fn build3_stages_that_nothing_needs_are_not_built() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile(
        "FROM busybox AS base
RUN echo base > /base
FROM base AS unused
RUN exit 9
FROM scratch AS tools
COPY --from=busybox /bin/busybox /bin/busybox
FROM base AS out
COPY --from=tools /bin/busybox /busybox
COPY --from=0 /base /copied
FROM busybox
COPY --from=OUT /copied /final
RUN --mount=from=tools,source=/bin,target=/mnt /mnt/busybox cat /final
",
    );
    for cli in BOTH {
        let said = context.builds(cli, &["--no-cache", "-t", "a"]);
        assert!(said.contains("\nbase\n"), "{said}");
        assert!(!said.contains("exit 9"), "{said}");
    }
    assert_eq!(engine.says(&["run", "--rm", "a", "cat", "/final"]), "base");
    assert_eq!(engine.run(&["run", "--rm", "a", "ls", "/mnt"]).code, 1, "no stub is left");
    context.builds(Cli::Docker, &["--target", "out", "-t", "o"]);
    assert_eq!(engine.says(&["run", "--rm", "o", "/busybox", "cat", "/copied"]), "base");
    assert!(context.fails(Cli::Docker, &["--target", "unused"]).contains("code: 9"));
    let none = context.fails(Cli::Docker, &["--target", "nope"]);
    assert!(none.contains("target stage \"nope\" could not be found"), "{none}");
    engine.leaves_nothing();
}

#[test]
fn build4_what_fails_is_told_with_its_code_and_line() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("f", "x").file("d/y", "x");
    let cases = [
        ("RUN true\nRUN exit 3", "The command '/bin/sh -c exit 3' returned a non-zero code: 3"),
        (
            "COPY nope /",
            "COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist",
        ),
        ("COPY ../x /", "COPY failed: forbidden path outside the build context: ../x ()"),
        (
            "COPY f d /x",
            "When using COPY with more than one source file, the destination must be a directory and end with a /",
        ),
        ("COPY no* /x/", "COPY failed: no source files were specified"),
        ("COPY --chown=nobody2 f /x", "unable to convert uid/gid chown string to host mapping"),
        ("BANANA x", "dockerfile parse error on line 2: unknown instruction: BANANA"),
        ("COPY --from=3 /x /y", "invalid from flag value 3: index out of bounds"),
        ("RUN --security=insecure true", "security.insecure is not allowed"),
    ];
    for (text, words) in cases {
        context.dockerfile(&format!("FROM busybox\n{text}\n"));
        for cli in BOTH {
            let said = context.fails(cli, &["--force-rm"]);
            assert!(said.contains(words), "{cli:?} {text}: {said}");
            let line = 1 + text.lines().count();
            let told = said.contains(&format!("(Dockerfile:{line})"));
            assert!(told || said.contains(&format!("on line {line}")), "{cli:?} {text}: {said}");
        }
    }
    // The exit code is the CLI's own; the container stays to be looked at, as Docker's does.
    context.dockerfile("FROM busybox\nRUN echo seen > /seen; exit 3\n");
    assert_eq!(context.build(Cli::Docker, &["--force-rm"]).code, 3);
    assert_eq!(engine.says(&["ps", "-aq"]), "");
    assert_eq!(context.build(Cli::Cofferdam, &[]).code, 3);
    let left = engine.says(&["ps", "-aq"]);
    let diff = engine.says(&["diff", &left]);
    assert_eq!(diff, "A /seen");
    engine.leaves_nothing();
}

#[test]
fn build5_copies_with_every_flag() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("a/one.txt", "1").file("a/two.md", "2").file("a/sub/three.txt", "3");
    context.file("b.txt", "b").file("c.md", "c");
    symlink("one.txt", context.dir.join("a/link")).expect("symlink");
    fs::set_permissions(context.dir.join("b.txt"), fs::Permissions::from_mode(0o640))
        .expect("chmod");
    context.dockerfile(
        "FROM busybox
COPY a /plain
COPY a/ /there/
COPY --chown=user:staff --chmod=751 b.txt /owned
COPY --chown=1234 --chmod=u=rwX,go=rX a /numbers
COPY --exclude=*.md --exclude=sub a /some
COPY --parents a/sub/three.txt b.txt /parents/
COPY --parents a/./sub/three.txt /pivot/
COPY ?.txt [c].md /many/
COPY --link b.txt /linked/
COPY <<one <<'two' /docs/
$PATH
one
$PATH
two
WORKDIR /wd
COPY b.txt sub/
COPY b.txt .
RUN <<END
echo first > /h
echo second >> /h
END
",
    );
    let script = "
        cat /plain/sub/three.txt /there/one.txt && readlink /plain/link
        stat -c '%a %u %g %n' /owned /numbers /numbers/one.txt /numbers/sub /plain/one.txt
        find /some /parents /pivot /many /linked /wd -type f | sort
        cat /docs/one /docs/two /h";
    let expected = "31one.txt
751 1000 50 /owned
755 1234 1234 /numbers
644 1234 1234 /numbers/one.txt
755 1234 1234 /numbers/sub
644 0 0 /plain/one.txt
/linked/b.txt
/many/b.txt
/many/c.md
/parents/a/sub/three.txt
/parents/b.txt
/pivot/sub/three.txt
/some/one.txt
/wd/b.txt
/wd/sub/b.txt
/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$PATH
first
second";
    for cli in BOTH {
        context.builds(cli, &["--no-cache", "-t", "a"]);
        assert_eq!(engine.says(&["run", "--rm", "a", "sh", "-c", script]), expected, "{cli:?}");
    }
    engine.leaves_nothing();
}

#[test]
fn build6_adds_archives_and_downloads() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("in/x", "from an archive").file("not.tar.gz", "no archive");
    let dir = context.dir.display().to_string();
    engine.host().says(&format!(
        "cd {dir} && chown -R 7:8 in && tar -cf plain.tar in && gzip -k plain.tar && zstd -q plain.tar -o z.tar.zst \
         && bzip2 -k plain.tar && xz -k plain.tar && mkdir web && echo web > web/page && rm -r in"
    ));
    let mut web = Serving::start(&engine, &context.dir.join("web"));
    let port = web.port();
    let sum = engine.host().says(&format!("sha256sum < {dir}/web/page"));
    let sum = sum.split(' ').next().expect("a sum");
    let text = |sum: &str| {
        format!(
            "FROM busybox
ADD plain.tar /p/
ADD plain.tar.gz /g/
ADD z.tar.zst /z/
ADD plain.tar.bz2 /b/
ADD plain.tar.xz /x/
ADD not.tar.gz /n/
COPY plain.tar /c/
ADD --checksum=sha256:{sum} http://127.0.0.1:{port}/page /web/
"
        )
    };
    context.dockerfile(&text(sum));
    context.builds(Cli::Docker, &["-t", "a"]);
    let script = "cat /p/in/x; stat -c ' %u %g' /p/in/x; cat /g/in/x /z/in/x /b/in/x /x/in/x /n/not.tar.gz; ls /c; cat /web/page; stat -c %a /web/page";
    let expected = format!(
        "from an archive 7 8\n{}no archiveplain.tar\nweb\n600",
        "from an archive".repeat(4)
    );
    assert_eq!(engine.says(&["run", "--rm", "a", "sh", "-c", script]), expected);
    context.dockerfile(&text(&"0".repeat(64)));
    let wrong = context.fails(Cli::Docker, &[]);
    assert!(wrong.contains("digest mismatch"), "{wrong}");
    web.stop();
    engine.leaves_nothing();
}

/// A web server on the test host.
struct Serving(Child);

impl Serving {
    fn start(engine: &Engine, dir: &Path) -> Self {
        let mut command = engine.host().command("python3");
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"]);
        let child = command.arg(dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self(child.expect("python3 starts"))
    }

    fn port(&mut self) -> u16 {
        let out = self.0.stdout.take().expect("piped");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
        let port = line.split_whitespace().nth(5).expect("Serving HTTP on ADDRESS port PORT");
        port.parse().expect("a port")
    }

    fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn build7_mounts_are_there_for_the_step_alone() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("src/in", "context").file("secret", "s3cret");
    context.dockerfile(
        "FROM busybox
ARG N=0
RUN --mount=type=bind,source=src,target=/m cat /m/in && ! touch /m/x
RUN --mount=type=bind,source=src,target=/m,rw touch /m/x
RUN --mount=type=bind,source=src,target=/m ! ls /m/x
RUN --mount=type=cache,target=/cache,mode=0700 echo $N >> /cache/seen && cp /cache/seen /seen
RUN --mount=type=tmpfs,target=/t,size=1m grep -q ' /t tmpfs' /proc/mounts && touch /t/x
RUN --mount=type=secret,id=one cp /run/secrets/one /tmp/was || true
RUN --mount=type=secret,id=one,env=ONE test -n \"$ONE\" && touch /had || true
",
    );
    for (number, seen) in [("1", "1"), ("2", "1\n2")] {
        let arg = format!("N={number}");
        let said = context.builds(Cli::Docker, &["--build-arg", &arg, "-t", "a"]);
        assert!(number == "2" || said.contains("\ncontext"), "{said}");
        let script = "cat /seen; ls -d /m /cache /t /run/secrets /tmp/was /had 2>/dev/null";
        assert_eq!(engine.run(&["run", "--rm", "a", "sh", "-c", script]).out, seen);
    }
    let secret = format!("id=one,src={}", context.dir.join("secret").display());
    context.builds(Cli::Cofferdam, &["--no-cache", "--secret", &secret, "-t", "b"]);
    let script = "cat /tmp/was; ls -d /had; ls -d /run/secrets 2>/dev/null";
    assert_eq!(engine.run(&["run", "--rm", "b", "sh", "-c", script]).out, "s3cret/had");
    context.dockerfile("FROM busybox\nRUN --mount=type=secret,id=x,required true\n");
    let said = context.fails(Cli::Docker, &[]);
    assert!(said.contains("secret x: not found"), "{said}");
    engine.leaves_nothing();
}

#[test]
fn build8_a_step_is_confined_as_any_container() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    // What the kernel says of both is the same.
    let look = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status; wc -l < /proc/self/uid_map; \
                readlink /proc/self/ns/user | grep -q . && ls /dev | sort; grep -c . /proc/self/mountinfo";
    context.dockerfile(&format!("FROM busybox\nRUN ({look}) > /look\n"));
    context.builds(Cli::Docker, &["-t", "a"]);
    let step = engine.says(&["run", "--rm", "a", "cat", "/look"]);
    assert_eq!(step, engine.container(&[], look).out);
    // Each succeeds in a container that was weakened on purpose.
    for attack in [
        ": >> /proc/sys/vm/overcommit_memory",
        "mount -t tmpfs x /tmp",
        "mknod /tmp/null b 8 0 && dd if=/tmp/null of=/dev/null count=1",
    ] {
        let bites = engine.container(&["--privileged"], attack);
        assert!(bites.code == 0 || attack.contains("mknod"), "{attack}: {bites:?}");
        context.dockerfile(&format!("FROM busybox\nRUN {attack}\n"));
        let said = context.fails(Cli::Docker, &["--force-rm", "--no-cache"]);
        assert!(said.contains("returned a non-zero code"), "{attack}: {said}");
    }
    // Limits and hosts are those of the build.
    context.dockerfile("FROM busybox\nRUN ulimit -n; grep -c 10.1.2.3 /etc/hosts; df -k /dev/shm | tail -1\nRUN --network=none ! ip route | grep -q .\n");
    let words = ["--ulimit", "nofile=77:88", "--add-host", "h:10.1.2.3", "--shm-size", "2m"];
    let said = context.builds(Cli::Docker, &words);
    assert!(said.contains("\n77\n1\n") && said.contains(" 2048 "), "{said}");
    engine.leaves_nothing();
}

#[test]
fn build9_a_hostile_context_reaches_nothing_outside() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    let outside = engine.scratch().join("outside");
    fs::create_dir(&outside).expect("scratch");
    fs::write(outside.join("secret"), "the host's").expect("scratch");
    // Links that lead out of the context lead back into it.
    symlink(&outside, context.dir.join("out")).expect("symlink");
    symlink(outside.join("secret"), context.dir.join("file")).expect("symlink");
    symlink("../../../../../../etc/passwd", context.dir.join("up")).expect("symlink");
    for text in ["COPY out/secret /x", "COPY out/ /x/", "COPY file /x", "COPY up /x", "ADD up /x"] {
        context.dockerfile(&format!("FROM busybox\n{text}\n"));
        let said = context.fails(Cli::Docker, &[]);
        assert!(said.contains("failed"), "{text}: {said}");
    }
    context.dockerfile("FROM busybox\nRUN --mount=type=bind,source=out,target=/m cat /m/secret\n");
    context.fails(Cli::Docker, &[]);
    // Links of the image stay in the image.
    context.file("f", "planted").dockerfile(&format!(
        "FROM busybox
RUN ln -s {0} /link && ln -s {0}/secret /file && mkdir -p /real && ln -s /real /dir
COPY f /link/f
COPY f /file
COPY f /dir/
RUN cat {0}/f /file /real/f
",
        outside.display()
    ));
    let said = context.builds(Cli::Docker, &[]);
    assert!(said.contains("plantedplantedplanted"), "{said}");
    let names: Vec<_> = fs::read_dir(&outside).expect("there").flatten().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(fs::read_to_string(outside.join("secret")).expect("there"), "the host's");
    // An archive that climbs, or writes through a link that it brought.
    let evil = engine.scratch().join("evil.py");
    fs::write(
        &evil,
        "import io, sys, tarfile
kind, outside = sys.argv[1:]
tar = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')
def add(name, text=b'', link=None):
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    if link: entry.type, entry.linkname = tarfile.SYMTYPE, link
    tar.addfile(entry, io.BytesIO(text))
add('Dockerfile', b'FROM busybox\\nCOPY . /x\\n')
if kind == 'climb': add('../../../../../../..' + outside + '/evil', b'evil')
if kind == 'link':
    add('l', link=outside)
    add('l/evil', b'evil')
tar.close()
",
    )
    .expect("scratch");
    for kind in ["climb", "link"] {
        let tar = engine.scratch().join(format!("{kind}.tar"));
        let script =
            format!("python3 {} {kind} {} > {}", evil.display(), outside.display(), tar.display());
        engine.host().says(&script);
        let mut command = engine.command(Cli::Docker, &["build", "-"]);
        command.env("DOCKER_BUILDKIT", "0").stdin(fs::File::open(&tar).expect("made"));
        let _ = command.output().expect("runs");
        assert!(!outside.join("evil").exists(), "{kind}");
    }
    engine.leaves_nothing();
}

#[test]
fn build10_a_client_that_leaves_takes_its_build_along() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile("FROM busybox\nRUN echo begun; sleep 1000\n");
    for cli in BOTH {
        let mut client = context.command(cli, &[]).spawn().expect("starts");
        until("the step", || !engine.says(&["ps", "-q"]).is_empty());
        client.kill().expect("our child");
        client.wait().expect("our child");
        until("the end of the step", || engine.says(&["ps", "-aq"]).is_empty());
        let rooms = engine.data_root().join("build/rooms");
        until("the room to go", || fs::read_dir(&rooms).map_or(0, Iterator::count) == 0);
    }
    engine.leaves_nothing();
}

#[test]
fn build11_a_daemon_that_dies_leaves_no_step_behind() {
    let mut engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile("FROM busybox\nRUN echo begun; sleep 1000\n");
    let mut client = context.command(Cli::Docker, &[]).spawn().expect("starts");
    until("the step", || !engine.says(&["ps", "-q"]).is_empty());
    engine.kill_daemon();
    client.wait().expect("our child");
    engine.start();
    until("the end of the step", || engine.says(&["ps", "-aq"]).is_empty());
    let rooms = engine.data_root().join("build/rooms");
    assert_eq!(fs::read_dir(rooms).map_or(0, Iterator::count), 0);
    engine.leaves_nothing();
}

#[test]
fn build12_our_cli_takes_contexts_as_docker_does() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.file("keep", "kept").file("drop/x", "dropped").file(".dockerignore", "drop\n*.log\n");
    context
        .file("a.log", "log")
        .file("other/File", "FROM busybox\nCOPY . /all/\nRUN find /all -type f | sort\n");
    let file = context.dir.join("other/File").display().to_string();
    for cli in BOTH {
        let said = context.builds(cli, &["--no-cache", "-f", &file]);
        assert!(said.contains("\n/all/.dockerignore\n/all/keep\n/all/other/File\n"), "{said}");
        assert!(!said.contains("/all/drop"), "{said}");
    }
    let feed = |words: &[&str], bytes: &[u8]| {
        let mut command = context.command(Cli::Cofferdam, words);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("starts");
        child.stdin.take().expect("piped").write_all(bytes).expect("taken");
        let ran = promises::finish(child, "a build");
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out
    };
    // A Dockerfile from standard input, with and without a context.
    let dir = context.dir.display().to_string();
    let text = b"FROM busybox\nCOPY keep /k\nRUN cat /k\n";
    let mut beside = context.engine.command(Cli::Cofferdam, &["build", "-f", "-", &dir]);
    let mut child = beside
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    child.stdin.take().expect("piped").write_all(text).expect("taken");
    let ran = promises::finish(child, "a build");
    assert!(ran.code == 0 && ran.out.contains("\nkept"), "{ran:?}");
    let iid = engine.scratch().join("iid").display().to_string();
    let said =
        feed(&["-q", "--iidfile", &iid, "-t", "plain", "-"], b"FROM busybox\nRUN echo x > /x\n");
    assert_eq!(said, id(&engine, "plain"));
    assert_eq!(fs::read_to_string(&iid).expect("written"), said);
    let tar = engine.scratch().join("c.tar");
    engine.host().says(&format!("tar -C {dir}/other -czf {} File", tar.display()));
    let bytes = fs::read(&tar).expect("made");
    feed(&["-f", "File", "-"], &bytes);
    // The files alone.
    let out = engine.scratch().join("out").display().to_string();
    context.dockerfile("FROM scratch\nCOPY keep /sub/keep\n");
    context.builds(Cli::Cofferdam, &["--output", &out]);
    assert_eq!(fs::read_to_string(format!("{out}/sub/keep")).expect("written"), "kept");
    let refused = context.fails(Cli::Cofferdam, &["--output", "type=oci,dest=x"]);
    assert!(refused.contains("type=oci is not carried"), "{refused}");
    engine.says(&["builder", "prune", "-a", "-f"]);
    engine.leaves_nothing();
}

#[test]
fn build13_debian_programs_are_built_and_run() {
    let engine = Engine::with(&[]);
    let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes it");
    engine.says_as(Cli::Docker, &["import", &tar, "debian"]);
    let context = Context::new(&engine, "c");
    context.file("main.c", "#include <stdio.h>\nint main(void) { puts(GREETING); return 0; }\n");
    context.file("hello.html", "built here\n");
    // A program in C, without its compiler.
    context.file(
        "Program",
        "FROM debian AS compiler
ARG GREETING=none
WORKDIR /src
COPY main.c .
RUN tcc -DGREETING=\"\\\"$GREETING\\\"\" -o /hello main.c
FROM debian
COPY --from=compiler /hello /hello
USER 1000
ENTRYPOINT [\"/hello\"]
",
    );
    let file = context.dir.join("Program").display().to_string();
    context.builds(Cli::Docker, &["-f", &file, "--build-arg", "GREETING=hi there", "-t", "hello"]);
    assert_eq!(engine.says(&["run", "--rm", "hello"]), "hi there");
    // A server, with a package installed and a user of its own.
    context.file(
        "Server",
        "FROM debian
RUN adduser --system --group --no-create-home web && rm -f /var/www/html/*
COPY --chown=web:web hello.html /var/www/html/index.html
RUN nginx -t 2>&1 | tail -1 && stat -c %U /var/www/html/index.html
EXPOSE 80
STOPSIGNAL SIGQUIT
HEALTHCHECK NONE
CMD [\"nginx\", \"-g\", \"daemon off;\"]
",
    );
    let file = context.dir.join("Server").display().to_string();
    let said = context.builds(Cli::Cofferdam, &["-f", &file, "-t", "server"]);
    assert!(said.contains("test is successful") && said.contains("\nweb\n"), "{said}");
    engine.says(&["run", "-d", "--name", "s", "server"]);
    let ask =
        "exec 3<>/dev/tcp/127.0.0.1/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && tail -1 <&3";
    until("the server", || engine.run(&["exec", "s", "bash", "-c", ask]).out == "built here");
    engine.says(&["stop", "s"]);
    assert_eq!(engine.inspect("s", "{{.State.ExitCode}}"), "0");
    engine.leaves_nothing();
}

#[test]
fn build14_what_only_reads_alike_is_not_taken_for_the_same() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    // CVE-2024-24557: history tells these short.
    for (check, nanos) in [("1s", "1000000000"), ("1500ms", "1500000000")] {
        context.dockerfile(&format!("FROM busybox\nHEALTHCHECK --interval={check} CMD true\n"));
        context.builds(Cli::Docker, &["-t", "h"]);
        let format = ["image", "inspect", "--format", "{{.Config.Healthcheck.Interval}}", "h"];
        let interval = engine.says_as(Cli::Docker, &format);
        assert!(interval == check || interval == nanos || interval == "1.5s", "{interval}");
    }
    for (words, said) in [("\"a b\"", "[a b]"), ("\"a\", \"b\"", "[a][b]")] {
        let printf = format!("RUN [\"/bin/printf\", \"[%s]\", {words}]");
        context.dockerfile(&format!("FROM busybox\n{printf}\n"));
        let out = context.builds(Cli::Docker, &[]);
        assert!(out.contains(&format!("\n{said}")), "{out}");
    }
    // An image lends its steps to whoever names it, and is named by nobody else.
    let text = "FROM busybox\nENV A=1\nRUN echo $A > /a\nRUN [\"/bin/touch\", \"/b\"]\nCMD x\n";
    context.dockerfile(text);
    context.builds(Cli::Docker, &["-t", "lender"]);
    let lender = id(&engine, "lender");
    engine.says(&["builder", "prune", "-a", "-f"]);
    let said = context.builds(Cli::Docker, &["--cache-from", "lender"]);
    assert_eq!(said.matches("---> Using cache").count(), 2, "up to the list of words: {said}");
    assert!(!said.contains(&lender["sha256:".len()..][..12]), "{said}");
    engine.says(&["builder", "prune", "-a", "-f"]);
    let said = context.builds(Cli::Docker, &[]);
    assert_eq!(said.matches("---> Using cache").count(), 0, "{said}");
    engine.leaves_nothing();
}
