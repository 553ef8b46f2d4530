//! A machine of the test's own: network and mount namespaces, held open by
//! one process that ends with the test.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
};

/// Ends its processes when dropped.
pub struct Host {
    anchor: Child,
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host with nothing but `lo`, which is up.
    ///
    /// # Panics
    /// Where namespaces cannot be made: the tests need root.
    pub fn new() -> Self {
        // `cat` ends when our end of its input closes, however we end.
        let script = "ip link set lo up && mount -t tmpfs tmpfs /run && echo up && exec cat";
        let mut anchor = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-ec", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) starts");
        let mut word = [0; 3];
        let out = anchor.stdout.as_mut().expect("piped");
        std::io::Read::read_exact(out, &mut word).expect("a host of the test's own: needs root");
        Self { anchor }
    }

    /// The process that holds the namespaces.
    pub fn pid(&self) -> u32 {
        self.anchor.id()
    }

    /// A command that will run on this host.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--mount", "--target", &self.pid().to_string(), "--wd=."]);
        command.arg("--").arg(program.as_ref());
        // The directory is of another mount namespace there, and has no path:
        // programs that ask for it believe this.
        if let Ok(here) = std::env::current_dir() {
            command.env("PWD", here);
        }
        command
    }

    /// Runs a shell script here.
    ///
    /// # Panics
    /// If the shell cannot be started.
    pub fn sh(&self, script: &str) -> Output {
        self.command("sh").args(["-c", script]).stdin(Stdio::null()).output().expect("sh starts")
    }

    /// Runs a shell script here that must succeed, and returns what it said.
    ///
    /// # Panics
    /// If it fails.
    pub fn says(&self, script: &str) -> String {
        let out = self.sh(script);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{script}\n{}{error}", String::from_utf8_lossy(&out.stdout));
        String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
    }

    /// A neighbour on the wire: another host, joined by a veth pair whose end
    /// here is `uplink` (192.0.2.1/24) and there `eth0` (192.0.2.2/24).
    ///
    /// # Panics
    /// If the pair cannot be made.
    #[must_use]
    pub fn neighbour(&self) -> Host {
        let other = Host::new();
        self.says(&format!(
            "ip link add uplink type veth peer name eth0 netns {} && ip addr add 192.0.2.1/24 dev uplink \
             && ip -6 addr add 2001:db8::1/64 dev uplink nodad && ip link set uplink up",
            other.pid()
        ));
        other.says(
            "ip addr add 192.0.2.2/24 dev eth0 && ip -6 addr add 2001:db8::2/64 dev eth0 nodad \
             && ip link set eth0 up",
        );
        // The kernel lets frames pass up to a second after both ends are up.
        for (host, end) in [(self, "uplink"), (&other, "eth0")] {
            crate::until("the wire", || {
                host.sh(&format!("ip -br link show {end} | grep -q ' UP '")).status.success()
            });
        }
        other
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.anchor.stdin.take());
        let _ = self.anchor.kill();
        let _ = self.anchor.wait();
    }
}
