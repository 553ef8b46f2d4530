//! Limits: Docker's words and units into the OCI's.

use crate::{Cgroups, Host, Refusal, cpuset, devices::Node};
use spec::{
    docker::HostConfig,
    oci::{BlockIo, Cpu, Memory, Pids, Resources, ThrottleDevice, WeightDevice},
};

/// The kernel itself needs some pages for a process. Docker's figure.
const LEAST_MEMORY: i64 = 6 << 20;

/// Why limits are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// For a new container: what is not said gets its default.
    Made,
    /// For one that is there: what is not said stays.
    Changed,
}

/// Reads the limits but for devices (character and block), which
/// [`crate::devices`] decides.
///
/// # Errors
/// A [`Refusal`], in Docker's words, for limits that make no sense or exclude
/// each other; [`Refusal::Unsupported`] where the host has no such controller.
pub fn choose(
    asked: &HostConfig,
    nodes: &[Node],
    host: &Host,
    when: When,
) -> Result<Resources, Refusal> {
    let mut resources = Resources {
        memory: memory(asked, host, when)?,
        cpu: cpu(asked, host)?,
        pids: pids(asked, host, when)?,
        block_io: block_io(asked, nodes)?,
        ..Resources::default()
    };
    if resources.memory.is_some() {
        need("memory", host)?;
    }
    if resources.block_io.is_some() {
        need(if host.cgroups == Cgroups::V2 { "io" } else { "blkio" }, host)?;
    }
    if when == When::Made && host.cgroups == Cgroups::V2 && host.controllers.contains("memory") {
        // Half a container is worse than none.
        resources.unified.insert("memory.oom.group".into(), "1".into());
    }
    Ok(resources)
}

fn need(controller: &str, host: &Host) -> Result<(), Refusal> {
    if host.controllers.contains(controller) {
        return Ok(());
    }
    Err(Refusal::unsupported(format!(
        "this host's cgroups have no {controller} controller, so the limit could not be kept: \
         enable it, or leave the limit out"
    )))
}

