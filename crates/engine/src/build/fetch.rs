//! Sources of `ADD` that are elsewhere: files on the web, git repositories.

use super::{
    error::BuildError,
    job::{Job, Stopped},
    wish::SecretOf,
};
use crate::{Error, error::Doing};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use dockerfile::Add;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal},
};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// After this a git command is taken for stuck.
const LONGEST: Duration = Duration::from_hours(1);
/// How often it is asked whether a command is wanted still.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Bytes that are kept of what a command says.
const SAYS: usize = 64 << 10;

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
    let read = |text: &str| {
        let words = || format!("invalid checksum {text:?}: sha256:… is wanted");
        text.parse::<spec::Digest>().map_err(|_| BuildError::invalid(words()))
    };
    let checksum = checksum.map(read).transpose()?;
    let place = job.room.place()?;
    let mut file = fs::File::create_new(&place).doing("create", &place)?;
    let stop = || job.goes_on().is_err();
    let name = registry::download(address, &mut file, &stop).map_err(Error::from)?;
    drop(file);
    if let Some(wanted) = checksum {
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
    let stop = || job.goes_on().is_err();
    let git = Git { secret: &|id| job.client.secret(id), stop: &stop };
    git.repository(bare, reference, &place)?;
    if let Some(commit) = &add.checksum {
        let head = git.run(&["-C", &place.to_string_lossy(), "rev-parse", "HEAD"], None)?;
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

/// The host's git, for one build.
pub(super) struct Git<'a> {
    /// Who the client is to a repository, if it says so.
    pub secret: SecretOf<'a>,
    /// Whether the build has been called off.
    pub stop: &'a dyn Fn() -> bool,
}

impl Git<'_> {
    /// Clones a repository into a directory that is not there yet.
    pub fn repository(
        &self,
        address: &str,
        reference: &str,
        into: &std::path::Path,
    ) -> Result<(), BuildError> {
        if address.starts_with('-') || reference.starts_with('-') {
            return Err(BuildError::invalid(format!("{address}#{reference} is no git repository")));
        }
        let header = self.authorization(address)?;
        let header = header.as_deref().map(|header| (address, header));
        let into = into.to_string_lossy().into_owned();
        let git_in = |words: &[&str]| self.run(&[&["-C", &into], words].concat(), header);
        self.run(&["init", "--quiet", &into], None)?;
        let wanted = if reference.is_empty() { "HEAD" } else { reference };
        let whole = git_in(&["fetch", "--quiet", "--depth", "1", "--", address, wanted])
            // A server of plain files gives nothing less than all of a branch.
            .or_else(|first| {
                git_in(&["fetch", "--quiet", "--", address, wanted]).map_err(|_| first)
            });
        match whole {
            Ok(_) => git_in(&["checkout", "--quiet", "--detach", "FETCH_HEAD"])?,
            // A commit that no name stands for is in one of all branches.
            Err(first) => {
                let all = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
                git_in(&["fetch", "--quiet", "--update-head-ok", "--", address, all[0], all[1]])
                    .and_then(|_| git_in(&["checkout", "--quiet", "--detach", wanted, "--"]))
                    .map_err(|_| first)?
            }
        };
        let submodules =
            ["submodule", "update", "--quiet", "--init", "--recursive", "--depth", "1"];
        git_in(&submodules).map(drop)
    }

    /// Who the client is to a repository: its secret `GIT_AUTH_HEADER` or
    /// `GIT_AUTH_TOKEN`, with the server's name behind a dot or without.
    fn authorization(&self, address: &str) -> Result<Option<String>, BuildError> {
        let Some((_, rest)) = address.split_once("://").filter(|_| is_address(address)) else {
            return Ok(None);
        };
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        for of_host in [format!(".{host}"), String::new()] {
            for name in ["GIT_AUTH_HEADER", "GIT_AUTH_TOKEN"] {
                let found = (self.secret)(&format!("{name}{of_host}"));
                let Some(secret) = found.map_err(BuildError::invalid)? else { continue };
                let text = String::from_utf8_lossy(&secret).trim().to_owned();
                if text.contains(['\n', '\r', '\0']) {
                    let words = format!("the secret {name}{of_host} has more than one line");
                    return Err(BuildError::invalid(words));
                }
                return Ok(Some(match name {
                    "GIT_AUTH_HEADER" => text,
                    _ => format!("basic {}", BASE64.encode(format!("x-access-token:{text}"))),
                }));
            }
        }
        Ok(None)
    }

    /// Runs git, which asks nobody and runs nothing of a repository's; what it
    /// says. It and what it starts end when the build is called off. A header
    /// is shown to the servers of an address alone.
    fn run(&self, words: &[&str], header: Option<(&str, &str)>) -> Result<String, BuildError> {
        let proxies = std::env::vars_os().filter(|(name, _)| {
            let name = name.to_string_lossy().to_ascii_lowercase();
            matches!(&*name, "http_proxy" | "https_proxy" | "all_proxy" | "no_proxy")
        });
        let mut command = Command::new("git");
        command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.file.allow=never"])
            .args(["-c", "protocol.ext.allow=never", "-c", "core.symlinks=true"])
            .args(words)
            .env_clear()
            .envs(proxies)
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("HOME", "/nonexistent");
        if let Some((address, header)) = header {
            // Words of a command line are anybody's to read.
            command
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", format!("http.{address}.extraHeader"))
                .env("GIT_CONFIG_VALUE_0", format!("Authorization: {header}"));
        }
        // Where it works is nobody's business but ours.
        let told = match words {
            ["-C", _, rest @ ..] => rest,
            words => words,
        };
        let told = told.join(" ");
        let ran = match run(&mut command, self.stop) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BuildError::invalid(
                    "this source is a git repository, and there is no git program on the engine's host",
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return Err(BuildError::cancelled());
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let words = format!("git {told} was still not done after {LONGEST:?}");
                return Err(BuildError::invalid(words));
            }
            ran => ran.doing("run", "git")?,
        };
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            let said = said.trim().replace('\n', "; ");
            return Err(BuildError::invalid(format!("git {told} failed: {said}")));
        }
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }
}

