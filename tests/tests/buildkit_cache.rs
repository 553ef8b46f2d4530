//! BUILD: what BuildKit's door keeps from one build to the next: contexts,
//! steps, and how much of both.

use promises::{Cli, Registry, Wants, kitchen::Kitchen};
use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

/// Bytes of the context that the client sent, as the progress has it.
fn sent(said: &str) -> f64 {
    let mut lines = said.lines().filter_map(|line| line.split_once("transferring context: "));
    let last = lines.next_back().unwrap_or_else(|| panic!("no context was sent: {said}")).1;
    let word = last.split_whitespace().next().expect("a size");
    let at = word.find(char::is_alphabetic).expect("a unit");
    let unit = match &word[at..] {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        other => panic!("{other}: {said}"),
    };
    word[..at].parse::<f64>().expect("a number") * unit
}

#[test]
fn a_context_that_comes_again_brings_what_differs_alone() {
    let mut kitchen = Kitchen::new();
    kitchen.file("big", &"x".repeat(500_000)).file("d/a", "one\n").file("d/b", "two\n");
    kitchen.file("gone/x", "gone\n").file("turns", "file\n").file("stays", "stays\n");
    symlink("a", kitchen.context.join("d/link")).expect("scratch");
    fs::hard_link(kitchen.context.join("d/a"), kitchen.context.join("d/hard")).expect("scratch");
    let dockerfile = "FROM busybox\nCOPY . /all/\n";
    let first = kitchen.builds(dockerfile, &["-t", "made"]);
    assert!(sent(&first) > 500_000.0, "{first}");
    let again = kitchen.builds(dockerfile, &["-t", "made"]);
    assert!(sent(&again) < 2_000.0 && again.contains("CACHED"), "{again}");
    // What changes its content, kind, mode, name or place.
    let at = |path: &str| kitchen.context.join(path);
    fs::write(at("d/b"), "2\n").expect("scratch");
    fs::remove_dir_all(at("gone")).expect("scratch");
    fs::remove_file(at("turns")).expect("scratch");
    fs::create_dir(at("turns")).expect("scratch");
    fs::write(at("turns/in"), "dir\n").expect("scratch");
    fs::set_permissions(at("stays"), fs::Permissions::from_mode(0o700)).expect("scratch");
    fs::remove_file(at("d/link")).expect("scratch");
    symlink("b", at("d/link")).expect("scratch");
    fs::remove_file(at("d/hard")).expect("scratch");
    fs::write(at("d/hard"), "own\n").expect("scratch");
    let changed = kitchen.builds(dockerfile, &["-t", "made"]);
    assert!(sent(&changed) < 2_000.0 && !changed.contains("CACHED"), "{changed}");
    let script = "cd /all; cat d/a d/b d/link d/hard turns/in stays; stat -c %a stays; wc -c < big; ls; \
                  stat -c %h d/a";
    let seen = kitchen.engine.says(&["run", "--rm", "made", "sh", "-c", script]);
    let listed = "Dockerfile\nbig\nd\nstays\nturns";
    assert_eq!(seen, format!("one\n2\n2\nown\ndir\nstays\n700\n500000\n{listed}\n1"));
    // The next daemon knows them, too.
    kitchen.engine.kill_daemon();
    kitchen.engine.start();
    let later = kitchen.builds(dockerfile, &["-t", "made"]);
    assert!(sent(&later) < 2_000.0 && later.contains("CACHED"), "{later}");
    // Another directory has a context of its own.
    let other = kitchen.engine.scratch().join("other");
    fs::create_dir(&other).expect("scratch");
    fs::write(other.join("only"), "only\n").expect("scratch");
    fs::write(other.join("Dockerfile"), dockerfile).expect("scratch");
    let other = other.display().to_string();
    kitchen.engine.says_as(Cli::Docker, &["build", "-t", "other", &other]);
    let seen = kitchen.engine.says(&["run", "--rm", "other", "ls", "/all"]);
    assert_eq!(seen, "Dockerfile\nonly");
    // They are listed, and go when they are asked to.
    let filter = "type=source.local";
    let used = kitchen.engine.says_as(Cli::Docker, &["buildx", "du", "--verbose"]);
    assert!(used.contains("source.local"), "{used}");
    kitchen.engine.says_as(Cli::Docker, &["buildx", "prune", "--force", "--filter", filter]);
    let contexts = kitchen.engine.data_root().join("build/contexts");
    assert_eq!(files_below(&contexts), 0);
    let whole = kitchen.builds(dockerfile, &["-t", "made"]);
    assert!(sent(&whole) > 500_000.0 && whole.contains("CACHED"), "{whole}");
    kitchen.engine.leaves_nothing();
}

