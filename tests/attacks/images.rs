//! Images made by an enemy: their configuration and their files.

use promises::{Engine, Outside, Ran, SECRET};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// An image of busybox with further files and words of configuration.
struct Forge<'a> {
    engine: &'a Engine,
    root: PathBuf,
}

impl<'a> Forge<'a> {
    fn new(engine: &'a Engine, name: &str) -> Self {
        let root = engine.scratch().join(name);
        engine.host().says(&format!(
            "cp -a {}/busybox {}",
            engine.scratch().display(),
            root.display()
        ));
        Self { engine, root }
    }

    fn link(&self, path: &str, to: &Path) -> &Self {
        let at = self.root.join(path);
        let _ = fs::remove_dir_all(&at).or_else(|_| fs::remove_file(&at));
        symlink(to, at).expect("scratch");
        self
    }

    fn made(&self, name: &str, changes: &[&str]) -> Ran {
        let tar = self.engine.scratch().join("forged.tar").display().to_string();
        self.engine.host().says(&format!("tar -C {} -cf {tar} .", self.root.display()));
        let mut words = vec!["import"];
        for change in changes {
            words.extend(["--change", change]);
        }
        words.extend([&tar, name]);
        self.engine.run(&words)
    }
}

/// As a path that climbs as high as it can and comes down on the host's.
fn climbing(to: &str) -> String {
    format!("{}{to}", "/..".repeat(30))
}

/// CVE-2026-41579, CVE-2026-47766, CVE-2019-16884, CVE-2015-3627: places that
/// the engine itself writes to, mounts on or reads lead to the host.
#[test]
fn links_in_an_image_lead_the_engine_nowhere() {
    let engine = Engine::new();
    let root = "evil:x:0:0::/:/bin/sh\n";
    let outside = Outside::with(&engine, &[("passwd", root), ("group", "evil:x:0:\n")]);
    let targets = [outside.path(), climbing(&outside.path()), format!("{}/secret", outside.path())];
    let places = [
        "dev",
        "proc",
        "sys",
        "etc",
        "tmp",
        "dev/pts",
        "dev/shm",
        "dev/mqueue",
        "dev/null",
        "dev/console",
        "dev/ptmx",
        "etc/passwd",
        "etc/group",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
        "etc/mtab",
        "sys/fs/cgroup",
        "bin/sh",
        "root",
    ];
    for (number, place) in places.iter().enumerate() {
        let forge = Forge::new(&engine, "forge");
        if let Some(parent) = forge.root.join(place).parent() {
            fs::create_dir_all(parent).expect("scratch");
        }
        // A naive engine: the root's path and the place, put together.
        let target = match place.strip_prefix("etc/") {
            Some(name @ ("passwd" | "group")) => format!("{}/{name}", outside.path()),
            _ => targets[number % targets.len()].clone(),
        };
        forge.link(place, Path::new(&target));
        if *place == "dev" {
            outside.falls("made by path", || {
                fs::write(forge.root.join("dev/console"), "x").expect("led outside");
            });
        }
        outside.holds(&format!("{place} -> {target}"), || {
            let made = forge.made("forged", &[]);
            assert_eq!(made.code, 0, "{made:?}");
            let script = "cat /secret /etc/hosts /etc/resolv.conf /etc/passwd /dev/null /proc/secret; ls /dev /proc /sys /etc";
            for options in [&[][..], &["-t"], &["-v", "/etc/hosts:/etc/x"], &["--user", "evil"]] {
                let words = [&["run", "--rm"], options, &["forged", "/bin/busybox", "sh", "-c", script]];
                let ran = engine.run(&words.concat());
                if ran.out.contains(SECRET) || (options.contains(&"evil") && ran.code != 125 && ran.code != 126) {
                    return Some(format!("{options:?} {ran:?}"));
                }
            }
            engine.says(&["create", "--name", "c", "forged", "true"]);
            let copied = engine.run(&["cp", &format!("c:/{place}"), "-"]);
            let below = engine.run(&["cp", &format!("c:/{place}/secret"), "-"]);
            engine.run(&["cp", "/etc/hostname", &format!("c:/{place}/new")]);
            engine.says(&["rm", "-f", "c"]);
            engine.says(&["rmi", "forged"]);
            (copied.out.contains(SECRET) || below.out.contains(SECRET)).then(|| format!("{copied:?} {below:?}"))
        });
        fs::remove_dir_all(&forge.root).expect("scratch");
    }
    engine.leaves_nothing();
}

