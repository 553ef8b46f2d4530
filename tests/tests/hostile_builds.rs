//! BUILD: what a hostile Dockerfile, base image, context or registry tries
//! on the engine that builds, through both doors: the classic builder's and
//! BuildKit's.

use promises::{Cli, Engine, Ran};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

/// How a build arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Classic,
    BuildKit,
}

const DOORS: [Door; 2] = [Door::Classic, Door::BuildKit];

/// An engine and a context; the Docker CLI has its plugin.
struct Yard {
    engine: Engine,
    context: PathBuf,
}

impl Yard {
    fn new() -> Self {
        let promises::kitchen::Kitchen { engine, context } = promises::kitchen::Kitchen::new();
        Self { engine, context }
    }

    fn build(&self, door: Door, dockerfile: &str, words: &[&str]) -> Ran {
        fs::write(self.context.join("Dockerfile"), dockerfile).expect("scratch");
        let context = self.context.display().to_string();
        let mut all = vec!["build"];
        if door == Door::BuildKit {
            all.push("--progress=plain");
        }
        all.extend(words);
        all.push(&context);
        let mut command = self.engine.command(Cli::Docker, &all);
        command.env("DOCKER_BUILDKIT", if door == Door::BuildKit { "1" } else { "0" });
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        promises::finish(command.spawn().expect("docker starts"), "a build")
    }

    /// Builds what must succeed; all that was said.
    fn builds(&self, door: Door, dockerfile: &str, words: &[&str]) -> String {
        let ran = self.build(door, dockerfile, words);
        assert_eq!(ran.code, 0, "{door:?} {ran:?}\ndaemon: {}", self.engine.logged());
        ran.out + &ran.err
    }
}

/// Names in a directory, with what their files hold.
fn held(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).expect("there").map(|entry| entry.expect("read"));
    let mut held: Vec<_> = entries
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).expect("a file");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    held.sort();
    held
}

#[test]
fn a_heredocs_name_leads_to_no_file_of_the_host() {
    let yard = Yard::new();
    let dir = yard.engine.scratch().join("host");
    fs::create_dir(&dir).expect("scratch");
    let fresh = || {
        for (name, _) in held(&dir) {
            fs::remove_file(dir.join(name)).expect("scratch");
        }
        fs::write(dir.join("passwd"), "the host's").expect("scratch");
        held(&dir)
    };
    let before = fresh();
    let host = dir.display().to_string();
    let link = format!("FROM busybox\nRUN mkdir /d && ln -s {host} /d/l\n");
    // By a link of the image's, by a name that is absolute, by one that climbs.
    let up = "../".repeat(40);
    let names = [
        "l/passwd".to_owned(),
        "l/new".to_owned(),
        format!("{host}/passwd"),
        format!("{host}/new"),
        format!("{up}{host}/passwd"),
        "..".to_owned(),
        ".".to_owned(),
    ];
    let (mut through, mut unclear) = (Vec::new(), Vec::new());
    for door in DOORS {
        for word in ["COPY", "ADD"] {
            for name in &names {
                let text = format!("{link}{word} --chmod=4755 <<{name} /d/\nevil\n{name}\n");
                let ran = yard.build(door, &text, &["--no-cache"]);
                if held(&dir) != before {
                    through.push((door, word, name.clone()));
                    fresh();
                } else if ran.code == 0 || !(ran.out + &ran.err).contains("here-document") {
                    unclear.push((door, word, name.clone()));
                }
            }
        }
        // The base alone: whoever begins with it does nothing else.
        let trigger = "FROM busybox\nRUN mkdir /d && ln -s HOST /d/l\n\
                       ONBUILD COPY <<l/passwd /d/\nevil\nl/passwd\n";
        yard.builds(door, &trigger.replace("HOST", &host), &["-t", "evil"]);
        yard.build(door, "FROM evil\n", &["--no-cache"]);
        if held(&dir) != before {
            through.push((door, "ONBUILD", String::new()));
            fresh();
        }
    }
    assert!(through.is_empty(), "files of the host's were written: {through:#?}");
    assert!(unclear.is_empty(), "not refused in words: {unclear:?}");
    // What is a name stays one.
    for door in DOORS {
        let text = "FROM busybox\nCOPY <<name <</top /e/\none\nname\ntwo\n/top\n\
                    RUN cat /e/name /e/top\n";
        let said = yard.builds(door, text, &["--no-cache"]);
        assert!(said.contains("one\n") && said.contains("two\n"), "{said}");
    }
    yard.engine.says(&["builder", "prune", "-a", "-f"]);
    yard.engine.leaves_nothing();
}

