//! Attacks, and who keeps count of them.
//!
//! An attack test tries each twice: first where its defence was taken away, so
//! that the test is known to bite, and it must succeed; then against the
//! default, and it must fail. Taken away is a container weakened by its
//! options ([`Attack`]), or a small twin of the test's own that does by path
//! what the engine does by descriptor ([`Race::bites`](crate::race::Race::bites)).
//!
//! Whatever is tried against the default is written down, a line each, in the
//! file that `COFFERDAM_ATTACKS` names: `cargo xtask test` counts the lines.

use crate::Engine;
use std::io::Write as _;

/// Options of `run` that leave mandatory access control alone in the way of a
/// root that is the host's.
pub const HOSTS_ROOT: [&str; 8] = [
    "--userns",
    "host",
    "--cap-add",
    "ALL",
    "--security-opt",
    "seccomp=unconfined",
    "--security-opt",
    "systempaths=unconfined",
];

/// An attack and the options that make it succeed.
pub struct Attack<'a> {
    /// Options of `run` without which the attack would succeed.
    pub weakened: &'a [&'a str],
    /// A shell script that exits with 0 if it got what it wanted.
    pub script: &'a str,
}

impl Attack<'_> {
    /// Succeeds against the weakened container and fails against the default.
    ///
    /// # Panics
    /// If the attack does not bite, or gets through.
    pub fn is_stopped(&self, engine: &Engine) {
        self.is_stopped_in(engine, "busybox", &[]);
    }

    /// The same in containers of an image that have these options both times.
    ///
    /// # Panics
    /// If the attack does not bite, or gets through.
    pub fn is_stopped_in(&self, engine: &Engine, image: &str, both: &[&str]) {
        let weakened = [both, self.weakened, &unmediated()].concat();
        let bites = engine.container_of(image, &weakened, self.script);
        assert_eq!(bites.code, 0, "must succeed with {weakened:?}: {} {bites:?}", self.script);
        self.fails_in(engine, image, both);
    }

    /// Fails against the default, where no weakening could show it succeed.
    ///
    /// # Panics
    /// If the attack gets through.
    pub fn fails(&self, engine: &Engine) {
        self.fails_in(engine, "busybox", &[]);
    }

    /// The same in a container of an image that has these options.
    ///
    /// # Panics
    /// If the attack gets through.
    pub fn fails_in(&self, engine: &Engine, image: &str, options: &[&str]) {
        must_fail(&format!("{options:?} {}", self.script), || {
            let ran = engine.container_of(image, options, self.script);
            assert!(!(125..=127).contains(&ran.code), "did not even run: {ran:?}");
            (ran.code == 0).then(|| format!("{ran:?}"))
        });
    }
}

/// In a guest of `cargo xtask test --vm` whose kernel has a security module:
/// the options without it, which would stop a weakened container as well.
fn unmediated() -> Vec<&'static str> {
    match std::env::var("COFFERDAM_PROFILE").as_deref() {
        Ok("selinux") => vec!["--security-opt", "label=disable"],
        Ok("apparmor") => vec!["--security-opt", "apparmor=unconfined"],
        _ => Vec::new(),
    }
}

/// Tries an attack that says, if it gets through, what it got.
///
/// # Panics
/// If it gets through.
pub fn must_fail(name: &str, attack: impl FnOnce() -> Option<String>) {
    count("tried");
    if let Some(got) = attack() {
        count("succeeded");
        panic!("got through: {name}: {got}");
    }
}

/// One line for one attack; the test's name tells which.
fn count(what: &str) {
    let Some(path) = std::env::var_os("COFFERDAM_ATTACKS") else { return };
    let thread = std::thread::current();
    let line = format!("{what} {}\n", thread.name().unwrap_or("a thread"));
    let file = std::fs::File::options().create(true).append(true).open(&path);
    // Whole lines, whoever else writes: open(2), O_APPEND.
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the count can be kept");
}