fn files_below(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let paths = entries.map(|entry| entry.expect("entry").path());
    paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

#[test]
fn a_context_in_use_is_no_other_builds() {
    let kitchen = Kitchen::new();
    kitchen.file("f", "first\n").file("Dockerfile", "FROM busybox\nCOPY f /f\n");
    kitchen.file("Slow", "FROM busybox\nRUN --mount=target=/c sleep 2; cp /c/f /f\n");
    kitchen.builds("FROM busybox\nCOPY f /f\n", &["-t", "made"]);
    let context = kitchen.context.display().to_string();
    let file = kitchen.context.join("Slow").display().to_string();
    let slow = ["build", "-q", "-t", "slow", "-f", &file, &context];
    let slow = kitchen.engine.command(Cli::Docker, &slow).spawn().expect("starts");
    promises::until("the slow step", || !kitchen.engine.says(&["ps", "-q"]).is_empty());
    kitchen.file("f", "second\n");
    kitchen.builds("FROM busybox\nCOPY f /f\n", &["-t", "made"]);
    let ran = promises::finish(slow, "the slow build");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(kitchen.holds("made", "/f"), "second");
    assert_eq!(kitchen.holds("slow", "/f"), "first", "it was changed under a build's hands");
    kitchen.engine.leaves_nothing();
}

#[test]
fn an_image_of_a_registry_lends_its_steps_by_both_doors() {
    let kitchen = Kitchen::new();
    let registry = Registry::start(&kitchen.engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("lender");
    let dockerfile =
        "FROM busybox\nENV A=1\nRUN echo $A > /a; date +%N > /when\nRUN echo more >> /a\n";
    kitchen.builds(dockerfile, &["-t", &name, "--cache-to", "type=inline"]);
    let when = kitchen.holds(&name, "/when");
    kitchen.engine.says(&["push", &name]);
    let forget = || {
        for image in
            kitchen.engine.says(&["images", "-q", "--filter", "reference=*/lender"]).lines()
        {
            kitchen.engine.says(&["rmi", "-f", image]);
        }
        kitchen.engine.run(&["rmi", "-f", "made"]);
        kitchen.engine.says(&["builder", "prune", "-a", "-f"]);
    };
    forget();
    assert_ne!(kitchen.engine.run(&["image", "inspect", &name]).code, 0);
    // By its name alone it is fetched, as BuildKit does.
    let said = kitchen.builds(dockerfile, &["-t", "made", "--cache-from", &name]);
    assert_eq!(said.matches("CACHED").count(), 2, "{said}");
    assert_eq!(kitchen.holds("made", "/when"), when);
    forget();
    // The classic builder takes what is here, as Docker's does.
    kitchen.engine.says(&["pull", &name]);
    let context = kitchen.context.display().to_string();
    let words = ["build", "-t", "made", "--cache-from", &name, &context];
    let mut command = kitchen.engine.command(Cli::Docker, &words);
    let out = command.env("DOCKER_BUILDKIT", "0").output().expect("starts");
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    drop(registry);
    kitchen.engine.leaves_nothing();
}

#[test]
fn what_was_fetched_to_lend_stays_for_who_pulls_it_meanwhile() {
    let kitchen = Kitchen::new();
    let registry = Registry::start(&kitchen.engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("lender");
    kitchen.builds("FROM busybox\nENV A=1\n", &["-t", &name, "--cache-to", "type=inline"]);
    kitchen.engine.says(&["push", &name]);
    let is_here = || kitchen.engine.run(&["image", "inspect", &name]).code == 0;
    let begun = |pull: bool| {
        kitchen.engine.says(&["rmi", &name]);
        kitchen.file("Slow", "FROM busybox\nRUN sleep 1000\n");
        let file = kitchen.context.join("Slow").display().to_string();
        let context = kitchen.context.display().to_string();
        let words = ["build", "-q", "--cache-from", &name, "-f", &file, &context];
        let slow = kitchen.engine.command(Cli::Docker, &words).spawn().expect("starts");
        promises::until("the slow step", || !kitchen.engine.says(&["ps", "-q"]).is_empty());
        assert!(is_here(), "it was fetched");
        if pull {
            kitchen.engine.says(&["pull", &name]);
        }
        let step = kitchen.engine.says(&["ps", "-q"]);
        kitchen.engine.says(&["kill", &step]);
        assert_ne!(promises::finish(slow, "the slow build").code, 0);
    };
    begun(false);
    assert!(!is_here(), "it was the build's alone");
    kitchen.engine.says(&["pull", &name]);
    begun(true);
    assert!(is_here(), "somebody has pulled it");
    drop(registry);
    kitchen.engine.leaves_nothing();
}

#[test]
fn what_an_earlier_build_was_sent_is_no_context_of_a_later_one() {
    let kitchen = Kitchen::new();
    let registry = Registry::start(&kitchen.engine, "127.0.0.1", 5000, Wants::Nothing);
    let base = registry.name("base");
    kitchen.builds("FROM busybox\nONBUILD COPY f /f\n", &["-t", &base]);
    kitchen.engine.says(&["push", &base]);
    kitchen.engine.says(&["rmi", &base]);
    kitchen.engine.says(&["tag", "busybox", &base]);
    kitchen.file("f", "first\n");
    kitchen.builds(&format!("FROM {base}\nCOPY f /f\n"), &["-t", "made"]);
    kitchen.file("f", "second\n");
    // What is here asks for nothing; what is pulled then does.
    let said = kitchen.fails(&format!("FROM {base}\n"), &["--pull", "-t", "made"]);
    assert!(said.contains("\"/f\": not found"), "{said}");
    kitchen.builds(&format!("FROM {base}\n"), &["-t", "made"]);
    assert_eq!(kitchen.holds("made", "/f"), "second", "now it is known to");
    drop(registry);
    kitchen.engine.leaves_nothing();
}

#[test]
fn the_two_builders_take_no_steps_from_each_other() {
    let kitchen = Kitchen::new();
    kitchen.file("f", "copied\n");
    kitchen.builds("FROM busybox\nRUN mkdir /d && ln -s /d/there /link\n", &["-t", "base"]);
    let dockerfile = "FROM base\nCOPY f /link\n";
    kitchen.file("Dockerfile", dockerfile);
    let context = kitchen.context.display().to_string();
    let mut command = kitchen.engine.command(Cli::Docker, &["build", "-t", "classic", &context]);
    let ran = command.env("DOCKER_BUILDKIT", "0").output().expect("starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    kitchen.builds(dockerfile, &["-t", "made"]);
    // One replaces the link and the other follows it, as Docker's do.
    assert_eq!(kitchen.holds("classic", "/link"), "copied");
    assert_eq!(kitchen.holds("made", "/d/there"), "copied");
    let history = kitchen.engine.says(&["history", "--no-trunc", "made"]);
    assert!(history.contains("COPY f /link # buildkit"), "{history}");
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_prune_keeps_as_much_as_it_is_told() {
    let kitchen = Kitchen::new();
    let size = 3_000_000;
    let dockerfile = |n: u32| format!("FROM busybox\nRUN head -c {size} /dev/urandom > /f{n}\n");
    for n in 0..4 {
        kitchen.builds(&dockerfile(n), &[]);
    }
    kitchen.engine.says(&["image", "prune", "-f"]);
    let known =
        |n: u32| kitchen.builds(&dockerfile(n), &["--output", "type=cacheonly"]).contains("CACHED");
    kitchen.engine.says_as(Cli::Docker, &["builder", "prune", "-a", "-f", "--keep-storage", "7mb"]);
    let left = kitchen.engine.says_as(Cli::Docker, &["buildx", "du"]);
    assert_eq!(left.matches("3MB").count(), 2, "{left}");
    assert!(known(3) && known(2), "the latest stay");
    let ran =
        kitchen.engine.run_as(Cli::Docker, &["buildx", "prune", "-f", "--filter", "type==nothing"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(known(3), "nothing was of that type");
    kitchen.engine.leaves_nothing();
}
