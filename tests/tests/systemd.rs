//! RES: control groups that systemd keeps (`cofferdam-run --systemd-cgroup`),
//! beside a real systemd of the test's own.

use promises::{
    systemd::{Systemd, Trees},
    until,
};
use serde_json::json;

const PLACE: &str = "made-here.slice:test:one";
const UNIT: &str = "test-one.scope";
const GROUP: &str = "/made.slice/made-here.slice/test-one.scope";
const SLEEP: &str = "exec sleep 1000";

/// A container from its beginning to its end, and nothing of it after.
fn lives_and_dies(systemd: &Systemd) {
    let bundle = systemd.bundle(PLACE, SLEEP, |_| {});
    systemd.does(&["create", "--bundle", &bundle, "one"]);
    assert!(systemd.does(&["state", "one"]).contains("\"status\": \"created\""));
    assert_eq!(systemd.property(UNIT, "ActiveState"), "active");
    systemd.does(&["start", "one"]);
    for (name, value) in [
        ("Slice", "made-here.slice"),
        ("Delegate", "yes"),
        ("ControlGroup", GROUP),
        ("Description", "cofferdam-run container one"),
    ] {
        assert_eq!(systemd.property(UNIT, name), value, "{name}");
    }
    // Its namespace of control groups begins there: it was born in it.
    let own = systemd.does(&["exec", "one", "cat", "/proc/self/cgroup"]);
    assert!(!own.is_empty() && own.lines().all(|line| line.ends_with(":/")), "{own}");
    // The container's, and nobody's who was there before it.
    let pids = systemd.does(&["ps", "--format", "json", "one"]);
    assert_eq!(pids.matches(',').count(), 0, "{pids}");
    systemd.does(&["pause", "one"]);
    systemd.does(&["resume", "one"]);
    systemd.does(&["delete", "--force", "one"]);
    assert_eq!(systemd.left(UNIT), [""; 0]);
    assert_eq!(systemd.property(UNIT, "LoadState"), "not-found");
}

#[test]
fn a_scope_is_the_containers_group_from_birth_to_end() {
    lives_and_dies(&Systemd::boot(Trees::Machine));
}

#[test]
fn with_version_2_alone_it_is_the_same() {
    lives_and_dies(&Systemd::boot(Trees::Unified));
}

#[test]
fn over_the_systems_bus_it_is_the_same() {
    let mut systemd = Systemd::boot(Trees::Machine);
    systemd.behind_a_bus();
    lives_and_dies(&systemd);
}

