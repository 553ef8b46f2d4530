//! Dockerfiles, base images and repositories made by an enemy, by both doors.

use promises::{Cli, Engine, Outside, Ran, SECRET, attack::must_fail, kitchen::Kitchen, until};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// An image whose links lead outside: `/out` to the directory, `/file` to its
/// file.
fn links(kitchen: &Kitchen, outside: &Outside<'_>) {
    let text = format!(
        "FROM busybox\nRUN ln -s {0} /out && ln -s {0}/secret /file && mkdir /m\n",
        outside.path()
    );
    kitchen.builds(&text, &["-t", "links"]);
}

/// By BuildKit's door, and by the classic one.
fn both(kitchen: &Kitchen, dockerfile: &str) -> [Ran; 2] {
    let by_buildkit = kitchen.build(dockerfile, &["--no-cache"]);
    let context = kitchen.context.display().to_string();
    let mut command = kitchen.engine.command(Cli::Docker, &["build", "--no-cache", &context]);
    command.env("DOCKER_BUILDKIT", "0").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    [by_buildkit, promises::finish(command.spawn().expect("starts"), "a build")]
}

fn told(ran: &[Ran]) -> Option<String> {
    ran.iter()
        .find(|ran| ran.out.contains(SECRET) || ran.err.contains(SECRET))
        .map(|ran| format!("{ran:?}"))
}

/// CVE-2024-23652, CVE-2024-1753, CVE-2024-9407, CVE-2024-9675.
#[test]
fn mounts_of_a_step_show_make_and_remove_nothing_outside() {
    let kitchen = Kitchen::new();
    let outside = Outside::of(&kitchen.engine);
    links(&kitchen, &outside);
    let up = "../".repeat(30) + &outside.path()[1..];
    let host = outside.path();
    let look =
        "cat /m/secret /m /out/secret /file; touch /m/made /out/made; rm -rf /m/* /out/*; true";
    // A naive builder: makes the place by path.
    let place = kitchen.engine.scratch().join("naive");
    fs::create_dir(&place).expect("scratch");
    std::os::unix::fs::symlink(outside.dir(), place.join("out")).expect("scratch");
    outside.falls("made by path", || {
        fs::write(place.join("out/made"), "x").expect("led outside");
    });
    for mount in [
        "type=tmpfs,target=/out/secret".to_owned(),
        "type=tmpfs,target=/file".to_owned(),
        "type=tmpfs,target=/out/made".to_owned(),
        "type=bind,target=/file".to_owned(),
        "type=bind,target=/out/made/deep".to_owned(),
        format!("type=tmpfs,target={}{host}/made", "/..".repeat(30)),
        "type=cache,target=/out/made".to_owned(),
        format!("type=cache,id={up},target=/m"),
        format!("type=cache,id={host},target=/m"),
        format!("type=cache,source={up},target=/m"),
        "type=cache,from=links,source=/out,target=/m".to_owned(),
        "type=bind,from=links,source=/out,target=/m".to_owned(),
        "type=bind,from=links,source=/out,target=/m,rw".to_owned(),
        "type=bind,from=links,source=/file,target=/m".to_owned(),
        format!("type=bind,from=links,source={up},target=/m"),
        format!("type=bind,source={host},target=/m"),
        format!("type=bind,source={up},target=/m"),
        "type=bind,source=.,target=/m,bind-propagation=rshared".to_owned(),
        "type=bind,source=.,target=/m,bind-propagation=z".to_owned(),
        "type=secret,id=x,target=/out/made".to_owned(),
        "type=ssh,target=/out/made".to_owned(),
    ] {
        outside.holds(&mount, || {
            told(&both(&kitchen, &format!("FROM links\nRUN --mount={mount} {look}\n")))
        });
    }
    // The step itself puts a link where a place was made for a mount.
    outside.holds("a place that became a link", || {
        let text = format!(
            "FROM links\nRUN --mount=type=tmpfs,target=/new/secret umount /new/secret; rm -rf /new; \
             ln -s {host} /new; true\nRUN cat /new/secret; true\n"
        );
        told(&both(&kitchen, &text))
    });
    kitchen.engine.says(&["builder", "prune", "-a", "-f"]);
    drop(outside);
    kitchen.engine.leaves_nothing();
}

