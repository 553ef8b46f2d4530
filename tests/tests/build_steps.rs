//! BUILD: the containers of a build's steps, and how they end.

use promises::{
    Cli, Engine,
    kitchen::{BOTH, Context},
    until,
};
use std::fs;

#[test]
fn build8_a_step_is_confined_as_any_container() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    // What the kernel says of both is the same.
    let look = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status; wc -l < /proc/self/uid_map; \
                readlink /proc/self/ns/user | grep -q . && ls /dev | sort; grep -c . /proc/self/mountinfo";
    context.dockerfile(&format!("FROM busybox\nRUN ({look}) > /look\n"));
    context.builds(Cli::Docker, &["-t", "a"]);
    let step = engine.says(&["run", "--rm", "a", "cat", "/look"]);
    assert_eq!(step, engine.container(&[], look).out);
    // Each succeeds in a container that was weakened on purpose.
    for attack in [
        ": >> /proc/sys/vm/overcommit_memory",
        "mount -t tmpfs x /tmp",
        "mknod /tmp/null b 8 0 && dd if=/tmp/null of=/dev/null count=1",
    ] {
        let bites = engine.container(&["--privileged"], attack);
        assert!(bites.code == 0 || attack.contains("mknod"), "{attack}: {bites:?}");
        context.dockerfile(&format!("FROM busybox\nRUN {attack}\n"));
        let said = context.fails(Cli::Docker, &["--force-rm", "--no-cache"]);
        assert!(said.contains("returned a non-zero code"), "{attack}: {said}");
    }
    // Limits and hosts are those of the build.
    context.dockerfile("FROM busybox\nRUN ulimit -n; grep -c 10.1.2.3 /etc/hosts; df -k /dev/shm | tail -1\nRUN --network=none ! ip route | grep -q .\n");
    let words = ["--ulimit", "nofile=77:88", "--add-host", "h:10.1.2.3", "--shm-size", "2m"];
    let said = context.builds(Cli::Docker, &words);
    assert!(said.contains("\n77\n1\n") && said.contains(" 2048 "), "{said}");
    engine.leaves_nothing();
}

#[test]
fn build10_a_client_that_leaves_takes_its_build_along() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile("FROM busybox\nRUN echo begun; sleep 1000\n");
    for cli in BOTH {
        let mut client = context.command(cli, &[]).spawn().expect("starts");
        until("the step", || !engine.says(&["ps", "-q"]).is_empty());
        client.kill().expect("our child");
        client.wait().expect("our child");
        until("the end of the step", || engine.says(&["ps", "-aq"]).is_empty());
        let rooms = engine.data_root().join("build/rooms");
        until("the room to go", || fs::read_dir(&rooms).map_or(0, Iterator::count) == 0);
    }
    engine.leaves_nothing();
}

#[test]
fn build11_a_daemon_that_dies_leaves_no_step_behind() {
    let mut engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile("FROM busybox\nRUN echo begun; sleep 1000\n");
    let mut client = context.command(Cli::Docker, &[]).spawn().expect("starts");
    until("the step", || !engine.says(&["ps", "-q"]).is_empty());
    engine.kill_daemon();
    client.wait().expect("our child");
    engine.start();
    until("the end of the step", || engine.says(&["ps", "-aq"]).is_empty());
    let rooms = engine.data_root().join("build/rooms");
    assert_eq!(fs::read_dir(rooms).map_or(0, Iterator::count), 0);
    engine.leaves_nothing();
}
