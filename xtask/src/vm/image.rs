//! The guest's disk and kernel, made once by mmdebstrap and kept.

use super::cache;
use crate::{output, run};
use anyhow::{Context as _, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SUITE: &str = "trixie";

/// What is in it beside what every Debian has.
const PACKAGES: &str = "systemd-sysv,dbus,kmod,busybox-static,iproute2,nftables,curl,procps,\
                        python3-minimal,util-linux,tmux,xz-utils,zstd,openssl,\
                        apparmor,selinux-policy-default,policycoreutils,\
                        e2fsprogs,xfsprogs,linux-image-cloud-amd64";

/// What our containers need beside Debian's SELinux policy.
const MODULE: &str = include_str!("../../../packaging/selinux/cofferdam.cil");

/// Read by systemd where the kernel has SELinux, and by nobody where not.
const SELINUX: &str = "SELINUX=enforcing\nSELINUXTYPE=default\n";

/// Needed before the disk can be read; the file system is built in.
const EARLY: &str = "kernel/drivers/block/virtio_blk.ko.xz";

/// Room for what tests write, in the file system alone: the file is sparse.
const SIZE: &str = "8G";

/// A finished image.
pub struct Image {
    dir: PathBuf,
}

impl Image {
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    pub fn kernel(&self) -> PathBuf {
        self.dir.join("kernel")
    }

    pub fn early_module(&self) -> PathBuf {
        self.dir.join("early.ko")
    }

    pub fn busybox(&self) -> PathBuf {
        self.dir.join("busybox")
    }
}

/// The image, made now if it is not there. Other packages, or another module,
/// make another image.
pub fn build() -> Result<Image> {
    let dir = cache().join(format!("{SUITE}-{:016x}", hash(&[SIZE, PACKAGES, MODULE, SELINUX])));
    if dir.is_dir() {
        return Ok(Image { dir });
    }
    println!("making the guest's image");
    let unfinished = cache().join("unfinished");
    clear(&unfinished)?;
    fs::create_dir_all(&unfinished)
        .with_context(|| format!("cannot make {}", unfinished.display()))?;
    let root = unfinished.join("root");
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--variant=minbase", "--include", PACKAGES]);
    command.arg("--aptopt=APT::Install-Recommends \"false\"");
    for option in ["doc", "man", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{option}/*"));
    }
    run(command.arg(SUITE).arg(&root))?;
    let (path, version) = kernel(&root.join("boot"))?;
    copy(&path, &unfinished.join("kernel"))?;
    copy(&root.join("usr/bin/busybox"), &unfinished.join("busybox"))?;
    let module = root.join("usr/lib/modules").join(version).join(EARLY);
    let bytes = output(Command::new("xz").args(["--decompress", "--stdout"]).arg(&module))?;
    write(&unfinished.join("early.ko"), &bytes)?;
    label(&root)?;
    let disk = unfinished.join("disk");
    run(Command::new("truncate").args(["--size", SIZE]).arg(&disk))?;
    run(Command::new("mke2fs").args(["-q", "-t", "ext4", "-d"]).arg(&root).arg(&disk))?;
    clear(&root)?;
    fs::rename(&unfinished, &dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(Image { dir })
}

/// FNV-1a: the same in every build of this program.
fn hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Completes the SELinux policy, lets it report all that it denies, and labels
/// every file.
fn label(root: &Path) -> Result<()> {
    write(&root.join("etc/selinux/config"), SELINUX.as_bytes())?;
    write(&root.join("cofferdam.cil"), MODULE.as_bytes())?;
    let inside = |words: &[&str]| run(Command::new("chroot").arg(root).args(words));
    inside(&["semodule", "--noreload", "--disable_dontaudit", "--install", "/cofferdam.cil"])?;
    let contexts = "/etc/selinux/default/contexts/files/file_contexts";
    inside(&["setfiles", "-F", "-e", "/proc", "-e", "/sys", "-e", "/dev", contexts, "/"])
}

/// The one kernel in `/boot`, and its version.
fn kernel(boot: &Path) -> Result<(PathBuf, String)> {
    let entries = fs::read_dir(boot).with_context(|| format!("cannot read {}", boot.display()))?;
    let found = entries.flatten().find_map(|entry| {
        let version = entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned();
        Some((entry.path(), version))
    });
    found.with_context(|| format!("no kernel in {}", boot.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// An empty directory's place: nothing is there any more.
fn clear(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("cannot remove {}", dir.display())),
    }
}
