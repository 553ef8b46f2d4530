//! BUILD: what a second build takes over from the first, and what stages take
//! over from each other, through both of Docker's doors.

use promises::{Cli, Engine, Ran, until};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Docker's builders: which of them the CLI speaks to is a variable's matter.
const BOTH: [Builder; 2] = [Builder::Classic, Builder::BuildKit];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Builder {
    Classic,
    BuildKit,
}

/// An engine whose Docker CLI has its plugin, and a context.
struct Kitchen {
    engine: Engine,
    context: PathBuf,
}

impl Kitchen {
    fn new() -> Self {
        let promises::kitchen::Kitchen { engine, context } = promises::kitchen::Kitchen::new();
        Self { engine, context }
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.context.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("scratch");
        fs::write(path, text).expect("scratch");
        self
    }

    fn command(&self, builder: Builder, words: &[&str]) -> Command {
        let mut command =
            self.engine.command(Cli::Docker, &[&["build", "-t", "made"], words].concat());
        let buildkit = if builder == Builder::BuildKit { "1" } else { "0" };
        command.env("DOCKER_BUILDKIT", buildkit).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn build(&self, builder: Builder, dockerfile: &str, words: &[&str]) -> Ran {
        self.file("Dockerfile", dockerfile);
        let context = self.context.display().to_string();
        let mut command = self.command(builder, &[words, &[&context]].concat());
        promises::finish(command.spawn().expect("starts"), "a build")
    }

    /// Builds what must succeed; what a script says in a container of it.
    fn makes(&self, builder: Builder, dockerfile: &str, words: &[&str], script: &str) -> String {
        let ran = self.build(builder, dockerfile, words);
        assert_eq!(ran.code, 0, "{ran:?}\ndaemon: {}", self.engine.logged());
        self.engine.says(&["run", "--rm", "--user", "0", "made", "sh", "-c", script])
    }

    /// Kinds of the cache's entries, and whether images have them, too.
    fn cached(&self) -> Vec<(String, bool)> {
        let used = self.asks("-X GET", "system/df?type=build-cache");
        let entries = used["BuildCache"].as_array().expect("a list").iter();
        let kind = |entry: &serde_json::Value| entry["Type"].as_str().expect("a kind").to_owned();
        entries.map(|entry| (kind(entry), entry["Shared"] == true)).collect()
    }

    /// Prunes the cache; how many entries went.
    fn prunes(&self, query: &str, filters: &str) -> usize {
        let filters = filters.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
        let filters = filters.replace('[', "%5B").replace(']', "%5D");
        let gone = self.asks("-X POST", &format!("build/prune?{query}&filters={filters}"));
        assert!(gone["SpaceReclaimed"].is_u64(), "{gone}");
        gone["CachesDeleted"].as_array().map_or(0, Vec::len)
    }

    fn asks(&self, how: &str, path: &str) -> serde_json::Value {
        let socket = self.engine.socket();
        let curl = format!("curl -sS {how} --unix-socket {} 'http://x/{path}'", socket.display());
        serde_json::from_str(&self.engine.host().says(&curl)).expect("JSON")
    }
}

#[test]
fn build15_what_is_excluded_now_is_not_taken_from_before() {
    let kitchen = Kitchen::new();
    kitchen.file("some.env", "1").file("secrets.env", "2");
    kitchen.file("a/top", "3").file("a/sub/gone", "4").file("a/sub/keep/it", "5");
    for builder in BOTH {
        let with = |copy: &str| {
            kitchen.makes(builder, &format!("FROM busybox\nCOPY {copy}\n"), &[], "find /d | sort")
        };
        assert_eq!(with("*.env /d/"), "/d\n/d/secrets.env\n/d/some.env", "{builder:?}");
        assert_eq!(with("--exclude=secrets.env *.env /d/"), "/d\n/d/some.env", "{builder:?}");
        // As BuildKit: what a pattern takes back comes with its directories.
        let back = with("--exclude=sub --exclude=!sub/keep a /d");
        assert_eq!(back, "/d\n/d/sub\n/d/sub/keep\n/d/sub/keep/it\n/d/top", "{builder:?}");
        assert_eq!(with("--exclude=sub --exclude=!sub/none a /d"), "/d\n/d/top", "{builder:?}");
        fs::write(kitchen.context.join("a/sub/keep/it"), "new").expect("scratch");
        let copy = "FROM busybox\nCOPY --exclude=sub --exclude=!sub/keep a /d\n";
        assert_eq!(kitchen.makes(builder, copy, &[], "cat /d/sub/keep/it"), "new", "{builder:?}");
        kitchen.file("a/sub/keep/it", "5");
    }
    kitchen.engine.leaves_nothing();
}

#[test]
fn build16_a_program_is_run_again_where_it_would_see_something_else() {
    let kitchen = Kitchen::new();
    kitchen.file("secret", "xyzzy");
    let secret = format!("id=s,src={}", kitchen.context.join("secret").display());
    let run = |words: &[&str], run: &str| {
        let dockerfile = format!("FROM busybox\nRUN {run}\n");
        let words = [&["--secret", &secret], words].concat();
        kitchen.makes(Builder::BuildKit, &dockerfile, &words, "cat /o")
    };
    let held =
        |how: &str, script: &str| run(&[], &format!("--mount=type=secret,id=s,{how} {script}"));
    let echo = "echo \"$A.$B\" > /o";
    assert_eq!(held("env=A", echo), "xyzzy.");
    assert_eq!(held("env=B", echo), ".xyzzy");
    let stat = "stat -c '%a %u %g' /run/secrets/s > /o";
    assert_eq!(held("mode=0400", stat), "400 0 0");
    assert_eq!(held("mode=0444", stat), "444 0 0");
    assert_eq!(held("mode=0444,uid=7", stat), "444 7 0");
    let touch = "touch /c/x && echo written > /o || echo read > /o";
    assert_eq!(run(&[], &format!("--mount=type=cache,target=/c {touch}")), "written");
    assert_eq!(run(&[], &format!("--mount=type=cache,target=/c,ro {touch}")), "read");
    // Of the whole build: what BuildKit counts, and the addresses of hosts,
    // which it does not.
    let hosts = "grep -c some /etc/hosts > /o; grep some /etc/hosts | sort >> /o";
    let none = run(&[], hosts);
    assert_eq!(none, "0");
    assert_eq!(run(&["--add-host=some:10.0.0.1"], hosts), "1\n10.0.0.1\tsome");
    assert_eq!(run(&["--add-host=some:10.0.0.2"], hosts), "1\n10.0.0.1\tsome", "known");
    assert_eq!(run(&["--add-host=some.other:10.0.0.1"], hosts), "1\n10.0.0.1\tsome.other");
    let shm = "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2 > /o";
    assert_eq!(run(&[], shm), "65536");
    assert_eq!(run(&["--shm-size=32m"], shm), "32768");
    let files = "ulimit -n > /o";
    assert_eq!(run(&["--ulimit=nofile=99:99"], files), "99");
    assert_eq!(run(&["--ulimit=nofile=98:98"], files), "98");
    let links = "ls /sys/class/net | wc -l > /o";
    let bridged = run(&[], links);
    assert_ne!(run(&["--network=none"], links), bridged);
    kitchen.engine.leaves_nothing();
}

#[test]
fn build17_a_cache_begins_anew_where_what_it_is_filled_with_is_new() {
    let kitchen = Kitchen::new();
    for (text, expected) in [("one", "one"), ("two", "two")] {
        let dockerfile = format!(
            "FROM busybox AS seed\nRUN mkdir /s && echo {text} > /s/f\nFROM busybox\n\
             RUN --mount=type=cache,from=seed,source=/s,target=/c cat /c/f > /o\n"
        );
        assert_eq!(kitchen.makes(Builder::BuildKit, &dockerfile, &[], "cat /o"), expected);
    }
    kitchen.engine.leaves_nothing();
}

#[test]
fn build18_arguments_are_handed_on_to_stages_as_docker_does() {
    let kitchen = Kitchen::new();
    let dockerfile = "ARG G=global
FROM busybox AS a
ARG X=def
ARG Y
ARG G
ENV E=env
ARG Z=one
ARG Z
RUN echo \"a: $X $Y $G $E $Z\" > /o
FROM a AS b
RUN echo \"b: $X $Y $G $E $Z\" >> /o
ENV X=now
RUN echo \"b2: $X\" >> /o
ARG X
ARG G
ARG Y=ydef
RUN echo \"b3: $X $Y $G\" >> /o
FROM b
ARG Y
LABEL l=\"$Y\"
RUN echo \"c: $X $Y $G $E $Z\" >> /o
FROM busybox
COPY --from=2 /o /o
RUN echo \"d: $X $Y $G $E $Z\" >> /o
";
    // As dockerd 28.5.2 answers, with either builder.
    let made = |builder, words: &[&str]| kitchen.makes(builder, dockerfile, words, "cat /o");
    assert_eq!(
        made(Builder::BuildKit, &[]),
        "a: def  global env one\nb: def  global env one\nb2: now\nb3: now ydef global\n\
         c: now ydef global env one\nd:     "
    );
    assert_eq!(
        made(Builder::BuildKit, &["--build-arg", "X=given"]),
        "a: given  global env one\nb: given  global env one\nb2: now\nb3: given ydef global\n\
         c: now ydef global env one\nd:     "
    );
    assert_eq!(
        made(Builder::Classic, &[]),
        "a: def  global env \nb:    env \nb2: now\nb3: now ydef global\nc: now   env \nd:     "
    );
    kitchen.engine.leaves_nothing();
}

#[test]
fn build19_what_comes_from_a_stage_keeps_its_owner() {
    let kitchen = Kitchen::new();
    kitchen.file("own/f", "x");
    let dockerfile = "FROM busybox AS a
RUN mkdir -p /s/sub/deep && echo x > /s/f && echo y > /s/sub/deep/g && ln -s f /s/l
RUN chown -R 1000:50 /s && chown 5:6 /s/sub && chown -h 9:9 /s/l && chmod 4755 /s/f
RUN chmod 2750 /s /s/sub
FROM busybox
RUN mkdir -m 700 /old && chown 3:3 /old && mkdir -m 711 /old/sub && chown 2:2 /old/sub
COPY --from=a /s /d
COPY --from=a /s/ /e/x/
COPY --from=a /s /old
COPY --from=a /s/f /one/two
COPY --from=a --chown=3:4 /s/sub /c
COPY own /own
";
    let script = "stat -c '%a %u:%g %n' /d /d/f /d/l /d/sub /d/sub/deep/g /e /e/x /e/x/f \
                  /old /old/sub /one /one/two /c /c/deep /own /own/f";
    let expected = "755 0:0 /d
4755 1000:50 /d/f
777 9:9 /d/l
2750 5:6 /d/sub
644 1000:50 /d/sub/deep/g
755 0:0 /e
755 0:0 /e/x
4755 1000:50 /e/x/f
700 3:3 /old
2750 5:6 /old/sub
755 0:0 /one
4755 1000:50 /one/two
755 3:4 /c
755 3:4 /c/deep
755 0:0 /own
644 0:0 /own/f";
    for builder in BOTH {
        assert_eq!(kitchen.makes(builder, dockerfile, &[], script), expected, "{builder:?}");
    }
    // An owner is part of what is copied.
    let of = |who: u32, builder| {
        let text = format!(
            "FROM busybox AS a\nRUN touch /f && chown {who} /f\nFROM busybox\nCOPY --from=a /f /f\n"
        );
        kitchen.makes(builder, &text, &[], "stat -c %u /f")
    };
    for builder in BOTH {
        assert_eq!((of(7, builder), of(8, builder)), ("7".into(), "8".into()), "{builder:?}");
    }
    kitchen.engine.leaves_nothing();
}

#[test]
fn build20_a_working_directory_is_its_users_with_buildkit() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM busybox
USER user
WORKDIR /wd/deep
USER 1234:99
WORKDIR /wn/x
USER root
WORKDIR /wd/deep/root
";
    let script = "stat -c '%a %u:%g %n' /wd /wd/deep /wn /wn/x /wd/deep/root";
    let made = |builder| kitchen.makes(builder, dockerfile, &[], script);
    // As dockerd 28.5.2 answers, with either builder.
    assert_eq!(
        made(Builder::BuildKit),
        "755 1000:1000 /wd\n755 1000:1000 /wd/deep\n755 1234:99 /wn\n755 1234:99 /wn/x\n\
         755 0:0 /wd/deep/root"
    );
    assert_eq!(
        made(Builder::Classic),
        "755 0:0 /wd\n755 0:0 /wd/deep\n755 0:0 /wn\n755 0:0 /wn/x\n755 0:0 /wd/deep/root"
    );
    kitchen.engine.leaves_nothing();
}

