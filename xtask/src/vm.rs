//! `cargo xtask vm`: one command in a throw-away guest.
//!
//! What this machine's kernel cannot show, another one must: the guest is
//! Debian 13 with its own kernel, systemd as the first process, and control
//! groups of version 2 alone. QEMU emulates it, so that no virtualization is
//! needed; that is slow at computing and fair at the rest.
//!
//! ```text
//! image (once) ─▶ initramfs: init, unit, command ─┐
//! files handed in ─▶ a disk of their own ─────────┴▶ qemu ─▶ output, exit code
//! ```
//!
//! The image's disk is a copy-on-write overlay that goes with the guest; so do
//! the files handed in. Nothing of the machine's is shared.

mod cpio;
mod guest;
mod image;
mod tests;

pub use tests::test;

use anyhow::{Context as _, Result, bail, ensure};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long a guest may take, if nothing else is said.
const PATIENCE: Duration = Duration::from_mins(10);

/// Which security systems the guest's kernel has, beside Landlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Profile {
    /// None.
    #[default]
    Plain,
    /// AppArmor, with no profile loaded.
    AppArmor,
    /// SELinux, enforcing from the start: Debian's policy and our own module.
    SeLinux,
}

impl Profile {
    const ALL: [Self; 3] = [Self::Plain, Self::AppArmor, Self::SeLinux];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AppArmor => "apparmor",
            Self::SeLinux => "selinux",
        }
    }

    fn parse(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|profile| profile.name() == word);
        found.with_context(|| format!("no profile {word}: there are plain, apparmor and selinux"))
    }
}

/// What a guest is asked to do.
struct Job {
    profile: Profile,
    /// Directories of this machine, and where the guest is to find a copy.
    files: Vec<(PathBuf, PathBuf)>,
    /// A shell script.
    script: String,
    patience: Duration,
}

/// Runs a command in a guest and ends with its exit code.
pub fn run(words: &[&str]) -> Result<()> {
    crate::as_root()?;
    let (options, command) = match words.iter().position(|word| *word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => bail!("{}", crate::USAGE),
    };
    ensure!(!command.is_empty(), "the guest needs a command after --");
    let mut job = Job {
        profile: Profile::Plain,
        files: Vec::new(),
        script: quote(command),
        patience: PATIENCE,
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().with_context(|| format!("{option} needs a value"))?;
        match *option {
            "--profile" => job.profile = Profile::parse(value)?,
            "--files" => {
                let (from, to) = value.split_once(':').unwrap_or((value, value));
                ensure!(Path::new(to).is_absolute(), "{to} is not an absolute path of the guest");
                job.files.push((from.into(), to.into()));
            }
            "--timeout" => {
                let seconds = value.parse().with_context(|| format!("{value} is no number"))?;
                job.patience = Duration::from_secs(seconds);
            }
            _ => bail!("{}", crate::USAGE),
        }
    }
    let code = job.run()?;
    std::process::exit(code)
}

impl Job {
    /// Boots a guest for it; the code that its script ended with.
    fn run(&self) -> Result<i32> {
        install()?;
        let image = image::build()?;
        guest::run(&image, self)
    }
}

/// Words as a shell reads them back.
fn quote(words: &[&str]) -> String {
    let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''")));
    quoted.collect::<Vec<_>>().join(" ")
}

/// A program that the rig calls, and the Debian package that brings it.
const NEEDED: [(&str, &str); 4] = [
    ("/usr/bin/qemu-system-x86_64", "qemu-system-x86"),
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/usr/sbin/mke2fs", "e2fsprogs"),
    ("/usr/bin/xz", "xz-utils"),
];

fn install() -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "the guest's kernel is one for x86_64");
    crate::test::install(&NEEDED)
}

/// Where what is made once is kept.
fn cache() -> PathBuf {
    crate::root().join("target/vm")
}

#[cfg(test)]
mod words {
    #[test]
    fn a_command_reaches_the_guest_word_by_word() {
        assert_eq!(super::quote(&["echo", "it's  $HOME"]), r"'echo' 'it'\''s  $HOME'");
    }
}
