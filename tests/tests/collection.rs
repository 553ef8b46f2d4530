//! The build cache makes way as images do: when the disk is full, and when it
//! takes more than its part of it.

use promises::{Cli, Engine, kitchen::Context};

/// A data root of so many MiB.
fn room(mib: u32) -> String {
    format!("mkdir -p $DATA && mount -t tmpfs -o size={mib}m,mode=700 tmpfs $DATA")
}

/// An engine on a small disk, with `busybox`.
fn engine(mib: u32, arguments: &[&str]) -> Engine {
    let engine = Engine::prepared(&room(mib), arguments);
    promises::busybox(&engine);
    engine
}

/// The words of a Dockerfile whose one step leaves so many MiB.
fn step(name: &str, mib: u32) -> String {
    format!(
        "FROM busybox\nRUN : {name}; dd if=/dev/zero of=/{name} bs=1048576 count={mib} 2>/dev/null\n"
    )
}

/// Builds it; says whether the step was known.
fn known(context: &Context<'_>, name: &str, mib: u32) -> bool {
    context.dockerfile(&step(name, mib));
    context.builds(Cli::Cofferdam, &["-t", name]).contains("Using cache")
}

/// The entries of the cache that are known, by their `RUN`'s first word.
fn cached(engine: &Engine) -> Vec<String> {
    let said = engine.host().says(&format!(
        "curl -sS --unix-socket {} 'http://x/system/df?type=build-cache'",
        engine.socket().display()
    ));
    let df: serde_json::Value = serde_json::from_str(&said).expect("json");
    let name = |entry: &serde_json::Value| {
        let text = entry["Description"].as_str().expect("an instruction").to_owned();
        let word = text.split_once(": ")?.1.split(';').next()?;
        Some(word.to_owned())
    };
    let entries = df["BuildCache"].as_array().into_iter().flatten();
    let mut names: Vec<String> = entries.filter_map(name).collect();
    names.sort();
    names
}

#[test]
fn a_full_disk_is_cleared_of_the_build_cache_too() {
    let marks = |above: &'static str| {
        [
            "--build-cache",
            "100",
            "--collect-above",
            above,
            "--collect-down-to",
            "40",
            "--collect-spare",
            "0",
        ]
    };
    let mut engine = engine(100, &["--build-cache", "100", "--collect-above", "0"]);
    let context = Context::new(&engine, "context");
    for name in ["oldest", "older", "served", "kept"] {
        assert!(!known(&context, name, 15));
    }
    // What is served again is young; what an image or a container has is of
    // no use to the disk.
    assert!(known(&context, "served", 15));
    engine.says(&["rmi", "oldest", "older", "served"]);
    let all = ["kept", "older", "oldest", "served"];
    assert_eq!(cached(&engine), all);
    assert!(engine.stop().success());
    engine.set_arguments(&[
        "--build-cache",
        "100",
        "--collect-above",
        "95",
        "--collect-down-to",
        "40",
        "--collect-spare",
        "0",
    ]);
    engine.start();
    let would = engine.says(&["system", "gc", "--dry-run"]);
    assert_eq!(cached(&engine), all, "it was only asked");
    assert!(would.contains("Would reclaim: 31.46MB"), "{would}");
    let tells = |name: &str| would.contains(&format!(": {name};"));
    assert!(tells("oldest") && tells("older") && !tells("served") && !tells("kept"), "{would}");
    assert!(engine.stop().success());
    engine.set_arguments(&marks("50"));
    engine.start();
    promises::until("the collection", || cached(&engine) == ["kept", "served"]);
    let context = promises::kitchen::at(&engine, &context_dir(&engine));
    assert!(known(&context, "served", 15), "it was not to go");
    engine.says(&["rmi", "served"]);
    // All of it is to go that frees anything.
    assert!(engine.stop().success());
    engine.set_arguments(&[
        "--build-cache",
        "100",
        "--collect-above",
        "95",
        "--collect-down-to",
        "1",
        "--collect-spare",
        "0",
    ]);
    engine.start();
    let said = engine.says(&["system", "gc"]);
    assert!(said.contains("Deleted build cache objects:"), "{said}");
    assert_eq!(cached(&engine), ["kept"], "an image has what it came to");
    assert_eq!(engine.says(&["run", "--rm", "kept", "ls", "/kept"]), "/kept");
    assert!(engine.says(&["system", "check", "--content"]).ends_with("nothing to mend"));
    engine.leaves_nothing();
}

