//! All that is in a volume, out as an archive and in again.

use promises::{Cli, Engine, Ran, finish, until};
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Child, Stdio},
};

/// Says all that a tree is, in lines that can be compared.
const LOOK: &str = "import os, sys, hashlib
top = os.fsencode(sys.argv[1])
names = {}
for dir, dirs, files in os.walk(top):
    dirs.sort()
    for name in sorted([b'.'] * (dir == top) + dirs + files):
        path = os.path.join(dir, name)
        s = os.lstat(path)
        first = names.setdefault(s.st_ino, path)
        kind = s.st_mode >> 12
        what = os.readlink(path) if kind == 10 else b''
        if kind == 8:
            what = hashlib.sha256(open(path, 'rb').read()).hexdigest()
        holes = kind == 8 and s.st_blocks * 512 < s.st_size
        said = [(k, os.getxattr(path, k, follow_symlinks=False))
                for k in sorted(os.listxattr(path, follow_symlinks=False)) if k != 'security.selinux']
        print(path[len(top):], oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, what, holes,
              first[len(top):], said, s.st_size if kind == 8 else 0)
";

/// Makes a tree with all that is easily lost.
const MAKE: &str = "import os, sys, struct
os.chdir(sys.argv[1])
open('plain', 'w').write('text')
os.chown('plain', 1000, 70)
os.chmod('plain', 0o640)
os.link('plain', 'again')
os.mkdir('d'); os.mkdir('d/e'); os.chmod('d/e', 0o2770); os.chown('d/e', 999, 65534)
long = 'd/' + 'n' * 250
open(long, 'w').write('long'); os.symlink('n' * 300, 'link'); os.lchown('link', 12, 13)
os.link(long, 'd/e/' + 'm' * 120)
with open('sparse', 'wb') as f:
    f.seek(5 << 20); f.write(b'x'); f.truncate(9 << 20)
os.mkfifo('fifo', 0o600)
open('tool', 'w').write('#!'); os.chown('tool', 0, 5); os.chmod('tool', 0o6755)
os.setxattr('tool', 'user.note', bytes(range(256)))
# cap_net_raw of the effective and permitted sets, revision 2.
os.setxattr('plain', 'security.capability', struct.pack('<IIIII', 0x02000001, 1 << 13, 0, 0, 0))
os.setxattr('d', 'trusted.note', b'the host alone')
os.setxattr('d', 'user.empty', b'')
for name, time in [('plain', 1), ('sparse', 10**9 * 1600000000 + 123456789), ('d/e', 7), ('d', 8)]:
    os.utime(name, ns=(time, time))
os.utime('link', ns=(5, 5), follow_symlinks=False)
os.chown('.', 999, 998); os.chmod('.', 0o1750); os.utime('.', ns=(9, 9))
";

fn place(engine: &Engine, volume: &str) -> String {
    engine.says(&["volume", "inspect", "-f", "{{.Mountpoint}}", volume])
}

/// What a volume's directory is, in words.
fn looked(engine: &Engine, volume: &str) -> String {
    let script = engine.scratch().join("look.py");
    fs::write(&script, LOOK).expect("scratch");
    engine.host().says(&format!("python3 {} {}", script.display(), place(engine, volume)))
}

