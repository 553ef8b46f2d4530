//! What is tried, by requirement.

use crate::{arp, row::Row};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    mount::{MountFlags, UnmountFlags},
    process::Pid,
    thread::CapabilitySet,
};
use std::{fs, io, path::Path};
use sys::probe::{Forbidden, attempt};

/// Every attempt, in the order of the requirements.
pub fn all() -> Vec<Row> {
    let mut rows = Vec::new();
    processes(&mut rows);
    files(&mut rows);
    devices(&mut rows);
    ipc(&mut rows);
    network(&mut rows);
    limits(&mut rows);
    capabilities(&mut rows);
    mandatory(&mut rows);
    rows
}

fn processes(rows: &mut Vec<Row>) {
    let pids: Vec<u32> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mine = std::process::id();
    let alone = pids.iter().all(|&pid| pid == mine || pid == 1);
    rows.push(Row::seen("PI-1", "look for others' processes", format!("{pids:?}"), alone));
    let parent = rustix::process::getppid();
    let answer = parent.map_or_else(|| "none".to_owned(), |pid| pid.as_raw_nonzero().to_string());
    rows.push(Row::seen("PI-1", "see the parent outside", answer, parent.is_none()));
    let outside =
        Pid::from_raw(4_000_000).map_or(Err(Errno::INVAL), rustix::process::test_kill_process);
    rows.push(Row::refused("PI-1", "signal a process outside", outside.map_err(Into::into)));
    rows.push(Row::seen(
        "PI-3",
        "be the container's first process",
        format!("pid {mine}"),
        mine == 1,
    ));
}

fn files(rows: &mut Vec<Row>) {
    for path in
        ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/panic_on_oom"]
    {
        rows.push(Row::refused("FS-2", format!("write {path}"), open_to_write(path)));
    }
    rows.push(Row::refused("FS-2", "write in /sys", open_to_write("/sys/kernel/uevent_helper")));
    rows.push(masked("/proc/kcore"));
    rows.push(masked("/proc/keys"));
    let mounted = rustix::mount::mount("none", "/dev/shm", "tmpfs", MountFlags::empty(), None);
    rows.push(Row::refused("FS-3", "mount a tmpfs", mounted.map_err(Into::into)));
    let remounted = rustix::mount::mount_remount("/", MountFlags::BIND, "");
    rows.push(Row::refused(
        "FS-3",
        "remount the root without nodev",
        remounted.map_err(Into::into),
    ));
    let unmounted = rustix::mount::unmount("/proc/sys", UnmountFlags::DETACH);
    rows.push(Row::refused("FS-3", "uncover /proc/sys", unmounted.map_err(Into::into)));
    let context = rustix::mount::fsopen("tmpfs", rustix::mount::FsOpenFlags::FSOPEN_CLOEXEC);
    rows.push(Row::refused("FS-3", "use the new mount calls", context.map_err(Into::into)));
    rows.push(call("FS-3", "make a mount namespace", Forbidden::UnshareMount));
    rows.push(call("FS-3", "make a user namespace", Forbidden::UnshareUser));
    rows.push(call("FS-3", "open a file by its handle", Forbidden::OpenByHandle));
    let own = fs::write("/copy-on-write", b"mine").and_then(|()| fs::read("/copy-on-write"));
    let held = own.as_ref().is_ok_and(|bytes| bytes == b"mine")
        || own.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem);
    let answer = own.map_or_else(|error| error.to_string(), |_| "a copy of its own".to_owned());
    rows.push(Row::seen("FS-4", "write on top of the image", answer, held));
}

fn devices(rows: &mut Vec<Row>) {
    for path in ["/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda"] {
        rows.push(Row::refused("DEV-1", format!("open {path}"), fs::File::open(path)));
    }
    rows.push(device("DEV-2", "make a node of /dev/mem and open it", "/tried-mem", 1, 1));
    rows.push(device("DEV-2", "make a node of /dev/kmsg and open it", "/tried-kmsg", 1, 11));
    let root = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let options = root.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields.get(4) == Some(&"/")).then(|| fields.get(5).copied().unwrap_or_default().to_owned())
    });
    let options = options.unwrap_or_default();
    let held = options.split(',').any(|option| option == "nodev");
    rows.push(Row::seen("DEV-3", "find a live device node in the image", options, held));
}

fn ipc(rows: &mut Vec<Row>) {
    let others = ["shm", "sem", "msg"]
        .iter()
        .filter_map(|kind| fs::read_to_string(format!("/proc/sysvipc/{kind}")).ok())
        .map(|text| text.lines().count().saturating_sub(1))
        .sum::<usize>();
    rows.push(Row::seen(
        "IPC-1",
        "see others' SysV objects",
        format!("{others} seen"),
        others == 0,
    ));
}

