//! Processes, as ps(1) shows them.
//!
//! What everybody asks for (`ps -ef`) is read from `/proc`; for other words
//! the host's own ps is asked about these processes, or about all of them and
//! its answer filtered. Users are told as the container counts them.

use crate::{Error, Top, error::Doing};
use snapshot::IdRange;
use std::{
    collections::{BTreeSet, HashMap},
    fs,
    process::{Command, Output, Stdio},
};

const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];

/// `USER_HZ` is 100 on every architecture that we run on.
const TICKS: u64 = 100;

pub(crate) fn top(pids: &[i32], ids: IdRange, ps_args: &str) -> Result<Top, Error> {
    let mut users = Users { ids, names: None };
    match ps_args.trim() {
        "" | "-ef" | "ef" => full(pids, &mut users),
        other => by_ps(pids, &mut users, other),
    }
}

fn full(pids: &[i32], users: &mut Users) -> Result<Top, Error> {
    let stat = fs::read_to_string("/proc/stat").doing("read", "/proc/stat")?;
    let uptime = fs::read_to_string("/proc/uptime").doing("read", "/proc/uptime")?;
    let uptime = uptime.split('.').next().and_then(|s| s.parse().ok()).unwrap_or(0);
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.parse().ok());
    let clock = Clock { boot: boot.unwrap_or(0), uptime };
    // A process that has gone meanwhile has no row.
    let rows = pids.iter().filter_map(|pid| row(*pid, &clock, users));
    Ok(Top { titles: TITLES.map(str::to_owned).into(), processes: rows.collect() })
}

/// Seconds.
struct Clock {
    boot: u64,
    uptime: u64,
}

fn row(pid: i32, clock: &Clock, users: &mut Users) -> Option<Vec<String>> {
    let dir = format!("/proc/{pid}");
    let user = users.of(pid)?;
    let stat = Stat::parse(&fs::read_to_string(format!("{dir}/stat")).ok()?)?;
    let words = fs::read(format!("{dir}/cmdline")).ok()?;
    let words = String::from_utf8_lossy(&words);
    let words = words.trim_end_matches('\0').replace('\0', " ");
    let cmd = if words.is_empty() { format!("[{}]", stat.name) } else { words };
    let begun = stat.started / TICKS;
    let lived = clock.uptime.saturating_sub(begun).max(1);
    let used = stat.ticks / TICKS;
    Some(vec![
        user,
        pid.to_string(),
        stat.parent.to_string(),
        (used * 100 / lived).min(99).to_string(),
        time_of_day(clock.boot + begun),
        terminal(stat.terminal),
        format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60),
        cmd,
    ])
}

/// What is needed of `/proc/PID/stat`.
struct Stat {
    name: String,
    parent: i32,
    terminal: i32,
    ticks: u64,
    started: u64,
}

impl Stat {
    /// The name stands in brackets and may hold any byte, brackets too.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted from field 3 (state) of proc_pid_stat(5).
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            ticks: number(14)? + number(15)?,
            started: number(22)?,
        })
    }
}

fn terminal(device: i32) -> String {
    let device = device.cast_unsigned();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => format!("{major}:{minor}"),
    }
}

/// Hours and minutes, UTC.
fn time_of_day(seconds: u64) -> String {
    format!("{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60)
}

/// Users by the names that the host has for their numbers in the container,
/// as for one without a range of its own; without a name they stay numbers.
struct Users {
    ids: IdRange,
    names: Option<HashMap<u32, String>>,
}

impl Users {
    /// Whose process it is; none if it has gone.
    fn of(&mut self, pid: i32) -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // Real, effective, saved, file system.
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
        Some(self.name(ids.split_whitespace().nth(1)?.parse().ok()?))
    }

    fn name(&mut self, uid: u32) -> String {
        let names = self.names.get_or_insert_with(|| {
            let text = fs::read_to_string("/etc/passwd").unwrap_or_default();
            let line = |line: &str| {
                let mut parts = line.split(':');
                let name = parts.next()?.to_owned();
                Some((parts.nth(1)?.parse().ok()?, name))
            };
            text.lines().filter_map(line).collect()
        });
        let inside = self.ids.user_inside(uid);
        // Somebody else's stay what they are.
        let uid = if self.ids.user_outside(inside) == Some(uid) { inside } else { uid };
        names.get(&uid).cloned().unwrap_or_else(|| uid.to_string())
    }
}

