//! `--security-opt`, labels, `--sysctl`.

use super::*;

fn option(word: &str) -> Ask {
    Ask::with(|config| config.security_opt = Some(strings(&[word])))
}

#[test]
fn new_privileges_can_be_given_up() {
    for word in ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=1"] {
        assert!(process(&option(word).sandbox()).no_new_privileges, "{word}");
        assert_eq!(option(word).weakened(), [""; 0]);
    }
    assert!(!process(&option("no-new-privileges:false").sandbox()).no_new_privileges);
}

#[test]
fn unknown_options_are_refused_in_dockers_words() {
    assert_eq!(option("fast").words(), "invalid --security-opt 1: \"fast\"");
    assert_eq!(option("fast=1").words(), "invalid --security-opt 2: \"fast=1\"");
    assert_eq!(
        option("no-new-privileges:maybe").words(),
        "invalid --security-opt 2: \"no-new-privileges:maybe\""
    );
}

#[test]
fn kernel_paths_can_be_opened_both_ways() {
    let by_word = option("systempaths=unconfined").sandbox();
    let by_cli = Ask::with(|config| {
        config.masked_paths = Some(vec![]);
        config.readonly_paths = Some(vec![]);
    })
    .sandbox();
    assert_eq!(by_word, by_cli);
    assert_eq!(by_word.weakened.len(), 2);
}

#[test]
fn selinux_labels_carry_the_containers_own_level() {
    let mut ask = ask();
    ask.host.selinux = true;
    ask.selinux_level = Some("s0:c1,c2");
    let sandbox = ask.sandbox();
    assert_eq!(process(&sandbox).selinux_label, "system_u:system_r:container_t:s0:c1,c2");
    assert_eq!(linux(&sandbox).mount_label, "system_u:object_r:container_file_t:s0:c1,c2");
    assert_eq!(sandbox.weakened, [""; 0]);
    ask.selinux_level = None;
    assert!(ask.words().contains("no level was chosen"));
}

fn labelled(change: impl FnOnce(&mut HostConfig)) -> Ask {
    let mut ask = Ask::with(change);
    ask.host.selinux = true;
    ask.selinux_level = Some("s0:c1,c2");
    ask
}

fn labels(word: &str) -> Ask {
    labelled(|config| config.security_opt = Some(strings(&[word])))
}

#[test]
fn selinux_options_are_understood() {
    let typed = labels("label=type:spc_t").sandbox();
    assert_eq!(process(&typed).selinux_label, "system_u:system_r:spc_t:s0:c1,c2");
    assert_eq!(typed.weakened, ["has an SELinux label of its own: type:spc_t"]);
    let levelled = labels("label=level:s0:c3,c4").sandbox();
    assert_eq!(process(&levelled).selinux_label, "system_u:system_r:container_t:s0:c3,c4");
    assert_eq!(linux(&levelled).mount_label, "system_u:object_r:container_file_t:s0:c3,c4");
    let user = labels("label=user:staff_u").sandbox();
    assert_eq!(linux(&user).mount_label, "staff_u:object_r:container_file_t:s0:c1,c2");
    let files = labels("label=filetype:usr_t").sandbox();
    assert_eq!(linux(&files).mount_label, "system_u:object_r:usr_t:s0:c1,c2");
    let disabled = labels("label=disable").sandbox();
    assert_eq!(process(&disabled).selinux_label, "");
    assert_eq!(disabled.weakened, ["is not confined by SELinux (label=disable)"]);
    let words = labels("label=colour:red").words();
    assert_eq!(
        words,
        "bad label option \"colour\", valid options 'disable, user, role, level, type, filetype'"
    );
    for word in ["level:s0\",lowerdir=/", "type:a b", "type"] {
        let words = labels(&format!("label={word}")).words();
        assert!(words.starts_with("bad label option"), "{words}");
    }
}

#[test]
fn selinux_is_shown_to_who_asks_for_it_and_is_labelled() {
    let shown = |ask: &Ask| {
        let sandbox = ask.sandbox();
        let found = sandbox.config.mounts.iter();
        (found.filter(|m| m.destination == "/sys/fs/selinux").count(), sandbox.weakened)
    };
    let words = "may ask SELinux what its policy lets it (label=nested)";
    assert_eq!(shown(&labels("label=nested")), (1, vec![words.to_owned()]));
    assert_eq!(shown(&labels("label=type:container_t")).0, 0);
    let both = labelled(|c| c.security_opt = Some(strings(&["label=nested", "label=disable"])));
    assert_eq!(shown(&both).0, 0);
    assert_eq!(
        process(&labels("label=nested").sandbox()).selinux_label,
        "system_u:system_r:container_t:s0:c1,c2"
    );
}

#[test]
fn older_names_and_levels_of_two_categories_weaken_nothing() {
    for word in [
        "label=type:svirt_lxc_net_t",
        "label=filetype:svirt_sandbox_file_t",
        "label=filetype:svirt_lxc_file_t",
        "label=level:s0:c5,c1023",
    ] {
        assert_eq!(labels(word).weakened(), [""; 0], "{word}");
    }
    for word in
        ["s0", "s0:c0.c1023", "s0:c1", "s0:c7,c7", "s0:c1,c2,c3", "s0-s0:c1,c2", "s0:c1,c1024"]
    {
        assert_eq!(labels(&format!("label=level:{word}")).weakened().len(), 1, "{word}");
    }
}