/// CVE-2024-40635, CVE-2026-46680, CVE-2016-3697, CVE-2026-30892: words that
/// come to root, or to another than they say.
#[test]
fn a_user_of_an_image_is_who_it_says_or_nobody() {
    let engine = Engine::new();
    let forge = Forge::new(&engine, "forge");
    let users = "root:x:0:0::/:/bin/sh\n4294967296:x:0:0::/:/bin/sh\n1001:x:0:0::/:/bin/sh\n\
                 -1:x:0:0::/:/bin/sh\nwide:x:4294967296:0::/:/bin/sh\nminus:x:-1:-1::/:/bin/sh\n\
                 +7:x:0:0::/:/bin/sh\n0x7:x:0:0::/:/bin/sh\nspace :x:0:0::/:/bin/sh\n";
    fs::write(forge.root.join("etc/passwd"), users).expect("scratch");
    // What it may come to: the number that it says, or a refusal.
    for (user, may) in [
        ("4294967296", ""),
        ("4294967295", ""),
        ("18446744073709551616", ""),
        ("2147483648", ""),
        ("1001", "1001"),
        ("0000001001", "1001"),
        ("wide", ""),
        ("minus", ""),
        ("1001:4294967296", ""),
        ("1001:-1", ""),
        ("1001:nonesuch", ""),
        ("1001:0:0", ""),
        (":1001", "0"),
        ("nonesuch", ""),
        ("../../root", ""),
        ("root\\n", ""),
        ("1001 ", ""),
        (" 1001", ""),
        ("1e3", ""),
    ] {
        promises::attack::must_fail(user, || {
            let made = forge.made("forged", &[&format!("USER {user}")]);
            if made.code != 0 {
                return None;
            }
            let ran = engine.run(&["run", "--rm", "forged", "id", "-u"]);
            // Words are taken from the line without blanks at its ends.
            let may = if user.trim() == user { may } else { "1001" };
            (ran.code == 0 && ran.out != may).then(|| format!("{ran:?}"))
        });
        let direct = engine.container(&["--user", user], "id -u");
        promises::attack::must_fail(user, || {
            (direct.code == 0 && direct.out != may).then(|| format!("--user: {direct:?}"))
        });
    }
    engine.leaves_nothing();
}

/// Files of users that never end, are no files, or are another's.
#[test]
fn files_of_users_hold_nobody_up_and_are_the_images_own() {
    let engine = Engine::new();
    for made in [
        "mkfifo $F",
        "mknod $F c 1 5",
        "mknod $F c 1 8",
        "mkdir $F",
        "ln -s /proc/kcore $F",
        "ln -s /dev/zero $F",
        "ln -s /proc/self/mem $F",
        "ln -s passwd $F",
        "truncate -s 64M $F",
        "head -c 3000000 /dev/zero > $F",
        "yes a:b:c | head -c 3000000 > $F",
    ] {
        let forge = Forge::new(&engine, "forge");
        let script = "rm -f $F; ".to_owned() + made;
        engine.host().says(&format!("F={}/etc/passwd; {script}", forge.root.display()));
        promises::attack::must_fail(made, || {
            let imported = forge.made("forged", &["USER nobody"]);
            assert_eq!(imported.code, 0, "{imported:?}");
            // It must end, with a refusal or as a user that is not root.
            let ran = engine.run(&["run", "--rm", "forged", "id", "-u"]);
            let rooted = engine.run(&["run", "--rm", "--user", "0", "forged", "true"]);
            engine.says(&["rmi", "forged"]);
            (ran.code == 0 || rooted.code == 124).then(|| format!("{ran:?} {rooted:?}"))
        });
        fs::remove_dir_all(&forge.root).expect("scratch");
    }
    let memory = fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("it lives");
    let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("listed");
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(peak < 400_000, "the daemon took {peak} kB");
    engine.leaves_nothing();
}

/// CVE-2024-21626 by an image: where its program begins.
#[test]
fn a_working_directory_of_an_image_is_inside() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    let forge = Forge::new(&engine, "forge");
    forge.link("out", outside.dir());
    forge.link("fd", Path::new("/proc/self/fd"));
    let mut places = vec![
        outside.path(),
        climbing(&outside.path()),
        "/out".to_owned(),
        "/out/made".to_owned(),
        "/proc/1/root".to_owned(),
        "/proc/self/cwd".to_owned(),
        "/proc/1/cwd".to_owned(),
        format!("/proc/self/root{}", outside.path()),
        "../../..".to_owned(),
    ];
    places.extend((3..20).map(|n| format!("/proc/self/fd/{n}")));
    places.extend([7, 8].map(|n| format!("/fd/{n}/../../..")));
    // Whoever joins paths comes out at the host's.
    let naive = forge.root.join(format!("./{}", climbing(&outside.path())));
    assert!(fs::canonicalize(naive).expect("there").ends_with("outside"));
    for place in places {
        outside.holds(&format!("WORKDIR {place}"), || {
            let made = forge.made("forged", &[&format!("WORKDIR {place}")]);
            if made.code != 0 {
                return None;
            }
            let look = format!(
                "cat secret ./../secret 2>/dev/null; ls -d ..{}; ls -di . ..",
                outside.path()
            );
            let ran = engine.run(&["run", "--rm", "forged", "sh", "-c", &look]);
            engine.says(&["run", "-d", "--name", "c", "-w", "/", "forged", "sleep", "1000"]);
            let exec = engine.run(&["exec", "-w", &place, "c", "sh", "-c", &look]);
            engine.says(&["rm", "-f", "c"]);
            [ran, exec].iter().find(|ran| ran.out.contains(SECRET)).map(|ran| format!("{ran:?}"))
        });
    }
    engine.leaves_nothing();
}

