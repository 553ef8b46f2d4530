//! What the kernel wrote down by itself: records of SELinux, AppArmor, seccomp
//! and Landlock, in its log, or in that of the audit daemon, which takes them
//! over where it runs.
//!
//! The log holds what fits it, and the kernel writes only so many records a
//! second: what is not here may have been denied all the same.
//!
//! Source: `dev-kmsg` of the kernel's documentation; `include/uapi/linux/audit.h`.

use crate::{Layer, Scope};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::{Errno, read},
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

/// The kernel's log, a record a read.
const LOG: &str = "/dev/kmsg";
/// That of the audit daemon, where it runs.
const AUDIT_LOG: &str = "/var/log/audit/audit.log";
/// Of which the end is enough.
const TAIL: u64 = 1 << 20;
/// Records of one container, the latest.
const MOST: usize = 200;

const SECCOMP: &str = "1326";
const AVC: &str = "1400";
const LANDLOCK: &str = "1423";

/// By what a record is known to be a container's.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its ids, if nobody else has them.
    pub scope: Option<Scope>,
    /// Its SELinux level, if it has one: nobody else does.
    pub level: String,
    /// Its processes, as the host counts: those that still run.
    pub processes: Vec<i32>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Seconds since the epoch, as the record has them.
    pub seconds: u64,
    /// Who said no.
    pub layer: Layer,
    /// The program, as the kernel calls it.
    pub program: String,
    /// What was denied, in words.
    pub what: String,
}

/// The records of one container, oldest first.
///
/// # Errors
/// `EPERM` without `CAP_SYSLOG`; none for the log of an audit daemon that is
/// not there.
pub fn records(owner: &Owner) -> io::Result<Vec<Record>> {
    let mut found = VecDeque::new();
    let mut keep = |line: &str| {
        if let Some(record) = read_line(line).filter(|line| line.is_of(owner)).map(Line::record) {
            if found.len() == MOST {
                found.pop_front();
            }
            found.push_back(record);
        }
    };
    audit_log(&mut keep)?;
    kernel_log(&mut keep)?;
    Ok(found.into())
}

fn kernel_log(keep: &mut impl FnMut(&str)) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let log = match openat(CWD, LOG, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        log => log?,
    };
    let mut text = [0_u8; 8192];
    loop {
        match read(&log, &mut text) {
            Ok(0) | Err(Errno::AGAIN) => return Ok(()),
            Ok(len) => {
                let text = String::from_utf8_lossy(&text[..len]);
                let message = text.split_once(';').map_or("", |(_, message)| message);
                keep(message.lines().next().unwrap_or_default());
            }
            // Overwritten while it was read: the next is there.
            Err(Errno::PIPE) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn audit_log(keep: &mut impl FnMut(&str)) -> io::Result<()> {
    let mut log = match File::open(AUDIT_LOG) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        log => log?,
    };
    let len = log.metadata()?.len();
    log.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut text = Vec::new();
    log.take(TAIL).read_to_end(&mut text)?;
    for line in String::from_utf8_lossy(&text).lines() {
        keep(line);
    }
    Ok(())
}

/// A line that is a record of a denial.
#[derive(Debug)]
struct Line<'a> {
    kind: &'a str,
    seconds: u64,
    text: &'a str,
}

/// `audit: type=N audit(SECONDS.…:SERIAL): …` of the kernel's log, and
/// `type=NAME msg=audit(SECONDS.…:SERIAL): …` of the daemon's.
fn read_line(line: &str) -> Option<Line<'_>> {
    let rest = line.strip_prefix("audit: ").unwrap_or(line).strip_prefix("type=")?;
    let (kind, rest) = rest.split_once(' ')?;
    let kind = match kind {
        "SECCOMP" | SECCOMP => SECCOMP,
        "AVC" | AVC => AVC,
        "LANDLOCK_ACCESS" | LANDLOCK => LANDLOCK,
        _ => return None,
    };
    let (stamp, text) = rest.split_once("audit(")?.1.split_once("): ")?;
    let seconds = stamp.split(['.', ':']).next()?.parse().ok()?;
    Some(Line { kind, seconds, text })
}

