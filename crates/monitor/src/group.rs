//! The container's control group: made before its first process, gone after
//! its last.

use crate::failure::{Doing, chain};
use cgroup::{Cgroup, Layout};
use spec::{Sandbox, wire::Failure};
use std::time::Duration;

/// How long what was killed may take to be gone before it is left to the
/// daemon's sweep.
const PATIENCE: Duration = Duration::from_secs(2);

/// A group; none for a sandbox that names none.
#[derive(Debug)]
pub struct Group {
    cgroup: Option<Cgroup>,
    /// For the runtime.
    pub paths: Option<runtime::Cgroup>,
}

impl Group {
    /// Makes and limits it.
    ///
    /// # Errors
    /// What the host said; nothing remains then.
    pub fn create(sandbox: &Sandbox) -> Result<Self, Failure> {
        let linux = sandbox.config.linux.as_ref();
        let path = linux.map_or("", |linux| linux.cgroups_path.as_str());
        if path.is_empty() {
            return Ok(Self { cgroup: None, paths: None });
        }
        let layout = Layout::detect().doing("read the arrangement of control groups")?;
        let cgroup = Cgroup::create(&layout, path).doing("make a control group")?;
        let paths = runtime::Cgroup {
            unified: cgroup.unified_path().map(Into::into),
            v1: cgroup.legacy_paths(),
        };
        let group = Self { cgroup: Some(cgroup), paths: Some(paths) };
        if let (Some(cgroup), Some(wish)) =
            (&group.cgroup, linux.and_then(|linux| linux.resources.as_ref()))
            && let Err(error) = cgroup.apply(wish)
        {
            group.remove();
            return Err(error).doing("limit the container's resources");
        }
        Ok(group)
    }

    /// Has the kernel killed anything in it for want of memory?
    pub fn ran_out_of_memory(&self) -> bool {
        let kills = self.cgroup.as_ref().map(Cgroup::oom_kills);
        match kills {
            None => false,
            Some(Ok(kills)) => kills > 0,
            Some(Err(error)) => {
                eprintln!("cannot tell whether memory ran out: {}", chain(&error));
                false
            }
        }
    }

    /// Kills what is left in it and waits until it is gone.
    pub fn kill(&self) {
        let Some(cgroup) = &self.cgroup else { return };
        match cgroup.populated() {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => eprintln!("cannot tell what is left: {}", chain(&error)),
        }
        let killed = cgroup.kill().and_then(|()| cgroup.wait_empty(PATIENCE));
        match killed {
            Ok(true) => {}
            Ok(false) => eprintln!("what was killed is still there"),
            Err(error) => eprintln!("cannot kill what is left: {}", chain(&error)),
        }
    }

    /// Removes it. A failure is told; the daemon's sweep will try again.
    pub fn remove(&self) {
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.remove()
        {
            eprintln!("cannot remove the control group: {}", chain(&error));
        }
    }
}
