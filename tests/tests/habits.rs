//! What a person at a shell has of the CLI beside its commands: completions,
//! man pages, and what this machine lacks.

use promises::{Cli, Engine, binary};
use serde_json::Value;

/// What a shell prints that has our script for it in the file `$1`.
fn in_shell(engine: &Engine, shell: &str, file: &str, words: &[&str]) -> String {
    let script = engine.scratch().join(file);
    std::fs::write(&script, engine.says(&["completion", shell])).expect("scratch");
    // One that waits for what never comes is ended.
    let mut command = engine.host().command("timeout");
    command.args(["60", shell]).args(words);
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    command.env("HOME", engine.scratch()).env("TERM", "dumb");
    let folder = binary("cofferdam").parent().expect("a folder").display().to_string();
    command.env("PATH", format!("{folder}:/usr/bin:/bin")).current_dir(engine.scratch());
    let out = command.output().expect("timeout(1) starts");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// What bash offers behind a line, asked for as its own keys would.
fn offered(engine: &Engine, line: &str) -> Vec<String> {
    let ask = format!(
        "source ./complete; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _cofferdam; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let said = in_shell(engine, "bash", "complete", &["-c", &ask]);
    said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The same of fish, which can be asked.
fn offered_by_fish(engine: &Engine, line: &str) -> Vec<String> {
    let ask = format!("source complete.fish; complete --do-complete '{line}'");
    let said = in_shell(engine, "fish", "complete.fish", &["--no-config", "-c", &ask]);
    // With what each is.
    said.lines().filter_map(|line| line.split('\t').next()).map(str::to_owned).collect()
}

/// A zsh that types into another, as a person would, and reads from its
/// terminal until what is wanted stands there.
const TYPIST: &str = r#"zmodload zsh/zpty
zpty inner zsh -f -i
zpty -w inner 'fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D; echo $((6*7)) ready'
zpty -r inner said '*42 ready*'
zpty -w -n inner "$1"$'\t'
zpty -r inner said "*$2*"
zpty -d inner
print found"#;

/// Whether zsh shows `wanted` after a line and a tabulator.
fn is_shown_by_zsh(engine: &Engine, line: &str, wanted: &str) -> bool {
    in_shell(engine, "zsh", "_cofferdam", &["-f", "-c", TYPIST, "zsh", line, wanted]) == "found\n"
}

#[test]
fn a_shell_completes_words_and_names_of_live_objects() {
    let engine = Engine::new();
    engine.says(&[
        "run",
        "-d",
        "--name",
        "running",
        "--stop-timeout",
        "0",
        "busybox",
        "sleep",
        "1000",
    ]);
    engine.says(&["create", "--name", "resting", "busybox"]);
    engine.says(&["tag", "busybox", "registry.example:5000/deep/name:one"]);
    engine.says(&["volume", "create", "rich"]);
    for (line, wanted) in [
        ("cofferdam compl", &["completion"][..]),
        ("cofferdam compose -f x.yaml res", &["restart"]),
        ("cofferdam network cre", &["create"]),
        ("cofferdam run --memory-swapp", &["--memory-swappiness"]),
        ("cofferdam exec -it r", &["running"]),
        ("cofferdam start r", &["resting"]),
        ("cofferdam rm ", &["resting", "running"]),
        ("cofferdam volume rm r", &["rich"]),
        ("cofferdam inspect ri", &["rich"]),
        // Bash goes on behind the last colon.
        ("cofferdam rmi registry.example:5", &["5000/deep/name:one"]),
    ] {
        assert_eq!(offered(&engine, line), wanted, "{line}");
    }
    // Their scripts ask the same; what they show of the answer is their own.
    for (line, wanted) in [
        ("cofferdam compl", &["completion"][..]),
        ("cofferdam run --memory-swapp", &["--memory-swappiness"]),
        ("cofferdam rm ", &["resting", "running"]),
        ("cofferdam rmi registry.example:5", &["registry.example:5000/deep/name:one"]),
    ] {
        assert_eq!(offered_by_fish(&engine, line), wanted, "{line}");
    }
    std::fs::write(engine.scratch().join("some-file.tar"), "").expect("scratch");
    for (line, wanted) in [
        ("cofferdam compl", "etion"),
        ("cofferdam run --memory-swapp", "iness"),
        ("cofferdam start r", "esting"),
        ("cofferdam volume ", "rm *Remove"),
        ("cofferdam rmi registry.example:5", "000/deep/name:one"),
        ("cofferdam load -i some-f", "ile.tar"),
    ] {
        assert!(is_shown_by_zsh(&engine, line, wanted), "{line}");
    }
    engine.leaves_nothing();
}

#[test]
fn completions_start_no_engine_and_say_nothing_without_one() {
    let mut engine = Engine::new();
    engine.stop();
    assert_eq!(offered(&engine, "cofferdam exec "), [""; 0]);
    assert!(std::os::unix::net::UnixStream::connect(engine.socket()).is_err());
}

#[test]
fn man_pages_are_written_for_every_command() {
    let engine = Engine::with(&[]);
    let pages = engine.scratch().join("man");
    engine.says(&["man", &pages.display().to_string()]);
    let names: Vec<String> = std::fs::read_dir(&pages)
        .expect("made")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    for name in ["cofferdam.1", "cofferdam-run.1", "cofferdam-network-create.1"] {
        assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
    }
    let page = std::fs::read_to_string(pages.join("cofferdam-run.1")).expect("written");
    let requests = page.lines().filter(|line| line.starts_with('.'));
    for line in requests {
        assert!([".TH", ".SH", ".TP"].contains(&&line[..3]), "{line}");
    }
}

#[test]
fn the_doctor_names_each_lack_with_its_cost_and_its_remedy() {
    let engine = Engine::with(&[]);
    let ran = engine.run_as(Cli::Cofferdam, &["doctor", "--format", "json"]);
    let rows: Vec<Value> =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
    let state = |check: &str| {
        let row = rows.iter().find(|row| row["Check"] == check);
        row.unwrap_or_else(|| panic!("{check}: {rows:?}"))["State"].clone()
    };
    // As the tests rest on them.
    for check in ["user namespaces", "id-mapped mounts", "seccomp", "firewall", "pids"] {
        assert_eq!(state(check), "ok", "{rows:?}");
    }
    for row in &rows {
        let well = row["State"] == "ok";
        for key in ["Cost", "Remedy"] {
            assert_eq!(row[key].as_str().is_some_and(str::is_empty), well, "{key}: {row}");
        }
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    engine.leaves_nothing();
}