impl<'a> Line<'a> {
    /// A field's value, without its quotes.
    fn field(&self, key: &str) -> Option<&'a str> {
        let at = self.text.match_indices(key).find(|(at, _)| {
            let begins = *at == 0 || self.text.as_bytes()[at - 1] == b' ';
            begins && self.text[at + key.len()..].starts_with('=')
        })?;
        let value = &self.text[at.0 + key.len() + 1..];
        match value.strip_prefix('"') {
            Some(value) => value.split('"').next(),
            None => value.split(' ').next(),
        }
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.field(key)?.parse().ok()
    }

    fn is_of(&self, owner: &Owner) -> bool {
        let level = |context: &str| {
            !owner.level.is_empty() && context.ends_with(&format!(":{}", owner.level))
        };
        let own = |id: u32| match owner.scope {
            Some(Scope::Ids { first, size }) => id.checked_sub(first).is_some_and(|id| id < size),
            _ => false,
        };
        self.field("scontext").is_some_and(level)
            || self.number("uid").or_else(|| self.number("fsuid")).is_some_and(own)
            || self.number("pid").is_some_and(|pid| owner.processes.contains(&pid))
    }

    fn record(self) -> Record {
        let (layer, what) = match self.kind {
            SECCOMP => (Layer::Seccomp, self.seccomp()),
            LANDLOCK => (Layer::Landlock, self.landlock()),
            _ => (Layer::SecurityModule, self.module()),
        };
        let program = self.field("comm").unwrap_or_default().to_owned();
        Record { seconds: self.seconds, layer, program, what }
    }

    fn seccomp(&self) -> String {
        let number: Option<u32> = self.number("syscall");
        let arch = match self.field("arch") {
            Some("40000003") => seccomp::Arch::I386,
            Some("c00000b7") => seccomp::Arch::Aarch64,
            Some("40000028") => seccomp::Arch::Arm,
            _ if number.is_some_and(|number| number & 0x4000_0000 != 0) => seccomp::Arch::X32,
            _ => seccomp::Arch::X86_64,
        };
        let call = number.and_then(|number| arch.name(number));
        let call = call.map_or_else(|| self.field("syscall").unwrap_or("?").into(), str::to_owned);
        let code = self.field("code").and_then(|code| code.strip_prefix("0x"));
        let code = code.and_then(|code| u32::from_str_radix(code, 16).ok()).unwrap_or(0);
        let done = match code & 0xffff_0000 {
            0x8000_0000 => "killed the process for",
            0 => "killed the thread for",
            0x0003_0000 => "sent SIGSYS for",
            0x0005_0000 => "answered with an error",
            0x7ffc_0000 => "let through and wrote down",
            _ => "judged",
        };
        format!("{done} {call}")
    }

    fn landlock(&self) -> String {
        let of = self.field("blockers").unwrap_or("?");
        self.field("path").map_or_else(|| of.to_owned(), |path| format!("{of} of {path}"))
    }

    /// SELinux has its own words before the fields; AppArmor has fields only.
    fn module(&self) -> String {
        let path = ["path", "name", "dest"].iter().find_map(|key| self.field(key)).unwrap_or("?");
        if let Some(operation) = self.field("operation") {
            let mask = self.field("denied_mask").unwrap_or("?");
            let profile = self.field("profile").unwrap_or("?");
            return format!("AppArmor profile {profile}: {operation} ({mask}) of {path}");
        }
        let asked = self.text.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let asked = asked.map_or("?", |(asked, _)| asked.trim());
        let class = self.field("tclass").unwrap_or("?");
        let target = self.field("tcontext").unwrap_or("?");
        format!("SELinux: {asked} of {class} {path} labelled {target}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            scope: Some(Scope::Ids { first: 100_000, size: 65_536 }),
            level: "s0:c12,c345".into(),
            processes: vec![77],
        }
    }

    fn told(line: &str) -> Option<String> {
        let line = read_line(line)?;
        line.is_of(&owner()).then(|| line.record().what)
    }

    #[test]
    fn a_filter_that_killed_is_told_with_the_call() {
        let line = "audit: type=1326 audit(1700000000.123:45): auid=4294967295 uid=100033 \
                    gid=100033 ses=1 pid=9 comm=\"sh\" exe=\"/bin/sh\" sig=31 arch=c000003e \
                    syscall=250 compat=0 ip=0x1 code=0x80000000";
        assert_eq!(told(line).as_deref(), Some("killed the process for keyctl"));
        let other = line.replace("uid=100033", "uid=99999");
        assert_eq!(told(&other), None, "another's: auid is no uid");
        let still = other.replace("pid=9 ", "pid=77 ");
        assert!(told(&still).is_some(), "a process that is known by its number");
    }

    #[test]
    fn selinux_is_known_by_the_containers_own_level() {
        let line = "type=AVC msg=audit(1700000000.5:9): avc:  denied  { write } for  pid=5 \
                    comm=\"sh\" name=\"shadow\" dev=\"vda\" ino=3 \
                    scontext=system_u:system_r:container_t:s0:c12,c345 \
                    tcontext=system_u:object_r:shadow_t:s0 tclass=file permissive=0";
        let expected = "SELinux: write of file shadow labelled system_u:object_r:shadow_t:s0";
        assert_eq!(told(line).as_deref(), Some(expected));
        assert_eq!(told(&line.replace("c12,c345", "c12,c34")), None);
    }

    #[test]
    fn apparmor_is_known_by_the_ids() {
        let line = "audit: type=1400 audit(1700000000.5:9): apparmor=\"DENIED\" \
                    operation=\"open\" class=\"file\" profile=\"cofferdam-default\" \
                    name=\"/proc/sysrq-trigger\" pid=5 comm=\"sh\" requested_mask=\"w\" \
                    denied_mask=\"w\" fsuid=100000 ouid=100000";
        let expected = "AppArmor profile cofferdam-default: open (w) of /proc/sysrq-trigger";
        assert_eq!(told(line).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_denial_is_left_alone() {
        assert_eq!(told("audit: type=1300 audit(1.2:3): uid=100000"), None);
        assert_eq!(told("coffer0: port 1 entered disabled state"), None);
        assert_eq!(told("audit: type=1326 audit(x): uid=100000"), None);
    }
}
