//! What one container takes of a machine so that others, and the host, have
//! none. `docs/LIMITS.md` has all that is known of, with what stops it.

use crate::LOOK;
use promises::{Engine, attack::must_fail, until};

/// A container that takes as many as it gets, and keeps them; how many it got.
fn taker(engine: &Engine, name: &str, options: &[&str], what: &str) -> u64 {
    let look = format!("{LOOK}:/look:ro");
    let run = ["run", "-d", "--name", name, "-v", &look];
    engine.says(&[&run, options, &["busybox", "/look", "take", what, "200000"]].concat());
    until("all to be taken", || engine.run(&["logs", name]).out.ends_with("taken"));
    let said = engine.run(&["logs", name]).out;
    said.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

/// How many another gets, if it asks for `wanted`.
fn gets(engine: &Engine, options: &[&str], what: &str, wanted: u64) -> u64 {
    let look = format!("{LOOK}:/look:ro");
    let options = [&["-v", &look], options].concat();
    let ran = engine.container(&options, &format!("/look count {what} {wanted}"));
    ran.out.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

/// How many the host's root gets.
fn host_gets(engine: &Engine, what: &str, wanted: u64) -> u64 {
    let said = engine.host().says(&format!("{LOOK} count {what} {wanted}"));
    said.split(' ').next().and_then(|word| word.parse().ok()).expect("a number")
}

/// The kernel counts them for each user, in each namespace, and once more for
/// who made the namespace: that must be nobody whom others are, too.
#[test]
fn what_is_counted_for_each_user_is_taken_from_nobody_else() {
    let engine = Engine::new();
    assert!(taker(&engine, "own", &[], "inotify") > 0);
    let shared = ["--userns", "container:own"];
    assert_eq!(gets(&engine, &shared, "inotify", 1), 0, "the attack must be able to succeed");
    must_fail("all inotify instances", || {
        let got = (gets(&engine, &[], "inotify", 5), host_gets(&engine, "inotify", 5));
        (got != (5, 5)).then(|| format!("{got:?}"))
    });
    engine.says(&["rm", "-f", "own"]);
    engine.leaves_nothing();
}

/// One program's open files end at its limit, and the machine has more.
#[test]
fn open_files_end_at_a_limit_of_the_program() {
    let engine = Engine::new();
    let limit = ["--ulimit", "nofile=1024:1024"];
    assert!(gets(&engine, &limit, "files", 2000) < 1024);
    let took = taker(&engine, "files", &limit, "files");
    must_fail("all open files", || {
        let got = (gets(&engine, &[], "files", 500), host_gets(&engine, "files", 500));
        (took >= 1024 || got != (500, 500)).then(|| format!("{took} {got:?}"))
    });
    engine.says(&["rm", "-f", "files"]);
    engine.leaves_nothing();
}
