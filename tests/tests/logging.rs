//! What a container says reaches whom its log driver names, and can be read.

use promises::{
    Cli, Engine, Ran, busybox,
    listener::{monitor_of, of_monitor, signal, status},
    until,
};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

/// Runs a script to its end, as `a`.
fn run(engine: &Engine, options: &[&str], script: &str) -> Ran {
    engine.run(&[&["run", "--name", "a"], options, &["busybox", "sh", "-c", script]].concat())
}

/// Begins a script in the background, as `a`.
fn begin(engine: &Engine, options: &[&str], script: &str) {
    let words = [&["run", "-d", "--name", "a"], options, &["busybox", "sh", "-c", script]].concat();
    engine.says(&words);
}

/// `1` to `last`, a line each.
fn counted(last: u32) -> String {
    (1..=last).map(|n| format!("{n}\n")).collect()
}

/// A follower whose output goes to a file.
fn follow(engine: &Engine, to: &Path) -> Child {
    let mut command = engine.command(Cli::Cofferdam, &["logs", "-f", "a"]);
    command.stdin(Stdio::null()).stdout(fs::File::create(to).expect("a file"));
    command.spawn().expect("the CLI starts")
}

fn dir_of(engine: &Engine) -> PathBuf {
    engine.data_root().join("containers").join(engine.inspect("a", "{{.Id}}"))
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("lists");
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// What follows the last dot.
fn ending(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

#[test]
fn a_follower_sees_every_byte_across_a_thousand_rotations() {
    let engine = Engine::new();
    let options = ["--log-opt", "max-size=16k", "--log-opt", "max-file=2"];
    // Each line takes 75 bytes or more: 4,700 of them are twenty rotations.
    let script = "echo 0; while [ ! -e /go ]; do sleep 0.02; done; seq 1 235000";
    begin(&engine, &options, script);
    let seen = engine.scratch().join("seen");
    let mut follower = follow(&engine, &seen);
    until("the first line", || fs::read(&seen).is_ok_and(|text| text == b"0\n"));
    engine.lets_go("a", "/go");
    engine.says(&["wait", "a"]);
    assert!(follower.wait().expect("our child").success());
    let text = fs::read_to_string(&seen).expect("seen");
    assert!(text == format!("0\n{}", counted(235_000)), "{} bytes", text.len());
    // And there are no more files than were asked for, when nobody follows.
    engine.says(&["start", "-a", "a"]);
    let files = names(&dir_of(&engine)).into_iter().filter(|name| name.contains("-json.log"));
    let files: Vec<String> = files.collect();
    assert!(files.len() <= 2, "{files:?}");
    engine.leaves_nothing();
}

#[test]
fn a_reader_that_stopped_holds_up_nobody_and_misses_nothing() {
    let engine = Engine::new();
    begin(&engine, &[], "echo 0; while [ ! -e /go ]; do sleep 0.02; done; seq 1 300000");
    let mut command = engine.command(Cli::Cofferdam, &["logs", "-f", "a"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut reader = command.spawn().expect("the CLI starts");
    let mut out = BufReader::new(reader.stdout.take().expect("piped"));
    let mut text = String::new();
    out.read_line(&mut text).expect("the first line");
    engine.lets_go("a", "/go");
    // It reads nothing, and the program ends nevertheless.
    engine.says(&["wait", "a"]);
    std::io::Read::read_to_string(&mut out, &mut text).expect("the rest");
    assert!(text == format!("0\n{}", counted(300_000)), "{} bytes", text.len());
    assert!(reader.wait().expect("our child").success());
    engine.leaves_nothing();
}

#[test]
fn every_driver_that_keeps_a_file_gives_back_what_was_said() {
    let engine = Engine::new();
    let long = "head -c 100000 /dev/zero | tr '\\0' x; echo; ";
    let script = format!("{long} printf '\\303\\244<&>\"\\\\\\t\\n'; echo oops >&2; printf rest");
    let want = format!("{}\nä<&>\"\\\t\nrest", "x".repeat(100_000));
    for driver in ["json-file", "local"] {
        for mode in ["blocking", "non-blocking"] {
            let mode = format!("mode={mode}");
            let ran = run(&engine, &["--log-driver", driver, "--log-opt", &mode], &script);
            assert_eq!(ran.code, 0, "{ran:?}");
            for cli in [Cli::Docker, Cli::Cofferdam] {
                let read = engine.run_as(cli, &["logs", "a"]);
                assert!(read.out == want, "{driver} {mode} {cli:?}: {} bytes", read.out.len());
                assert_eq!(read.err, "oops", "{driver} {mode} {cli:?}");
            }
            let path = engine.inspect("a", "{{.LogPath}}");
            assert_eq!(path.ends_with("-json.log"), driver == "json-file", "{path}");
            assert_eq!(engine.inspect("a", "{{.Cofferdam.LogDropped}}"), "0");
            engine.says(&["rm", "a"]);
        }
    }
    run(&engine, &["--log-driver", "none"], "echo x");
    let refused = engine.run_as(Cli::Docker, &["logs", "a"]);
    assert!(refused.err.contains("configured logging driver does not support reading"));
    engine.leaves_nothing();
}

#[test]
fn older_files_are_compressed_and_read_like_others() {
    let engine = Engine::new();
    for driver in ["json-file", "local"] {
        let compress = ["--log-opt", "compress=true", "--log-opt", "max-size=300k"];
        let options =
            [&["--log-driver", driver, "--log-opt", "max-file=9"][..], &compress].concat();
        begin(&engine, &options, "seq 1 30000; while [ ! -e /go ]; do sleep 0.02; done");
        until("all to be said", || engine.says(&["logs", "--tail", "1", "a"]) == "30000");
        until("a compressed file", || {
            let names = names(&dir_of(&engine));
            let of = |kind: &str| names.iter().filter(|name| ending(name) == kind).count();
            of("gz") > 1 && of("press") == 0 && of("1") == 0
        });
        let read = engine.says(&["logs", "a"]);
        assert!(read == counted(30_000).trim_end(), "{driver}: {} bytes", read.len());
        for tail in [1, 3_000, 19_000, 29_999] {
            let read = engine.says(&["logs", "--tail", &tail.to_string(), "a"]);
            assert_eq!(read.lines().count(), tail, "{driver}");
            assert_eq!(read.lines().next(), Some(&*(30_001 - tail).to_string()), "{driver}");
        }
        since_any_line(&engine, 30_000);
        engine.lets_go("a", "/go");
        engine.says(&["wait", "a"]);
        engine.says(&["rm", "a"]);
    }
    engine.leaves_nothing();
}

/// Asks for what was said since and until the times of some lines.
fn since_any_line(engine: &Engine, last: usize) {
    let stamped = engine.says(&["logs", "-t", "a"]);
    let stamps: Vec<&str> = stamped.lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(stamps.len(), last);
    for at in [0, 1, last / 3, last / 2, last - 2, last - 1] {
        let since = engine.says(&["logs", "-t", "--since", stamps[at], "a"]);
        let want = stamped.lines().filter(|line| line.split(' ').next() >= Some(stamps[at]));
        assert!(since.lines().eq(want), "since {}", stamps[at]);
        let until = engine.says(&["logs", "-t", "--until", stamps[at], "a"]);
        let want = stamped.lines().filter(|line| line.split(' ').next() <= Some(stamps[at]));
        assert!(until.lines().eq(want), "until {}", stamps[at]);
    }
}

#[test]
fn a_time_is_found_by_the_index_and_without_it() {
    let engine = Engine::new();
    for driver in ["json-file", "local"] {
        run(&engine, &["--log-driver", driver], "seq 1 30000");
        since_any_line(&engine, 30_000);
        let indices: Vec<PathBuf> = names(&dir_of(&engine))
            .into_iter()
            .filter(|name| name.starts_with("log-index."))
            .map(|name| dir_of(&engine).join(name))
            .collect();
        assert_eq!(indices.len(), 1, "{driver}");
        let whole = fs::read(&indices[0]).expect("an index");
        assert!(whole.len() > 16 + 2 * 16, "{driver}: {} bytes", whole.len());
        // Torn, foreign, lying and missing ones cost time and nothing else.
        let foreign = [&whole[..8], &[9; 8], &whole[16..]].concat();
        let lying = [&whole[..16], &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]].concat();
        for damaged in [&whole[..whole.len() - 5], &foreign, &lying, b"x", b""] {
            fs::write(&indices[0], damaged).expect("damaged");
            since_any_line(&engine, 30_000);
        }
        fs::remove_file(&indices[0]).expect("taken away");
        since_any_line(&engine, 30_000);
        engine.says(&["rm", "a"]);
    }
    engine.leaves_nothing();
}

#[test]
fn a_log_survives_what_kills_its_writer_and_what_damages_it() {
    let engine = Engine::new();
    for driver in ["json-file", "local"] {
        let talk =
            "[ -e /again ] || { touch /again; i=0; while :; do echo $((i+=1)); done; }; echo over";
        begin(&engine, &["--log-driver", driver, "--log-opt", "compress=false"], talk);
        until("some lines", || engine.says(&["logs", "a"]).lines().count() > 5_000);
        signal(monitor_of(&engine), 9);
        until("the end", || engine.inspect("a", "{{.State.Running}}") == "false");
        // In the midst of a line, as if it had died there.
        let log = names(&dir_of(&engine)).into_iter().find(|name| ending(name) == "log");
        let log = dir_of(&engine).join(log.expect("a log"));
        let text = fs::read(&log).expect("reads");
        fs::write(&log, &text[..text.len() - 7]).expect("torn");
        let before = engine.says(&["logs", "a"]);
        let count = u32::try_from(before.lines().count()).expect("some");
        assert!(before == counted(count).trim_end(), "{driver}: {count} lines");
        engine.says(&["start", "-a", "a"]);
        let after = engine.says(&["logs", "a"]);
        assert!(after == format!("{}over", counted(count)), "{driver}: {count} lines");
        // Damage in the middle takes what it hit, and no more.
        let newest = dir_of(&engine).join(log.file_name().expect("named"));
        let hit = if driver == "local" { newest.with_extension("log.1") } else { newest };
        let mut text = fs::read(&hit).expect("reads");
        let middle = text.len() / 2;
        text[middle..middle + 20].fill(0xee);
        fs::write(&hit, &text).expect("damaged");
        let damaged = engine.says(&["logs", "a"]);
        assert!(damaged.starts_with("1\n2\n3\n") && damaged.ends_with("over"), "{driver}");
        assert_eq!(engine.says(&["logs", "--tail", "1", "a"]), "over", "{driver}");
        engine.says(&["rm", "a"]);
    }
    engine.leaves_nothing();
}

#[test]
fn a_program_that_does_not_wait_for_its_log_goes_on_and_what_is_dropped_is_counted() {
    let engine = Engine::new();
    let options = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=64k"];
    let script = "while [ ! -e /go ]; do sleep 0.02; done; seq 1 200000; touch /said; read x";
    begin(&engine, &[&["-i"][..], &options].concat(), script);
    let writer = of_monitor(&engine, "log-writer");
    assert_eq!(writer.len(), 1);
    // It has no right that it does not need.
    let of = |key: &str| status(writer[0], key).expect("it runs");
    assert_eq!((&*of("CapPrm:"), &*of("NoNewPrivs:")), ("0000000000000000", "1"));
    // As a disk that hangs would stop it.
    signal(writer[0], 19);
    engine.lets_go("a", "/go");
    until("all to be said", || engine.run(&["exec", "a", "test", "-e", "/said"]).code == 0);
    let dropped = || engine.inspect("a", "{{.Cofferdam.LogDropped}}").parse::<usize>().expect("so");
    until("lines to be dropped", || dropped() > 1_000);
    signal(writer[0], 18);
    engine.says(&["stop", "-t", "0", "a"]);
    let read = engine.says(&["logs", "a"]);
    let lines: Vec<u32> = read.lines().map(|line| line.parse().expect("whole")).collect();
    assert!(lines.is_sorted() && lines.starts_with(&[1, 2, 3]));
    assert_eq!(lines.len() + dropped(), 200_000);
    engine.leaves_nothing();
}

#[test]
fn a_writer_that_is_killed_is_replaced_and_nothing_is_lost() {
    let engine = Engine::new();
    let options = ["--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=64m"];
    begin(&engine, &options, "echo 0; while [ ! -e /go ]; do sleep 0.02; done; seq 1 1000");
    let writer = of_monitor(&engine, "log-writer");
    signal(writer[0], 9);
    until("another one", || {
        let now = of_monitor(&engine, "log-writer");
        now.len() == 1 && now != writer
    });
    engine.lets_go("a", "/go");
    engine.says(&["wait", "a"]);
    assert!(engine.says(&["logs", "a"]) == format!("0\n{}", counted(1000)).trim_end());
    assert_eq!(engine.inspect("a", "{{.Cofferdam.LogDropped}}"), "0");
    engine.leaves_nothing();
}

#[test]
fn what_is_told_of_a_container_stands_before_its_lines() {
    let engine = Engine::new();
    let options = ["--label", "team=a b", "-e", "COLOUR=red", "--log-opt", "labels=team"];
    let more = ["--log-opt", "env-regex=^COL", "--log-opt", "tag={{.Name}}"];
    run(&engine, &[&options[..], &more].concat(), "echo x");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let told = engine.says_as(cli, &["logs", "--details", "a"]);
        assert_eq!(told, "COLOUR=red,tag=a,team=a+b x", "{cli:?}");
        assert_eq!(engine.says_as(cli, &["logs", "a"]), "x");
    }
    let path = engine.inspect("a", "{{.LogPath}}");
    let line = fs::read_to_string(path).expect("a log");
    let want =
        r#"{"log":"x\n","stream":"stdout","attrs":{"COLOUR":"red","tag":"a","team":"a b"},"time":"#;
    assert!(line.starts_with(want), "{line}");
    engine.leaves_nothing();
}

#[test]
fn the_daemon_says_how_containers_log_that_say_nothing() {
    let words = ["--log-driver", "local", "--log-opt", "max-size=1m", "--log-opt", "max-file=2"];
    let mut engine = Engine::with(&words);
    busybox(&engine);
    run(&engine, &[], "echo x");
    let config = "{{.HostConfig.LogConfig.Type}} {{json .HostConfig.LogConfig.Config}}";
    assert_eq!(engine.inspect("a", config), r#"local {"max-file":"2","max-size":"1m"}"#);
    assert_eq!(engine.says(&["logs", "a"]), "x");
    engine.says(&["run", "--name", "b", "--log-driver", "json-file", "busybox", "echo", "y"]);
    assert_eq!(engine.inspect("b", config), "json-file {}");
    let info = "{{.LoggingDriver}} {{json .Plugins.Log}}";
    let want = r#"local ["journald","json-file","local","none","syslog"]"#;
    assert_eq!(engine.says_as(Cli::Docker, &["info", "--format", info]), want);
    engine.stop();
    let refused = engine.refuses_to_start(&["--log-driver", "local", "--log-opt", "labels=x"]);
    assert!(refused.contains("unknown log opt 'labels' for log driver local"), "{refused}");
    engine.start();
    engine.leaves_nothing();
}
