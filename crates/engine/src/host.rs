//! What the machine is and can do: asked once, when the engine opens.

use crate::Options;
use cgroup::{Layout, Version};
use policy::{Arch, Cgroups};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Facts for people.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    /// Of this boot.
    pub boot: String,
    pub kernel: String,
    pub arch: String,
    pub os: String,
    pub os_version: String,
    pub backing_filesystem: String,
}

/// What the host calls itself.
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The whole of a small file, trimmed; empty if it cannot be read.
fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

impl Machine {
    pub fn look(data_root: &Path) -> Self {
        let uname = rustix::system::uname();
        let release = fs::read_to_string("/etc/os-release")
            .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
            .unwrap_or_default();
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches('"').to_owned()
        };
        let os = Some(field("PRETTY_NAME")).filter(|os| !os.is_empty());
        Self {
            boot: text("/proc/sys/kernel/random/boot_id"),
            kernel: uname.release().to_string_lossy().into_owned(),
            arch: uname.machine().to_string_lossy().into_owned(),
            os: os.unwrap_or_else(|| "Linux".into()),
            os_version: field("VERSION_ID"),
            backing_filesystem: filesystem(&text("/proc/self/mountinfo"), data_root),
        }
    }
}

/// The type of file system below a path, by the longest mount point.
fn filesystem(mountinfo: &str, path: &Path) -> String {
    let entry = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = PathBuf::from(mount.split(' ').nth(4)?);
        path.starts_with(&point).then(|| {
            (point.as_os_str().len(), kind.split(' ').next().unwrap_or_default().to_owned())
        })
    };
    // Of two mounts at one place the later one is on top.
    mountinfo.lines().filter_map(entry).max_by_key(|(len, _)| *len).map_or_else(
        || "unknown".into(),
        |(_, kind)| if kind == "ext4" { "extfs".into() } else { kind },
    )
}

/// What `policy` decides by.
pub(crate) fn policy(options: &Options, machine: &Machine, layout: &Layout) -> policy::Host {
    let mut version = machine.kernel.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let kernel = (version.next().unwrap_or(0), version.next().unwrap_or(0));
    let number = |path: &str| text(path).parse::<u32>().unwrap_or(u32::MAX);
    let paths = [&options.data_root, &options.run_root];
    let selinux = crate::selinux::is_enabled();
    policy::Host {
        arch: if machine.arch == "aarch64" { Arch::Aarch64 } else { Arch::X86_64 },
        kernel,
        user_namespaces: Path::new("/proc/self/ns/user").exists()
            && text("/proc/sys/user/max_user_namespaces") != "0",
        idmapped_mounts: kernel >= (5, 12),
        time_namespaces: Path::new("/proc/self/ns/time").exists(),
        cgroups: if layout.version() == Version::V2 { Cgroups::V2 } else { Cgroups::V1 },
        controllers: controllers(layout),
        swap_accounting: swap_accounting(layout),
        landlock: sys::confine::landlock_abi(),
        seccomp: text("/proc/self/status").contains("\nSeccomp:"),
        apparmor: crate::apparmor::is_enabled(),
        apparmor_profile: crate::apparmor::load(),
        selinux,
        selinux_type: if selinux { crate::selinux::known_type() } else { String::new() },
        cpus: online(&text("/sys/devices/system/cpu/online")),
        cpu_list: text("/sys/devices/system/cpu/online"),
        memory_nodes: text("/sys/devices/system/node/online"),
        memory: memory(&text("/proc/meminfo")),
        pid_max: number("/proc/sys/kernel/pid_max"),
        threads_max: number("/proc/sys/kernel/threads-max"),
        engine_paths: paths.iter().map(|path| path.display().to_string()).collect(),
    }
}

fn controllers(layout: &Layout) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    if let Some(top) = layout.unified() {
        let there = text(top.join("cgroup.controllers"));
        all.extend(there.split_whitespace().map(str::to_owned));
    }
    if layout.version() != Version::V2 {
        // Mounted ones only: what is compiled in and not mounted is of no use.
        let mounts = text("/proc/self/mountinfo");
        let legacy =
            mounts.lines().filter_map(|line| line.split_once(" - cgroup ")?.1.rsplit(' ').next());
        all.extend(
            legacy
                .flat_map(|options| options.split(','))
                .filter(|word| !matches!(*word, "rw" | "ro") && !word.contains('='))
                .map(str::to_owned),
        );
    }
    all
}

fn swap_accounting(layout: &Layout) -> bool {
    let mounts = text("/proc/self/mountinfo");
    let legacy = mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - cgroup ")?;
        kind.rsplit(' ').next()?.split(',').any(|word| word == "memory").then_some(())?;
        mount.split(' ').nth(4)
    });
    match (legacy, layout.unified()) {
        (Some(point), _) => Path::new(point).join("memory.memsw.limit_in_bytes").exists(),
        // Version 2 has the file everywhere but at the top.
        (None, Some(top)) => fs::read_dir(top)
            .is_ok_and(|all| all.flatten().any(|dir| dir.path().join("memory.swap.max").exists())),
        (None, None) => false,
    }
}

/// How many are in a list such as `0-3,8`.
fn online(list: &str) -> u32 {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(last.parse::<u32>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    list.split(',').filter_map(part).sum::<u32>().max(1)
}

fn memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|total| total.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.unwrap_or(0_u64) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_from_the_kernels_list() {
        assert_eq!(online("0-3,8"), 5);
        assert_eq!(online("0"), 1);
        assert_eq!(online(""), 1, "there is always the one that asks");
    }

    #[test]
    fn the_data_root_is_on_the_nearest_mount() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /var rw - btrfs /dev/b rw";
        assert_eq!(filesystem(mounts, Path::new("/var/lib/x")), "btrfs");
        assert_eq!(filesystem(mounts, Path::new("/srv")), "extfs");
    }

    #[test]
    fn memory_is_given_in_bytes() {
        assert_eq!(memory("MemTotal:       16 kB\nMemFree: 1 kB"), 16384);
    }
}
