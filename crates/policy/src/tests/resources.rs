//! Limits.

use super::*;
use crate::{Kind, update};
use spec::docker::ThrottleDevice;

fn words(change: impl FnOnce(&mut HostConfig)) -> String {
    Ask::with(change).words()
}

const MB: i64 = 1 << 20;

#[test]
fn memory_is_read_as_docker_reads_it() {
    let sandbox = Ask::with(|c| c.memory = 64 * MB).sandbox();
    let memory = resources(&sandbox).memory.clone().expect("asked for");
    assert_eq!((memory.limit, memory.swap), (Some(64 * MB), Some(128 * MB)));
    let sandbox = Ask::with(|c| (c.memory, c.memory_swap) = (64 * MB, -1)).sandbox();
    assert_eq!(resources(&sandbox).memory.clone().and_then(|m| m.swap), Some(-1));
    let mut no_swap = Ask::with(|c| c.memory = 64 * MB);
    no_swap.host.swap_accounting = false;
    assert_eq!(resources(&no_swap.sandbox()).memory.clone().and_then(|m| m.swap), None);
}

#[test]
fn memory_that_makes_no_sense_is_refused_in_dockers_words() {
    assert_eq!(words(|c| c.memory = MB), "Minimum memory limit allowed is 6MB");
    assert_eq!(words(|c| c.memory = -1), "Minimum memory limit allowed is 6MB");
    assert_eq!(words(|c| c.memory_reservation = 1), "Minimum memory reservation allowed is 6MB");
    assert_eq!(
        words(|c| (c.memory, c.memory_swap) = (64 * MB, 32 * MB)),
        "Minimum memoryswap limit should be larger than memory limit, see usage"
    );
    assert_eq!(
        words(|c| c.memory_swap = 32 * MB),
        "You should always set the Memory limit when using Memoryswap limit, see usage"
    );
    assert_eq!(
        words(|c| (c.memory, c.memory_reservation) = (64 * MB, 65 * MB)),
        "Minimum memory limit can not be less than memory reservation limit, see usage"
    );
    assert_eq!(
        words(|c| c.memory_swappiness = Some(101)),
        "Invalid value: 101, valid memory swappiness range is 0-100"
    );
}

#[test]
fn what_clients_send_for_nothing_is_nothing() {
    let sandbox = Ask::with(|c| {
        c.memory_swappiness = Some(-1);
        c.oom_kill_disable = Some(false);
        c.pids_limit = Some(0);
    })
    .sandbox();
    assert_eq!(sandbox, ask().sandbox());
}

#[test]
fn what_the_second_cgroup_version_lacks_is_refused_there_only() {
    let swappiness = |c: &mut HostConfig| c.memory_swappiness = Some(10);
    assert!(words(swappiness).contains("cgroup v2"));
    assert!(words(|c| c.oom_kill_disable = Some(true)).contains("cgroup v2"));
    let mut v1 = Ask::with(swappiness);
    v1.host.cgroups = Cgroups::V1;
    assert_eq!(resources(&v1.sandbox()).memory.clone().and_then(|m| m.swappiness), Some(10));
}

#[test]
fn a_limit_that_no_controller_could_keep_is_refused() {
    let mut bare = Ask::with(|c| c.memory = 64 * MB);
    bare.host.controllers.remove("memory");
    let refusal = bare.decide().expect_err("must refuse");
    assert_eq!(refusal.kind(), Kind::Unsupported);
    assert!(refusal.to_string().contains("no memory controller"));
    let mut bare = Ask::with(|c| c.cpuset_cpus = "0".into());
    bare.host.controllers.remove("cpuset");
    assert!(bare.words().contains("no cpuset controller"));
}

#[test]
fn processors_become_a_quota() {
    let sandbox = Ask::with(|c| c.nano_cpus = 1_500_000_000).sandbox();
    let cpu = resources(&sandbox).cpu.clone().expect("asked for");
    assert_eq!((cpu.quota, cpu.period), (Some(150_000), Some(100_000)));
    let sandbox = Ask::with(|c| c.cpu_shares = 1).sandbox();
    assert_eq!(resources(&sandbox).cpu.clone().and_then(|cpu| cpu.shares), Some(2));
}

