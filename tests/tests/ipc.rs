//! IPC: System V objects, POSIX queues and shared memory.

use promises::{Engine, attack::Attack};

/// Makes a message queue in a container's namespace, from the host.
fn with_queue(engine: &Engine, name: &str, ipc: &str) {
    engine.says(&["run", "-d", "--name", name, "--ipc", ipc, "busybox", "sleep", "1000"]);
    engine.host().says(&format!("nsenter --ipc --target {} ipcmk --queue", engine.pid_of(name)));
}

const SEES_A_QUEUE: &str = "test $(wc -l < /proc/sysvipc/msg) -gt 1";

#[test]
fn ipc1_objects_are_private() {
    let engine = Engine::new();
    with_queue(&engine, "a", "private");
    let inside = engine.run(&["exec", "a", "sh", "-c", SEES_A_QUEUE]);
    assert_eq!(inside.code, 0, "the look must be able to find it: {inside:?}");
    let other = engine.container(&[], SEES_A_QUEUE);
    assert_eq!(other.code, 1, "{other:?}");
}

#[test]
fn ipc1_posix_queues_are_private() {
    let engine = Engine::new();
    let words = ["run", "-d", "--name", "a", "--ipc", "shareable", "busybox", "sleep", "1000"];
    engine.says(&words);
    engine.says(&["exec", "a", "touch", "/dev/mqueue/q"]);
    let look = "test -e /dev/mqueue/q";
    let joined = engine.container(&["--ipc", "container:a"], look);
    assert_eq!(joined.code, 0, "the look must be able to find it: {joined:?}");
    let other = engine.container(&[], look);
    assert_eq!(other.code, 1, "{other:?}");
    Attack { weakened: &["--ipc", "container:a"], script: "rm /dev/mqueue/q" }.is_stopped(&engine);
}

#[test]
fn ipc1_a_shareable_namespace_is_shared_when_asked_for() {
    let engine = Engine::new();
    with_queue(&engine, "a", "shareable");
    let joined = engine.container(&["--ipc", "container:a"], SEES_A_QUEUE);
    assert_eq!(joined.code, 0, "{joined:?}");
}

#[test]
fn ipc1_a_private_namespace_cannot_be_joined() {
    let engine = Engine::new();
    with_queue(&engine, "a", "private");
    let joined = engine.container(&["--ipc", "container:a"], SEES_A_QUEUE);
    assert_eq!(joined.code, 125, "{joined:?}");
    assert!(joined.err.contains("non-shareable IPC"), "{joined:?}");
}

#[test]
fn ipc1_shared_memory_is_of_the_size_asked_for() {
    let engine = Engine::new();
    let ran = engine.container(
        &["--shm-size", "3m"],
        "df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2",
    );
    assert_eq!(ran.out, "3072", "{ran:?}");
    let none = engine.container(&["--ipc", "none"], "grep -q ' /dev/shm ' /proc/mounts");
    assert_eq!(none.code, 1, "{none:?}");
}
