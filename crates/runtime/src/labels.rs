//! SELinux and AppArmor: the label that takes effect at exec.
//!
//! Written through the host's verified procfs, never through a `/proc` that
//! the container's image or mounts could have made (CVE-2019-16884).

use crate::{
    failure::{Doing, because, refusal},
    procfs::Proc,
};
use rustix::{fs::OFlags, io::Errno};
use spec::{oci::Process, wire::Failure};
use std::{
    io::Read as _,
    os::fd::{BorrowedFd, OwnedFd},
};

/// When it is to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// When this process becomes the program.
    Exec,
    /// At once: it never will.
    Now,
}

/// Whether `process` names any.
pub(crate) fn wanted(process: &Process) -> bool {
    let profile = process.apparmor_profile.as_str();
    !process.selinux_label.is_empty() || !matches!(profile, "" | "unconfined")
}

/// Refuses what a kernel without SELinux cannot do.
pub(crate) fn check(proc: &Proc, process: &Process, mount_label: &str) -> Result<(), Failure> {
    if (process.selinux_label.is_empty() && mount_label.is_empty()) || has_selinux(proc)? {
        return Ok(());
    }
    // In runc's words.
    Err(refusal("selinux label is specified in config, but selinux is disabled or not supported"))
}

/// Source: `init_sel_fs` of the kernel registers it where SELinux is on alone.
fn has_selinux(proc: &Proc) -> Result<bool, Failure> {
    let file =
        proc.file("filesystems", OFlags::RDONLY).doing(|| "read /proc/filesystems".into())?;
    let mut text = String::new();
    std::fs::File::from(file)
        .read_to_string(&mut text)
        .map(|_| text.lines().any(|line| line == "nodev\tselinuxfs"))
        .map_err(|error| because("read /proc/filesystems", &error))
}

/// Asks for the label of keyrings that this process makes from now on: those
/// of another label would be of no use to the program.
pub(crate) fn keys(proc: &Proc, process: &Process) -> Result<(), Failure> {
    if process.selinux_label.is_empty() {
        return Ok(());
    }
    proc.write("thread-self/attr/keycreate", process.selinux_label.as_bytes())
        .doing(|| format!("label keys {}", process.selinux_label))
}

/// Labels the root of a file system that takes no label when it is mounted.
pub(crate) fn root(dir: BorrowedFd<'_>, label: &str) -> Result<(), Failure> {
    let value = [label.as_bytes(), b"\0"].concat();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::fsetxattr(dir, "security.selinux", &value, flags)
        .doing(|| format!("label a new file system {label}"))
}

/// Labels that are yet to be asked for, each with the file to say it to. What
/// confines the process meanwhile may keep it from opening one.
#[derive(Debug)]
pub(crate) struct Asked(Vec<(OwnedFd, String, String)>);

impl Asked {
    /// Asks for them.
    pub fn apply(self) -> Result<(), Failure> {
        for (file, words, what) in self.0 {
            let written = rustix::io::write(&file, words.as_bytes());
            written.doing(|| what)?;
        }
        Ok(())
    }
}

/// Makes ready to ask for the labels that `process` names.
pub(crate) fn ask(proc: &Proc, process: &Process, when: When) -> Result<Asked, Failure> {
    check(proc, process, "")?;
    let mut asked = Vec::new();
    let open = |path: &str| proc.file(path, OFlags::WRONLY);
    let label = process.selinux_label.as_str();
    if !label.is_empty() {
        let file = if when == When::Exec { "exec" } else { "current" };
        let what = format!("set the SELinux label {label}");
        let file = open(&format!("thread-self/attr/{file}")).doing(|| what.clone())?;
        asked.push((file, label.to_owned(), what));
    }
    let profile = process.apparmor_profile.as_str();
    if !profile.is_empty() && profile != "unconfined" {
        let (file, verb) = match when {
            When::Exec => ("exec", "exec"),
            When::Now => ("current", "changeprofile"),
        };
        let what = format!("apply the AppArmor profile {profile}");
        // Beside another module only the named directory is AppArmor's.
        let file = match open(&format!("thread-self/attr/apparmor/{file}")) {
            Err(Errno::NOENT) if enabled(proc) => open(&format!("thread-self/attr/{file}")),
            Err(Errno::NOENT) => {
                return Err(refusal(format!(
                    "cannot apply the AppArmor profile {profile}: this kernel has no AppArmor"
                )));
            }
            other => other,
        };
        asked.push((file.doing(|| what.clone())?, format!("{verb} {profile}"), what));
    }
    Ok(Asked(asked))
}

/// A kernel with AppArmor before 5.8 has no directory of its own for it.
fn enabled(proc: &Proc) -> bool {
    proc.file("thread-self/attr/exec", OFlags::WRONLY).is_ok()
        && std::path::Path::new("/sys/module/apparmor").exists()
}