fn context_dir(engine: &Engine) -> std::path::PathBuf {
    engine.scratch().join("context")
}

#[test]
fn an_image_whose_layers_the_cache_holds_makes_way_with_it() {
    let mut engine = engine(100, &["--build-cache", "100", "--collect-above", "0"]);
    let context = Context::new(&engine, "context");
    known(&context, "old", 30);
    // The newer one takes the name; what it was is the cache's alone.
    context.dockerfile(&step("new", 30));
    context.builds(Cli::Cofferdam, &["-t", "old"]);
    assert!(engine.stop().success());
    engine.set_arguments(&[
        "--build-cache",
        "100",
        "--collect-above",
        "50",
        "--collect-down-to",
        "45",
        "--collect-spare",
        "0",
    ]);
    engine.start();
    promises::until("the collection", || cached(&engine) == ["new"]);
    assert_eq!(engine.says(&["images", "-q", "--filter", "dangling=true"]), "");
    assert_eq!(engine.says(&["run", "--rm", "old", "ls", "/new"]), "/new");
    assert!(engine.says(&["system", "check", "--content"]).ends_with("nothing to mend"));
    engine.leaves_nothing();
}

#[test]
fn the_build_cache_keeps_to_its_part_of_the_disk() {
    // A third of 120 MiB.
    let mut engine = engine(120, &["--build-cache", "33", "--collect-above", "0"]);
    let context = Context::new(&engine, "context");
    for name in ["first", "second"] {
        known(&context, name, 15);
        engine.says(&["rmi", name]);
    }
    assert_eq!(cached(&engine), ["first", "second"]);
    // One more than fits: the look after its build takes the oldest.
    known(&context, "third", 15);
    engine.says(&["rmi", "third"]);
    known(&context, "fourth", 15);
    engine.says(&["rmi", "fourth"]);
    known(&context, "tiny", 0);
    promises::until("the cache to shrink", || cached(&engine) == ["fourth", "third", "tiny"]);
    assert!(known(&context, "fourth", 15), "the latest stay");
    engine.says(&["rmi", "fourth"]);
    // The bound is off where it is all of the disk.
    assert!(engine.stop().success());
    engine.set_arguments(&["--build-cache", "100", "--collect-above", "0"]);
    engine.start();
    let context = promises::kitchen::at(&engine, &context_dir(&engine));
    for name in ["fifth", "sixth"] {
        known(&context, name, 15);
        engine.says(&["rmi", name]);
    }
    assert_eq!(cached(&engine), ["fifth", "fourth", "sixth", "third", "tiny"]);
    engine.says(&["rmi", "tiny"]);
    engine.leaves_nothing();
}

#[test]
fn df_counts_what_the_build_cache_alone_has() {
    let engine = engine(100, &[]);
    let context = Context::new(&engine, "context");
    known(&context, "images", 5);
    known(&context, "own", 10);
    engine.says(&["rmi", "own"]);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let format = "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}";
        let said = engine.says_as(cli, &["system", "df", "--format", format]);
        let row = said.lines().find(|line| line.starts_with("Build Cache")).expect("a row");
        assert!(row.starts_with("Build Cache 2 0 10.49MB 10.49MB"), "{cli:?} {row}");
        let said = engine.says_as(cli, &["system", "df", "--verbose"]);
        assert!(said.contains("Build cache usage: 10.49MB"), "{cli:?} {said}");
        let rows = said.lines().filter(|line| line.contains(" regular "));
        assert_eq!(rows.count(), 2, "{cli:?} {said}");
    }
    engine.leaves_nothing();
}
