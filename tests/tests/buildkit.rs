//! BUILD: `docker build` with the buildx plugin, `docker buildx` and Compose,
//! unmodified, over `/grpc` and `/session`.

use promises::{Cli, kitchen::Kitchen, until};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::Stdio,
};

#[test]
fn buildx_builds_stages_and_finds_them_again() {
    let kitchen = Kitchen::new();
    kitchen.file("a", "hello\n").file("dir/b", "deep\n").file("dir/skip.o", "no\n");
    kitchen.file(".dockerignore", "**/*.o\n");
    symlink("../a", kitchen.context.join("dir/link")).expect("scratch");
    let dockerfile = "FROM busybox AS first\nCOPY a /a\nRUN cat /a | tr a-z A-Z > /b\n\
                      FROM busybox\nARG WHO=nobody\nCOPY --from=first /b /b\nCOPY dir /dir\n\
                      RUN echo $WHO > /who\nLABEL one=two\nCMD [\"cat\", \"/b\"]\n";
    let said = kitchen.builds(dockerfile, &["-t", "made:1", "--build-arg", "WHO=me"]);
    assert!(said.contains("[first 2/3] COPY a /a"), "{said}");
    assert!(said.contains("naming to docker.io/library/made:1"), "{said}");
    assert_eq!(kitchen.engine.says(&["run", "--rm", "made:1"]), "HELLO");
    assert_eq!(kitchen.holds("made:1", "/who"), "me");
    let listed = kitchen.engine.says(&["run", "--rm", "made:1", "ls", "/dir"]);
    assert_eq!(listed, "b\nlink");
    let again = kitchen.builds(dockerfile, &["-t", "made:2", "--build-arg", "WHO=me"]);
    assert_eq!(again.matches("CACHED").count(), 5, "{again}");
    let id = |name| kitchen.engine.says(&["images", "--quiet", name]);
    assert_eq!(id("made:1"), id("made:2"));
    kitchen.engine.leaves_nothing();
}

