//! From the first instruction to a container that waits for *Go*.

use crate::{
    dir::Dir,
    failure::{Doing, refuse},
    group::Group,
    log::Log,
    pair::Pair,
    serve::Monitor,
    session::Session,
    streams::{self, Streams},
};
use runtime::Root;
use spec::{
    Sandbox,
    wire::{Failure, FromMonitor, ToMonitor},
};
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

/// What the daemon asked for.
struct Wish {
    dir: PathBuf,
    root: Option<OwnedFd>,
    open_stdin: bool,
    stdin_once: bool,
}

/// A container that waits in its namespaces.
pub struct Made {
    pub id: String,
    pub dir: Dir,
    pub listener: OwnedFd,
    pub group: Group,
    pub log: Log,
    pub waiting: runtime::Waiting,
    pub session: Session,
}

/// The whole life of a monitor.
///
/// # Errors
/// What kept it from its work; the container's own failures are told to the
/// daemon instead.
pub fn run() -> io::Result<()> {
    // Nothing is open yet but the standard three.
    sys::process::close_from(3)?;
    sys::signal::hold()?;
    // Fails for a process that leads a group already, as one started by hand may.
    let _ = rustix::process::setsid();
    rustix::process::chdir("/")?;
    let pair = Pair::from_stdin()?;
    let Some((ToMonitor::Launch { dir, open_stdin, stdin_once }, root)) = pair.receive()? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the daemon did not say Launch"));
    };
    let wish = Wish { dir: dir.into(), root, open_stdin, stdin_once };
    let made = make(&wish);
    // The root is mounted where it belongs by now, or nowhere.
    drop(wish);
    match made {
        Ok(mut made) => {
            let alive = FromMonitor::Alive { pid: made.waiting.pid };
            // Held by nobody but its processes, it goes with the last of them.
            let netns = made.waiting.netns.take();
            pair.say(&alive, netns.as_ref().map(AsFd::as_fd));
            drop(netns);
            Monitor::new(made, pair)?.serve()
        }
        Err(failure) => {
            pair.say(&FromMonitor::Failed(failure), None);
            Ok(())
        }
    }
}

/// Makes everything; nothing remains of what fails.
fn make(wish: &Wish) -> Result<Made, Failure> {
    let dir = Dir::open(&wish.dir).doing("use the run directory")?;
    let sandbox = dir.sandbox().doing("read sandbox.json")?;
    dir.forget_exit();
    let log = Log::open(&sandbox.log).doing("open the log")?;
    let listener = dir.listen().doing("listen on monitor.sock")?;
    let made = Group::create(&sandbox).and_then(|group| match prepare(&sandbox, wish, &group) {
        Ok(prepared) => Ok((group, prepared)),
        Err(failure) => {
            group.kill();
            group.remove();
            Err(failure)
        }
    });
    let (group, (waiting, streams)) = made.inspect_err(|_| dir.leave())?;
    let session = Session {
        name: None,
        process: None,
        streams,
        paused: false,
        size: None,
        open_stdin: wish.open_stdin,
        stdin_once: wish.stdin_once,
    };
    Ok(Made { id: sandbox.id, dir, listener, group, log, waiting, session })
}

fn prepare(
    sandbox: &Sandbox,
    wish: &Wish,
    group: &Group,
) -> Result<(runtime::Waiting, Streams), Failure> {
    let process = sandbox.config.process.as_ref().ok_or_else(|| refuse("there is no process"))?;
    let plan = streams::plan(sandbox, process, wish.open_stdin, true).doing("make pipes")?;
    let root = match (&wish.root, &sandbox.config.root) {
        (Some(mount), _) => Root::Mount(mount.as_fd()),
        (None, Some(root)) => Root::Path(Path::new(&root.path)),
        (None, None) => return Err(refuse("there is no root file system")),
    };
    let options = runtime::Options { cgroup: group.paths.as_ref(), ..Default::default() };
    let waiting = runtime::prepare(sandbox, &wish.dir, root, plan.io, &options)?;
    Ok((waiting, plan.streams))
}
