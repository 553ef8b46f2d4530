//! `cp` with an enemy's image: what the engine unpacks it unpacks itself.

use crate::wire;
use promises::{Engine, Outside, SECRET, attack::Attack, attack::must_fail};
use std::{fs, os::unix::fs::PermissionsExt as _};

/// Programs that other engines have called from inside, and libraries.
const HELPERS: [&str; 12] = [
    "bin/xz",
    "bin/gzip",
    "bin/unpigz",
    "bin/pigz",
    "bin/zstd",
    "bin/bzip2",
    "bin/tar",
    "bin/lz4",
    "bin/unxz",
    "bin/gunzip",
    "bin/sh",
    "bin/git",
];

/// CVE-2026-41567, CVE-2014-9357: an upload is unpacked by a program of the
/// container's. CVE-2019-14271: by a library of it.
#[test]
fn an_upload_is_unpacked_by_nothing_of_the_containers() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    let root = engine.scratch().join("trojan");
    engine.host().says(&format!("cp -a {}/busybox {}", engine.scratch().display(), root.display()));
    let mark = outside.dir().join("mark");
    let trojan = format!(
        "#!/bin/busybox sh\n/bin/busybox touch {} /mark\nexec /bin/busybox cat\n",
        mark.display()
    );
    for helper in HELPERS {
        let path = root.join(helper);
        let _ = fs::remove_file(&path);
        fs::write(&path, &trojan).expect("scratch");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("scratch");
    }
    for folder in ["lib", "lib64", "usr/lib/x86_64-linux-gnu/gconv"] {
        fs::create_dir_all(root.join(folder)).expect("scratch");
        for library in ["libnss_files.so.2", "libc.so.6", "ld-linux-x86-64.so.2", "gconv-modules"] {
            fs::write(root.join(folder).join(library), &trojan).expect("scratch");
        }
    }
    let tar = engine.scratch().join("trojan.tar").display().to_string();
    engine.host().says(&format!("tar -C {} -cf {tar} .", root.display()));
    engine.says(&["import", &tar, "trojan"]);
    engine.says(&[
        "run",
        "-d",
        "--name",
        "c",
        "--entrypoint",
        "/bin/busybox",
        "trojan",
        "sleep",
        "1000",
    ]);
    // A naive engine: enters the container, and calls the program by name.
    let script =
        format!("nsenter --mount --target {} /bin/xz </dev/null; true", engine.pid_of("c"));
    engine.host().says(&script);
    let planted = engine.run(&["exec", "c", "/bin/busybox", "rm", "/mark"]);
    assert_eq!(planted.code, 0, "the trojan must be able to run: {planted:?}");
    let plain = engine.scratch().join("plain.tar").display().to_string();
    engine
        .host()
        .says(&format!("cd {} && echo x > up && tar -cf {plain} up", engine.scratch().display()));
    for packer in ["xz -c", "gzip -c", "zstd -c", "bzip2 -c", "cat"] {
        outside.holds(&format!("an upload by {packer}"), || {
            let file = engine.scratch().join("upload");
            engine.host().says(&format!("{packer} {plain} > {}", file.display()));
            let bytes = fs::read(&file).expect("scratch");
            let head = format!(
                "PUT /containers/c/archive?path=/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                 Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            let answer =
                wire::say(&engine, [head.into_bytes(), bytes].concat(), Some(promises::PATIENCE));
            // What is not carried is refused, by nobody's program.
            let status = answer.get(9..10);
            assert!(matches!(status, Some("2" | "4")), "{answer}");
            let ran = engine.run(&["exec", "c", "/bin/busybox", "test", "-e", "/mark"]);
            (ran.code == 0).then(|| "the trojan ran".to_owned())
        });
    }
    outside.holds("names of users, an export, a commit, a build", || {
        engine.run(&["cp", "c:/etc/passwd", "-"]);
        engine.run(&["cp", "-a", &plain, "c:/x"]);
        engine.run(&["export", "c"]);
        engine.run(&["top", "c"]);
        engine.run(&["diff", "c"]);
        engine.run(&["commit", "c", "trojan:2"]);
        let kitchen = engine.scratch().join("kitchen");
        fs::create_dir(&kitchen).expect("scratch");
        fs::copy(&plain, kitchen.join("a.tar")).expect("scratch");
        engine.host().says(&format!("xz -k {}/a.tar", kitchen.display()));
        fs::write(
            kitchen.join("Dockerfile"),
            "FROM trojan\nADD a.tar.xz /a/\nADD a.tar /b/\nCOPY --chown=user a.tar /c/\n",
        )
        .expect("scratch");
        let built = engine.run(&["build", "-t", "trojan:3", &kitchen.display().to_string()]);
        assert_eq!(built.code, 0, "{built:?}");
        let words =
            ["run", "--rm", "--entrypoint", "/bin/busybox", "trojan:3", "test", "-e", "/mark"];
        let marked = engine.run(&["exec", "c", "/bin/busybox", "test", "-e", "/mark"]).code == 0;
        (marked || engine.run(&words).code == 0).then(|| "the trojan ran".to_owned())
    });
    engine.says(&["rm", "-f", "c"]);
    engine.says(&["builder", "prune", "-a", "-f"]);
    engine.leaves_nothing();
}