#[test]
fn what_is_wrong_is_shown_with_its_lines() {
    let kitchen = Kitchen::new();
    let said = kitchen.fails("FROM busybox\nRUNN x\nRUN y\n", &[]);
    let words = "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)";
    assert!(said.contains(words), "{said}");
    assert!(said.contains("   2 | >>> RUNN x"), "{said}");
    let said = kitchen.fails("FROM busybox\nRUN echo before; exit 7\n", &[]);
    assert!(said.contains("did not complete successfully: exit code: 7"), "{said}");
    assert!(said.contains("before"), "the output of what failed: {said}");
    assert!(said.contains("   2 | >>> RUN echo before; exit 7"), "{said}");
    let said = kitchen.fails("FROM busybox\nCOPY nope /\n", &[]);
    assert!(said.contains("nope") && said.contains("   2 | >>> COPY nope /"), "{said}");
    let said = kitchen.fails("FROM busybox\n", &["-f", &kitchen.out("missing")]);
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn secrets_are_seen_by_their_step_alone() {
    let kitchen = Kitchen::new();
    kitchen.file("secret", "xyzzy-plugh-9417");
    let secret = format!("id=s,src={}", kitchen.context.join("secret").display());
    let dockerfile = "FROM busybox\nRUN --mount=type=secret,id=s wc -c < /run/secrets/s > /n\n\
                      RUN --mount=type=secret,id=s,env=S test ${#S} = 16\n\
                      RUN ls /run/secrets 2>/dev/null | wc -l > /left\n";
    kitchen.builds(dockerfile, &["-t", "made", "--secret", &secret]);
    assert_eq!(kitchen.holds("made", "/n"), "16");
    assert_eq!(kitchen.holds("made", "/left"), "0");
    let archive = kitchen.out("made.tar");
    kitchen.engine.says(&["save", "-o", &archive, "made"]);
    let bytes = fs::read(&archive).expect("an archive");
    assert!(!bytes.windows(11).any(|word| word == b"xyzzy-plugh"), "the secret is in the image");
    let required = "FROM busybox\nRUN --mount=type=secret,id=no,required x\n";
    let said = kitchen.fails(required, &[]);
    assert!(said.contains("no"), "{said}");
}

/// A program that a test can tell from those of all others: hosts of tests
/// have one list of processes.
fn nap(number: u32) -> String {
    format!("sleep {}{number}", std::process::id())
}

#[test]
fn a_secret_variable_is_its_programs_alone() {
    const SECRET: &str = "xyzzy-plugh-9417";
    let kitchen = Kitchen::new();
    let file = kitchen.engine.scratch().join("secret");
    fs::write(&file, SECRET).expect("scratch");
    let words = format!("id=s,src={}", file.display());
    // A step that waits is looked at from all sides.
    let nap = nap(1);
    let dockerfile = format!(
        "FROM busybox\nENV TOKEN=image\nRUN --mount=type=secret,id=s,env=TOKEN \
         test $TOKEN = xyzzy-plugh-9417 && {nap}\n"
    );
    kitchen.file("Dockerfile", &dockerfile.replace(SECRET, "$(echo xyzzy-plugh)-$((9416 + 1))"));
    let context = kitchen.context.display().to_string();
    let all = ["build", "--secret", &words, &context];
    let mut command = kitchen.engine.command(Cli::Docker, &all);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = command.spawn().expect("docker starts");
    let seen = format!("pgrep -f '^{nap}$'");
    let sleeps = || !kitchen.engine.host().sh(&seen).stdout.is_empty();
    until("the step to have compared it", sleeps);
    let roots = [kitchen.engine.data_root(), kitchen.engine.run_root()];
    let found = |dir: &PathBuf| {
        let grep = format!("grep -rlaF -e {SECRET} {}", dir.display());
        String::from_utf8_lossy(&kitchen.engine.host().sh(&grep).stdout).into_owned()
    };
    until("what the monitor was told to go", || roots.iter().all(|dir| found(dir).is_empty()));
    let step = kitchen.engine.says(&["ps", "-q", "--no-trunc"]);
    for told in [
        kitchen.engine.says(&["inspect", &step]),
        kitchen.engine.says(&["top", &step]),
        kitchen.engine.logged(),
    ] {
        assert!(!told.contains(SECRET), "{told}");
    }
    // Of all processes the step's own have it, and nobody else.
    let holders = kitchen.engine.host().says(&format!(
        "for p in /proc/[0-9]*; do for f in environ cmdline; do \
         grep -qaF -e {SECRET} $p/$f 2>/dev/null && cat $p/comm; done; done | sort -u; true"
    ));
    client.kill().expect("our child");
    client.wait().expect("our child");
    until("the step to be called off", || !sleeps());
    let own = |name: &str| matches!(name, "sh" | "sleep" | "busybox" | "grep");
    assert!(holders.lines().all(own) && holders.contains("sleep"), "{holders}");
    // One that ends leaves nothing of it, and another value is no other key.
    let dockerfile =
        "FROM busybox\nRUN --mount=type=secret,id=s,env=TOKEN test -n \"$TOKEN\"; touch /done\n";
    kitchen.builds(dockerfile, &["-t", "made", "--secret", &words]);
    fs::write(&file, "other-value").expect("scratch");
    let again = kitchen.builds(dockerfile, &["-t", "made", "--secret", &words]);
    assert_eq!(again.matches("CACHED").count(), 1, "{again}");
    for told in ["history --no-trunc", "image inspect"] {
        let mut all: Vec<&str> = told.split(' ').collect();
        all.push("made");
        let said = kitchen.engine.says(&all);
        assert!(!said.contains("xyzzy-plugh"), "{told}: {said}");
    }
    assert_eq!(roots.iter().map(found).collect::<String>(), "");
    kitchen.engine.leaves_nothing();
}

#[test]
fn an_agent_of_the_client_answers_its_step_alone() {
    let kitchen = Kitchen::new();
    let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes it");
    kitchen.engine.says(&["import", &tar, "debian"]);
    let (socket, key) = (kitchen.out("agent.sock"), kitchen.out("key"));
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a", &socket])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("ssh-agent(1) starts");
    until("the agent's socket", || PathBuf::from(&socket).exists());
    let script = format!(
        "ssh-keygen -q -t ed25519 -N '' -C mine -f {key} && SSH_AUTH_SOCK={socket} ssh-add -q {key}"
    );
    kitchen.engine.host().says(&script);
    let dockerfile = "FROM debian\nRUN --mount=type=ssh,required ssh-add -L > /keys\n\
                      RUN ssh-add -l && exit 1; ls /run/buildkit && exit 1; true\n";
    let ran = kitchen.build(dockerfile, &["-t", "made", "--ssh", &format!("default={socket}")]);
    agent.kill().expect("our child");
    agent.wait().expect("our child");
    assert_eq!(ran.code, 0, "{ran:?}\ndaemon: {}", kitchen.engine.logged());
    let keys = kitchen.holds("made", "/keys");
    assert!(keys.starts_with("ssh-ed25519 ") && keys.ends_with(" mine"), "{keys}");
    let said = kitchen.fails(dockerfile, &["--no-cache"]);
    assert!(said.contains("ssh"), "{said}");
}

#[test]
fn results_come_as_a_directory_or_an_archive() {
    let kitchen = Kitchen::new();
    kitchen.file("a", "hello\n").file("d/b", "deep\n");
    symlink("d/b", kitchen.context.join("l")).expect("scratch");
    let dockerfile = "FROM busybox AS tools\nRUN ln /bin/busybox /hard; mkdir /empty\n\
                      FROM scratch\nCOPY --chmod=0750 a /a\nCOPY d l /d/\nCOPY --from=tools /empty /empty\n";
    let dir = kitchen.out("result");
    kitchen.builds(dockerfile, &["--output", &dir]);
    let path = PathBuf::from(&dir);
    assert_eq!(fs::read_to_string(path.join("a")).expect("a"), "hello\n");
    assert_eq!(fs::metadata(path.join("a")).expect("a").permissions().mode() & 0o777, 0o750);
    assert_eq!(fs::read_to_string(path.join("d/b")).expect("b"), "deep\n");
    assert!(path.join("empty").is_dir());
    let tar = kitchen.out("result.tar");
    kitchen.builds(dockerfile, &["--output", &format!("type=tar,dest={tar}")]);
    let listed = kitchen.engine.host().says(&format!("tar tf {tar} | sort"));
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["a", "d/", "d/b", "d/l", "empty/"]);
}

