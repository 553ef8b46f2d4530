//! Every weakening asked for is named.

use super::*;

fn after(change: impl FnOnce(&mut HostConfig)) -> Vec<String> {
    Ask::with(change).weakened()
}

fn bind(text: &str) -> Vec<String> {
    after(|config| config.binds = Some(strings(&[text])))
}

#[test]
fn capabilities_beyond_the_default_are_named() {
    assert_eq!(
        after(|c| c.cap_add = Some(strings(&["SYS_PTRACE", "NET_ADMIN"]))),
        ["has capabilities beyond the default, within its own user namespace: CAP_NET_ADMIN, \
          CAP_SYS_PTRACE"]
    );
    assert_eq!(after(|c| c.cap_add = Some(strings(&["CHOWN", "MKNOD"]))), [""; 0]);
}

#[test]
fn privileged_is_named_with_all_that_comes_with_it() {
    let words = after(|c| c.privileged = true).join("\n");
    for part in [
        "runs privileged",
        "root of the host (--privileged)",
        "any system call",
        "sees kernel paths",
        "may write to kernel paths",
        "view of cgroups",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
}

#[test]
fn namespaces_of_the_host_are_named() {
    assert_eq!(after(|c| c.uts_mode = "host".into()), ["shares the host's host name"]);
    assert_eq!(
        after(|c| c.network_mode = "host".into()),
        [
            "has no user namespace of its own: root in it is root of the host (--network host)",
            "shares the host's network"
        ]
    );
    assert!(after(|c| c.userns_mode = "host".into())[0].contains("(--userns host)"));
}

#[test]
fn a_way_to_an_engine_is_named() {
    for path in [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/cofferdam/cofferdam.sock",
        "/run/cofferdam",
        "/var/lib/cofferdam",
        "/var/lib",
        "/run",
        "/var/run",
    ] {
        let words = bind(&format!("{path}:/x:ro"));
        assert_eq!(words.len(), 1, "{path}: {words:?}");
        assert!(words[0].contains("rules the host"), "{words:?}");
    }
    assert_eq!(bind("/run/user/1000/bus:/bus"), [""; 0]);
}

#[test]
fn writing_where_the_host_is_ruled_is_named() {
    for path in ["/", "/etc", "/etc/cron.d", "/proc", "/sys", "/dev", "/usr/bin", "/boot", "/root"]
    {
        let words = bind(&format!("{path}:/x"));
        assert!(words[0].starts_with("can write to the host's"), "{path}: {words:?}");
    }
    for path in ["/srv", "/home/me", "/tmp", "/opt/data", "/var/www", "/etcetera"] {
        assert_eq!(bind(&format!("{path}:/x")), [""; 0], "{path}");
    }
    assert_eq!(bind("/etc/localtime:/etc/localtime:ro"), [""; 0]);
    assert_eq!(bind("/:/host:ro"), ["can read all files of the host"]);
}

#[test]
fn mounting_into_the_host_is_named() {
    assert_eq!(bind("/mnt:/mnt:rshared"), ["can mount into the host's /mnt (rshared)"]);
    assert_eq!(bind("/mnt:/mnt:rslave"), [""; 0]);
}

#[test]
fn smaller_weakenings_are_named() {
    assert_eq!(after(|c| c.pids_limit = Some(-1)), ["has no limit of processes"]);
    assert_eq!(
        after(|c| c.oom_score_adj = -500),
        ["is killed after others when the host runs out of memory"]
    );
    assert_eq!(
        after(|c| c.security_opt = Some(strings(&["seccomp=unconfined"]))),
        ["may make any system call: seccomp is off"]
    );
    assert_eq!(
        after(|c| c.security_opt = Some(strings(&["writable-cgroups=true"]))),
        ["can change its own cgroup"]
    );
    assert_eq!(
        after(|c| c.log_config.config = [("max-size".to_owned(), "-1".to_owned())].into()),
        ["has a log without bounds"]
    );
}

#[test]
fn strengthening_is_no_weakening() {
    assert_eq!(
        after(|c| {
            c.readonly_rootfs = true;
            c.cap_drop = Some(strings(&["ALL"]));
            c.network_mode = "none".into();
            c.memory = 64 << 20;
            c.security_opt = Some(strings(&["no-new-privileges"]));
            c.tmpfs = Some([("/tmp".to_owned(), "size=8m".to_owned())].into());
        }),
        [""; 0]
    );
}