/// CVE-2021-41089, CVE-2014-6407: an archive that is copied in writes, changes
/// and links outside.
#[test]
fn an_archive_that_is_copied_in_changes_nothing_outside() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    engine.says(&["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
    let script = format!("ln -s {0} /l; ln -s {0}/secret /f", outside.path());
    engine.says(&["exec", "c", "sh", "-c", &script]);
    let make = |text: &str| {
        let tar = engine.scratch().join("evil.tar");
        let python = format!(
            "import tarfile, io\nt = tarfile.open({:?}, 'w')\nS = {:?}\ndef f(name, data=b'x', **k):\n i = tarfile.TarInfo(name); i.size = len(data); i.mode = 0o4777\n for a, b in k.items(): setattr(i, a, b)\n t.addfile(i, io.BytesIO(data))\n{text}\nt.close()\n",
            tar.display().to_string(),
            outside.path()
        );
        engine.host().says(&format!("python3 - <<'EOS'\n{python}EOS"));
        fs::File::open(tar).expect("made")
    };
    let put = |file: fs::File, to: &str| {
        let mut command = engine.command(promises::Cli::Docker, &["cp", "-", to]);
        command
            .stdin(file)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        promises::finish(command.spawn().expect("starts"), "cp")
    };
    // A naive engine: unpacks by path at the root's place on the host.
    outside.falls("unpacked by path", || {
        let root = engine.scratch().join("naive");
        fs::create_dir(&root).expect("scratch");
        std::os::unix::fs::symlink(outside.dir(), root.join("l")).expect("scratch");
        fs::write(root.join("l/evil"), "x").expect("led outside");
    });
    for (name, text) in [
        ("climbs", "f('../' * 30 + S[1:] + '/evil')"),
        ("is absolute", "f(S + '/evil')"),
        ("goes through a link", "f('l/evil')"),
        ("replaces a link's target", "f('f')"),
        ("changes the mode behind a link", "f('l', b'', type=tarfile.DIRTYPE)"),
        ("brings its own link", "f('k', b'', type=tarfile.SYMTYPE, linkname=S)\nf('k/evil')"),
        ("links hard to the outside", "f('h', b'', type=tarfile.LNKTYPE, linkname=S + '/secret')"),
        ("links hard through a link", "f('h', b'', type=tarfile.LNKTYPE, linkname='l/secret')"),
        ("brings a device", "f('d', b'', type=tarfile.BLKTYPE, devmajor=254, devminor=0)"),
        ("hides the outside", "f('l/.wh.secret', b'')\nf('.wh...', b'')\nf('l/.wh..wh..opq', b'')"),
    ] {
        for to in ["c:/", "c:/l", "c:/tmp"] {
            outside.holds(&format!("an archive that {name}, to {to}"), || {
                put(make(text), to);
                let read = engine.run(&[
                    "exec",
                    "c",
                    "sh",
                    "-c",
                    "cat /h /tmp/h /d /tmp/d 2>/dev/null | head -c 100",
                ]);
                engine.run(&[
                    "exec", "c", "rm", "-rf", "/h", "/tmp/h", "/d", "/tmp/d", "/k", "/tmp/k",
                ]);
                read.out.contains(SECRET).then_some(read.out)
            });
        }
    }
    let node = Attack {
        weakened: &["--privileged"],
        script: "mknod /n b 254 0 && head -c1 /n >/dev/null",
    };
    node.fails(&engine);
    engine.says(&["rm", "-f", "c"]);
    engine.leaves_nothing();
}

/// The same into a volume, as all that is in it: what comes is unpacked by one
/// that sees no more than its directory.
#[test]
fn an_archive_that_becomes_a_volume_changes_nothing_outside() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    let tar = engine.scratch().join("evil.tar").display().to_string();
    let make = |text: &str| {
        let python = format!(
            "import tarfile, io\nt = tarfile.open({tar:?}, 'w')\nS = {:?}\ndef f(name, data=b'x', **k):\n i = tarfile.TarInfo(name); i.size = len(data); i.mode = 0o4777\n for a, b in k.items(): setattr(i, a, b)\n t.addfile(i, io.BytesIO(data))\n{text}\nt.close()\n",
            outside.path()
        );
        engine.host().says(&format!("python3 - <<'EOS'\n{python}EOS"));
    };
    // A naive engine: unpacks by path into the volume's directory.
    outside.falls("unpacked by path", || {
        let root = engine.scratch().join("naive");
        fs::create_dir(&root).expect("scratch");
        std::os::unix::fs::symlink(outside.dir(), root.join("k")).expect("scratch");
        fs::write(root.join("k/evil"), "x").expect("led outside");
    });
    let link = "f('k', b'', type=tarfile.SYMTYPE, linkname=S)";
    for (name, text) in [
        ("climbs", "f('../' * 30 + S[1:] + '/evil')".to_owned()),
        ("is absolute", "f(S + '/evil')".to_owned()),
        ("goes through its own link", format!("{link}\nf('k/evil')")),
        ("has a link for a directory", format!("{link}\nf('k', b'', type=tarfile.DIRTYPE)")),
        ("has a link for itself", "f('.', b'', type=tarfile.SYMTYPE, linkname=S)".to_owned()),
        ("links hard", "f('h', b'', type=tarfile.LNKTYPE, linkname=S + '/secret')".to_owned()),
        (
            "links hard through a link",
            format!("{link}\nf('h', b'', type=tarfile.LNKTYPE, linkname='k/secret')"),
        ),
        (
            "brings a device",
            "f('d', b'', type=tarfile.BLKTYPE, devmajor=254, devminor=0)".to_owned(),
        ),
        ("hides the outside", format!("{link}\nf('k/.wh.secret', b'')\nf('.wh..wh..opq', b'')")),
    ] {
        outside.holds(&format!("a volume's archive that {name}"), || {
            make(&text);
            engine.run_as(promises::Cli::Cofferdam, &["volume", "import", "vol", &tar]);
            let read =
                engine.container(&["-v", "vol:/v"], "cat /v/h /v/d /v/k/secret | head -c 99");
            engine.run(&["volume", "rm", "vol"]);
            read.out.contains(SECRET).then_some(read.out)
        });
    }
    engine.leaves_nothing();
}