#[test]
fn build21_a_prune_takes_what_was_asked_for_and_no_more() {
    let kitchen = Kitchen::new();
    // The directory of the mount looks old, whatever else is done in it.
    let dockerfile = "FROM busybox\nRUN --mount=type=cache,target=/c touch -t 200001010101 /c\n\
                      RUN echo x > /x\n";
    kitchen.makes(Builder::BuildKit, dockerfile, &[], "true");
    let mut before = kitchen.cached();
    before.sort();
    let regular = |shared| ("regular".to_owned(), shared);
    let (mount, context) = ("exec.cachemount".to_owned(), "source.local".to_owned());
    assert_eq!(before, [(mount, false), regular(false), regular(true), (context, false)]);
    assert_eq!(kitchen.prunes("all=1", "{\"until\":[\"1h\"]}"), 0, "it has just served");
    kitchen.engine.says(&["system", "prune", "--force", "--filter", "until=240h"]);
    kitchen.engine.says(&["system", "prune", "--force", "--filter", "label=none"]);
    assert_eq!(kitchen.prunes("all=1&min-free-space=1", ""), 0, "there is room");
    assert_eq!(kitchen.prunes("all=1&max-used-space=1000000000&reserved-space=1", ""), 0);
    assert_eq!(kitchen.prunes("all=1", "{\"inuse\":[\"true\"]}"), 0);
    assert_eq!(kitchen.prunes("all=1", "{\"shared\":[\"true\"],\"private\":[\"true\"]}"), 0);
    assert_eq!(kitchen.cached().len(), 4);
    assert_eq!(kitchen.prunes("all=1", "{\"private\":[\"true\"]}"), 3);
    assert_eq!(kitchen.cached(), [regular(true)]);
}

