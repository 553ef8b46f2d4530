//! Network and mount namespaces of the benchmark's own.

use super::agent::Agent;
use anyhow::{Context as _, Result, ensure};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Held open by one process; gone when dropped.
pub struct Host {
    anchor: Child,
    /// This program, as it is seen there.
    own: PathBuf,
    /// Another root than ours.
    rooted: bool,
}

impl Host {
    /// The machine's files, with `lo` up and a `/run` of its own.
    pub fn new() -> Result<Self> {
        let script = "ip link set lo up && mount -t tmpfs tmpfs /run && echo up && exec cat";
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        Self::hold(script, own, false)
    }

    /// The files below `root`, to which the script changes; it ends with
    /// `echo up` and something that reads its input to the end.
    pub fn rooted(script: &str, own: &str) -> Result<Self> {
        Self::hold(script, own.into(), true)
    }

    fn hold(script: &str, own: PathBuf, rooted: bool) -> Result<Self> {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "sh", "-ec", script]);
        let mut anchor = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let mut word = [0; 3];
        let out = anchor.stdout.as_mut().context("piped")?;
        out.read_exact(&mut word).context("cannot make a host")?;
        Ok(Self { anchor, own, rooted })
    }

    /// A command on this host.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.anchor.id().to_string()]);
        command.arg(if self.rooted { "--root" } else { "--wd=." });
        command.arg("--").arg(program.as_ref());
        command
    }

    /// Somebody who starts commands there, in a control group.
    pub fn agent(&self, group: &Path) -> Result<Agent> {
        let mut command = self.command(&self.own);
        command.arg("bench-agent").arg(group);
        command.env("PODMAN_IGNORE_CGROUPSV1_WARNING", "1");
        Agent::start(command)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.anchor.stdin.take());
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
    }
}

/// Where buildx stands, for all hosts.
pub fn buildx() -> PathBuf {
    std::env::temp_dir().join(format!("cofferdam-bench-{}/docker-buildx", std::process::id()))
}

/// Files of one run; gone when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    /// An empty directory.
    pub fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("cofferdam-bench-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A directory in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// A root file system of busybox, and the same as a tar archive.
    pub fn busybox(&self) -> Result<(PathBuf, PathBuf)> {
        let (root, tar) = (self.0.join("rootfs"), self.0.join("busybox.tar"));
        let (path, archive) = (root.display(), tar.display());
        let script = format!(
            "mkdir -p {path}/bin {path}/etc {path}/tmp {path}/proc {path}/sys {path}/dev
             cp /bin/busybox {path}/bin
             for a in sh true sleep cat test; do ln -s busybox {path}/bin/$a; done
             echo 'root:x:0:0::/:/bin/sh' > {path}/etc/passwd
             touch {path}/etc/hosts {path}/etc/hostname {path}/etc/resolv.conf
             tar -C {path} -cf {archive} ."
        );
        let out = Command::new("sh").args(["-ec", &script]).output().context("cannot start sh")?;
        ensure!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
        Ok((root, tar))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
