//! One guest: a QEMU process from its start to its end.

use super::{Job, Profile, cpio::Archive, image::Image};
use crate::run as succeed;
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Instant,
};

/// Memory is taken as the guest touches it.
const MEMORY: &str = "3G";

/// Faults of the processor are not the emulator's, and its clock is good.
const KERNEL: &str = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nowatchdog nokaslr \
                      tsc=reliable no_timer_check random.trust_cpu=on net.ifnames=0 \
                      systemd.unit=guest.service systemd.firstboot=off systemd.show_status=no \
                      systemd.log_target=console \
                      systemd.machine_id=c0ffe7da4c0ffe7da4c0ffe7da4c0ffe";

/// How much of the guest's own log is shown when it fails, in lines.
const TAIL: usize = 30;

/// Boots it, hands the job over, relays what it says. The job's exit code.
pub fn run(image: &Image, job: &Job) -> Result<i32> {
    let scratch = Scratch::new()?;
    let handed = scratch.hand(&job.files)?;
    let initramfs = scratch.0.join("initramfs");
    fs::write(&initramfs, archive(image, job)?).context("cannot write the initramfs")?;
    let (console, code) = (scratch.0.join("console"), scratch.0.join("code"));
    // However we end, the guest ends too.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    // With a thread for each of two processors, one now and then runs stale
    // code while the other's kernel changes itself.
    command.args(["-machine", "q35", "-accel", "tcg,tb-size=512", "-smp", "1", "-m", MEMORY]);
    command.args(["-cpu", "max,la57=off", "-device", "virtio-rng-pci"]);
    command.arg("-kernel").arg(image.kernel()).arg("-initrd").arg(&initramfs);
    let systems = match job.profile {
        Profile::Plain => "landlock,lockdown,yama,bpf",
        Profile::AppArmor => "landlock,lockdown,yama,apparmor,bpf",
        Profile::SeLinux => "landlock,lockdown,yama,selinux,bpf selinux=1 enforcing=1",
    };
    command.args(["-append", &format!("{KERNEL} lsm={systems}")]);
    command.args(["-chardev", &file("console", &console), "-serial", "chardev:console"]);
    command.args(["-chardev", &file("code", &code), "-chardev", "stdio,id=out,signal=off"]);
    command.args(["-device", "virtio-serial-pci"]);
    for port in ["out", "code"] {
        command.args(["-device", &format!("virtserialport,chardev={port},name={port}")]);
    }
    for disk in [Some(image.disk()), handed].into_iter().flatten() {
        let disk = disk.display();
        let options = "format=raw,if=virtio,snapshot=on,cache=unsafe,discard=unmap";
        command.args(["-drive", &format!("file={disk},{options}")]);
    }
    // Overlays of the disks are unnamed files there. Where its input has
    // ended, QEMU takes nothing from the port to its output either.
    command.env("TMPDIR", &scratch.0).stdin(Stdio::piped());
    let mut guest = Guest(command.spawn().context("cannot start QEMU")?);
    guest.wait(job, &console)?;
    let said = fs::read_to_string(&code).unwrap_or_default();
    match said.trim().parse() {
        Ok(code) => Ok(code),
        Err(_) => {
            bail!("the guest ended without an exit code; its last words:\n{}", tail(&console))
        }
    }
}

fn file(id: &str, path: &Path) -> String {
    format!("file,id={id},path={}", path.display())
}

fn archive(image: &Image, job: &Job) -> Result<Vec<u8>> {
    let read =
        |path: PathBuf| fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    let mut archive = Archive::new();
    for name in ["bin", "dev", "root", "guest"] {
        archive.directory(name);
    }
    archive.program("bin/busybox", &read(image.busybox())?);
    archive.link("bin/sh", "busybox");
    archive.file("early.ko", &read(image.early_module())?);
    archive.program("init", include_bytes!("init.sh"));
    archive.file("guest/guest.service", include_bytes!("guest.service"));
    archive.program("guest/main", include_bytes!("main.sh"));
    archive.file("guest/script", job.script.as_bytes());
    if !job.files.is_empty() {
        let places = job.files.iter().enumerate();
        let lines: String =
            places.map(|(at, (_, place))| format!("{at} {}\n", place.display())).collect();
        archive.file("guest/handed", lines.as_bytes());
    }
    Ok(archive.finish())
}

/// Ended when dropped.
struct Guest(Child);

impl Guest {
    fn wait(&mut self, job: &Job, console: &Path) -> Result<()> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().context("cannot wait for QEMU")? {
                if status.success() {
                    return Ok(());
                }
                bail!("QEMU: {status}");
            }
            if begun.elapsed() > job.patience {
                let seconds = job.patience.as_secs();
                bail!("the guest took more than {seconds} s; its last words:\n{}", tail(console));
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The end of the guest's kernel log.
fn tail(console: &Path) -> String {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// Files of one guest; gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = super::cache().join(format!("guest-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// A disk with copies of the directories, named by their number.
    fn hand(&self, files: &[(PathBuf, PathBuf)]) -> Result<Option<PathBuf>> {
        if files.is_empty() {
            return Ok(None);
        }
        let dir = self.0.join("handed");
        fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        for (at, (from, _)) in files.iter().enumerate() {
            let to = dir.join(at.to_string());
            succeed(
                Command::new("cp").args(["--archive", "--no-target-directory"]).arg(from).arg(&to),
            )?;
        }
        let out =
            crate::output(Command::new("du").args(["--summarize", "--block-size=1M"]).arg(&dir))?;
        let text = String::from_utf8_lossy(&out);
        let used: u64 =
            text.split_whitespace().next().and_then(|n| n.parse().ok()).context("du")?;
        let disk = self.0.join("handed.disk");
        let size = format!("{}M", used * 5 / 4 + 64);
        succeed(Command::new("truncate").args(["--size", &size]).arg(&disk))?;
        succeed(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&dir).arg(&disk))?;
        Ok(Some(disk))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
