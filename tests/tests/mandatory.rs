//! SEC-1: what holds on a kernel without SELinux and AppArmor.

use promises::{Cli, Engine, attack::Attack};

#[test]
fn sec1_the_isolation_report_holds_in_every_line() {
    let engine = Engine::with(&[]);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let ran = engine.run_as(cli, &["run", "--rm", "cofferdam/report"]);
        assert_eq!(ran.code, 0, "{}\n{}", ran.out, ran.err);
    }
    let weak = engine.run(&["run", "--rm", "--privileged", "cofferdam/report"]);
    assert!((5..100).contains(&weak.code), "the report must be able to fail: {weak:?}");
    engine.leaves_nothing();
}

#[test]
fn sec1_a_call_filter_is_in_force() {
    let engine = Engine::new();
    let script = "grep -q 'Seccomp:.*0' /proc/self/status";
    Attack { weakened: &["--security-opt", "seccomp=unconfined"], script }.is_stopped(&engine);
}

#[test]
fn sec1_a_profile_of_the_users_own_is_used() {
    let engine = Engine::new();
    let profile = engine.scratch().join("profile.json");
    let text = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95}]}"#;
    std::fs::write(&profile, text).expect("scratch");
    let option = format!("seccomp={}", profile.display());
    let ran = engine.container(&["--security-opt", &option], "mkdir /tmp/a");
    assert!(ran.code == 1 && ran.err.contains("not supported"), "{ran:?}");
}

#[test]
fn every_weakening_is_listed() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "strict", "busybox", "sleep", "1000"]);
    engine.says(&[
        "run",
        "-d",
        "--name",
        "weak",
        "--cap-add",
        "NET_ADMIN",
        "--security-opt",
        "seccomp=unconfined",
        "busybox",
        "sleep",
        "1000",
    ]);
    let strict = engine.run(&["audit", "strict"]);
    assert_eq!(strict.code, 0, "{strict:?}");
    assert!(strict.out.contains("weakened in no way"), "{strict:?}");
    let weak = engine.run(&["audit", "weak"]);
    assert!(weak.out.contains("weakened in 2 ways"), "{weak:?}");
}
