//! How much of the disk a container may take. Whether a file system counts is
//! a matter of the kernel and of how it was made: where it does not, a limit
//! is refused. Where this machine's kernel has no quotas that is all that is
//! shown; the guest's has them (`cargo xtask test --vm`).

use promises::{Cli, Engine, Host, Ran};

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

/// The words that make a disk and mount it, with quotas, at the data root.
fn disk(make: &str) -> String {
    format!(
        "mkdir -p $DATA && truncate -s 600M $DATA.disk && {make} $DATA.disk >/dev/null && \
         mount -o loop,prjquota $DATA.disk $DATA && chmod 700 $DATA"
    )
}

#[test]
fn a_limit_that_nobody_would_enforce_is_refused() {
    is_refused();
}

#[test]
fn a_limit_holds_on_ext4_or_is_refused() {
    holds_or_is_refused("mke2fs -q -t ext4 -O project,quota", "extfs");
}

#[test]
fn a_limit_holds_on_xfs_or_is_refused() {
    holds_or_is_refused("mkfs.xfs -q", "xfs");
}

fn holds_or_is_refused(make: &str, filesystem: &str) {
    let place = tempfile::tempdir().expect("scratch");
    let script = format!("DATA={}/data; {}", place.path().display(), disk(make));
    // The disk goes with the namespace that it is mounted in.
    let tried = Host::new().sh(&script);
    if tried.status.success() {
        return limits_hold(&disk(make), filesystem);
    }
    let words = String::from_utf8_lossy(&tried.stderr);
    assert!(option_env!("COFFERDAM_EMULATED").is_none(), "the guest has quotas: {words}");
    is_refused();
}

/// What `info` says of the disk.
fn driver(engine: &Engine) -> String {
    engine.says_as(Cli::Docker, &["info", "--format", "{{.DriverStatus}}"])
}

fn is_refused() {
    let script = "mkdir -p $DATA && mount -t tmpfs -o mode=700 data $DATA";
    let mut engine = Engine::prepared(script, &[]);
    promises::busybox(&engine);
    let told = driver(&engine);
    assert!(told.contains("[Project Quota false]") && !told.contains("Limit"), "{told}");
    for cli in BOTH {
        let create = |option: &str| {
            engine.run_as(cli, &["create", "--name", "a", "--storage-opt", option, "busybox"])
        };
        let limited = create("size=10m");
        assert_eq!(limited.code, 1, "{cli:?} {limited:?}");
        for words in ["the tmpfs of", "enforces no project quota", "prjquota"] {
            assert!(limited.err.contains(words), "{cli:?} {words}: {limited:?}");
        }
        let wrong = create("size=lots");
        assert!(wrong.code == 1 && wrong.err.contains("invalid size: 'lots'"), "{wrong:?}");
        let unknown = create("colour=red");
        assert!(unknown.code == 1 && unknown.err.contains("colour"), "{unknown:?}");
        assert_eq!(engine.says(&["ps", "-aq"]), "", "nothing of it is there");
        assert_eq!(create("size=0").code, 0, "no limit is none");
        engine.says(&["rm", "a"]);
    }
    assert!(engine.stop().success());
    let refused = engine.refuses_to_start(&["--storage-opt", "size=1g"]);
    assert!(refused.contains("enforces no project quota"), "{refused}");
    engine.set_arguments(&[]);
    engine.start();
    engine.leaves_nothing();
}

fn limits_hold(disk: &str, filesystem: &str) {
    let mut engine = Engine::prepared(disk, &[]);
    promises::busybox(&engine);
    let told = driver(&engine);
    assert!(told.contains(filesystem) && told.contains("[Project Quota true]"), "{told}");
    let full = |ran: &Ran| {
        // As XFS and as ext4 tell it.
        let told = ["No space left on device", "Disk quota exceeded"];
        ran.code == 1 && told.iter().any(|words| ran.err.contains(words))
    };
    let write =
        |place: &str, mib: u32| format!("dd if=/dev/zero of={place} bs=1048576 count={mib}");
    for cli in BOTH {
        let run = |options: &[&str], script: &str| {
            let words = [&["run", "--rm"], options, &["busybox", "sh", "-c", script]].concat();
            engine.run_as(cli, &words)
        };
        let limited = |options: &[&str], script: &str| {
            run(&[&["--storage-opt", "size=20m"], options].concat(), script)
        };
        assert_eq!(run(&[], &write("/f", 40)).code, 0, "without a limit there is none");
        assert_eq!(limited(&[], &write("/f", 10)).code, 0, "{cli:?}");
        let beyond = limited(&[], &write("/f", 40));
        assert!(full(&beyond), "{cli:?} {beyond:?}");
        // An anonymous volume counts; a named one is its own.
        let anonymous = limited(&["-v", "/v"], &write("/v/f", 40));
        assert!(full(&anonymous), "{cli:?} {anonymous:?}");
        let both = format!("{} && {}", write("/v/f", 12), write("/f", 12));
        assert!(full(&limited(&["-v", "/v"], &both)), "{cli:?}: they count together");
        assert_eq!(limited(&["-v", "named:/v"], &write("/v/f", 40)).code, 0, "{cli:?}");
        // So does its log.
        let talk = "dd if=/dev/zero bs=1048576 count=15 2>/dev/null | tr '\\0' a | fold -w 1000; ";
        let logged =
            limited(&["--log-opt", "max-size=100m"], &format!("{talk} {}", write("/f", 15)));
        assert!(full(&logged), "{cli:?} {:?} {}", logged.code, logged.err);
        let told = limited(&[], "df -k / | tail -n 1 | awk '{print $2}'");
        assert_eq!(told.out, "20480", "{cli:?}: what it is told: {told:?}");
    }
    // It is kept over the daemon's and the container's ends, and shown.
    engine.says(&[
        "run", "--name", "kept", "--storage-opt", "size=20m", "busybox", "sh", "-c",
        "test -e /f && exec dd if=/dev/zero of=/g bs=1048576 count=40; dd if=/dev/zero of=/f bs=1048576 count=5",
    ]);
    assert_eq!(engine.inspect("kept", "{{index .HostConfig.StorageOpt \"size\"}}"), "20m");
    // Five of twenty MiB, and what directories and the log take.
    let df = engine.says(&["system", "df", "-v"]);
    let row = df.lines().find(|line| line.contains("kept")).expect("its row");
    assert!(df.contains("OF ITS LIMIT") && row.contains(" of 20.97MB"), "{df}");
    assert!(row.contains("5.2"), "{row}");
    assert!(engine.stop().success());
    engine.start();
    let again = engine.run(&["start", "-a", "kept"]);
    assert!(full(&again), "{again:?}");
    engine.says(&["rm", "kept"]);
    // What the daemon was told holds for who says nothing.
    assert!(engine.stop().success());
    engine.set_arguments(&["--storage-opt", "size=20m"]);
    engine.start();
    let told = driver(&engine);
    assert!(told.contains("[Container Size Limit 20971520 bytes]"), "{told}");
    assert!(full(&engine.container(&[], &write("/f", 40))), "the daemon's own limit");
    assert_eq!(engine.container(&["--storage-opt", "size=0"], &write("/f", 40)).code, 0);
    assert_eq!(engine.container(&["--storage-opt", "size=60m"], &write("/f", 40)).code, 0);
    engine.says(&["volume", "rm", "named"]);
    engine.leaves_nothing();
}