#[test]
fn who_shares_the_hosts_processes_or_ipc_has_no_label() {
    type Change = fn(&mut HostConfig);
    let changes: [Change; 3] =
        [|c| c.privileged = true, |c| c.pid_mode = "host".into(), |c| c.ipc_mode = "host".into()];
    for change in changes {
        let open = labelled(change).sandbox();
        assert_eq!((&*process(&open).selinux_label, &*linux(&open).mount_label), ("", ""));
        let words = "is not confined by SELinux (label=disable)".to_owned();
        assert!(open.weakened.contains(&words), "{:?}", open.weakened);
        let spoken = labelled(|config| {
            change(config);
            config.security_opt = Some(strings(&["label=type:container_t"]));
        });
        assert!(!process(&spoken.sandbox()).selinux_label.is_empty(), "it asked for one");
    }
}

#[test]
fn without_selinux_labels_are_words_and_without_types_they_are_refused() {
    assert_eq!(process(&option("label=colour:red").sandbox()).selinux_label, "");
    let mut bare = labels("no-new-privileges");
    bare.host.selinux_type.clear();
    assert!(bare.words().contains("knows no container_t"), "{}", bare.words());
    bare.host.selinux_type = "svirt_lxc_net_t".into();
    let old = bare.sandbox();
    assert_eq!(process(&old).selinux_label, "system_u:system_r:svirt_lxc_net_t:s0:c1,c2");
    assert_eq!(linux(&old).mount_label, "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2");
    let mut disabled = labels("label=disable");
    disabled.host.selinux_type.clear();
    assert_eq!(process(&disabled.sandbox()).selinux_label, "");
}

#[test]
fn apparmor_has_a_profile_where_there_is_apparmor() {
    let on = |word: &str| {
        let mut ask = option(word);
        ask.host.apparmor = true;
        ask.host.apparmor_profile = true;
        let sandbox = ask.sandbox();
        (process(&sandbox).apparmor_profile.clone(), sandbox.weakened.len())
    };
    assert_eq!(on("no-new-privileges"), ("cofferdam-default".to_owned(), 0));
    assert_eq!(on("apparmor=mine"), ("mine".to_owned(), 1));
    assert_eq!(on("apparmor=unconfined"), ("unconfined".to_owned(), 1));
    assert!(option("apparmor=mine").words().contains("no AppArmor"));
    let mut unloaded = Ask::with(|_| {});
    unloaded.host.apparmor = true;
    let sandbox = unloaded.sandbox();
    assert_eq!(process(&sandbox).apparmor_profile, "");
    let words = "is not confined by AppArmor: its profile cofferdam-default is not loaded";
    assert_eq!(sandbox.weakened, [words]);
    assert_eq!(option("apparmor=unconfined").weakened(), [""; 0]);
}

#[test]
fn mounting_powers_end_landlock() {
    let sandbox = Ask::with(|config| config.cap_add = Some(strings(&["SYS_ADMIN"]))).sandbox();
    assert_eq!(sandbox.landlock, None);
}

fn sysctl(key: &str, change: impl FnOnce(&mut HostConfig)) -> Result<String, String> {
    let ask = Ask::with(|config| {
        config.sysctls = Some([(key.to_owned(), "1".to_owned())].into());
        change(config);
    });
    match ask.decide() {
        Ok(sandbox) => Ok(linux(&sandbox).sysctl[key].clone()),
        Err(refusal) => Err(refusal.to_string()),
    }
}

#[test]
fn settings_of_own_namespaces_can_be_made() {
    for key in [
        "net.ipv4.ip_forward",
        "net.ipv6.conf.eth0/1.disable_ipv6",
        "kernel.shmmax",
        "fs.mqueue.msg_max",
        "net.ipv4.ip_unprivileged_port_start",
    ] {
        assert_eq!(sysctl(key, |_| {}), Ok("1".to_owned()), "{key}");
    }
}

#[test]
fn settings_of_the_host_cannot() {
    assert_eq!(
        sysctl("vm.swappiness", |_| {}),
        Err("sysctl \"vm.swappiness\" is not in a separate kernel namespace".to_owned())
    );
    assert_eq!(
        sysctl("net.core.somaxconn", |c| c.network_mode = "host".into()),
        Err("sysctl \"net.core.somaxconn\" not allowed in host network namespace".to_owned())
    );
    assert_eq!(
        sysctl("kernel.sem", |c| c.ipc_mode = "host".into()),
        Err("sysctl \"kernel.sem\" not allowed in host ipc namespace".to_owned())
    );
    for key in ["net..ipv4", "net.ipv4.x y", "net./../kernel/core_pattern", ""] {
        assert!(sysctl(key, |_| {}).is_err(), "{key}");
    }
}