/// Asks the host's ps about these processes; where its words do not go with
/// that, about everything.
fn by_ps(pids: &[i32], users: &mut Users, args: &str) -> Result<Top, Error> {
    let list = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let mut output = ps(args, &["-q", &list])?;
    if !output.status.success() {
        output = ps(args, &[])?;
    }
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        let line = words.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        return Err(Error::Invalid(format!("ps: {}", line.trim())));
    }
    filtered(&String::from_utf8_lossy(&output.stdout), pids, users)
}

fn ps(args: &str, more: &[&str]) -> Result<Output, Error> {
    Command::new("ps")
        .args(args.split_whitespace())
        .args(more)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .output()
        .doing("run", "ps")
}

fn filtered(text: &str, pids: &[i32], users: &mut Users) -> Result<Top, Error> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID");
    let column =
        column.ok_or_else(|| Error::Invalid("Couldn't find PID field in ps output".into()))?;
    let wanted: BTreeSet<i32> = pids.iter().copied().collect();
    let mut processes = Vec::new();
    for line in lines {
        // The last column is the command, with its blanks.
        let mut row: Vec<String> = Vec::new();
        let mut rest = line.trim_start();
        while row.len() + 1 < titles.len() && !rest.is_empty() {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            row.push(rest[..end].to_owned());
            rest = rest[end..].trim_start();
        }
        row.push(rest.trim_end().to_owned());
        let pid = row.get(column).and_then(|pid| pid.parse().ok());
        let Some(pid) = pid.filter(|pid| wanted.contains(pid)) else { continue };
        for (cell, title) in row.iter_mut().zip(&titles) {
            if matches!(title.as_str(), "USER" | "UID" | "EUSER" | "EUID")
                && let Some(user) = users.of(pid)
            {
                *cell = user;
            }
        }
        processes.push(row);
    }
    Ok(Top { titles, processes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_has_a_row() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        let top = top(&[me], IdRange::HOST, "-ef").expect("read");
        let [row] = &top.processes[..] else { panic!("{top:?}") };
        assert_eq!(row[1], me.to_string());
        assert_eq!(row.len(), top.titles.len());
        assert!(row[7].contains("engine"), "the test binary: {row:?}");
    }

    #[test]
    fn users_are_those_of_the_container() {
        let mut users =
            Users { ids: IdRange { base: 1_000_000, size: 65_536, kept: None }, names: None };
        assert_eq!(users.name(1_000_000), "root");
        assert_eq!(users.name(1_054_321), "54321", "without a name it is a number");
        assert_eq!(users.name(2_000_000), "2000000", "nobody of the container");
    }

    #[test]
    fn words_of_ps_need_not_ask_for_all_processes() {
        let me = i32::try_from(std::process::id()).expect("a pid");
        for args in ["-o pid,comm", "-eo pid,comm", "aux"] {
            let top = top(&[me], IdRange::HOST, args).expect("asked");
            assert_eq!(top.processes.len(), 1, "{args}");
        }
    }

    #[test]
    fn a_name_with_brackets_cannot_forge_fields() {
        let stat = "7 (a) S 1 (b) R 5 6 6 34817 6 0 0 0 0 0 100 50 0 0 20 0 1 0 900 0";
        let stat = Stat::parse(stat).expect("a line of the kernel");
        assert_eq!((stat.name.as_str(), stat.parent), ("a) S 1 (b", 5));
        assert_eq!((stat.ticks, stat.started), (150, 900));
        assert_eq!(terminal(stat.terminal), "pts/1");
    }

    #[test]
    fn rows_of_others_are_left_out_and_a_command_keeps_its_blanks() {
        let text = "  PID CMD\n    1 /sbin/init\n   42 sleep  300 x\n";
        let mut users = Users { ids: IdRange::HOST, names: None };
        let top = filtered(text, &[42], &mut users).expect("has PIDs");
        assert_eq!(top.processes, [["42", "sleep  300 x"]]);
        let without = filtered("USER CMD\n", &[42], &mut users);
        assert!(without.is_err(), "without PIDs nothing can be told apart");
    }
}