fn memory(asked: &HostConfig, host: &Host, when: When) -> Result<Option<Memory>, Refusal> {
    let (limit, swap, reserved) = (asked.memory, asked.memory_swap, asked.memory_reservation);
    if limit != 0 && limit < LEAST_MEMORY {
        return Err(Refusal::invalid("Minimum memory limit allowed is 6MB"));
    }
    if limit > 0 && swap != -1 && swap != 0 && swap < limit {
        return Err(Refusal::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    if when == When::Made && limit == 0 && swap > 0 {
        return Err(Refusal::invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if swap < -1 {
        return Err(Refusal::invalid(format!("invalid memory swap limit: {swap}")));
    }
    if reserved != 0 && reserved < LEAST_MEMORY {
        return Err(Refusal::invalid("Minimum memory reservation allowed is 6MB"));
    }
    if limit > 0 && reserved > 0 && limit < reserved {
        return Err(Refusal::invalid(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ));
    }
    let swappiness = match asked.memory_swappiness {
        None | Some(-1) => None,
        Some(value @ 0..=100) => u64::try_from(value).ok(),
        Some(value) => {
            return Err(Refusal::invalid(format!(
                "Invalid value: {value}, valid memory swappiness range is 0-100"
            )));
        }
    };
    let no_killer = asked.oom_kill_disable == Some(true);
    if host.cgroups == Cgroups::V2 {
        for (said, what) in [
            (swappiness.is_some(), "memory swappiness of its own (--memory-swappiness)"),
            (no_killer, "way to do without the OOM killer (--oom-kill-disable)"),
        ] {
            if said {
                return Err(Refusal::unsupported(format!("cgroup v2 has no {what}: leave it out")));
            }
        }
    }
    if (swap > 0 || (swap == -1 && limit > 0)) && !host.swap_accounting {
        return Err(Refusal::unsupported(
            "this kernel does not count swap (swapaccount=1), so --memory-swap could not be kept: \
             leave it out",
        ));
    }
    let swap = match swap {
        // Docker's default: as much swap again as memory.
        0 if limit > 0 && when == When::Made && host.swap_accounting => limit.checked_mul(2),
        0 => None,
        swap => Some(swap),
    };
    let memory = Memory {
        limit: Some(limit).filter(|limit| *limit != 0),
        reservation: Some(reserved).filter(|reserved| *reserved != 0),
        swap,
        swappiness,
        disable_oom_killer: Some(true).filter(|_| no_killer),
        ..Memory::default()
    };
    Ok(Some(memory).filter(|memory| *memory != Memory::default()))
}

fn cpu(asked: &HostConfig, host: &Host) -> Result<Option<Cpu>, Refusal> {
    let (nano, period, quota) = (asked.nano_cpus, asked.cpu_period, asked.cpu_quota);
    if nano > 0 && period > 0 {
        return Err(Refusal::invalid(
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ));
    }
    if nano > 0 && quota > 0 {
        return Err(Refusal::invalid(
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ));
    }
    if nano < 0 || nano > i64::from(host.cpus) * 1_000_000_000 {
        let n = host.cpus;
        return Err(Refusal::invalid(format!(
            "range of CPUs is from 0.01 to {n}.00, as there are only {n} CPUs available"
        )));
    }
    if asked.cpu_shares < 0 {
        return Err(Refusal::invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            asked.cpu_shares
        )));
    }
    if period != 0 && !(1000..=1_000_000).contains(&period) {
        return Err(Refusal::invalid(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ));
    }
    if quota > 0 && quota < 1000 {
        return Err(Refusal::invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)"));
    }
    cpuset::check_cpus(&asked.cpuset_cpus, &host.cpu_list)?;
    cpuset::check_nodes(&asked.cpuset_mems, &host.memory_nodes)?;
    if asked.cpu_count != 0 || asked.cpu_percent != 0 {
        return Err(Refusal::invalid(
            "CPUCount and CPUPercent are for Windows containers: use --cpus",
        ));
    }
    realtime(asked, host)?;
    let whole = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let mut cpu = Cpu {
        // What the kernel takes.
        shares: whole(asked.cpu_shares).map(|shares| shares.clamp(2, 262_144)),
        period: whole(period),
        quota: Some(quota).filter(|quota| *quota != 0),
        realtime_period: whole(asked.cpu_realtime_period),
        realtime_runtime: Some(asked.cpu_realtime_runtime).filter(|runtime| *runtime != 0),
        cpus: asked.cpuset_cpus.clone(),
        mems: asked.cpuset_mems.clone(),
        ..Cpu::default()
    };
    if nano > 0 {
        // Per 100 ms; the kernel takes no less than one.
        cpu.period = Some(100_000);
        cpu.quota = Some((nano / 10_000).max(1000));
    }
    if cpu == Cpu::default() {
        return Ok(None);
    }
    if !cpu.cpus.is_empty() || !cpu.mems.is_empty() {
        need("cpuset", host)?;
    }
    if (Cpu { cpus: String::new(), mems: String::new(), ..cpu.clone() }) != Cpu::default() {
        need("cpu", host)?;
    }
    Ok(Some(cpu))
}

fn realtime(asked: &HostConfig, host: &Host) -> Result<(), Refusal> {
    let (period, runtime) = (asked.cpu_realtime_period, asked.cpu_realtime_runtime);
    if period == 0 && runtime == 0 {
        return Ok(());
    }
    if period < 0 || runtime < 0 {
        return Err(Refusal::invalid("CPU real-time period and runtime can not be negative"));
    }
    if host.cgroups == Cgroups::V2 {
        return Err(Refusal::unsupported(
            "cgroup v2 has no real-time scheduling limits: leave --cpu-rt-runtime and \
             --cpu-rt-period out",
        ));
    }
    if period != 0 && runtime != 0 && runtime > period {
        return Err(Refusal::invalid(
            "cpu real-time runtime cannot be higher than cpu real-time period",
        ));
    }
    Ok(())
}

/// How many processes a container may have unless said otherwise: a quarter
/// of what the host can hold, within bounds that suit servers and stop bombs.
pub fn default_pids(host: &Host) -> i64 {
    i64::from((host.pid_max.min(host.threads_max) / 4).clamp(256, 16_384))
}

/// Clients send 0 for "nothing said"; without limit is -1.
fn pids(asked: &HostConfig, host: &Host, when: When) -> Result<Option<Pids>, Refusal> {
    match asked.pids_limit {
        Some(limit) if limit > 0 => {
            need("pids", host)?;
            Ok(Some(Pids { limit }))
        }
        Some(limit) if limit < 0 => Ok(Some(Pids { limit: -1 })),
        _ if when == When::Changed => Ok(None),
        _ if host.controllers.contains("pids") => Ok(Some(Pids { limit: default_pids(host) })),
        _ => Err(Refusal::unsupported(
            "this host's cgroups have no pids controller, so a fork bomb could not be stopped: \
             enable it, or say --pids-limit=-1",
        )),
    }
}

fn block_io(asked: &HostConfig, nodes: &[Node]) -> Result<Option<BlockIo>, Refusal> {
    let range = || Refusal::invalid("Range of blkio weight is from 10 to 1000");
    let fits = |weight: u16| (10..=1000).contains(&weight);
    if asked.blkio_weight != 0 && !fits(asked.blkio_weight) {
        return Err(range());
    }
    for (said, what) in
        [(asked.io_maximum_bandwidth, "maximum bandwidth"), (asked.io_maximum_iops, "maximum IOPs")]
    {
        if said != 0 {
            return Err(Refusal::invalid(format!(
                "invalid option: QoS {what} configuration is not supported on linux"
            )));
        }
    }
    let find = |path: &str| {
        nodes
            .iter()
            .find(|node| node.path == path && node.kind == 'b')
            .map(|node| (i64::from(node.major), i64::from(node.minor)))
            .ok_or_else(|| Refusal::invalid(format!("{path}: no such block device")))
    };
    let mut block = BlockIo {
        weight: Some(asked.blkio_weight).filter(|weight| *weight != 0),
        ..BlockIo::default()
    };
    for device in asked.blkio_weight_device.iter().flatten() {
        if !fits(device.weight) {
            return Err(range());
        }
        let (major, minor) = find(&device.path)?;
        let weight = Some(device.weight);
        block.weight_device.push(WeightDevice { major, minor, weight, leaf_weight: None });
    }
    for (list, target) in [
        (&asked.blkio_device_read_bps, &mut block.throttle_read_bps_device),
        (&asked.blkio_device_write_bps, &mut block.throttle_write_bps_device),
        (&asked.blkio_device_read_iops, &mut block.throttle_read_iops_device),
        (&asked.blkio_device_write_iops, &mut block.throttle_write_iops_device),
    ] {
        for device in list.iter().flatten() {
            let (major, minor) = find(&device.path)?;
            target.push(ThrottleDevice { major, minor, rate: device.rate });
        }
    }
    Ok(Some(block).filter(|block| *block != BlockIo::default()))
}

/// The limits that `docker update` changes: those not named stay absent.
/// `current` is what the container has now, against which they are judged.
///
/// # Errors
/// A [`Refusal`] for limits that make no sense, alone or beside the current.
pub fn update(
    current: &HostConfig,
    changes: &HostConfig,
    host: &Host,
) -> Result<Resources, Refusal> {
    for (set, said, words) in [
        (current.cpu_period, changes.nano_cpus, "Nano CPUs cannot be updated as CPU Period"),
        (current.cpu_quota, changes.nano_cpus, "Nano CPUs cannot be updated as CPU Quota"),
        (current.nano_cpus, changes.cpu_period, "CPU Period cannot be updated as NanoCPUs"),
        (current.nano_cpus, changes.cpu_quota, "CPU Quota cannot be updated as NanoCPUs"),
    ] {
        if set > 0 && said > 0 {
            return Err(Refusal::invalid(format!(
                "Conflicting options: {words} has already been set"
            )));
        }
    }
    if changes.memory > 0 && changes.memory_swap == 0 {
        let swap = current.memory_swap;
        if swap > 0 && changes.memory > swap {
            return Err(Refusal::invalid(
                "Memory limit should be smaller than already set memoryswap limit, update the \
                 memoryswap at the same time",
            ));
        }
    }
    if changes.memory == 0 && changes.memory_swap > 0 && changes.memory_swap < current.memory {
        return Err(Refusal::invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    choose(changes, &[], host, When::Changed)
}