/// CVE-2024-23653, CVE-2026-33747: a step with more rights
/// than its client gave, and a frontend of strangers.
#[test]
fn a_step_has_no_rights_that_its_client_did_not_give() {
    let kitchen = Kitchen::new();
    let strict = "grep -q 'Seccomp:.*2' /proc/self/status && ! mount -t tmpfs x /tmp 2>/dev/null \
                  && ! ( : >> /proc/sys/kernel/core_pattern ) 2>/dev/null";
    let granted = kitchen.build(
        "# syntax=docker/dockerfile:1-labs\nFROM busybox\nRUN --security=insecure mount -t tmpfs x /tmp\n",
        &["--allow", "security.insecure"],
    );
    assert_eq!(granted.code, 0, "with the grant it may: {granted:?}");
    for text in [
        "FROM busybox\nRUN --security=insecure true\n".to_owned(),
        "# syntax=docker/dockerfile:1-labs\nFROM busybox\nRUN --security=insecure true\n"
            .to_owned(),
        "FROM busybox\nRUN --network=host true\n".to_owned(),
        "# syntax=example.com/front\nFROM busybox\nRUN true\n".to_owned(),
        "FROM busybox\nRUN --device=all true\n".to_owned(),
    ] {
        must_fail(&text, || {
            let ran = both(&kitchen, &text);
            // Our own comment is no syntax to the classic builder.
            let by_buildkit = ran[0].code == 0;
            let classic = ran[1].code == 0 && text.contains("RUN --");
            (by_buildkit || classic).then(|| format!("{ran:?}"))
        });
    }
    must_fail("a step that is weaker than a container", || {
        let ran = both(&kitchen, &format!("FROM busybox\nRUN {strict}\n"));
        ran.iter().any(|ran| ran.code != 0).then(|| format!("{ran:?}"))
    });
    kitchen.engine.says(&["builder", "prune", "-a", "-f"]);
    kitchen.engine.leaves_nothing();
}

/// CVE-2026-93320: a pipe, or a device, where a file is expected.
#[test]
fn what_is_no_file_holds_no_build_up() {
    let kitchen = Kitchen::new();
    let outside = Outside::of(&kitchen.engine);
    let base = "FROM busybox AS odd\nRUN mkfifo /pipe && mkdir /dir && mkfifo /dir/pipe\n";
    // A naive builder opens what it copies, and waits for the other end.
    let pipe = kitchen.engine.scratch().join("pipe");
    let stuck = format!("mkfifo {0}; timeout 1 cat {0}; test $? = 124", pipe.display());
    kitchen.engine.host().says(&stuck);
    for text in [
        "FROM busybox\nCOPY --from=odd /pipe /x\n",
        "FROM busybox\nCOPY --from=odd /dir /x/\n",
        "FROM busybox\nCOPY --from=odd /dir/pi* /x/\n",
        "FROM busybox\nRUN --mount=type=bind,from=odd,source=/pipe,target=/x true\n",
        "FROM odd\nRUN rm -f /etc/passwd; mkfifo /etc/passwd /etc/group 2>/dev/null; true\n\
         COPY --chown=nobody Dockerfile /x\nUSER nobody\nWORKDIR /w\nRUN true\n",
        "FROM odd\nCOPY Dockerfile /pipe\nADD Dockerfile /dir/pipe\n",
        "FROM odd\nWORKDIR /pipe\n",
    ] {
        outside.holds(text, || {
            // It ends, whatever it comes to: `run_as` waits for no longer.
            both(&kitchen, &format!("{base}{text}"));
            None
        });
    }
    let fifo = kitchen.context.join("fifo");
    kitchen.engine.host().says(&format!("mkfifo {0} {0}.dockerignore", fifo.display()));
    outside.holds("a context with a pipe", || {
        both(&kitchen, "FROM busybox\nCOPY . /x/\n");
        None
    });
    kitchen.engine.says(&["builder", "prune", "-a", "-f"]);
    drop(outside);
    kitchen.engine.leaves_nothing();
}

