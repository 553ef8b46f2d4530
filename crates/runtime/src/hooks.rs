//! Programs that run around a container's life.
//!
//! A hook gets the container's state as JSON on its input and has until its
//! timeout. Each is waited for; the first that fails ends the row.

use crate::failure::{Doing, refusal};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, SeekFrom},
    process::{Pid, PidfdFlags},
};
use spec::{
    oci::{Hook, State},
    wire::Failure,
};
use std::{
    io::Write as _,
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Runs `hooks` of the kind `kind` in order with `state` on their input; the
/// first that fails, or takes longer than its timeout, ends it.
///
/// # Errors
/// Which one failed, how, and what it said on standard error.
pub fn run(kind: &str, hooks: &[Hook], state: &State) -> Result<(), Failure> {
    if hooks.is_empty() {
        return Ok(());
    }
    let input = serde_json::to_vec(state)
        .map_err(|error| refusal(format!("cannot describe the container: {error}")))?;
    for (number, hook) in hooks.iter().enumerate() {
        run_one(hook, &input).map_err(|failure| Failure {
            message: format!("error running {kind} hook #{number}: {}", failure.message),
            ..failure
        })?;
    }
    Ok(())
}

fn run_one(hook: &Hook, input: &[u8]) -> Result<(), Failure> {
    let doing = || format!("run {}", hook.path);
    // A file in memory takes what it says without anybody reading meanwhile.
    let said = rustix::fs::memfd_create("hook", MemfdFlags::CLOEXEC).doing(doing)?;
    let told = rustix::fs::memfd_create("state", MemfdFlags::CLOEXEC).doing(doing)?;
    std::fs::File::from(told.try_clone().doing(doing)?).write_all(input).doing(doing)?;
    rustix::fs::seek(&told, SeekFrom::Start(0)).doing(doing)?;
    let mut command = Command::new(&hook.path);
    if let Some((name, rest)) = hook.args.split_first() {
        command.arg0(name).args(rest);
    }
    let variables = hook.env.iter().map(|entry| entry.split_once('=').unwrap_or((entry, "")));
    command
        .env_clear()
        .envs(variables)
        .stdin(Stdio::from(told))
        .stdout(Stdio::null())
        .stderr(Stdio::from(said.try_clone().doing(doing)?));
    let child = command.spawn().doing(doing)?;
    finish(child, hook, &said)
}

fn finish(mut child: Child, hook: &Hook, said: &OwnedFd) -> Result<(), Failure> {
    let doing = || format!("wait for {}", hook.path);
    let in_time = match hook.timeout.map(u64::try_from) {
        None => true,
        Some(Err(_) | Ok(0)) => {
            return Err(end(&mut child, format!("{}: its timeout is not positive", hook.path)));
        }
        Some(Ok(seconds)) => ended_within(&child, Duration::from_secs(seconds)).doing(doing)?,
    };
    if !in_time {
        let seconds = hook.timeout.unwrap_or_default();
        return Err(end(&mut child, format!("{} ran for more than {seconds}s", hook.path)));
    }
    let status = child.wait().doing(doing)?;
    if status.success() {
        return Ok(());
    }
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown end".into(),
    };
    let mut text = [0; 1024];
    let len = rustix::io::pread(said, &mut text, 0).doing(doing)?;
    let text = String::from_utf8_lossy(&text[..len]);
    Err(refusal(format!("{}: {how}, stderr: {}", hook.path, text.trim())))
}

/// Kills what would not end, and waits for its end.
fn end(child: &mut Child, why: String) -> Failure {
    let killed = child.kill().and_then(|()| child.wait());
    match killed {
        Ok(_) => refusal(why),
        Err(error) => refusal(format!("{why} (and cannot be killed: {error})")),
    }
}

fn ended_within(child: &Child, limit: Duration) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
    let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<i64>) -> Hook {
        let args = ["sh", "-c", script].map(Into::into).to_vec();
        Hook { path: "/bin/sh".into(), args, env: vec!["A=b".into()], timeout }
    }

    #[test]
    fn a_hook_reads_the_state_and_has_its_own_environment_alone() {
        let state = State { id: "c1".into(), ..State::default() };
        let script = "grep -q '\"id\":\"c1\"' && test \"$A\" = b && test -z \"$CARGO\"";
        let hook =
            Hook { env: vec!["A=b".into(), "PATH=/bin:/usr/bin".into()], ..hook(script, None) };
        run("prestart", &[hook], &state).expect("it finds all as promised");
    }

    #[test]
    fn the_first_that_fails_ends_the_row() {
        let hooks = [hook("echo oops >&2; exit 3", None), hook("exit 0", None)];
        let failure = run("prestart", &hooks, &State::default()).expect_err("it fails");
        assert_eq!(
            failure.message,
            "error running prestart hook #0: /bin/sh: exit status 3, stderr: oops"
        );
    }

    #[test]
    fn a_hook_that_takes_too_long_is_killed() {
        let hooks = [hook("exec sleep 1000", Some(1))];
        let failure = run("poststop", &hooks, &State::default()).expect_err("it is too slow");
        assert!(failure.message.ends_with("ran for more than 1s"), "{failure}");
    }
}