#[test]
fn contexts_come_from_other_directories_and_from_the_input() {
    let kitchen = Kitchen::new();
    kitchen.file("a", "main\n");
    let other = kitchen.engine.scratch().join("other");
    fs::create_dir(&other).expect("scratch");
    fs::write(other.join("a"), "other\n").expect("scratch");
    let context = format!("more={}", other.display());
    let dockerfile = "FROM busybox\nCOPY a /a\nCOPY --from=more a /b\n";
    kitchen.builds(dockerfile, &["-t", "made", "--build-context", &context]);
    assert_eq!(
        (kitchen.holds("made", "/a"), kitchen.holds("made", "/b")),
        ("main".into(), "other".into())
    );
    // A name may stand for an image, too.
    let image = "made=docker-image://made";
    kitchen.builds("FROM made\nRUN test -e /b\n", &["--build-context", image]);
    let mut command =
        kitchen.engine.command(Cli::Docker, &["build", "-t", "piped", "--progress=plain", "-"]);
    kitchen.file("Dockerfile", "FROM busybox\nCOPY a /from-input\n");
    let tar = format!("tar -C {} -c .", kitchen.context.display());
    let mut tar = std::process::Command::new("sh")
        .args(["-c", &tar])
        .stdout(Stdio::piped())
        .spawn()
        .expect("tar starts");
    // Its own way to the directory it is in leads through another namespace.
    command.env("PWD", std::env::current_dir().expect("there"));
    command.stdin(tar.stdout.take().expect("piped"));
    let ran = command.output().expect("docker starts");
    assert!(tar.wait().expect("our child").success());
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn compose_builds_and_runs_what_it_built() {
    let kitchen = Kitchen::new();
    kitchen
        .file("a", "hello\n")
        .file("Dockerfile", "FROM busybox\nCOPY a /a\nCMD [\"cat\", \"/a\"]\n");
    kitchen.file(
        "compose.yaml",
        "services:\n  one:\n    build: .\n    image: composed:1\n    network_mode: none\n",
    );
    let project = kitchen.context.join("compose.yaml").display().to_string();
    let words = ["compose", "--progress=plain", "-f", &project, "build"];
    kitchen.engine.says_as(Cli::Docker, &words);
    assert_eq!(kitchen.engine.says(&["run", "--rm", "composed:1"]), "hello");
}

#[test]
fn a_client_that_leaves_calls_its_build_off() {
    let kitchen = Kitchen::new();
    let nap = nap(2);
    kitchen.file("Dockerfile", &format!("FROM busybox\nRUN {nap}\n"));
    let context = kitchen.context.display().to_string();
    let mut command = kitchen.engine.command(Cli::Docker, &["build", &context]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut client = command.spawn().expect("docker starts");
    let seen = format!("pgrep -f '^{nap}$'");
    let sleeps = || !kitchen.engine.host().sh(&seen).stdout.is_empty();
    until("the step to run", sleeps);
    client.kill().expect("our child");
    client.wait().expect("our child");
    until("the step to be called off", || !sleeps());
    kitchen.engine.leaves_nothing();
}

#[test]
fn what_is_not_carried_is_refused_in_words() {
    let kitchen = Kitchen::new();
    let syntax = kitchen.fails("# syntax=example.com/front\nFROM busybox\n", &[]);
    assert!(syntax.contains("the frontend example.com/front"), "{syntax}");
    let platforms = kitchen.fails("FROM busybox\n", &["--platform", "linux/amd64,linux/arm64"]);
    assert!(platforms.contains("platform"), "{platforms}");
    let host = kitchen.fails("FROM busybox\nRUN --network=host true\n", &[]);
    assert!(host.contains("network.host"), "{host}");
}

#[test]
fn buildx_lists_the_worker_and_prunes_the_cache() {
    let kitchen = Kitchen::new();
    kitchen.builds("FROM busybox\nRUN echo x > /x\n", &[]);
    let inspect = kitchen.engine.says_as(Cli::Docker, &["buildx", "inspect"]);
    assert!(inspect.contains("Status:") && inspect.contains("running"), "{inspect}");
    let used = kitchen.engine.says_as(Cli::Docker, &["buildx", "du"]);
    assert!(used.contains("Total:"), "{used}");
    kitchen.engine.says_as(Cli::Docker, &["buildx", "prune", "--force", "--all"]);
    let said = kitchen.builds("FROM busybox\nRUN echo x > /x\n", &[]);
    assert!(!said.contains("CACHED"), "{said}");
}