#[test]
fn processors_that_make_no_sense_are_refused_in_dockers_words() {
    assert_eq!(
        words(|c| c.nano_cpus = 3_000_000_000),
        "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
    );
    assert_eq!(
        words(|c| (c.nano_cpus, c.cpu_quota) = (1_000_000_000, 5000)),
        "Conflicting options: Nano CPUs and CPU Quota cannot both be set"
    );
    assert_eq!(
        words(|c| (c.nano_cpus, c.cpu_period) = (1_000_000_000, 5000)),
        "Conflicting options: Nano CPUs and CPU Period cannot both be set"
    );
    assert_eq!(
        words(|c| c.cpu_period = 10),
        "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
    );
    assert_eq!(words(|c| c.cpu_quota = 10), "CPU cfs quota can not be less than 1ms (i.e. 1000)");
    assert_eq!(
        words(|c| c.cpuset_cpus = "0-5".into()),
        "Requested CPUs are not available - requested 0-5, available: 0-1"
    );
}

#[test]
fn processes_are_limited_as_asked() {
    let limit = |limit| {
        let sandbox = Ask::with(|c| c.pids_limit = Some(limit)).sandbox();
        (resources(&sandbox).pids.map(|pids| pids.limit), sandbox.weakened)
    };
    assert_eq!(limit(100), (Some(100), vec![]));
    assert_eq!(limit(-1), (Some(-1), strings(&["has no limit of processes"])));
}

#[test]
fn disks_are_named_by_number() {
    let throttle = |path: &str| {
        let rate = ThrottleDevice { path: path.into(), rate: 1000 };
        let mut ask = Ask::with(|c| c.blkio_device_write_bps = Some(vec![rate]));
        ask.devices = vec![Node {
            path: "/dev/sda".into(),
            kind: 'b',
            major: 8,
            minor: 16,
            mode: 0o660,
            uid: 0,
            gid: 6,
        }];
        ask
    };
    let sandbox = throttle("/dev/sda").sandbox();
    let block = resources(&sandbox).block_io.clone().expect("asked for");
    let device = block.throttle_write_bps_device[0];
    assert_eq!((device.major, device.minor, device.rate), (8, 16, 1000));
    assert_eq!(throttle("/dev/sdb").words(), "/dev/sdb: no such block device");
    assert_eq!(words(|c| c.blkio_weight = 5), "Range of blkio weight is from 10 to 1000");
}

#[test]
fn an_update_changes_what_is_named_and_nothing_else() {
    let changes = HostConfig { memory: 64 * MB, ..HostConfig::default() };
    let new = update(&HostConfig::default(), &changes, &host()).expect("makes sense");
    let memory = oci::Memory { limit: Some(64 * MB), ..oci::Memory::default() };
    assert_eq!(new, oci::Resources { memory: Some(memory), ..oci::Resources::default() });
    let none = update(&HostConfig::default(), &HostConfig::default(), &host());
    assert_eq!(none, Ok(oci::Resources::default()));
}

#[test]
fn an_update_is_judged_beside_what_is_there() {
    let refused = |current: HostConfig, changes: HostConfig| {
        update(&current, &changes, &host()).expect_err("must refuse").to_string()
    };
    assert_eq!(
        refused(
            HostConfig { memory: 8 * MB, memory_swap: 16 * MB, ..HostConfig::default() },
            HostConfig { memory: 32 * MB, ..HostConfig::default() },
        ),
        "Memory limit should be smaller than already set memoryswap limit, update the memoryswap \
         at the same time"
    );
    assert_eq!(
        refused(
            HostConfig { cpu_quota: 5000, ..HostConfig::default() },
            HostConfig { nano_cpus: 1_000_000_000, ..HostConfig::default() },
        ),
        "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set"
    );
}
