//! `cargo xtask test --vm`: tests again, where control groups of version 2 are
//! the only ones and systemd is the first process, and those of the security
//! modules where the kernel enforces them.
//!
//! Emulated, the whole suite would take hours. What the layout of control
//! groups and systemd can change is run: the room that makes groups, and the
//! runtime's verbs with its own groups and with systemd's. Beside it, what
//! needs a kernel with quotas, or with ipvlan, VLANs and dummy interfaces.

use super::{Job, Profile};
use crate::{build, cargo, output, test::docker_client};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Packages, and what of each.
type Choice = [(&'static str, &'static [&'static str])];

/// By the guest's kernel.
const CHOICE: [(Profile, &Choice); 3] = [
    (
        Profile::Plain,
        &[
            ("cgroup", &["--lib", "--test", "kernel"]),
            ("promises", &PROMISES),
            ("cofferdam-run", &["--test", "life"]),
            // The last: it removes the package's socket when it is done.
            ("promises", &["--test", "packaged"]),
        ],
    ),
    (Profile::AppArmor, &[("promises", &["--test", "apparmor", "--test", "attacks"])]),
    (Profile::SeLinux, &[("promises", &ENFORCED)]),
];

/// What the engine itself does under a policy that is enforced, and what
/// programs in containers try there.
const ENFORCED: [&str; 6] = ["--test", "selinux", "--test", "workers", "--test", "attacks"];

/// What the daemon's containers are promised, by Debian's kernel.
const PROMISES: [&str; 22] = [
    "--test",
    "systemd",
    "--test",
    "devices",
    "--test",
    "processes",
    "--test",
    "capabilities",
    "--test",
    "files",
    "--test",
    "ipc",
    "--test",
    "mandatory",
    "--test",
    "life",
    "--test",
    "quota",
    "--test",
    "beside",
    "--test",
    "attacks",
];

/// Attacks that need what the guest has not (the Debian image with its
/// compiler, a builder's plugin, Python's archives), and those that take an
/// emulated guest too long: races by the hundred, each name by each path.
const NOT_IN_THE_GUEST: [&str; 7] = [
    "kernel::",
    "races::",
    "copies::",
    "builds::",
    "names_that_are_paths",
    "links_in_an_image",
    "a_working_directory_of_an_image",
];

/// Tests of version 1's files, which the guest has not.
const OF_VERSION_1: [&str; 8] = [
    "_on_version_1",
    "dev2_a_version_1_group",
    "limits_are_what_the_files_say",
    "memory_and_swap_can_be_raised_and_lowered_together",
    "a_limit_without_its_controller_is_refused_by_name",
    "a_file_that_this_kernel_lacks_is_refused_by_name",
    "a_controller_that_only_the_version_2_tree_has",
    "unified_files_are_written_on_a_pure_version_2_machine_alone",
];

/// Twice as long as two processors need that others use as well.
const PATIENCE: Duration = Duration::from_mins(45);

/// One guest after another, or the one of `--profile`. Further words are a
/// filter on the tests' names.
pub fn test(words: &[&str]) -> Result<()> {
    crate::as_root()?;
    super::install()?;
    let (only, filter) = match words {
        ["--profile", name, rest @ ..] => (Some(Profile::parse(name)?), rest),
        _ => (None, words),
    };
    let folder = build("dev")?;
    let mut failed = Vec::new();
    for (profile, choice) in CHOICE {
        if only.is_none_or(|only| only == profile) && !passes(profile, choice, &folder, filter)? {
            failed.push(profile.name());
        }
    }
    ensure!(failed.is_empty(), "tests have failed in the guest: {}", failed.join(", "));
    Ok(())
}

/// Whether all of a choice pass in a guest of this profile.
fn passes(profile: Profile, choice: &Choice, folder: &Path, filter: &[&str]) -> Result<bool> {
    println!("a guest: {}", profile.name());
    let files = Staged::new(folder)?;
    let mut tests = Vec::new();
    for (package, choice) in choice {
        let mut command = cargo(&["test", "--locked", "--no-run", "--message-format=json"]);
        command.args(["--package", package]).args(*choice).env("COFFERDAM_EMULATED", "1");
        let out = output(&mut command)?;
        for artifact in artifacts(&String::from_utf8_lossy(&out)) {
            files.add(&artifact.program)?;
            tests.extend(artifact.is_test.then_some(artifact));
        }
    }
    for name in ["cofferdam", "cofferdamd", "cofferdam-run"] {
        files.add(&folder.join(name))?;
    }
    let docker = files.elsewhere(&docker_client()?)?;
    let package = files.elsewhere(&crate::dist::deb(folder, &super::cache())?)?;
    let skipped = OF_VERSION_1.iter().chain(&NOT_IN_THE_GUEST).flat_map(|name| ["--skip", name]);
    let words: Vec<&str> = filter.iter().copied().chain(skipped).collect();
    let programs = [folder, &docker, &package];
    let script = script(profile, programs, &tests, &super::quote(&words));
    let job = Job {
        profile,
        files: vec![(files.dir.clone(), folder.to_owned())],
        script,
        patience: PATIENCE,
    };
    Ok(job.run()? == 0)
}

/// A program that cargo has built.
struct Artifact {
    name: String,
    program: PathBuf,
    is_test: bool,
}

/// Those with a program, from `--message-format=json`.
fn artifacts(text: &str) -> Vec<Artifact> {
    let values = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let artifact = |value: Value| {
        Some(Artifact {
            name: value["target"]["name"].as_str()?.to_owned(),
            program: value["executable"].as_str()?.into(),
            is_test: value["profile"]["test"].as_bool()?,
        })
    };
    values.filter_map(artifact).collect()
}

/// Each test program in turn; all of them, whatever fails.
fn script(
    profile: Profile,
    [folder, docker, package]: [&Path; 3],
    tests: &[Artifact],
    words: &str,
) -> String {
    let mut script = format!(
        // Disks of tests are files.
        "modprobe loop\nexport COFFERDAM_PROFILE={} COFFERDAM_BINARIES={} COFFERDAM_DOCKER={}\n\
         export COFFERDAM_PACKAGE={}\n\
         export COFFERDAM_ATTACKS=/tmp/attacks\n: > $COFFERDAM_ATTACKS\nfailed=0\n",
        profile.name(),
        folder.display(),
        docker.display(),
        package.display()
    );
    for Artifact { name, program, .. } in tests {
        script.push_str(&format!(
            "echo '== {name}'; {} --test-threads 1 {words} || failed=1\n",
            program.display()
        ));
    }
    // What the kernel has denied of late may say why.
    script
        + "echo attacks tried / succeeded: $(grep -c ^tried $COFFERDAM_ATTACKS) / \
           $(grep -c ^succeeded $COFFERDAM_ATTACKS)\n\
           [ $failed = 0 ] || dmesg | grep -i denied | tail -n 30\nexit $failed\n"
}

/// Copies that are handed to the guest, laid out as the folder of builds.
struct Staged {
    dir: PathBuf,
    folder: PathBuf,
}

impl Staged {
    fn new(folder: &Path) -> Result<Self> {
        let dir = super::cache().join(format!("tests-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { dir, folder: folder.to_owned() })
    }

    /// A program of the folder, at the same place.
    fn add(&self, program: &Path) -> Result<()> {
        let place = program.strip_prefix(&self.folder).with_context(|| {
            format!("{} is not in {}", program.display(), self.folder.display())
        })?;
        self.copy(program, place)
    }

    /// A program from anywhere; where the guest has it.
    fn elsewhere(&self, program: &Path) -> Result<PathBuf> {
        let name = Path::new(program.file_name().context("a program has a name")?);
        self.copy(program, name)?;
        Ok(self.folder.join(name))
    }

    fn copy(&self, from: &Path, place: &Path) -> Result<()> {
        let to = self.dir.join(place);
        let parent = to.parent().context("a place has a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        fs::copy(from, &to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}
