//! DEV: which devices a container reaches.

use promises::{Cli, Engine, attack::Attack};

#[test]
fn dev1_important_devices_are_not_there() {
    let engine = Engine::new();
    for path in ["/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/kvm", "/dev/tty0"] {
        Attack { weakened: &[], script: &format!("test -e {path}") }.fails(&engine);
    }
    let ran = engine.container(&[], "cd /dev && ls");
    let names: Vec<&str> = ran.out.lines().collect();
    // Not even a link `core` to the machine's memory, which others make where
    // the kernel has a /proc/kcore.
    let expected = [
        "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
        "stdout", "tty", "urandom", "zero",
    ];
    assert_eq!(names, expected);
}

#[test]
fn dev2_a_node_cannot_be_made_and_used() {
    let engine = Engine::new();
    // 1:1 is /dev/mem, which may refuse reads by itself: 1:11 is /dev/kmsg.
    let script = "mknod /dev/smuggled c 1 11 && : < /dev/smuggled";
    Attack { weakened: &["--privileged"], script }.is_stopped(&engine);
    let admin = ["--cap-add", "MKNOD"];
    let ran = engine.container(&admin, "mknod /tmp/m c 1 11 && : < /tmp/m");
    assert_ne!(ran.code, 0, "even with MKNOD: {ran:?}");
}

#[test]
fn dev2_the_allow_list_stops_a_node_that_is_smuggled_in() {
    let engine = Engine::new();
    let folder = engine.scratch().join("smuggled");
    std::fs::create_dir(&folder).expect("scratch");
    engine.host().says(&format!("mknod -m 666 {}/kmsg c 1 11", folder.display()));
    let mount = format!("{}:/s", folder.display());
    let ran = engine.container(&["-v", &mount], ": < /s/kmsg");
    assert_ne!(ran.code, 0, "{ran:?}");
    let ran = engine.container(&["--privileged", "-v", &mount], ": < /s/kmsg");
    assert_eq!(ran.code, 0, "the attack must be able to succeed: {ran:?}");
}

#[test]
fn dev3_a_device_node_in_an_image_is_dead() {
    let engine = Engine::new();
    let root = engine.scratch().join("busybox");
    engine
        .host()
        .says(&format!("mknod -m 666 {0}/zero c 1 5 && head -c1 {0}/zero | od", root.display()));
    let tar = engine.scratch().join("nodes.tar").display().to_string();
    engine.host().says(&format!("tar -C {} -cf {tar} .", root.display()));
    engine.says_as(Cli::Docker, &["import", &tar, "nodes"]);
    let ran =
        engine.run(&["run", "--rm", "nodes", "sh", "-c", "test -c /zero && ! head -c1 /zero"]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn dev4_a_device_is_given_with_the_rights_that_were_named() {
    let engine = Engine::new();
    // Not one of those that every container may use.
    let ran = engine.container(&["--device", "/dev/fuse:/dev/given:r"], ": < /dev/given");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = engine.container(&["--device", "/dev/fuse:/dev/given:r"], ": > /dev/given");
    assert_ne!(ran.code, 0, "{ran:?}");
    let ran = engine.container(&["--device", "/dev/fuse:/dev/given"], ": <> /dev/given");
    assert_eq!(ran.code, 0, "{ran:?}");
    // Likewise where the file system lets no device work, deep or in a volume.
    let places = ["--device", "/dev/fuse:/srv/deep/a:r", "--device", "/dev/fuse:/run/b:r"];
    let script = "true < /srv/deep/a && true < /run/b && ! true > /srv/deep/a && ! true > /run/b";
    let ran = engine.container(&[&places[..], &["-v", "/run"]].concat(), script);
    assert_eq!(ran.code, 0, "{ran:?}");
    let missing = engine.run(&["run", "--rm", "--device", "/dev/nonesuch", "busybox", "true"]);
    // Docker's code for whatever was not found at the start.
    assert_eq!(missing.code, 127, "{missing:?}");
    assert!(missing.err.contains("/dev/nonesuch"), "{missing:?}");
}

#[test]
fn dev5_only_a_privileged_container_reaches_all_devices() {
    Attack { weakened: &["--privileged"], script: "test -c /dev/kmsg && : < /dev/kmsg" }
        .is_stopped(&Engine::new());
}
