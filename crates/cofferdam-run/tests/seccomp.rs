//! Seccomp in a bundle, and its listener: who is told of calls that the rules
//! hand over.

mod common;

use common::Scratch;
use rustix::net::{RecvAncillaryBuffer, RecvFlags};
use serde_json::{Value, json};
use std::{io::IoSliceMut, mem::MaybeUninit, os::unix::net::UnixListener};

/// What the listener is told, and how many descriptors come with it.
fn told(listener: &UnixListener) -> (Value, usize) {
    let (stream, _) = listener.accept().expect("accept");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got =
        rustix::net::recvmsg(&stream, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, flags)
            .expect("recvmsg");
    let fds = ancillary
        .drain()
        .filter(|message| matches!(message, rustix::net::RecvAncillaryMessage::ScmRights(_)));
    (serde_json::from_slice(&bytes[..got.bytes]).expect("JSON"), fds.count())
}

#[test]
fn it_is_told_of_the_container_and_of_every_exec() {
    let scratch = Scratch::new(&["sleep", "100"]);
    let path = scratch.dir.join("listener");
    let listener = UnixListener::bind(&path).expect("bind");
    scratch.change(|config| {
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": path,
            "listenerMetadata": "mine",
            "syscalls": [{ "names": ["chmod"], "action": "SCMP_ACT_NOTIFY" }],
        });
    });
    let said = scratch.launch("run", &["--detach"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let (first, fds) = told(&listener);
    assert_eq!((&first["fds"], fds), (&json!(["seccompFd"]), 1));
    assert_eq!((&first["pid"], &first["metadata"]), (&json!(scratch.pid()), &json!("mine")));
    assert_eq!(first["state"]["bundle"], json!(scratch.bundle()));
    let pid_file = scratch.dir.join("pid");
    let flags = ["exec", "--pid-file", &pid_file.to_string_lossy(), &scratch.id, "true"];
    let said = scratch.run(&flags);
    assert_eq!(said.code, Some(0), "{said:?}");
    let (second, fds) = told(&listener);
    let pid = std::fs::read_to_string(pid_file).expect("the pid file");
    assert_eq!((second["pid"].to_string(), fds), (pid, 1));
    assert_eq!(second["state"]["pid"], json!(scratch.pid()));
    assert_eq!(second["state"]["bundle"], json!(scratch.bundle()));
}

#[test]
fn an_empty_object_is_no_filter_and_a_rule_without_a_default_is_refused() {
    let scratch = Scratch::new(&["cat", "/proc/self/status"]);
    scratch.change(|config| config["linux"]["seccomp"] = json!({}));
    let said = scratch.launch("run", &[]);
    assert!(said.out.contains("Seccomp:\t0\n"), "{said:?}");
    scratch.change(|config| {
        let rule = json!([{ "names": ["chmod"], "action": "SCMP_ACT_ERRNO" }]);
        config["linux"]["seccomp"] = json!({ "syscalls": rule });
    });
    let said = scratch.launch("run", &[]);
    assert!(said.message().contains("seccomp action"), "{said:?}");
}