fn begin(engine: &Engine, words: &[&str], input: Stdio) -> Child {
    let mut command = engine.command(Cli::Cofferdam, words);
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

fn fed(engine: &Engine, words: &[&str], file: &PathBuf) -> Ran {
    finish(begin(engine, words, fs::File::open(file).expect("scratch").into()), "an import")
}

fn is_there(engine: &Engine, volume: &str) -> bool {
    engine.run(&["volume", "inspect", volume]).code == 0
}

/// No directory of a volume but `_data` is left.
fn is_tidy(engine: &Engine) -> bool {
    let all = engine.host().says(&format!("ls {}/volumes/*", engine.data_root().display()));
    !all.contains("_import") && !all.contains("_new")
}

#[test]
fn a_volume_goes_out_and_comes_back_as_it_was() {
    let engine = Engine::new();
    engine.says(&["volume", "create", "one"]);
    let make = engine.scratch().join("make.py");
    fs::write(&make, MAKE).expect("scratch");
    engine.host().says(&format!("python3 {} {}", make.display(), place(&engine, "one")));
    let before = looked(&engine, "one");
    assert!(before.contains("security.capability") && before.contains("trusted.note"), "{before}");
    let tar = engine.scratch().join("one.tar").display().to_string();
    engine.says(&["volume", "export", "-o", &tar, "one"]);
    for (number, packer) in ["cat", "gzip -c", "zstd -qc", "bzip2 -c", "xz -c"].iter().enumerate() {
        let file = engine.scratch().join(format!("packed{number}"));
        engine.host().says(&format!("{packer} {tar} > {}", file.display()));
        let volume = format!("two{number}");
        let ran = fed(&engine, &["volume", "import", &volume], &file);
        assert_eq!((ran.code, &*ran.out), (0, &*volume), "{packer}: {ran:?}");
        assert_eq!(looked(&engine, &volume), before, "{packer}");
    }
    // The same bytes, to the output, and what others make of them.
    let piped = engine.scratch().join("piped.tar");
    let mut command = engine.command(Cli::Cofferdam, &["volume", "export", "two0", "-o", "-"]);
    let out = command.stdin(Stdio::null()).output().expect("ran");
    assert!(out.status.success(), "{out:?}");
    fs::write(&piped, out.stdout).expect("scratch");
    engine.host().says(&format!("cmp {tar} {}; tar -tf {tar} > /dev/null", piped.display()));
    // In a container its ids are the container's.
    let ran = engine.container(&["-v", "two0:/v"], "stat -c %u:%g:%a /v /v/plain; cat /v/again");
    assert_eq!(ran.out, "999:998:1750\n1000:70:640\ntext", "{ran:?}");
    assert!(is_tidy(&engine));
    engine.leaves_nothing();
}

#[test]
fn a_volume_is_exported_while_it_is_written_to() {
    let engine = Engine::new();
    let script = "echo kept > /v/a; while :; do date > /v/b; mv /v/b /v/c; done";
    engine.says(&["run", "-d", "--name", "c", "-v", "vol:/v", "busybox", "sh", "-c", script]);
    until("its first file", || engine.run(&["exec", "c", "test", "-e", "/v/a"]).code == 0);
    let tar = engine.scratch().join("v.tar").display().to_string();
    engine.says(&["volume", "export", "vol", "-o", &tar]);
    assert_eq!(engine.host().says(&format!("tar -xOf {tar} ./a")), "kept");
    // Nobody else's content is put under it.
    for force in [&["--force"][..], &[]] {
        let words = [&["volume", "import"], force, &["vol", &*tar]].concat();
        let ran = engine.run_as(Cli::Cofferdam, &words);
        let because = "volume vol is in use by container c: stop it first";
        assert!(ran.code != 0 && ran.err.contains(because), "{ran:?}");
    }
    let missing = engine.run_as(Cli::Cofferdam, &["volume", "export", "none", "-o", "/dev/null"]);
    assert!(missing.code != 0 && missing.err.contains("get none: no such volume"), "{missing:?}");
    engine.leaves_nothing();
}

#[test]
fn an_import_makes_what_is_not_there_and_replaces_only_by_force() {
    let engine = Engine::new();
    let file = engine.scratch().join("a.tar");
    fs::write(&file, promises::tar::of(&[("a", "new")])).expect("scratch");
    let path = file.display().to_string();
    let import = |words: &[&str]| {
        engine.run_as(Cli::Cofferdam, &[&["volume", "import"], words, &["vol", &*path]].concat())
    };
    let words = ["--label", "of=mine", "--opt", "colour=red"];
    let ran = import(&words);
    assert!(ran.code != 0 && ran.err.contains("invalid option: \"colour\""), "{ran:?}");
    assert!(!is_there(&engine, "vol"));
    assert_eq!(import(&words[..2]).code, 0);
    let label = engine.says(&["volume", "inspect", "-f", "{{.Labels.of}}", "vol"]);
    assert_eq!(label, "mine");
    let data = place(&engine, "vol");
    engine.host().says(&format!("rm {data}/a; echo old > {data}/old"));
    let ran = import(&[]);
    assert!(ran.code != 0 && ran.err.contains("volume vol is not empty"), "{ran:?}");
    let ran = import(&["--force", "--label", "of=others"]);
    assert!(ran.code != 0 && ran.err.contains("labels and options are for new ones"), "{ran:?}");
    assert_eq!(engine.host().says(&format!("ls {data}")), "old");
    assert_eq!(import(&["-f"]).code, 0);
    assert_eq!(engine.host().says(&format!("ls {data}")), "a");
    engine.host().says(&format!("rm {data}/a"));
    assert_eq!(import(&[]).code, 0, "an empty one");
    engine.says(&["run", "--rm", "-v", "vol:/v", "busybox", "grep", "-x", "new", "/v/a"]);
    // What is mounted on a volume is filled as it is, and never replaced.
    let elsewhere = engine.scratch().join("elsewhere");
    fs::create_dir(&elsewhere).expect("scratch");
    let device = format!("device={}", elsewhere.display());
    let bound = ["-o", "type=none", "-o", &device, "-o", "o=bind"];
    let import = |words: &[&str], file: &str| {
        let words = [&["volume", "import"], words, &["bound", file]].concat();
        engine.run_as(Cli::Cofferdam, &words)
    };
    let broken = engine.scratch().join("broken.tar");
    engine.host().says(&format!("head -c 513 {path} > {}", broken.display()));
    assert_ne!(import(&bound, &broken.display().to_string()).code, 0);
    assert_eq!(fs::read_dir(&elsewhere).expect("listed").count(), 0, "it is emptied again");
    assert!(!is_there(&engine, "bound"));
    let ran = import(&bound, &path);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(fs::read_to_string(elsewhere.join("a")).expect("it is there"), "new");
    let ran = import(&["--force"], &path);
    assert!(ran.code != 0 && ran.err.contains("cannot be replaced"), "{ran:?}");
    let ran = engine.run_as(
        Cli::Cofferdam,
        &["volume", "import", "-o", "type=tmpfs", "-o", "device=tmpfs", "memory", &path],
    );
    assert!(ran.code != 0 && ran.err.contains("is in memory"), "{ran:?}");
    assert!(!is_there(&engine, "memory") && is_tidy(&engine));
    engine.leaves_nothing();
}

#[test]
fn an_import_that_fails_leaves_no_volume_and_changes_none() {
    let engine = Engine::new();
    let good = engine.scratch().join("good.tar");
    fs::write(&good, promises::tar::of(&[("a", "1"), ("b", "2")])).expect("scratch");
    let bad = |name: &str, script: &str| {
        let file = engine.scratch().join(name);
        let script = script.replace("GOOD", &good.display().to_string());
        engine.host().says(&format!("{script} > {}", file.display()));
        file
    };
    let files = [
        (bad("nothing", "true"), "not one byte of an archive came"),
        (bad("noise", "head -c 4096 /dev/zero | tr '\\0' x"), "malformed archive"),
        (bad("cut", "head -c 1300 GOOD"), "malformed archive"),
        (bad("packed", "gzip -c GOOD | head -c 60"), "incomplete deflate stream"),
        (
            bad("climbs", "tar -P --transform 's:^:../:' -cf - -C / etc/hostname"),
            "leads out of the archive",
        ),
        (bad("device", "tar -cf - -C /dev null"), "devices are not copied"),
    ];
    engine.says(&["volume", "create", "kept"]);
    let data = place(&engine, "kept");
    engine.host().says(&format!("echo kept > {data}/file"));
    let before = looked(&engine, "kept");
    for (file, because) in &files {
        for volume in ["new", "kept"] {
            let ran = fed(&engine, &["volume", "import", "--force", volume], file);
            assert!(ran.code != 0 && ran.err.contains(because), "{}: {ran:?}", file.display());
        }
        assert!(!is_there(&engine, "new") && is_tidy(&engine), "{}", file.display());
        assert_eq!(looked(&engine, "kept"), before, "{}", file.display());
    }
    engine.leaves_nothing();
}

/// Half of an archive into a volume, and no more: who sends it lives on.
fn half(engine: &Engine, words: &[&str], seen: &str) -> Child {
    let mut child = begin(engine, words, Stdio::piped());
    let big = "x".repeat(8 << 20);
    let archive = promises::tar::of(&[("first", "1"), ("second", &big)]);
    let input = child.stdin.as_mut().expect("a pipe");
    input.write_all(&archive[..archive.len() / 2]).expect("it reads");
    input.flush().expect("it reads");
    let seen = engine.data_root().join("volumes").join(seen);
    until("the first file", || seen.join("second").exists());
    child
}

#[test]
fn nobody_comes_to_half_an_import_not_even_after_a_crash() {
    let mut engine = Engine::new();
    engine.says(&["volume", "create", "old"]);
    let data = place(&engine, "old");
    engine.host().says(&format!("echo kept > {data}/file"));
    engine.says(&["create", "--name", "c", "-v", "old:/v", "busybox", "cat", "/v/file"]);
    let mut new = half(&engine, &["volume", "import", "new"], "new/_new");
    let mut old = half(&engine, &["volume", "import", "-f", "old"], "old/_import");
    let ran = engine.run(&["start", "-a", "c"]);
    assert!(ran.code != 0 && ran.err.contains("volume old is being filled"), "{ran:?}");
    let ran = engine.run(&["run", "--rm", "-v", "new:/v", "busybox", "ls", "/v"]);
    assert!(ran.code != 0 && ran.err.contains("volume new is being filled"), "{ran:?}");
    let ran = engine.run(&["volume", "rm", "new"]);
    assert!(ran.code != 0 && ran.err.contains("volume is in use"), "{ran:?}");
    // Who leaves takes back what it began.
    old.kill().expect("ours");
    old.wait().expect("ours");
    until("what came to go", || !engine.data_root().join("volumes/old/_import").exists());
    assert_eq!(engine.says(&["start", "-a", "c"]), "kept");
    let mut old = half(&engine, &["volume", "import", "-f", "old"], "old/_import");
    engine.kill_daemon();
    for child in [&mut new, &mut old] {
        child.kill().expect("ours");
        child.wait().expect("ours");
    }
    engine.start();
    until("half a volume to go", || !is_there(&engine, "new") && is_tidy(&engine));
    assert_eq!(engine.says(&["start", "-a", "c"]), "kept");
    engine.leaves_nothing();
}
