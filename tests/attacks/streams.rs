//! Peers of logs, attaches and events that write without end, never read, or
//! say what is not so.

use crate::wire::{ask, connect, is_well};
use promises::{Engine, attack::must_fail, until};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
};

/// Memory of the daemon, in kB.
fn memory(engine: &Engine) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("listed");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Bytes that a container's processes have written.
fn written(engine: &Engine, name: &str) -> u64 {
    let table = engine.says(&["top", name]);
    let pids = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
    // One may have ended meanwhile.
    let figures = pids.filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/io")).ok());
    let of = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("wchar: "));
        line.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    figures.map(of).sum()
}

/// Asks for a stream, reads its head, and nothing more.
fn deaf(engine: &Engine, method: &str, path: &str, upgrade: &str) -> UnixStream {
    let mut stream = connect(engine);
    stream
        .write_all(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n").as_bytes())
        .expect("sent");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("a head");
    assert!(matches!(&first[9..], b"200" | b"101"), "{path}: {}", String::from_utf8_lossy(&first));
    stream
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

#[test]
fn clients_that_never_read_hold_up_neither_program_nor_engine() {
    let engine = Engine::new();
    let size = ["--log-opt", "max-size=1m", "--log-opt", "max-file=2"];
    let flood = "read go; head -c 30000000 /dev/zero | tr '\\0' x; echo; echo flooded >&2; touch /flooded; sleep 1000";
    let begin = |name: &str| {
        let words = [&["create", "-i", "--name", name], &size[..], &["busybox", "sh", "-c", flood]];
        engine.says(&words.concat());
    };
    let go = |name: &str| {
        let path = format!("/containers/{name}/attach?stream=1&stdin=1");
        let mut stream = deaf(&engine, "POST", &path, UPGRADE);
        stream.write_all(b"go\n").expect("sent");
        stream
    };
    let is_done = |name: &str| engine.run(&["exec", name, "test", "-e", "/flooded"]).code == 0;
    // Who was there before the start is waited for: `run IMAGE tar | gzip`.
    begin("paced");
    let waited =
        deaf(&engine, "POST", "/containers/paced/attach?stream=1&stdout=1&stderr=1", UPGRADE);
    engine.says(&["start", "paced"]);
    let keep = go("paced");
    // So many looks in a row at which no byte had moved since the one before.
    let (mut still, mut last) = (0, written(&engine, "paced"));
    until("the flood to stand still", || {
        let now = written(&engine, "paced");
        still = if now == last { still + 1 } else { 0 };
        last = now;
        still > 30
    });
    assert!(!is_done("paced"), "a client that is waited for must be able to hold it up");
    drop((waited, keep));
    until("the flood to go on", || is_done("paced"));
    // Whoever comes later is not.
    begin("free");
    engine.says(&["start", "free"]);
    let mut held = Vec::new();
    for (method, path) in [
        ("POST", "/containers/free/attach?stream=1&stdout=1&stderr=1"),
        ("POST", "/containers/free/attach?stream=1&logs=1&stdout=1&stderr=1"),
    ] {
        held.extend((0..10).map(|_| deaf(&engine, method, path, UPGRADE)));
    }
    for path in [
        "/containers/free/logs?follow=1&stdout=1&stderr=1",
        "/containers/free/stats",
        "/containers/free/export",
        "/images/busybox/get",
        "/events",
    ] {
        held.extend((0..10).map(|_| deaf(&engine, "GET", path, "")));
    }
    let before = memory(&engine);
    must_fail("seventy that never read", || {
        held.push(go("free"));
        until("the flood to be over", || is_done("free"));
        let echo = engine.container(&[], "echo here");
        let grown = memory(&engine).saturating_sub(before);
        (!is_well(&engine) || echo.out != "here" || grown > 100_000)
            .then(|| format!("{echo:?}, {grown} kB more"))
    });
    drop(held);
    engine.says(&["rm", "-f", "paced", "free"]);
    engine.leaves_nothing();
}

#[test]
fn input_that_nobody_reads_is_not_kept() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "-i", "--name", "c", "busybox", "sleep", "1000"]);
    let before = memory(&engine);
    must_fail("input without end", || {
        let mut stream = deaf(&engine, "POST", "/containers/c/attach?stream=1&stdin=1", UPGRADE);
        stream.set_write_timeout(Some(std::time::Duration::from_secs(1))).expect("a bound");
        let block = vec![b'x'; 1 << 20];
        // It is stopped, or hung up on, long before this much.
        let sent = (0..512).take_while(|_| stream.write_all(&block).is_ok()).count();
        let grown = memory(&engine).saturating_sub(before);
        (sent == 512 || grown > 100_000).then(|| format!("{sent} MiB were taken, {grown} kB more"))
    });
    assert!(is_well(&engine));
    engine.says(&["rm", "-f", "c"]);
    engine.leaves_nothing();
}

