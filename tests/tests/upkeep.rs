//! The store over time: it survives the daemon's death anywhere, is checked
//! and mended, measured, pruned, and collected when the disk is full.

use promises::{Cli, Engine, Registry, Wants};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt as _;
use sys::fail::{Point, VARIABLE};

const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

/// The words that import an image with one file of so many bytes, the same
/// nowhere else.
fn to_import(engine: &Engine, name: &str, bytes: usize) -> Vec<String> {
    let file = engine.scratch().join("file");
    std::fs::create_dir_all(&file).expect("scratch");
    let text = name.repeat(bytes / name.len() + 1);
    std::fs::write(file.join("content"), &text.as_bytes()[..bytes]).expect("scratch");
    let tar = engine.scratch().join("file.tar");
    let (file, tar) = (file.display().to_string(), tar.display().to_string());
    engine.host().says(&format!("tar -C {file} -cf {tar} ."));
    let label = format!("LABEL of={}", name.split(':').next().unwrap_or_default());
    ["import", "--change", &label, &tar, name].map(str::to_owned).into()
}

fn import(engine: &Engine, name: &str, bytes: usize) {
    let words = to_import(engine, name, bytes);
    engine.says(&words.iter().map(String::as_str).collect::<Vec<_>>());
}

fn images(engine: &Engine) -> Vec<String> {
    let said = engine.says(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let mut names: Vec<String> = said.lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

#[test]
fn a_daemon_that_dies_anywhere_leaves_nothing_to_mend() {
    let mut engine = Engine::new();
    for (bytes, at) in (5000..).zip(Point::ALL) {
        import(&engine, "old:1", bytes);
        assert!(engine.stop().success());
        engine.start_in(&[(VARIABLE, at.name())]);
        let removes = matches!(at, Point::Forgotten | Point::LayerMovedAway | Point::LayerRemoved);
        let words = if removes {
            ["rmi", "old:1"].map(str::to_owned).into()
        } else {
            to_import(&engine, "new:1", 7000)
        };
        let told = engine.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_ne!(told.code, 0, "{}: {told:?}", at.name());
        assert_eq!(engine.died().signal(), Some(9), "{}", at.name());
        engine.start();
        let said = engine.says(&["system", "check", "--content"]);
        assert!(said.ends_with(": nothing to mend"), "{}: {said}", at.name());
        assert_eq!(engine.container(&[], "echo well").out, "well", "{}", at.name());
        engine.run(&["rmi", "new:1"]);
    }
    engine.leaves_nothing();
}

#[test]
fn what_was_done_to_the_store_is_found_and_mended() {
    let engine = Engine::new();
    let data = engine.data_root();
    engine.says(&["volume", "create", "lost"]);
    engine.says(&["create", "--name", "new", "busybox", "true"]);
    engine.says(&["run", "--name", "ran", "busybox", "true"]);
    import(&engine, "broken:1", 5000);
    assert!(engine.says(&["system", "check", "--content"]).ends_with("nothing to mend"));
    let root = |name: &str| {
        let id = engine.inspect(name, "{{.Id}}");
        data.join("containers").join(id).join("upper").display().to_string()
    };
    engine.host().says(&format!(
        "cd {} && rm -r volumes/lost && mkdir -p volumes/found/_data containers/{} && \
         echo dear > volumes/found/_data/file && rm -r {} {}",
        data.display(),
        "a".repeat(64),
        root("new"),
        root("ran"),
    ));
    let layer = engine.inspect("broken:1", "{{index .RootFS.Layers 0}}");
    let layer = data.join("layers").join(layer.trim_start_matches("sha256:"));
    std::fs::write(layer.join("root/content"), vec![b'x'; 5000]).expect("written");
    let quick = engine.run(&["system", "check"]);
    assert!(quick.code == 1 && !quick.out.contains("broken"), "it reads no content: {quick:?}");
    let found = engine.run(&["system", "check", "--content"]);
    assert_eq!(found.code, 1, "{found:?}");
    for words in [
        "volume lost: its directory is missing",
        "volume directory found: no record names it",
        "(new): what it writes has no directory",
        "(ran): what it writes has no directory",
        "container directory aaaa",
        "(broken:1): its layer",
        "6 to mend",
    ] {
        assert!(found.out.contains(words), "{words}: {}", found.out);
    }
    let mended = engine.run(&["system", "check", "--content", "--repair"]);
    assert!(mended.code == 1 && mended.out.contains("what it wrote is lost"), "{mended:?}");
    engine.says(&["rm", "ran"]);
    assert!(engine.says(&["system", "check", "--content"]).ends_with("nothing to mend"));
    engine.says(&["start", "-a", "new"]);
    assert_eq!(engine.container(&["-v", "found:/v"], "cat /v/file").out, "dear");
    assert_eq!(engine.container(&["-v", "lost:/v"], "ls /v").out, "");
    assert!(!images(&engine).contains(&"broken:1".to_owned()));
    import(&engine, "broken:1", 5000);
    let json = engine.says(&["system", "check", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).expect("json");
    assert_eq!(json["Findings"], serde_json::json!([]));
    engine.leaves_nothing();
}

#[test]
fn a_full_disk_is_cleared_of_what_nobody_uses() {
    const ROOM: &str = "mkdir -p $DATA && mount -t tmpfs -o size=128m,mode=700 tmpfs $DATA";
    let marks =
        |above| ["--collect-above", above, "--collect-down-to", "45", "--collect-spare", "0"];
    let mut engine = Engine::prepared(ROOM, &marks("95"));
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Nothing);
    let [pinned, used, old, young] =
        ["pinned", "used", "old", "young"].map(|name| registry.name(&format!("{name}:1")));
    for name in [pinned.as_str(), &used, &old, "made:1", &young] {
        import(&engine, name, 13 << 20);
    }
    for name in [&pinned, &used, &old, &young] {
        engine.says(&["push", name]);
    }
    engine.says(&["create", "--name", "user", &used, "/content"]);
    assert_eq!(engine.says(&["image", "pin", &pinned]), pinned);
    assert_ne!(engine.run(&["image", "pin", "nonesuch"]).code, 0);
    let all = images(&engine);
    let would = engine.says(&["system", "gc", "--dry-run"]);
    assert!(would.contains("it is to come down to 45%"), "{would}");
    assert!(would.contains("old") && would.contains("Would reclaim: 13.63MB"), "{would}");
    for kept in ["pinned", "used", "made", "young", "report"] {
        assert!(!would.contains(kept), "{kept}: {would}");
    }
    assert_eq!(images(&engine), all, "it was only asked");
    assert!(engine.stop().success());
    engine.set_arguments(&["--collect-above", "0"]);
    engine.start();
    import(&engine, "tiny:1", 1000);
    engine.says(&["rmi", "tiny:1"]);
    assert_eq!(images(&engine), all, "switched off");
    assert!(engine.stop().success());
    engine.set_arguments(&marks("50"));
    engine.start();
    promises::until("the collection", || !images(&engine).contains(&old));
    let left: Vec<String> = all.iter().filter(|name| **name != old).cloned().collect();
    assert_eq!(images(&engine), left);
    // Nothing is young enough when all is to go that may.
    assert!(engine.stop().success());
    engine.set_arguments(&[
        "--collect-above",
        "50",
        "--collect-down-to",
        "1",
        "--collect-spare",
        "0",
    ]);
    engine.start();
    let said = engine.says(&["system", "gc"]);
    assert!(
        said.contains(&format!("untagged: {young}")) && said.contains("Total reclaimed space"),
        "{said}"
    );
    engine.says(&["image", "unpin", &pinned]);
    engine.says(&["system", "gc"]);
    assert_eq!(images(&engine), [used.as_str(), "cofferdam/report:latest", "made:1"]);
    drop(registry);
    assert!(engine.says(&["system", "check", "--content"]).ends_with("nothing to mend"));
    engine.leaves_nothing();
}

#[test]
fn a_stopped_container_keeps_the_layers_of_an_image_that_was_forced_away() {
    let mut engine = Engine::new();
    engine.says(&["create", "--name", "c", "busybox", "cat", "/etc/passwd"]);
    engine.says(&["create", "--name", "d", "busybox", "true"]);
    let refused = engine.run(&["rmi", "busybox"]);
    assert!(refused.err.contains("must force"), "{refused:?}");
    let gone = engine.says_as(Cli::Docker, &["rmi", "-f", "busybox"]);
    assert!(gone.contains("Deleted: sha256:"), "{gone}");
    assert_ne!(engine.run(&["image", "inspect", "busybox"]).code, 0);
    let layers = engine.data_root().join("layers");
    let count = || std::fs::read_dir(&layers).expect("layers").count();
    let held = count();
    let starts = |engine: &Engine| {
        let said = engine.says(&["start", "-a", "c"]);
        assert!(said.contains("root:x:0:0"), "{said}");
        let checked = engine.says(&["system", "check"]);
        assert!(checked.ends_with(": nothing to mend"), "{checked}");
    };
    starts(&engine);
    engine.kill_daemon();
    engine.start();
    starts(&engine);
    // The last of them takes the layers along.
    engine.says(&["rm", "d"]);
    assert_eq!(count(), held);
    engine.says(&["rm", "c"]);
    assert_eq!(count(), held - 1);
    let checked = engine.says(&["system", "check"]);
    assert!(checked.ends_with(": nothing to mend"), "{checked}");
    engine.leaves_nothing();
}

#[test]
fn prune_takes_what_the_filters_let() {
    let engine = Engine::new();
    // It is older than anything.
    engine.says(&["rmi", "cofferdam/report"]);
    for cli in BOTH {
        let says = |words: &[&str]| engine.says_as(cli, words);
        for name in ["a:1", "b:1", "pinned:1", "c:1"] {
            import(&engine, name, 3000);
        }
        engine.says(&["image", "pin", "pinned:1"]);
        // The newer one takes the name.
        import(&engine, "c:1", 4000);
        let said = says(&["image", "prune", "--force", "--filter", "label=of=a"]);
        assert!(said.contains("Total reclaimed space: 0B"), "{cli:?} {said}");
        let said = says(&["image", "prune", "--force"]);
        assert!(said.contains("Total reclaimed space: 3kB"), "{cli:?} {said}");
        let said = says(&["image", "prune", "-a", "--force", "--filter", "until=1h"]);
        assert!(said.contains("Total reclaimed space: 0B"), "{cli:?} {said}");
        let said = says(&["image", "prune", "-a", "--force", "--filter", "label=of=a"]);
        assert!(said.contains("untagged: a:1") && !said.contains("b:1"), "{cli:?} {said}");
        let refused = engine.run_as(cli, &["image", "prune", "--force", "--filter", "zzz=1"]);
        assert!(refused.code != 0 && refused.err.contains("zzz"), "{cli:?} {refused:?}");
        says(&["run", "--name", "ended", "-v", "/v", "busybox", "true"]);
        says(&["run", "-d", "--name", "runs", "busybox", "sleep", "1000"]);
        let said = says(&["system", "prune", "-a", "--volumes", "--force"]);
        assert!(said.contains("untagged: b:1") && said.contains("untagged: c:1"), "{cli:?} {said}");
        let left = images(&engine);
        assert_eq!(left, ["busybox:latest", "pinned:1"], "{cli:?}");
        assert_eq!(says(&["ps", "-a", "--format", "{{.Names}}"]), "runs");
        says(&["rm", "-f", "runs"]);
        assert_eq!(says(&["volume", "ls", "-q"]), "", "anonymous ones go with --volumes: {cli:?}");
        engine.says(&["image", "unpin", "pinned:1"]);
        engine.says(&["rmi", "pinned:1"]);
    }
    engine.leaves_nothing();
}

#[test]
fn df_counts_the_files_that_are_there() {
    let engine = Engine::new();
    engine.says(&[
        "run",
        "--name",
        "c",
        "-v",
        "data:/v",
        "busybox",
        "sh",
        "-c",
        "dd if=/dev/zero of=/big bs=1000 count=123 2>/dev/null; ln /big /same; echo four > /v/f",
    ]);
    engine.says(&["commit", "c", "child:1"]);
    let data = engine.data_root();
    let bytes = |dir: String| {
        number(&engine.host().says(&format!(
            "find {dir} -type f -printf '%i %s\\n' | sort -u | awk '{{s += $2}} END {{print s + 0}}'"
        )))
    };
    let df: Value =
        serde_json::from_str(&engine.host().says(&format!(
            "curl -sS --unix-socket {} http://x/system/df",
            engine.socket().display()
        )))
        .expect("json");
    let all = bytes(format!("{}/layers/*/root", data.display()));
    assert_eq!(df["LayersSize"].as_u64(), Some(all), "{df}");
    let layers = |image: &str| {
        let layers = engine.inspect(image, "{{join .RootFS.Layers \" \"}}");
        let of = |id: &str| {
            let hex = id.trim_start_matches("sha256:").to_owned();
            bytes(format!("{}/layers/{hex}/root", data.display()))
        };
        layers.split(' ').map(of).collect::<Vec<u64>>()
    };
    let (base, child) = (layers("busybox"), layers("child:1"));
    assert_eq!((base.len(), child[0], child[1]), (1, base[0], 123_000));
    let row = |tag: &str| {
        let images = df["Images"].as_array().expect("images");
        images.iter().find(|i| i["RepoTags"][0] == tag).expect(tag).clone()
    };
    assert_eq!(row("busybox:latest")["Size"].as_u64(), Some(base[0]));
    assert_eq!(row("busybox:latest")["SharedSize"].as_u64(), Some(base[0]));
    assert_eq!(row("child:1")["Size"].as_u64(), Some(base[0] + 123_000));
    assert_eq!(row("child:1")["SharedSize"].as_u64(), Some(base[0]));
    assert_eq!(df["Containers"][0]["SizeRw"].as_u64(), Some(123_000), "two names, one file");
    assert_eq!(df["Volumes"][0]["UsageData"]["Size"].as_u64(), Some(5));
    for cli in BOTH {
        let table = engine.says_as(cli, &["system", "df", "-v"]);
        let line = table.lines().find(|line| line.starts_with("child")).expect("a row");
        assert!(line.contains("123kB"), "{cli:?} {line}");
        let short = engine.says_as(cli, &["system", "df", "--format", "{{.Type}}={{.TotalCount}}"]);
        assert!(short.contains("Images=3") && short.contains("Containers=1"), "{cli:?} {short}");
    }
    engine.leaves_nothing();
}

#[test]
fn what_cannot_be_measured_or_read_does_not_hide_the_rest() {
    let engine = Engine::new();
    import(&engine, "good:1", 1000);
    import(&engine, "bad:1", 1000);
    // Deeper than any path may be.
    let deep = "n=$(printf %0200d 0); i=0; while [ $i -lt 30 ]; do i=$((i + 1)); \
                mkdir $n && cd -P $n || exit 1; done; echo four > f";
    let ran = engine.container(&["-v", "data:/v", "-w", "/v"], deep);
    assert_eq!(ran.code, 0, "{ran:?}");
    for cli in BOTH {
        let volumes = "{{range .Volumes}}{{.Name}} {{.Size}}{{end}}";
        let said = engine.says_as(cli, &["system", "df", "-v", "--format", volumes]);
        assert_eq!(said, "data 5B", "{cli:?}");
    }
    let id = engine.inspect("bad:1", "{{.Id}}");
    let document = format!("$(find {} -type f -name {})", engine.data_root().display(), &id[7..]);
    engine.host().says(&format!("test -f {document} && echo '{{}}' > {document}"));
    for cli in BOTH {
        let images = engine.says_as(cli, &["images", "--format", "{{.Repository}}"]);
        let has = |name| images.lines().any(|line| line == name);
        assert!(has("good") && has("busybox") && !has("bad"), "{cli:?} {images}");
        for words in [["system", "df"], ["image", "prune"], ["builder", "prune"]] {
            let force: &[&str] = if words[1] == "df" { &[] } else { &["--force"] };
            engine.says_as(cli, &[&words, force].concat());
        }
    }
    assert!(engine.logged().contains("an image cannot be listed"), "{}", engine.logged());
    let checked = engine.run(&["system", "check"]);
    assert!(checked.out.contains(&id[7..19]) || checked.out.contains("bad"), "{checked:?}");
}

#[test]
fn records_that_are_lost_or_older_cost_nothing() {
    let mut engine = Engine::new();
    let data = engine.data_root();
    let records = data.join("state.db");
    engine.says(&["volume", "create", "before"]);
    assert!(engine.stop().success());
    let older = std::fs::read(&records).expect("closed");
    engine.start();
    import(&engine, "newer:1", 5000);
    engine.says(&["run", "--name", "ran", "busybox", "sh", "-c", "echo dear > /file"]);
    assert!(engine.stop().success());
    let right = std::fs::read(&records).expect("closed");
    let all = || {
        let listed = "find blobs layers containers volumes -mindepth 1 -maxdepth 2 | sort";
        engine.host().says(&format!("cd {} && {listed}", data.display()))
    };
    let before = all();
    for wrong in [Some(&older), None] {
        let _ = std::fs::remove_file(&records);
        if let Some(bytes) = wrong {
            std::fs::write(&records, bytes).expect("restored");
        }
        let script = format!(
            "timeout 60 {} --host unix://{} --data-root {} --run-root {} 2>&1",
            promises::binary("cofferdamd").display(),
            engine.socket().display(),
            data.display(),
            engine.run_root().display(),
        );
        let out = engine.host().sh(&script);
        let said = String::from_utf8_lossy(&out.stdout);
        assert!(!out.status.success() && said.contains("put the right ones back"), "{said}");
        assert_eq!(all(), before);
    }
    std::fs::write(&records, &right).expect("put back");
    engine.start();
    assert!(engine.says(&["system", "check", "--content"]).ends_with("nothing to mend"));
    engine.says(&["start", "-a", "ran"]);
    // Somebody may want to go on with the older ones all the same.
    assert!(engine.stop().success());
    std::fs::write(&records, &older).expect("restored");
    std::fs::remove_file(data.join("opened")).expect("as the words say");
    engine.start();
    assert_eq!(images(&engine), ["busybox:latest", "cofferdam/report:latest"]);
    engine.leaves_nothing();
}