/// A server that takes calls and never says a word.
struct Silent(Child, String);

impl Silent {
    fn start(engine: &Engine) -> Self {
        let script = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); \
                      s.listen(); print(s.getsockname()[1], flush=True); time.sleep(1000)";
        let mut command = engine.host().command("python3");
        let mut child =
            command.args(["-c", script]).stdout(Stdio::piped()).spawn().expect("starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
        Self(child, line.trim().to_owned())
    }

    fn calls(&self, engine: &Engine) -> usize {
        let ss = format!("ss -Htn state established dst 127.0.0.1:{}", self.1);
        engine.host().says(&ss).lines().count()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn build22_a_client_that_leaves_takes_along_what_is_fetched_for_it() {
    let kitchen = Kitchen::new();
    let engine = &kitchen.engine;
    let context = kitchen.context.display().to_string();
    let rooms = engine.data_root().join("build/rooms");
    for builder in BOTH {
        for what in ["a file", "a repository", "a context"] {
            let silent = Silent::start(engine);
            let http = format!("http://127.0.0.1:{}/f", silent.1);
            let git = format!("git://127.0.0.1:{}/x.git", silent.1);
            let (source, place) = match what {
                "a file" => (&http, &context),
                "a repository" => (&git, &context),
                // Docker's CLI fetches it itself for its classic builder.
                _ if builder == Builder::Classic => continue,
                _ => (&http, &http),
            };
            kitchen.file("Dockerfile", &format!("FROM busybox\nADD {source} /d/\n"));
            let mut client = kitchen.command(builder, &[place]).spawn().expect("starts");
            until("the call", || silent.calls(engine) == 1);
            client.kill().expect("our child");
            client.wait().expect("our child");
            until("the room to go", || fs::read_dir(&rooms).map_or(0, Iterator::count) == 0);
            if what == "a repository" {
                until("git to go", || silent.calls(engine) == 0);
            }
        }
    }
    kitchen.engine.leaves_nothing();
}

#[test]
fn build23_a_stage_that_fails_ends_the_others() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM busybox AS a
RUN --mount=type=cache,target=/c touch /c/there && sleep 1000
FROM busybox AS b
RUN --mount=type=cache,target=/c while [ ! -e /c/there ]; do sleep 0.1; done; rm /c/there; exit 9
FROM busybox
COPY --from=a / /a
COPY --from=b / /b
";
    for builder in BOTH {
        let ran = kitchen.build(builder, dockerfile, &["--force-rm"]);
        assert!(ran.code != 0 && ran.err.contains("code: 9"), "{builder:?} {ran:?}");
        assert!(!ran.err.contains("137"), "{builder:?} {ran:?}");
        assert_eq!(kitchen.engine.says(&["ps", "-aq"]), "", "{builder:?}");
    }
    kitchen.engine.leaves_nothing();
}