/// A few bytes that unpack to more than a machine has.
#[test]
fn a_bomb_fills_no_memory_and_is_given_up_when_its_client_is() {
    let engine = Engine::with(&[]);
    promises::busybox(&engine);
    // 2 GiB of zeros in 2 MB, as one member after another.
    let bomb = engine.scratch().join("bomb.tar.gz");
    engine.host().says(&format!(
        "head -c 16M /dev/zero | gzip -c > {0}/member; truncate -s 0 {1}; for n in $(seq 128); do cat {0}/member >> {1}; done",
        engine.scratch().display(),
        bomb.display()
    ));
    must_fail("a bomb of zeros", || {
        // Zeros are the end of an archive, and what follows is not a layer.
        let ran = engine.run(&["import", &bomb.display().to_string(), "bomb"]);
        let status =
            fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("it lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("listed");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        (peak > 400_000).then(|| format!("{peak} kB {ran:?}"))
    });
    for nest in ["gzip -c | gzip -c", "gzip -c | zstd -c"] {
        let file = engine.scratch().join("nested");
        let tar = engine.scratch().join("busybox.tar");
        engine.host().says(&format!("cat {} | {nest} > {}", tar.display(), file.display()));
        must_fail(nest, || {
            // Packed twice is packed once too often.
            let ran = engine.run(&["import", &file.display().to_string(), "nested"]);
            (ran.code == 0).then(|| format!("{ran:?}"))
        });
    }
    assert!(wire::is_well(&engine));
    engine.leaves_nothing();
}