/// `git` that asks nobody, as somebody.
const GIT: &str = "git -c user.name=me -c user.email=me@example.com -c init.defaultBranch=main";

/// A server of repositories; ends when dropped.
struct Served(std::process::Child);

impl Served {
    fn from(engine: &Engine, dir: &Path) -> Self {
        let place = engine.host().says("git --exec-path");
        let mut command: Command = engine.host().command(Path::new(&place).join("git-daemon"));
        command.args(["--export-all", "--listen=127.0.0.1", "--reuseaddr"]);
        command.arg(format!("--base-path={}", dir.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = command.spawn().expect("git is installed");
        until("the repositories", || {
            engine.host().sh("ss -Hltn src 127.0.0.1:9418 | grep -q .").status.success()
        });
        Self(daemon)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CVE-2026-33748, CVE-2022-39253, CVE-2019-13139: a directory of a
/// repository that is none of it, by its name or by a link.
#[test]
fn a_directory_of_a_repository_is_in_it() {
    let kitchen = Kitchen::new();
    let outside = Outside::with(
        &kitchen.engine,
        &[("Dockerfile", "FROM busybox\nCOPY secret /\nRUN cat /secret\n")],
    );
    let dir = kitchen.engine.scratch().join("git");
    kitchen.engine.host().says(&format!(
        "mkdir {0} && cd {0} && {GIT} init -q r.git && cd r.git && ln -s {1} l && ln -s {1}/Dockerfile D \
         && mkdir d && printf 'FROM busybox\\nRUN echo built\\n' > d/Dockerfile && {GIT} add . && {GIT} commit -qm x",
        dir.display(),
        outside.path()
    ));
    let served = Served::from(&kitchen.engine, &dir);
    let build = |of: &str, words: &[&str]| {
        let words = [&["build", "--no-cache", "--progress=plain"], words, &[of]].concat();
        kitchen.engine.run_as(Cli::Docker, &words)
    };
    let honest = build("git://127.0.0.1/r.git#main:d", &[]);
    assert!(honest.code == 0 && honest.err.contains("built"), "{honest:?}");
    // A naive builder: the clone's path and the name, put together.
    let naive = fs::read_to_string(dir.join("r.git").join("l").join("secret"));
    assert_eq!(naive.expect("led outside"), SECRET);
    let up = "../".repeat(30) + &outside.path()[1..];
    let mark = outside.dir().join("mark");
    for place in [
        "main:l".to_owned(),
        format!("main:{up}"),
        format!("main:{}", outside.path()),
        "main:d/../l".to_owned(),
        "main:d/../../../../../../..".to_owned(),
        "main:.git".to_owned(),
        "main:%2e%2e".to_owned(),
        format!("main;touch {}:d", mark.display()),
        format!("--upload-pack=touch {}:d", mark.display()),
        "../../x:d".to_owned(),
    ] {
        outside.holds(&place, || {
            let ran = build(&format!("git://127.0.0.1/r.git#{place}"), &[]);
            told(&[ran])
        });
    }
    outside.holds("a Dockerfile that is a link", || {
        told(&[
            build("git://127.0.0.1/r.git#main", &["-f", "D"]),
            build("git://127.0.0.1/r.git#main", &["-f", "l/Dockerfile"]),
        ])
    });
    outside.holds("a repository that is added", || {
        let text = "FROM busybox\nADD git://127.0.0.1/r.git#main:l /a\nRUN cat /a/secret\n";
        let all = "FROM busybox\nADD git://127.0.0.1/r.git#main /a\nRUN cat /a/l/secret\n";
        told(&[kitchen.build(text, &[]), kitchen.build(all, &[])])
    });
    drop(served);
    kitchen.engine.says(&["builder", "prune", "-a", "-f"]);
    drop(outside);
    kitchen.engine.leaves_nothing();
}
