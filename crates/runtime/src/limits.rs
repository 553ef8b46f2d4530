//! Limits and priorities that belong to a process, set from outside with the
//! host's rights.

use crate::{
    failure::{Doing, refusal},
    procfs::Proc,
};
use rustix::{
    io::Errno,
    process::{Pid, Resource, Rlimit},
    thread::CpuSet,
};
use spec::{oci::Process, wire::Failure};
use sys::sched::Schedule;

/// Applies what `process` asks for to process `pid`. What the machine would not
/// grant is told in `warnings`.
pub(crate) fn apply(
    proc: &Proc,
    pid: i32,
    process: &Process,
    warnings: &mut Vec<String>,
) -> Result<(), Failure> {
    rlimits(pid, process, warnings)?;
    if let Some(score) = process.oom_score_adj {
        match proc.write(&format!("{pid}/oom_score_adj"), score.to_string().as_bytes()) {
            Err(Errno::ACCESS | Errno::PERM) => {
                warnings.push(format!("this machine cannot grant oom_score_adj {score}"));
            }
            other => other.doing(|| format!("set oom_score_adj to {score}"))?,
        }
    }
    schedule(pid, process)?;
    io_priority(pid, process)
}

fn rlimits(pid: i32, process: &Process, warnings: &mut Vec<String>) -> Result<(), Failure> {
    let of = Pid::from_raw(pid);
    for limit in &process.rlimits {
        let resource = resource(&limit.kind)?;
        let value = |n: u64| (n != u64::MAX).then_some(n);
        let wanted = Rlimit { current: value(limit.soft), maximum: value(limit.hard) };
        match rustix::process::prlimit(of, resource, wanted) {
            Err(Errno::PERM) => {
                // Only the host's hard limit is in the way: as near as it goes.
                let now = rustix::process::getrlimit(resource);
                let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
                let near = Rlimit {
                    current: least(wanted.current, now.maximum),
                    maximum: least(wanted.maximum, now.maximum),
                };
                rustix::process::prlimit(of, resource, near)
                    .doing(|| format!("set {}", limit.kind))?;
                warnings.push(format!(
                    "this machine cannot raise {} to {}:{}",
                    limit.kind, limit.soft, limit.hard
                ));
            }
            other => drop(other.doing(|| format!("set {}", limit.kind))?),
        }
    }
    Ok(())
}

fn resource(word: &str) -> Result<Resource, Failure> {
    Ok(match word.strip_prefix("RLIMIT_").unwrap_or(word) {
        "AS" => Resource::As,
        "CORE" => Resource::Core,
        "CPU" => Resource::Cpu,
        "DATA" => Resource::Data,
        "FSIZE" => Resource::Fsize,
        "LOCKS" => Resource::Locks,
        "MEMLOCK" => Resource::Memlock,
        "MSGQUEUE" => Resource::Msgqueue,
        "NICE" => Resource::Nice,
        "NOFILE" => Resource::Nofile,
        "NPROC" => Resource::Nproc,
        "RSS" => Resource::Rss,
        "RTPRIO" => Resource::Rtprio,
        "RTTIME" => Resource::Rttime,
        "SIGPENDING" => Resource::Sigpending,
        "STACK" => Resource::Stack,
        _ => return Err(refusal(format!("unknown rlimit {word:?}"))),
    })
}

fn schedule(pid: i32, process: &Process) -> Result<(), Failure> {
    let Some(wanted) = &process.scheduler else { return Ok(()) };
    let policy = match wanted.policy.as_str() {
        "" | "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        word => return Err(refusal(format!("unknown scheduler policy {word:?}"))),
    };
    let mut flags = 0;
    for word in &wanted.flags {
        flags |= match word.as_str() {
            "SCHED_FLAG_RESET_ON_FORK" => 0x01,
            "SCHED_FLAG_RECLAIM" => 0x02,
            "SCHED_FLAG_DL_OVERRUN" => 0x04,
            "SCHED_FLAG_KEEP_POLICY" => 0x08,
            "SCHED_FLAG_KEEP_PARAMS" => 0x10,
            "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
            "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
            _ => return Err(refusal(format!("unknown scheduler flag {word:?}"))),
        };
    }
    let priority = u32::try_from(wanted.priority)
        .map_err(|_| refusal(format!("scheduler priority {} is negative", wanted.priority)))?;
    let attr = Schedule {
        policy,
        flags,
        nice: wanted.nice,
        priority,
        runtime: wanted.runtime,
        deadline: wanted.deadline,
        period: wanted.period,
    };
    sys::sched::set_schedule(pid, attr).doing(|| format!("set the scheduler {}", wanted.policy))
}

fn io_priority(pid: i32, process: &Process) -> Result<(), Failure> {
    let Some(wanted) = &process.io_priority else { return Ok(()) };
    let class = match wanted.class.as_str() {
        "IOPRIO_CLASS_RT" => 1,
        "IOPRIO_CLASS_BE" => 2,
        "IOPRIO_CLASS_IDLE" => 3,
        word => return Err(refusal(format!("unknown I/O priority class {word:?}"))),
    };
    let level = u8::try_from(wanted.priority)
        .ok()
        .filter(|level| *level < 8)
        .ok_or_else(|| refusal(format!("I/O priority {} is not 0 to 7", wanted.priority)))?;
    sys::sched::set_io_priority(pid, class, level)
        .doing(|| format!("set the I/O priority {}", wanted.class))
}

/// Whether `list` names processors, or none at all.
#[must_use]
pub fn is_processor_list(list: &str) -> bool {
    list.is_empty() || cpus(list).is_some()
}

/// Restricts the calling process to the processors of a list like `0-2,7`.
pub(crate) fn affinity(list: &str) -> Result<(), Failure> {
    if list.is_empty() {
        return Ok(());
    }
    let set = cpus(list).ok_or_else(|| refusal(format!("{list:?} is no list of processors")))?;
    rustix::thread::sched_setaffinity(None, &set).doing(|| format!("run on the processors {list}"))
}

fn cpus(list: &str) -> Option<CpuSet> {
    let mut set = CpuSet::new();
    for range in list.split(',').map(str::trim) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CpuSet::MAX_CPU {
            return None;
        }
        (first..=last).for_each(|cpu| set.set(cpu));
    }
    Some(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read_or_refused() {
        let set = cpus("0-2, 7").expect("a list");
        assert_eq!((set.count(), set.is_set(2), set.is_set(7)), (4, true, true));
        for bad in ["", "a", "3-1", "0-99999", "-1"] {
            assert!(cpus(bad).is_none(), "{bad}");
        }
    }
}
