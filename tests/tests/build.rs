//! BUILD: Dockerfiles into images, through `DOCKER_BUILDKIT=0 docker build`
//! and through `cofferdam build`.

use promises::{
    Cli, Engine,
    kitchen::{BOTH, Context, at, id},
};
use std::{fs, io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio, time::Duration};

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