#[test]
fn a_build_has_a_bound_in_steps_stages_and_configurations() {
    let yard = Yard::new();
    let instructions = format!("FROM scratch\n{}", "ARG a\n".repeat(1001));
    let stage = |n: usize| match n {
        0 => "FROM scratch AS s0\nENV n=0\n".to_owned(),
        n => format!("FROM s{} AS s{n}\nENV n={n}\n", n - 1),
    };
    let stages = |count| (0..count).map(stage).collect::<String>();
    let large = format!("FROM scratch\nENV a={}\n{}", "x".repeat(64 << 10), "ARG b\n".repeat(950));
    for door in DOORS {
        for (text, words) in [
            (&instructions, "too many instructions"),
            (&stages(201), "200 are the most"),
            (&large, "96 MiB together"),
        ] {
            let ran = yard.build(door, text, &["--no-cache"]);
            assert!(ran.code != 0, "{door:?} {words}");
            assert!((ran.out + &ran.err).contains(words), "{door:?} {words}");
        }
        // More stages than are built at a time, each of which waits.
        yard.builds(door, &stages(60), &["-t", "made"]);
        let env =
            yard.engine.says(&["image", "inspect", "--format", "{{json .Config.Env}}", "made"]);
        assert!(env.contains("\"n=59\""), "{env}");
    }
    yard.engine.says(&["builder", "prune", "-a", "-f"]);
    yard.engine.leaves_nothing();
}

#[test]
fn no_depth_of_directories_ends_the_engine() {
    let yard = Yard::new();
    let deep = |levels: usize| vec!["d"; levels].join("/");
    for door in DOORS {
        yard.builds(door, &format!("FROM scratch\nWORKDIR /{}\n", deep(2000)), &["-t", "deep"]);
        yard.builds(
            door,
            &format!("FROM busybox\nRUN mkdir -p /{}\n", deep(1900)),
            &["-t", "deep"],
        );
        let ran = yard.build(door, "FROM scratch\nCOPY --from=deep /d /x\n", &[]);
        let words = "nested too deep: 200 levels are the most";
        assert!(ran.code != 0 && (ran.out + &ran.err).contains(words), "{door:?}");
    }
    fs::create_dir_all(yard.context.join(deep(1500))).expect("scratch");
    for (door, words) in
        [(Door::Classic, "200 levels are the most"), (Door::BuildKit, "more than 512 parts")]
    {
        let ran = yard.build(door, "FROM scratch\nCOPY . /x\n", &[]);
        let said = ran.out + &ran.err;
        assert!(ran.code != 0 && said.contains(words), "{door:?} {said}");
    }
    yard.engine.says(&["rmi", "deep"]);
    yard.engine.leaves_nothing();
}

#[test]
fn a_secret_in_the_environment_goes_with_its_step() {
    const SECRET: &str = "xyzzy-plugh-9417";
    let yard = Yard::new();
    let file = yard.engine.scratch().join("secret");
    fs::write(&file, SECRET).expect("scratch");
    let secret = format!("id=t,src={}", file.display());
    let context = yard.context.display().to_string();
    for (script, words, code) in
        [("exit 3", &[][..], 1), ("test \"$T\" = xyzzy-plugh-9417", &["--rm=false"], 0)]
    {
        let text = format!("FROM busybox\nRUN --mount=type=secret,id=t,env=T {script}\n");
        fs::write(yard.context.join("Dockerfile"), text).expect("scratch");
        let build = [&["build", "--secret", &secret], words, &[&context]].concat();
        let ran = yard.engine.run(&build);
        assert_eq!(ran.code.min(1), code, "{ran:?}");
        let left = yard.engine.says(&["ps", "-aq"]);
        for container in left.lines() {
            let told = yard.engine.says(&["inspect", container]);
            assert!(!told.contains(SECRET), "{words:?}: {told}");
        }
    }
    // One without a secret stays, as Docker has it.
    fs::write(yard.context.join("Dockerfile"), "FROM busybox\nRUN exit 4\n").expect("scratch");
    yard.engine.run(&["build", &context]);
    let left = yard.engine.says(&["ps", "-aq"]);
    assert_eq!(left.lines().count(), 1, "{left}");
    yard.engine.says(&["rm", &left]);
}

#[test]
fn an_ssh_mount_serves_a_few_at_a_time() {
    let yard = Yard::new();
    let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes it");
    yard.engine.says(&["import", &tar, "debian"]);
    let socket = yard.engine.scratch().join("agent.sock");
    let mut agent = std::process::Command::new("ssh-agent")
        .args(["-D", "-a", &socket.display().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("ssh-agent(1) starts");
    promises::until("the agent's socket", || socket.exists());
    // Asks for the keys, and holds the connections that were answered; then
    // lets go of them, and is served again.
    let script = "import os, socket, time
def ask():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    try:
        s.connect(os.environ['SSH_AUTH_SOCK'])
        s.sendall(b'\\0\\0\\0\\1\\x0b')
        return s if len(s.recv(4)) == 4 else None
    except OSError:
        return None
held = [s for s in (ask() for _ in range(64)) if s]
print('answered', len(held), flush=True)
for s in held:
    s.close()
end = time.monotonic() + 30
while time.monotonic() < end and not ask():
    pass
assert time.monotonic() < end
";
    fs::write(yard.context.join("ask.py"), script).expect("scratch");
    let text = "FROM debian\nCOPY ask.py /\nRUN --mount=type=ssh,required python3 /ask.py\n";
    let ran =
        yard.build(Door::BuildKit, text, &["--ssh", &format!("default={}", socket.display())]);
    agent.kill().expect("our child");
    agent.wait().expect("our child");
    assert_eq!(ran.code, 0, "{ran:?}\ndaemon: {}", yard.engine.logged());
    assert!(ran.err.contains("answered 16\n"), "{ran:?}");
}
