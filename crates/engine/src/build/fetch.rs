//! Sources of `ADD` that are elsewhere: files on the web, git repositories.

use super::{
    error::BuildError,
    job::{Job, Stopped},
};
use crate::{Error, error::Doing};
use dockerfile::Add;
use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

/// What stands before the name of a repository.
const GIT: [&str; 3] = ["git://", "git@", "ssh://"];

/// Whether a source is a git repository.
pub(super) fn is_repository(source: &str) -> bool {
    let (bare, _) = source.split_once('#').unwrap_or((source, ""));
    GIT.iter().any(|scheme| source.starts_with(scheme))
        || (is_address(source) && bare.strip_suffix(".git").is_some())
}

/// Whether a source is a file on the web.
pub(super) fn is_address(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

/// Fetches a file; its name, and where it is.
pub(super) fn download(
    job: &Job<'_>,
    address: &str,
    checksum: Option<&str>,
) -> Result<(String, PathBuf), Stopped> {
    let place = job.room.place()?;
    let mut file = fs::File::create_new(&place).doing("create", &place)?;
    let stop = || job.cancel.is_cancelled();
    let name = registry::download(address, &mut file, &stop).map_err(Error::from)?;
    drop(file);
    if let Some(wanted) = checksum {
        let wanted: spec::Digest = wanted.parse().map_err(|_| {
            BuildError::invalid(format!("invalid checksum {wanted:?}: sha256:… is wanted"))
        })?;
        let file = fs::File::open(&place).doing("open", &place)?;
        let found = image::digest(file).doing("read", &place)?;
        if found != wanted {
            let words = format!("digest mismatch {address}: {found} where {wanted} was expected");
            return Err(BuildError::invalid(words).into());
        }
    }
    if name.is_empty() {
        let words = format!("cannot determine filename for source {address}");
        return Err(BuildError::invalid(words).into());
    }
    Ok((name, place))
}

/// Fetches a repository; the directory of its files.
pub(super) fn clone(job: &Job<'_>, source: &str, add: &Add) -> Result<PathBuf, Stopped> {
    let place = job.room.place()?;
    let (bare, reference, subdir) = taken_apart(source);
    repository(bare, reference, &place)?;
    if let Some(commit) = &add.checksum {
        let head = git(&["-C", &place.to_string_lossy(), "rev-parse", "HEAD"])?;
        if commit.len() < 7 || !head.trim().starts_with(commit.as_str()) {
            let words =
                format!("expected checksum {commit} of {source}, and it is {}", head.trim());
            return Err(BuildError::invalid(words).into());
        }
    }
    if !add.keep_git_dir {
        snapshot::remove(&place.join(".git"))?;
    }
    let subdir = build::clean(subdir);
    if subdir.is_empty() {
        return Ok(place);
    }
    let tree = super::job::tree(&place)?;
    let found = tree.find(&subdir)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&found));
    let path = format!("/proc/self/fd/{fd}");
    Ok(fs::read_link(&path).doing("read the link", &path)?)
}

/// `address#reference:directory`.
pub(super) fn taken_apart(source: &str) -> (&str, &str, &str) {
    let (bare, fragment) = source.split_once('#').unwrap_or((source, ""));
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    (bare, reference, subdir)
}

/// Clones a repository into a directory that is not there yet.
pub(super) fn repository(
    address: &str,
    reference: &str,
    into: &std::path::Path,
) -> Result<(), BuildError> {
    if address.starts_with('-') || reference.starts_with('-') {
        return Err(BuildError::invalid(format!("{address}#{reference} is no git repository")));
    }
    let into = into.to_string_lossy().into_owned();
    git(&["init", "--quiet", &into])?;
    let wanted = if reference.is_empty() { "HEAD" } else { reference };
    git(&["-C", &into, "fetch", "--quiet", "--depth", "1", "--", address, wanted])?;
    git(&["-C", &into, "checkout", "--quiet", "--detach", "FETCH_HEAD"])?;
    git(&["-C", &into, "submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1"])
        .map(drop)
}

/// Runs the host's git, which asks nobody and runs nothing of a repository's.
fn git(words: &[&str]) -> Result<String, BuildError> {
    let ran = Command::new("git")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.file.allow=never"])
        .args(["-c", "protocol.ext.allow=never", "-c", "core.symlinks=true"])
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output();
    let ran = match ran {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(BuildError::invalid(
                "this source is a git repository, and there is no git program on the engine's host",
            ));
        }
        ran => ran.doing("run", "git")?,
    };
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let said = said.trim().replace('\n', "; ");
        return Err(BuildError::invalid(format!("git {} failed: {said}", words.join(" "))));
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
