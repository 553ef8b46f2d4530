//! A network and mount namespace of the benchmark's own.

use anyhow::{Context as _, Result, ensure};
use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Held open by one process; gone, with its files, when dropped.
pub struct Host {
    anchor: Child,
    scratch: PathBuf,
}

impl Host {
    /// With `lo` up and a `/run` of its own.
    pub fn new() -> Result<Self> {
        let scratch = std::env::temp_dir().join(format!("cofferdam-bench-{}", std::process::id()));
        std::fs::create_dir(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        let script = "ip link set lo up && mount -t tmpfs tmpfs /run && echo up && exec cat";
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--propagation", "private", "sh", "-ec", script]);
        let mut anchor = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let mut word = [0; 3];
        anchor
            .stdout
            .as_mut()
            .context("piped")?
            .read_exact(&mut word)
            .context("cannot make a host")?;
        Ok(Self { anchor, scratch })
    }

    /// A place for files.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A command on this host.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.anchor.id().to_string(), "--wd=."]);
        command.arg("--").arg(program.as_ref());
        command
    }

    /// A shell script here that must succeed.
    pub fn sh(&self, script: &str) -> Result<()> {
        let out = self.command("sh").args(["-ec", script]).output().context("cannot start sh")?;
        ensure!(out.status.success(), "{script}: {}", String::from_utf8_lossy(&out.stderr));
        Ok(())
    }

    /// A root file system of busybox as a tar archive.
    pub fn busybox(&self) -> Result<PathBuf> {
        let (root, tar) = (self.scratch.join("busybox"), self.scratch.join("busybox.tar"));
        let (root, archive) = (root.display(), tar.display());
        self.sh(&format!(
            "mkdir -p {root}/bin {root}/etc {root}/tmp {root}/proc {root}/sys {root}/dev && cp /bin/busybox {root}/bin \
             && for a in sh true sleep cat; do ln -s busybox {root}/bin/$a; done \
             && echo 'root:x:0:0::/:/bin/sh' > {root}/etc/passwd && tar -C {root} -cf {archive} ."
        ))?;
        Ok(tar)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.anchor.stdin.take());
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}