#[test]
fn limits_are_systemds_and_the_kernels_and_change_together() {
    let systemd = Systemd::boot(Trees::Machine);
    let bundle = systemd.bundle(PLACE, SLEEP, |config| {
        config["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        config["linux"]["resources"]["pids"] = json!({ "limit": 50 });
        config["linux"]["resources"]["cpu"] = json!({ "quota": 12_345, "period": 50_000 });
    });
    systemd.does(&["run", "--detach", "--bundle", &bundle, "one"]);
    let (limit, file) = if systemd.is_legacy() {
        ("MemoryLimit", "memory.limit_in_bytes")
    } else {
        ("MemoryMax", "memory.max")
    };
    assert_eq!(systemd.property(UNIT, limit), "67108864");
    assert_eq!(systemd.property(UNIT, "TasksMax"), "50");
    assert_eq!(systemd.property(UNIT, "CPUQuotaPerSecUSec"), "250ms");
    assert_eq!(systemd.file("memory", GROUP, file), "67108864");
    assert_eq!(systemd.file("pids", GROUP, "pids.max"), "50");
    let quota = if systemd.is_legacy() { "cpu.cfs_quota_us" } else { "cpu.max" };
    // Exact, where systemd counts in percents.
    assert!(systemd.file("cpu", GROUP, quota).starts_with("12345"));

    systemd.does(&["update", "--memory", "32m", "--pids-limit", "70", "one"]);
    assert_eq!(systemd.property(UNIT, limit), "33554432");
    assert_eq!(systemd.property(UNIT, "TasksMax"), "70");
    assert_eq!(systemd.file("memory", GROUP, file), "33554432");
    assert_eq!(systemd.file("pids", GROUP, "pids.max"), "70");
    // systemd would otherwise set what it remembers.
    let (reloaded, said) = systemd.run("systemctl", &["daemon-reload"]);
    assert!(reloaded, "{said}");
    assert_eq!(systemd.file("memory", GROUP, file), "33554432");
    systemd.does(&["delete", "--force", "one"]);
}

#[test]
fn devices_stay_as_they_were_when_systemd_reads_its_units_again() {
    let systemd = Systemd::boot(Trees::Machine);
    // A node that any container may make, and none may open: the kernel's log.
    let script = "mknod /kmsg c 1 11; exec sleep 1000";
    let bundle = systemd.bundle(PLACE, script, |config| {
        let all =
            json!(["CAP_MKNOD", "CAP_SYS_ADMIN", "CAP_SYSLOG", "CAP_DAC_OVERRIDE", "CAP_KILL",]);
        config["process"]["capabilities"] =
            json!({ "bounding": all, "effective": all, "permitted": all });
        config["root"]["readonly"] = json!(false);
    });
    systemd.does(&["run", "--detach", "--bundle", &bundle, "one"]);
    until("the node", || systemd.runtime(&["exec", "one", "sh", "-c", "test -c /kmsg"]).0);
    // What it would set by itself, whenever it sets a list again.
    assert_eq!(systemd.property(UNIT, "DevicePolicy"), "strict");
    let allowed = systemd.property(UNIT, "DeviceAllow");
    assert!(allowed.contains("/dev/char/1:3 rwm") && !allowed.contains("1:11"), "{allowed}");
    let opens = |what: &str| systemd.runtime(&["exec", "one", "sh", "-c", &format!(": < {what}")]);
    for _ in 0..2 {
        assert!(opens("/dev/null").0, "{:?}", opens("/dev/null"));
        let (opened, said) = opens("/kmsg");
        assert!(!opened && said.contains("Operation not permitted"), "{said}");
        let (reloaded, said) = systemd.run("systemctl", &["daemon-reload"]);
        assert!(reloaded, "{said}");
    }
    systemd.does(&["delete", "--force", "one"]);
}

#[test]
fn a_scope_ends_with_its_container() {
    let systemd = Systemd::boot(Trees::Machine);
    let bundle = systemd.bundle(PLACE, SLEEP, |_| {});
    systemd.does(&["run", "--detach", "--bundle", &bundle, "one"]);
    systemd.does(&["kill", "one", "KILL"]);
    until("the scope's end", || systemd.property(UNIT, "LoadState") == "not-found");
    assert!(systemd.does(&["state", "one"]).contains("\"status\": \"stopped\""));
    systemd.does(&["delete", "one"]);
    assert_eq!(systemd.left(UNIT), [""; 0]);
}

#[test]
fn a_place_that_is_taken_stays_its_owners() {
    let systemd = Systemd::boot(Trees::Machine);
    let bundle = systemd.bundle(PLACE, SLEEP, |_| {});
    systemd.does(&["run", "--detach", "--bundle", &bundle, "one"]);
    let (done, said) = systemd.runtime(&["run", "--detach", "--bundle", &bundle, "two"]);
    assert!(!done && said.contains("already holds"), "{said}");
    assert!(systemd.does(&["state", "one"]).contains("\"status\": \"running\""));
    assert_eq!(systemd.property(UNIT, "ActiveState"), "active");
    assert!(!systemd.runtime(&["state", "two"]).0);
    systemd.does(&["delete", "--force", "one"]);
}

#[test]
fn a_launch_that_fails_leaves_no_unit() {
    let systemd = Systemd::boot(Trees::Machine);
    let bundle = systemd.bundle(PLACE, SLEEP, |config| {
        config["process"]["args"] = json!(["/no/such/program"]);
    });
    let (done, said) = systemd.runtime(&["run", "--bundle", &bundle, "one"]);
    assert!(!done && said.contains("no such file or directory"), "{said}");
    assert_eq!(systemd.property(UNIT, "LoadState"), "not-found");
    assert_eq!(systemd.left(UNIT), [""; 0]);
    assert!(!systemd.runtime(&["state", "one"]).0);
}

#[test]
fn annotations_are_properties_and_nonsense_is_refused() {
    let systemd = Systemd::boot(Trees::Machine);
    let bundle = |value: &str| {
        systemd.bundle(PLACE, SLEEP, |config| {
            config["annotations"] = json!({
                "org.systemd.property.TimeoutStopSec": "7",
                "org.systemd.property.CollectMode": value,
            });
        })
    };
    let good = bundle("'inactive-or-failed'");
    systemd.does(&["run", "--detach", "--bundle", &good, "one"]);
    assert_eq!(systemd.property(UNIT, "TimeoutStopUSec"), "7s");
    assert_eq!(systemd.property(UNIT, "CollectMode"), "inactive-or-failed");
    systemd.does(&["delete", "--force", "one"]);
    for (value, why) in [
        ("bare", "words stand in quotes"),
        // What systemd itself does not take.
        ("'sometimes'", "CollectMode"),
    ] {
        let bad = bundle(value);
        let (done, said) = systemd.runtime(&["run", "--detach", "--bundle", &bad, "one"]);
        assert!(!done && said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert_eq!(systemd.left(UNIT), [""; 0]);
    }
}

#[test]
fn another_form_of_place_is_refused_in_runcs_words() {
    let systemd = Systemd::boot(Trees::Machine);
    let bundle = systemd.bundle("/docker/one", SLEEP, |_| {});
    let (done, said) = systemd.runtime(&["run", "--bundle", &bundle, "one"]);
    assert!(!done && said.contains("of format \\\"slice:prefix:name\\\""), "{said}");
}
