//! Paths that lead elsewhere when they are used than when they were looked
//! at. The racer is one and the same for all: see [`promises::race`].

use crate::LOOK;
use promises::{Cli, Engine, SECRET, attack::must_fail, kitchen::Kitchen, race::Race, until};
use std::fs;

/// What the other side got, if it is the host's.
fn told(out: &str) -> Option<String> {
    out.contains(SECRET).then(|| out.to_owned())
}

/// CVE-2021-30465, CVE-2024-45310: the place of a mount is a link by the time
/// that it is mounted on, or a file for it is made.
#[test]
fn a_racing_volume_leads_no_mount_outside() {
    let engine = Engine::new();
    let race = Race::of_directories(&engine, LOOK);
    race.bites("d");
    let other = engine.scratch().join("other");
    fs::create_dir(&other).expect("scratch");
    fs::write(other.join("file"), "other").expect("scratch");
    let (race_at, other) = (format!("{}:/v", race.path()), other.display().to_string());
    let over =
        [format!("{other}:/v/d"), format!("{other}:/v/d/made"), format!("{other}/file:/v/d/file")];
    race.holds("a mount", 60, |n| {
        let over = &over[n % over.len()];
        told(
            &engine
                .run(&["run", "--rm", "-v", &race_at, "-v", over, "busybox", "cat", "/v/d/secret"])
                .out,
        )
    });
    race.holds("a tmpfs", 20, |_| {
        let words =
            ["run", "--rm", "-v", &race_at, "--tmpfs", "/v/d/t", "busybox", "cat", "/v/d/secret"];
        told(&engine.run(&words).out)
    });
    race.holds("a device", 20, |_| {
        let words =
            ["run", "--rm", "-v", &race_at, "--device", "/dev/fuse:/v/d/fuse", "busybox", "true"];
        told(&engine.run(&words).out)
    });
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// The same of what comes to a container that runs, and leaves it: its programs
/// are there to exchange the place meanwhile.
#[test]
fn a_racing_place_leads_no_later_mount_outside() {
    let engine = Engine::new();
    let race = Race::of_directories(&engine, LOOK);
    race.bites("d");
    let other = engine.scratch().join("other");
    fs::create_dir(&other).expect("scratch");
    fs::write(other.join("file"), "other").expect("scratch");
    let other = other.display().to_string();
    let update =
        |word: &str, what: &str| engine.run_as(Cli::Cofferdam, &["update", word, what, "racer"]);
    let mut came = 0;
    race.holds("a mount that comes, and goes", 60, |n| {
        let place = format!("{}/{n}", ["/race/d", "/d"][n % 2]);
        let (word, what) = match n % 3 {
            0 => ("--volume", format!("{other}:{place}:ro")),
            1 => ("--volume", format!("{other}/file:{place}")),
            _ => ("--tmpfs", place.clone()),
        };
        let ran = update(word, &what);
        let script = "cat /race/*/secret /d/secret /l/secret";
        let seen = told(&engine.run(&["exec", "racer", "sh", "-c", script]).out);
        if ran.code == 0 {
            came += 1;
            // What is above it moves, and it is found all the same.
            until("it to go", || update("--unmount", &place).code == 0);
        }
        let list = engine.run(&["exec", "racer", "cat", "/proc/mounts"]).out;
        let left = list.lines().find(|line| line.contains(&format!("/{n} "))).map(str::to_owned);
        seen.or(left)
    });
    assert!(came > 0, "some came");
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// CVE-2024-21626's cousin: the working directory is a link by then.
#[test]
fn a_racing_working_directory_leads_nowhere_outside() {
    let engine = Engine::new();
    let race = Race::of_directories(&engine, LOOK);
    race.bites("d");
    let volume = format!("{}:/v", race.path());
    race.holds("a start in it", 40, |_| {
        told(
            &engine
                .run(&["run", "--rm", "-v", &volume, "-w", "/v/d", "busybox", "cat", "secret"])
                .out,
        )
    });
    race.holds("a program in it", 40, |n| {
        let at = ["/race/d", "/d"][n % 2];
        told(&engine.run(&["exec", "-w", at, "racer", "cat", "secret"]).out)
    });
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// CVE-2018-15664, CVE-2026-41568, CVE-2026-42306; CVE-2023-0778 of an export.
#[test]
fn a_racing_directory_is_copied_from_and_to_inside_alone() {
    let engine = Engine::new();
    let race = Race::of_directories(&engine, LOOK);
    race.bites("d");
    let file = engine.scratch().join("file");
    fs::write(&file, "x").expect("scratch");
    let file = file.display().to_string();
    race.holds("a copy out", 100, |n| {
        let from = ["racer:/race/d/secret", "racer:/d/secret", "racer:/race/d", "racer:/d"][n % 4];
        told(&engine.run(&["cp", from, "-"]).out)
    });
    // CVE-2026-17106: it is the client that is led astray, by what it unpacks.
    let here = engine.scratch().join("here");
    race.holds("a copy out that is unpacked", 60, |n| {
        let _ = fs::remove_dir_all(&here);
        fs::create_dir(&here).expect("scratch");
        let from = ["racer:/race/d", "racer:/race", "racer:/race/.", "racer:/d"][n % 4];
        let words = ["cp", from, &here.display().to_string()];
        engine.run_as([Cli::Docker, Cli::Cofferdam][n / 4 % 2], &words);
        None
    });
    race.holds("a copy in", 100, |n| {
        let to = ["racer:/race/d/", "racer:/d/", "racer:/race/d/secret", "racer:/d/new"][n % 4];
        told(&engine.run(&["cp", &file, to]).out)
    });
    race.holds("an export", 10, |_| told(&engine.run(&["export", "racer"]).out));
    race.holds("a look at what has changed", 20, |_| told(&engine.run(&["diff", "racer"]).out));
    race.holds("an image of it", 5, |n| {
        let name = format!("of-racer:{n}");
        engine.run(&["commit", "--pause=false", "racer", &name]);
        told(&engine.run(&["run", "--rm", &name, "cat", "/d/secret", "/l/secret"]).out)
    });
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// A part of a volume, as CVE-2017-1002101 had it of Kubernetes.
#[test]
fn a_racing_part_of_a_volume_is_inside_the_volume() {
    let engine = Engine::new();
    let race = Race::of_directories(&engine, LOOK);
    race.bites("d");
    let words = ["volume", "create", "-o", "type=none", "-o", "o=bind", "-o"];
    engine.says(&[&words[..], &[&format!("device={}", race.path()), "shared"]].concat());
    let part = "type=volume,source=shared,target=/x,volume-subpath=d";
    race.holds("a part of a volume", 60, |n| {
        let cli = [Cli::Docker, Cli::Cofferdam][n % 2];
        told(
            &engine
                .run_as(cli, &["run", "--rm", "--mount", part, "busybox", "cat", "/x/secret"])
                .out,
        )
    });
    // Of one that does not run, and handed on to others: made at a moment at
    // which it was a directory.
    let made = ["create", "--name", "idle", "--mount", part, "busybox", "true"];
    until("a moment between", || engine.run(&made).code == 0);
    race.holds("a copy out of one that does not run", 60, |_| {
        told(&engine.run(&["cp", "idle:/x/secret", "-"]).out)
    });
    race.holds("volumes from another", 60, |_| {
        // Nor is more of it there than the other had.
        let script = "cat /x/secret /x/l/secret /x/d/secret; ls -A /x";
        let words = ["run", "--rm", "--volumes-from", "idle", "busybox", "sh", "-c", script];
        let ran = engine.run(&words);
        told(&ran.out).or_else(|| ran.out.lines().any(|name| name == "l").then_some(ran.out))
    });
    engine.says(&["rm", "idle"]);
    engine.says(&["rm", "-f", "racer"]);
    engine.says(&["volume", "rm", "shared"]);
    engine.leaves_nothing();
}

/// What the racing `/dev` would give to who gets through.
const MASKS: &str = "( : >> /proc/sys/kernel/core_pattern ) 2>/dev/null || grep -q . /proc/keys \
                     || grep -q . /proc/timer_list";

/// CVE-2025-31133, CVE-2026-88265: what masks kernel files, and what stands
/// for no input, is another file by then.
#[test]
fn a_racing_null_device_masks_and_opens_nothing_else() {
    let engine = Engine::new();
    let race = Race::of_devices(&engine, LOOK, "/proc/sys/kernel/core_pattern");
    race.bites("null");
    let unmasked = ["--security-opt", "systempaths=unconfined"];
    let bites = engine.container(&unmasked, MASKS);
    assert_eq!(bites.code, 0, "without masks it succeeds: {bites:?}");
    let volume = format!("{}:/dev", race.path());
    race.holds("masks", 60, |n| {
        let detached: &[&str] = if n % 2 == 0 { &[] } else { &["-i"] };
        let ran = engine.container(&[&["-v", &volume], detached].concat(), MASKS);
        (ran.code == 0).then(|| format!("{ran:?}"))
    });
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// CVE-2025-52565, CVE-2026-88264: the terminal's name is a link by then.
#[test]
fn a_racing_console_is_put_on_nothing_else() {
    let engine = Engine::new();
    let race = Race::of_devices(&engine, LOOK, "/proc/sys/kernel/core_pattern");
    race.bites("console");
    let volume = format!("{}:/dev", race.path());
    // 136 is the first number of a terminal of devpts (devices.txt).
    let script =
        format!("{MASKS} || test -s /dev/console && ! test -c /dev/console && : >> /dev/console");
    race.holds("a console", 40, |_| {
        let ran = engine.container(&["-t", "-v", &volume], &script);
        (ran.code == 0).then(|| format!("{ran:?}"))
    });
    let points = format!("{}:/dev/pts", race.path());
    race.holds("terminals", 20, |_| {
        let ran = engine.container(&["-t", "-v", &points], &script);
        (ran.code == 0).then(|| format!("{ran:?}"))
    });
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// CVE-2025-52881 and the row of CVE-2019-16884 before it: what is written to
/// a kernel file lands in another.
#[test]
fn a_racing_volume_takes_no_place_of_the_kernels_files() {
    let engine = Engine::new();
    let race = Race::of_directories(&engine, LOOK);
    race.bites("d");
    let setting = ["--sysctl", "net.ipv4.ip_default_ttl=77"];
    let read = "cat /proc/sys/net/ipv4/ip_default_ttl";
    let plain = engine.container(&setting, read);
    assert_eq!(plain.out, "77", "it is written where nobody races: {plain:?}");
    for place in
        ["/proc", "/proc/sys", "/proc/sys/net", "/proc/self", "/proc/sys/net/ipv4", "/sys/kernel"]
    {
        let volume = format!("{}:{place}", race.path());
        race.holds(place, 5, |_| {
            let ran = engine.container(&[&setting[..], &["-v", &volume]].concat(), read);
            (ran.code == 0 && ran.out != "77").then(|| format!("{ran:?}"))
        });
    }
    engine.says(&["rm", "-f", "racer"]);
    engine.leaves_nothing();
}

/// CVE-2024-23651, CVE-2024-9675: a cache that two steps share at once.
#[test]
fn a_racing_cache_of_a_build_leads_nowhere_outside() {
    let kitchen = Kitchen::new();
    let outside = promises::Outside::of(&kitchen.engine);
    fs::copy(LOOK, kitchen.context.join("look")).expect("scratch");
    let cache = "--mount=type=cache,id=shared";
    // Both run at the same time: the last stage needs them.
    let text = format!(
        "FROM busybox AS racer\nCOPY look /look\nARG N\n\
         RUN {cache},target=/c mkdir -p /c/d && echo own > /c/d/secret; ln -sfn {} /c/l; \
         timeout 1 /look swap /c/d /c/l; echo $N > /done\n\
         FROM busybox AS victim\nARG N\n\
         RUN {cache},target=/c until test -e /c/l; do :; done; echo $N\n\
         RUN {cache},source=d,target=/v cat /v/secret; touch /v/made; echo $N; true\n\
         RUN {cache},source=d/secret,target=/v cat /v/secret; echo $N; true\n\
         FROM busybox\nCOPY --from=racer /done /done\nCOPY --from=victim /bin/sh /x\n",
        outside.path()
    );
    for n in 0..4 {
        outside.holds("a cache", || {
            let ran = kitchen.build(&text, &["--no-cache", "--build-arg", &format!("N={n}")]);
            told(&ran.out).or_else(|| told(&ran.err))
        });
    }
    kitchen.engine.says(&["builder", "prune", "-a", "-f"]);
    drop(outside);
    kitchen.engine.leaves_nothing();
}

/// CVE-2019-5736 in a race: who comes in to run a program runs a file of the
/// host's until then.
#[test]
fn a_file_that_the_engine_runs_is_never_open_for_writing() {
    let engine = Engine::new();
    let look = format!("{LOOK}:/look:ro");
    let victim = engine.scratch().join("sleep");
    fs::copy("/bin/busybox", &victim).expect("busybox-static is installed");
    // With every right, on the host's processes, it succeeds.
    let at = format!("{}:/victim:ro", victim.display());
    let options = ["run", "-d", "--name", "strong", "--privileged", "--pid", "host"];
    engine.says(
        &[&options[..], &["-v", &look, "-v", &at, "busybox", "/look", "overwrite", "/victim"]]
            .concat(),
    );
    until("the hunt to succeed on the host", || {
        engine.host().says(&format!("{} 0.01", victim.display()));
        engine.says(&["logs", "strong"]).contains("open for writing")
    });
    let program = promises::binary("cofferdam-run").display().to_string();
    let sum = || engine.host().says(&format!("sha256sum {program}"));
    let before = sum();
    for (name, options) in [("default", &[][..]), ("privileged", &["--privileged"])] {
        let words = [&["run", "-d", "--name", name], options, &["-v", &look]].concat();
        engine.says(&[&words[..], &["busybox", "/look", "overwrite"]].concat());
        until("the hunt", || engine.says(&["logs", name]).contains("hunting"));
        must_fail("the runtime's file", || {
            (0..100).find_map(|n| {
                let words: &[&str] =
                    if n % 2 == 0 { &["exec", name] } else { &["exec", "-t", name] };
                engine.run(&[words, &["true"]].concat());
                let heard = engine.says(&["logs", name]);
                heard.contains("open for writing").then_some(heard)
            })
        });
        assert_eq!(engine.inspect(name, "{{.State.Running}}"), "true", "it hunted on");
        assert_eq!(sum(), before);
    }
    // A program whose interpreter is who executes it.
    let script = "printf '#!/proc/self/exe\\n' > /evil && chmod 755 /evil";
    for name in ["default", "privileged"] {
        engine.says(&["exec", name, "sh", "-c", script]);
        must_fail("a program that is its own interpreter", || {
            let ran = engine.run(&["exec", name, "/evil"]);
            let heard = engine.says(&["logs", name]);
            (heard.contains("open for writing") || sum() != before).then(|| format!("{ran:?}"))
        });
    }
    engine.says(&["rm", "-f", "strong", "default", "privileged"]);
    assert_eq!(sum(), before);
    engine.leaves_nothing();
}