/// A line of a log is text, whatever it looks like.
#[test]
fn a_log_tells_what_was_said_and_by_whom() {
    let engine = Engine::new();
    let forged = r#"{"log":"forged\n","stream":"stderr","time":"2001-01-01T00:00:00Z"}"#;
    let script = format!(
        "printf '%s\\n' '{forged}'; printf 'a\\r\\nb\\0c\\n'; printf '\\377\\376\\n'; printf '\\001\\0\\0\\0\\0\\0\\0\\005hello\\n'; \
         head -c 100000 /dev/zero | tr '\\0' y; printf '\\n\",\"stream\":\"stderr\\n'; echo said >&2"
    );
    for driver in ["json-file", "local"] {
        engine.says(&[
            "run",
            "--name",
            "c",
            "--log-driver",
            driver,
            "-d",
            "busybox",
            "sh",
            "-c",
            &script,
        ]);
        engine.says(&["wait", "c"]);
        must_fail(driver, || {
            let (status, _) = ask(&engine, "GET", "/containers/c/json", "");
            let all = engine.run(&["logs", "c"]);
            let stamps = engine.run(&["logs", "--timestamps", "c"]);
            let old = engine.run(&["logs", "--until", "2002-01-01T00:00:00Z", "c"]);
            let wrong = status != 200
                || !all.out.contains(forged)
                || all.err.trim() != "said"
                || !all.out.contains("\",\"stream\":\"stderr")
                || stamps.out.contains("2001-01-01T00:00:00Z ")
                || !old.out.is_empty();
            wrong
                .then(|| format!("{status} {:.300} / {:.300} / {:.100}", all.out, all.err, old.out))
        });
        engine.says(&["rm", "c"]);
    }
    engine.leaves_nothing();
}

/// Its own file, and names that are made to be listed.
#[test]
fn a_log_is_bounded_and_no_words_of_an_image_are_a_path_to_it() {
    let engine = Engine::new();
    engine.says(&[
        "run",
        "-d",
        "--name",
        "c",
        "--log-opt",
        "max-size=1m",
        "--log-opt",
        "max-file=3",
        "busybox",
        "sh",
        "-c",
        "head -c 20000000 /dev/urandom | od -v; echo over; sleep 1000",
    ]);
    until("the flood", || engine.says(&["logs", "--tail", "1", "c"]) == "over");
    must_fail("a log without bound", || {
        let data = engine.data_root().display().to_string();
        let size = engine.host().says(&format!(
            "find {data} {} -type f -size +64k -path '*containers*' -name '*log*' -printf '%s\\n' | awk '{{ n += $1 }} END {{ print n + 0 }}'",
            engine.run_root().display()
        ));
        let size: u64 = size.parse().expect("a number");
        (size > 8_000_000 || size == 0).then(|| format!("{size} bytes"))
    });
    for option in
        ["path=/etc/evil", "tag=../../evil", "labels-regex=(", "max-file=-1", "max-size=1e99"]
    {
        must_fail(option, || {
            let ran = engine.run(&["run", "--rm", "--log-opt", option, "busybox", "true"]);
            let harmless = option.starts_with("tag") || option.starts_with("labels");
            (ran.code == 0 && !harmless).then(|| format!("{ran:?}"))
        });
    }
    engine.says(&["rm", "-f", "c"]);
    engine.leaves_nothing();
}