/// CVE-2015-3631, CVE-2022-23648: volumes of an image that point out of it.
#[test]
fn volumes_of_an_image_are_places_inside() {
    let engine = Engine::new();
    let outside = Outside::of(&engine);
    let forge = Forge::new(&engine, "forge");
    forge.link("out", outside.dir());
    for place in [
        climbing(&outside.path()),
        format!("{}/made", climbing(&outside.path())),
        "/out".to_owned(),
        "/out/made".to_owned(),
        format!("{}:/stolen", outside.path()),
        format!("{0}:{0}:rw", outside.path()),
        "/".to_owned(),
        "/..".to_owned(),
        "/proc".to_owned(),
        "/proc/self".to_owned(),
        "/proc/sys".to_owned(),
        "/sys".to_owned(),
        "/sys/fs/cgroup".to_owned(),
        "relative".to_owned(),
        ".".to_owned(),
    ] {
        outside.holds(&format!("VOLUME {place}"), || {
            let made = forge.made("forged", &[&format!("VOLUME [\"{place}\"]")]);
            if made.code != 0 {
                return None;
            }
            // Nothing of the host's is there, and the kernel's files are not
            // to be written.
            let look = format!(
                "cat /stolen/secret {0}/secret /out/secret 2>/dev/null; echo x > /out/planted 2>/dev/null; \
                 echo x > {0}/planted 2>/dev/null; ( : >> /proc/sys/kernel/core_pattern ) 2>/dev/null && echo {SECRET}; \
                 mkdir /sys/fs/cgroup/x 2>/dev/null && test -e /sys/fs/cgroup/x/tasks && echo {SECRET}; true",
                outside.path()
            );
            let ran = engine.run(&["run", "--rm", "forged", "sh", "-c", &look]);
            engine.says(&["rmi", "-f", "forged"]);
            ran.out.contains(SECRET).then(|| format!("{ran:?}"))
        });
    }
    engine.leaves_nothing();
}

/// CVE-2014-6408: an image has no say in how it is confined; and what is in
/// its environment is heard by its own program alone.
#[test]
fn the_environment_and_labels_of_an_image_rule_nobody() {
    let engine = Engine::new();
    let forge = Forge::new(&engine, "forge");
    let mark = engine.scratch().join("mark");
    let evil = format!("#!/bin/sh\necho x > {}\n", mark.display());
    fs::write(forge.root.join("evil"), evil).expect("scratch");
    let changes = [
        "ENV LD_PRELOAD=/evil LD_LIBRARY_PATH=/ GCONV_PATH=/ PATH=/evil:/bin",
        "ENV COFFERDAM_DIES_AT=every LISTEN_FDS=64 LISTEN_PID=1 NOTIFY_SOCKET=/evil",
        "ENV DOCKER_HOST=unix:///evil TMPDIR=/evil XDG_RUNTIME_DIR=/evil HOME=/proc/self/fd",
        "ENV _LIBCONTAINER_INITPIPE=3 _LIBCONTAINER_STATEDIR=/ RUST_BACKTRACE=full",
        "LABEL cofferdam.egress=metadata com.docker.security=unconfined run.oci.handler=krun",
        "LABEL io.kubernetes.cri-o.userns-mode=host org.systemd.property.ExecStart=/evil",
    ];
    let made = forge.made("forged", &changes);
    assert_eq!(made.code, 0, "{made:?}");
    promises::attack::must_fail("an environment", || {
        let strict = "grep -q 'Seccomp:.*2' /proc/self/status && test $(wc -l < /proc/self/uid_map) = 1 \
                      && ! grep -q ' 0 *0 ' /proc/self/uid_map && ! ls -l /proc/self/fd | grep -q ' [4-9] ->'";
        let ran = engine.run(&["run", "-d", "--name", "c", "forged", "sleep", "1000"]);
        let told = engine.run(&["exec", "c", "sh", "-c", strict]);
        let audit = engine.run(&["audit", "c"]);
        engine.run(&["rm", "-f", "c"]);
        let weak = ran.code != 0 || told.code != 0 || !audit.out.contains("weakened in no way");
        (weak || mark.exists()).then(|| format!("{ran:?} {told:?} {audit:?}"))
    });
    assert_eq!(engine.says(&["version", "-f", "{{.Server.APIVersion}}"]), "1.51");
    engine.leaves_nothing();
}