/// Runs a program to its end, or kills it and what it has started:
/// `Interrupted` if it was called off, `TimedOut` after [`LONGEST`]. Of what it
/// says the first [`SAYS`] bytes are kept.
fn run(command: &mut Command, stop: &dyn Fn() -> bool) -> io::Result<Output> {
    // A group of its own, for git leaves the network to helpers.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let pipes = (child.stdout.take(), child.stderr.take());
    let heard = match pipes {
        (Some(out), Some(err)) => hear(&[out.into(), err.into()], stop),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    };
    if heard.is_err() {
        // The leader is not waited for yet, so the group is nobody else's.
        let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
    }
    let status = child.wait()?;
    let [stdout, stderr] = heard?;
    Ok(Output { status, stdout, stderr })
}

/// Reads two pipes to their ends. The rest of what is too long is read and
/// forgotten.
fn hear(pipes: &[OwnedFd; 2], stop: &dyn Fn() -> bool) -> io::Result<[Vec<u8>; 2]> {
    let begun = Instant::now();
    let mut said = [Vec::new(), Vec::new()];
    let mut open = [true; 2];
    let mut buffer = vec![0; 16 << 10];
    while open != [false; 2] {
        let mut waits: Vec<PollFd<'_>> = Vec::new();
        for pipe in pipes.iter().zip(open).filter_map(|(pipe, open)| open.then_some(pipe)) {
            waits.push(PollFd::new(pipe, PollFlags::IN));
        }
        rustix::io::retry_on_intr(|| poll(&mut waits, Some(&GLANCE)))?;
        let ready: Vec<bool> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        for at in 0..pipes.len() {
            if !open[at] || ready.next() != Some(true) {
                continue;
            }
            let len = rustix::io::read(&pipes[at], &mut buffer)?;
            open[at] = len > 0;
            let room = SAYS.saturating_sub(said[at].len()).min(len);
            said[at].extend_from_slice(&buffer[..room]);
        }
        if stop() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if begun.elapsed() > LONGEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_program_that_is_called_off_ends_with_all_that_it_has_started() {
        // The child of the child holds the pipe that is read to its end.
        let script = "sleep 1000 & echo begun; exec sleep 1000";
        let asked = AtomicBool::new(false);
        let stop = || asked.swap(true, Ordering::SeqCst);
        let ran = run(Command::new("sh").args(["-c", script]), &stop);
        assert_eq!(ran.map(|_| ()).map_err(|e| e.kind()), Err(io::ErrorKind::Interrupted));
        let ran = run(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"]), &|| false);
        let ran = ran.expect("ran");
        assert_eq!((&ran.stdout[..], &ran.stderr[..]), (&b"a\n"[..], &b"b\n"[..]));
        assert_eq!(ran.status.code(), Some(3));
    }
}
