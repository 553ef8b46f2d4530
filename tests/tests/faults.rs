//! What goes wrong outside: a full disk, a client that is killed, another
//! user who looks around.

use promises::{Cli, Engine, Ran, until};
use std::{io::Write as _, process::Stdio};

/// An engine whose data root holds so many MiB.
fn small(mib: u32) -> Engine {
    let script = format!("mkdir $DATA && mount -t tmpfs -o mode=700,size={mib}m data $DATA");
    Engine::prepared(&script, &[])
}

/// Every file of images and layers, by path.
fn stored(engine: &Engine) -> String {
    let root = engine.data_root();
    engine.host().says(&format!("cd {} && find blobs layers containers | sort", root.display()))
}

/// Clients that the daemon serves now.
fn connections(engine: &Engine) -> String {
    let socket = engine.socket().display().to_string();
    // 3 is connected: the kernel's include/uapi/linux/net.h.
    let count = format!("awk '$6 == \"03\" && $8 == \"{socket}\"' /proc/net/unix | wc -l");
    engine.host().says(&count).trim().to_owned()
}

fn one_line(ran: &Ran, word: &str) {
    let errors: Vec<&str> = ran.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(ran.code != 0 && errors.len() == 1 && ran.err.contains(word), "{ran:?}");
}

#[test]
fn an_image_that_does_not_fit_is_refused_and_leaves_nothing() {
    let engine = small(24);
    until("the image that it brings", || !engine.says(&["images", "-q"]).is_empty());
    let empty = stored(&engine);
    let tar = engine.scratch().join("large.tar").display().to_string();
    engine.host().says(&format!(
        "cd {} && mkdir large && head -c 40000000 /dev/urandom > large/file && tar -cf {tar} -C large .",
        engine.scratch().display()
    ));
    one_line(&engine.run(&["import", &tar, "large"]), "No space left on device");
    assert_eq!(engine.says(&["images", "-q", "large"]), "");
    assert_eq!(stored(&engine), empty);
    engine.leaves_nothing();
}

#[test]
fn a_program_on_a_full_disk_hears_of_it_and_the_engine_goes_on() {
    let engine = small(16);
    promises::busybox(&engine);
    let full = engine.container(&[], "head -c 40000000 /dev/zero > /fill; echo code $?");
    assert!(full.out.contains("code 1"), "{full:?}");
    let held = ["run", "-d", "--name", "full", "busybox", "sh", "-c"];
    engine.says(
        &[&held[..], &["head -c 40000000 /dev/zero > /fill; echo full; sleep 1000"]].concat(),
    );
    until("the disk to be full", || {
        let df = format!("df --output=avail {} | tail -n 1", engine.data_root().display());
        engine.host().says(&df).trim() == "0"
    });
    assert_eq!(engine.says(&["ps", "--format", "{{.Names}}"]), "full", "reads are answered");
    one_line(&engine.run(&["volume", "create", "more"]), "");
    assert_eq!(engine.says(&["volume", "ls", "-q"]), "", "nor is it there in part");
    engine.says(&["rm", "-f", "full"]);
    assert_eq!(engine.container(&[], "echo again").out, "again", "space given back is used");
    engine.leaves_nothing();
}

#[test]
fn an_upload_that_is_cut_off_leaves_nothing() {
    let engine = Engine::new();
    until("the image that it brings", || engine.says(&["images", "-q"]).lines().count() == 2);
    let before = stored(&engine);
    let tar = std::fs::read(engine.scratch().join("busybox.tar")).expect("made for the image");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let mut command = engine.command(cli, &["import", "-", "half"]);
        let mut child = command.stdin(Stdio::piped()).spawn().expect("the CLI starts");
        let mut input = child.stdin.take().expect("piped");
        input.write_all(&tar[..tar.len() / 2]).expect("taken");
        until("the half to be there", || stored(&engine) != before);
        child.kill().and_then(|()| child.wait()).expect("our child");
        until("the half to be gone", || stored(&engine) == before);
    }
    assert_eq!(engine.says(&["images", "-q", "half"]), "");
    engine.leaves_nothing();
}

#[test]
fn a_client_that_is_killed_leaves_its_container_as_it_is() {
    let engine = Engine::new();
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let words = ["run", "--rm", "--name", "a", "busybox", "sh", "-c", "echo here; sleep 1000"];
        let mut child =
            engine.command(cli, &words).stdout(Stdio::null()).spawn().expect("the CLI starts");
        until("the program", || engine.run(&["logs", "a"]).out == "here");
        child.kill().and_then(|()| child.wait()).expect("our child");
        until("the daemon to see that it is gone", || connections(&engine) == "0");
        assert_eq!(engine.inspect("a", "{{.State.Running}}"), "true", "{cli:?}");
        engine.says(&["kill", "a"]);
        until("its removal", || engine.says(&["ps", "-aq"]).is_empty());
    }
    engine.leaves_nothing();
}

#[test]
fn another_user_of_the_host_reads_nothing_of_it() {
    let engine = Engine::new();
    engine.says(&[
        "run", "-d", "--name", "a", "-e", "SECRET=1", "-v", "/v", "busybox", "sleep", "1000",
    ]);
    engine.host().says(&format!("chmod 755 {}", engine.scratch().display()));
    let (data, run) = (engine.data_root(), engine.run_root());
    // Knowing every path, as whoever guesses well.
    let read = |user: &str| {
        engine.host().says(&format!(
            "find {} {} -type f | setpriv --reuid={user} --regid={user} --clear-groups \
             sh -c 'while read -r path; do test ! -r $path || echo $path; done'",
            data.display(),
            run.display()
        ))
    };
    assert!(read("0").contains("state.db"), "the look must be able to find it");
    assert_eq!(read("65534"), "");
}
