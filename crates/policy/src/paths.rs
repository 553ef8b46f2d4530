//! Kernel paths that are hidden from a container, and those that it may read
//! only. The runtime opens them safely and passes over what is not there.

use crate::{Arch, Host, security::Options};
use spec::docker::HostConfig;

/// Tell about the host, or reach it.
const MASKED: [&str; 14] = [
    "/proc/acpi",
    "/proc/asound",
    // Times of keystrokes and packets.
    "/proc/interrupts",
    // The host's memory.
    "/proc/kcore",
    // Names of keys that belong to no namespace.
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    // What the host's kernel said.
    "/proc/kmsg",
    // Variables of the firmware; writing some bricks the machine.
    "/sys/firmware",
    // Power drawn tells what other programs compute.
    "/sys/devices/virtual/powercap",
    "/sys/kernel/debug",
];

/// Rule the host, or may.
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Which paths are hidden, and which are read-only.
pub fn choose(asked: &HostConfig, options: &Options, host: &Host) -> (Vec<String>, Vec<String>) {
    if asked.privileged {
        return (Vec::new(), Vec::new());
    }
    let open = options.system_paths;
    let choose = |asked: &Option<Vec<String>>, default: Vec<String>| match asked {
        Some(paths) => paths.clone(),
        None if open => Vec::new(),
        None => default,
    };
    let masked = choose(&asked.masked_paths, masked(host));
    let read_only = choose(&asked.readonly_paths, READ_ONLY.map(str::to_owned).to_vec());
    (masked, read_only)
}

/// The default list. When a processor was too hot tells what it computed.
pub fn masked(host: &Host) -> Vec<String> {
    let mut paths = MASKED.map(str::to_owned).to_vec();
    if host.arch == Arch::X86_64 {
        let hot = |cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
        paths.extend((0..host.cpus).map(hot));
    }
    paths
}

/// Defaults that a request left out.
pub fn missing(masked: &[String], read_only: &[String], host: &Host) -> (bool, bool) {
    let lacks = |have: &[String], path: &str| !have.iter().any(|p| p == path);
    (
        self::masked(host).iter().any(|path| lacks(masked, path)),
        READ_ONLY.iter().any(|path| lacks(read_only, path) && lacks(masked, path)),
    )
}