fn network(rows: &mut Vec<Row>) {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names: Vec<&str> =
        text.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    let held = names.iter().all(|name| *name == "lo" || name.starts_with("eth"));
    rows.push(Row::seen("NET-1", "see the host's interfaces", names.join(" "), held));
    let unix = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let abstracts = unix.lines().filter(|line| line.contains(" @")).count();
    let answer = format!("{abstracts} seen");
    rows.push(Row::seen("NET-1", "see the host's abstract sockets", answer, abstracts == 0));
    rows.push(arp::row());
    let moved = open_to_write("/proc/sys/net/ipv4/ip_forward");
    rows.push(Row::refused("NET-1", "write /proc/sys/net", moved));
}

fn limits(rows: &mut Vec<Row>) {
    let limit = ["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    let answer = limit.map_or_else(|| "no figure to be read".to_owned(), |n| n.trim().to_owned());
    rows.push(Row::seen("RES-1", "have processes without limit", answer.clone(), answer != "max"));
    for path in [
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/cgroup.procs",
        "/sys/fs/cgroup/release_agent",
    ] {
        if Path::new(path).exists() {
            rows.push(Row::refused("RES-1", format!("write {path}"), open_to_write(path)));
        }
    }
}

fn capabilities(rows: &mut Vec<Row>) {
    let raised = rustix::thread::capabilities(None).and_then(|mut sets| {
        sets.permitted |= CapabilitySet::SYS_ADMIN;
        sets.effective |= CapabilitySet::SYS_ADMIN;
        rustix::thread::set_capabilities(None, sets)
    });
    rows.push(Row::refused("CAP-1", "gain CAP_SYS_ADMIN", raised.map_err(Into::into)));
    let hostname = rustix::system::sethostname(b"taken-over");
    rows.push(Row::refused("CAP-1", "rename the host", hostname.map_err(Into::into)));
    rows.push(call("CAP-1", "set the clock", Forbidden::SetTimeOfDay));
    rows.push(call("CAP-1", "reboot", Forbidden::Reboot));
    rows.push(call("CAP-1", "load a kernel module", Forbidden::InitModule));
    rows.push(call("CAP-1", "turn swap off", Forbidden::SwapOff));
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let map: Vec<&str> = map.split_whitespace().collect();
    let held = map.len() == 3 && map[0] == "0" && map[1] != "0" && map[2] == "65536";
    rows.push(Row::seen("CAP-1", "be root outside", format!("uid map {}", map.join(" ")), held));
}

fn mandatory(rows: &mut Vec<Row>) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mode = status.lines().find_map(|line| line.strip_prefix("Seccomp:")).map_or("", str::trim);
    rows.push(Row::seen("SEC-1", "run without a call filter", format!("mode {mode}"), mode == "2"));
    rows.extend(label());
    for (tried, forbidden) in [
        ("load a BPF program", Forbidden::Bpf),
        ("watch with perf", Forbidden::PerfEventOpen),
        ("handle page faults", Forbidden::UserFaultFd),
        ("add a key", Forbidden::AddKey),
        ("load another kernel", Forbidden::KexecLoad),
    ] {
        rows.push(call("SEC-1", tried, forbidden));
    }
}

/// What the machine's security module calls this process, if it has one.
fn label() -> Option<Row> {
    let read = |file: &str| {
        let text = fs::read_to_string(Path::new("/proc/self/attr").join(file)).ok()?;
        Some(text.trim_end_matches(['\0', '\n']).to_owned()).filter(|label| !label.is_empty())
    };
    if let Some(profile) = read("apparmor/current") {
        let held = profile.ends_with(" (enforce)");
        return Some(Row::seen("AA-1", "run without a profile", profile, held));
    }
    let label = read("current")?;
    let kind = label.split(':').nth(2).unwrap_or_default();
    let held = matches!(kind, "container_t" | "svirt_lxc_net_t") && label.contains(",c");
    Some(Row::seen("SEL-1", "run without a label of its own", label, held))
}

fn call(id: &'static str, tried: &str, forbidden: Forbidden) -> Row {
    Row::refused(id, tried, attempt(forbidden).map_or(Ok(()), Err))
}

fn open_to_write(path: &str) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).open(path)
}

/// Held when the file cannot be read, is not there, or reads as empty.
fn masked(path: &str) -> Row {
    let tried = format!("read {path}");
    match fs::File::open(path).and_then(|mut file| io::Read::read(&mut file, &mut [0; 64])) {
        Ok(0) => Row::seen("FS-2", &tried, "nothing in it".to_owned(), true),
        got => Row::refused("FS-2", tried, got),
    }
}

fn device(id: &'static str, tried: &str, path: &str, major: u32, minor: u32) -> Row {
    let mode = Mode::from_bits_truncate(0o600);
    let kind = rustix::fs::FileType::CharacterDevice;
    let number = rustix::fs::makedev(major, minor);
    let opened = rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, number)
        .and_then(|()| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()));
    let _ = fs::remove_file(path);
    Row::refused(id, tried, opened.map_err(Into::into))
}
