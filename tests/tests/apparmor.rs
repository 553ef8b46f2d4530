//! AA-1: what AppArmor holds, by its own records, on a kernel that enforces
//! it: `cargo xtask test --vm` runs this in a guest that does.

use promises::{Cli, Engine, attack::HOSTS_ROOT};
use std::fs;

const PROFILE: &str = "cofferdam-default";

/// Whether this kernel has it. In the guest made for it, it must.
fn is_enabled() -> bool {
    let path = "/sys/module/apparmor/parameters/enabled";
    let enabled = fs::read_to_string(path).is_ok_and(|text| text == "Y\n");
    let meant = std::env::var("COFFERDAM_PROFILE").is_ok_and(|profile| profile == "apparmor");
    assert!(enabled || !meant, "the guest's kernel has no AppArmor");
    enabled
}

/// A container with [`HOSTS_ROOT`]'s rights and more: it gets what it wants without
/// a profile, and is denied under the default one. What the profile denies
/// explicitly is in no record.
fn is_denied(engine: &Engine, options: &[&str], script: &str) {
    let run =
        |profile: &[&str]| engine.container(&[&HOSTS_ROOT, options, profile].concat(), script);
    let bites = run(&["--security-opt", "apparmor=unconfined"]);
    assert_eq!(bites.code, 0, "must succeed without a profile: {script} {bites:?}");
    let stopped = run(&[]);
    assert_ne!(stopped.code, 0, "got through: {script} {stopped:?}");
    assert!(!(125..=127).contains(&stopped.code), "did not even run: {stopped:?}");
}

#[test]
fn aa1_the_default_profile_is_loaded_and_enforced() {
    if !is_enabled() {
        return;
    }
    let engine = Engine::new();
    let own = "cat /proc/self/attr/apparmor/current";
    for options in [&[][..], &["--init"], &["--security-opt", "no-new-privileges"]] {
        let seen = engine.container(options, own);
        assert_eq!(seen.out, format!("{PROFILE} (enforce)"), "{options:?} {seen:?}");
    }
    let open = engine.container(&["--privileged"], own);
    assert_eq!(open.out, "unconfined", "{open:?}");
    let info = engine.says_as(Cli::Docker, &["info", "--format", "{{.SecurityOptions}}"]);
    assert!(info.contains("name=apparmor"), "{info}");
    engine.says(&["run", "-d", "--name", "a", "busybox", "sleep", "1000"]);
    let seen = engine.says(&["exec", "a", "cat", "/proc/self/attr/apparmor/current"]);
    assert_eq!(seen, format!("{PROFILE} (enforce)"));
    let audit = engine.run(&["audit", "a"]);
    let words = format!("{PROFILE} (enforce)");
    assert!(audit.code == 0 && audit.out.contains(&words), "{audit:?}");
    let report = engine.run(&["run", "--rm", "cofferdam/report"]);
    assert!(report.code == 0 && report.out.contains("AA-1"), "{}{}", report.out, report.err);
    engine.leaves_nothing();
}

#[test]
fn aa1_root_with_every_right_is_held_by_the_profile() {
    if !is_enabled() {
        return;
    }
    let engine = Engine::new();
    for setting in ["vm/swappiness", "kernel/core_pattern"] {
        let script =
            format!("old=$(cat /proc/sys/{setting}) && echo \"$old\" > /proc/sys/{setting}");
        is_denied(&engine, &[], &script);
    }
    is_denied(&engine, &[], "mount -t tmpfs tmpfs /tmp");
    is_denied(&engine, &[], "mkdir /m && mount --bind /tmp /m");
    is_denied(&engine, &[], "head -c 1 /proc/kallsyms | grep -q .");
    // Processes of another profile: the daemon's is none.
    let daemon = engine.pid();
    let processes = ["--pid", "host"];
    is_denied(&engine, &processes, &format!("cat /proc/{daemon}/environ"));
    engine.host().says("dmesg --clear");
    is_denied(&engine, &processes, &format!("kill -0 {daemon}"));
    let log = engine.host().says("dmesg");
    let says_so = |line: &str| {
        ["apparmor=\"DENIED\"", "operation=\"signal\"", PROFILE]
            .iter()
            .all(|word| line.contains(word))
    };
    assert!(log.lines().any(says_so), "no record of it: {log}");
    engine.leaves_nothing();
}

#[test]
fn aa1_the_profile_of_the_packages_is_one() {
    if !is_enabled() {
        return;
    }
    let profile = include_str!("../../packaging/apparmor/cofferdam");
    let script = format!("apparmor_parser --skip-kernel-load --skip-cache <<'EOF'\n{profile}\nEOF");
    promises::Host::new().says(&script);
}

#[test]
fn aa1_another_profile_can_be_named_if_it_is_loaded() {
    if !is_enabled() {
        return;
    }
    let engine = Engine::new();
    let named = ["--security-opt", "apparmor=cofferdam-test"];
    let own = "cat /proc/self/attr/apparmor/current; ! touch /denied";
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = [&["run", "--rm"][..], &named, &["busybox", "true"]].concat();
        let refused = engine.run_as(cli, &words);
        assert!(refused.code != 0 && refused.err.contains("cofferdam-test"), "{refused:?}");
    }
    let profile = "profile cofferdam-test flags=(attach_disconnected) { file, capability, signal, deny /denied w, }";
    engine.host().says(&format!("echo '{profile}' | apparmor_parser --replace --skip-cache"));
    let seen = engine.container(&named, own);
    assert_eq!((seen.code, &*seen.out), (0, "cofferdam-test (enforce)"), "{seen:?}");
    engine.host().says(&format!("echo '{profile}' | apparmor_parser --remove"));
    engine.leaves_nothing();
}
