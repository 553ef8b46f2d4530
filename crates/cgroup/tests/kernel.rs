//! What a real kernel makes of it. Each test makes one group under a name of
//! its own and removes it, whatever happens.
//!
//! The machine's own arrangement is used and, where its mounts can stand in
//! for them, the two pure ones.

use cgroup::{Cgroup, Error, Kind, Layout, Oom, Version, devices::AllowList};
use spec::oci::{Cpu, DeviceRule, HugepageLimit, Memory, Pids, Resources};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// One scratch group; its processes are killed and it is removed at the end.
struct Scratch {
    group: Cgroup,
    layout: Layout,
    name: String,
}

impl Scratch {
    fn on(layout: Layout) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("/cofferdam-test-{}-{number}", std::process::id());
        let group = Cgroup::create(&layout, &name).expect("create");
        Self { group, layout, name }
    }

    fn new() -> Self {
        Self::on(Layout::detect().expect("a layout"))
    }

    fn dir(&self, controller: &str) -> PathBuf {
        self.group.paths().remove(controller).expect("this machine has the controller")
    }

    fn file(&self, controller: &str, file: &str) -> String {
        let text = fs::read_to_string(self.dir(controller).join(file)).expect("readable");
        text.trim().to_owned()
    }

    /// A process in the group that waits for its input to close.
    fn sleeper(&self) -> Cat {
        let cat = cat();
        self.group.enter(pid(&cat.0)).expect("enter");
        cat
    }

    /// Runs a shell script in the group: it waits for its input before it
    /// begins, by which time it has been moved.
    fn run(&self, script: &str) -> std::process::Output {
        let mut shell = Command::new("sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh(1)");
        self.group.enter(pid(&shell)).expect("enter");
        drop(shell.stdin.take());
        shell.wait_with_output().expect("wait")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.group.kill().expect("kill what is left");
        self.group.remove().expect("remove");
        for (controller, dir) in self.group.paths() {
            assert!(!dir.exists(), "{controller} keeps {}", dir.display());
        }
    }
}

/// A process that waits for its input to close; it ends with its test.
struct Cat(Child);

impl Cat {
    fn wait(&mut self) -> std::process::ExitStatus {
        self.0.wait().expect("wait")
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        self.wait();
    }
}

fn cat() -> Cat {
    let cat = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
    Cat(cat.expect("cat(1)"))
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).expect("a pid is an int")
}

/// This machine's mounts and groups, without those of one file system type.
fn machine_without(kind: &str) -> Layout {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let own = fs::read_to_string("/proc/self/cgroup").expect("cgroup");
    let kept: Vec<&str> =
        mounts.lines().filter(|line| !line.contains(&format!(" - {kind} "))).collect();
    Layout::parse(&kept.join("\n"), &own).expect("this test needs a hybrid machine")
}

fn with_memory(memory: Memory) -> Resources {
    Resources { memory: Some(memory), ..Resources::default() }
}

#[test]
fn a_process_that_enters_is_in_every_hierarchy() {
    let scratch = Scratch::new();
    let cat = scratch.sleeper();
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", cat.0.id())).expect("alive");
    for line in groups.lines() {
        assert!(line.ends_with(&scratch.name), "{line}");
    }
    assert_eq!(scratch.group.pids().expect("pids"), [pid(&cat.0)]);
    assert!(scratch.group.populated().expect("populated"));
}

#[test]
fn a_group_that_holds_a_process_is_not_taken_over() {
    let scratch = Scratch::new();
    let _cat = scratch.sleeper();
    let refused = Cgroup::create(&scratch.layout, &scratch.name).expect_err("must refuse");
    assert!(matches!(refused, Error::InUse { count: 1, .. }), "{refused}");
}

#[test]
fn an_empty_group_that_is_there_is_taken_over() {
    let scratch = Scratch::new();
    Cgroup::create(&scratch.layout, &scratch.name).expect("it is empty");
}

#[test]
fn a_group_opened_by_its_paths_is_the_same_group() {
    let scratch = Scratch::new();
    let cat = scratch.sleeper();
    let again = Cgroup::from_paths(&scratch.group.paths());
    assert_eq!(again.paths(), scratch.group.paths());
    assert_eq!(again.pids().expect("pids"), [pid(&cat.0)]);
}

#[test]
fn a_group_that_is_nowhere_is_not_found() {
    let layout = Layout::detect().expect("a layout");
    let missing = Cgroup::open(&layout, "/cofferdam-test-nowhere").expect_err("not there");
    assert_eq!(missing.kind(), Kind::NotFound);
}

#[test]
fn limits_are_what_the_files_say() {
    let scratch = Scratch::on(machine_without("cgroup2"));
    let wish = Resources {
        memory: Some(Memory {
            limit: Some(64 << 20),
            swap: Some(96 << 20),
            reservation: Some(32 << 20),
            swappiness: Some(10),
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: Some(512),
            quota: Some(50_000),
            period: Some(200_000),
            burst: Some(10_000),
            cpus: "0".into(),
            mems: "0".into(),
            ..Cpu::default()
        }),
        pids: Some(Pids { limit: 77 }),
        ..Resources::default()
    };
    scratch.group.apply(&wish).expect("apply");
    assert_eq!(scratch.file("memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(scratch.file("memory", "memory.memsw.limit_in_bytes"), "100663296");
    assert_eq!(scratch.file("memory", "memory.soft_limit_in_bytes"), "33554432");
    assert_eq!(scratch.file("memory", "memory.swappiness"), "10");
    assert_eq!(scratch.file("cpu", "cpu.shares"), "512");
    assert_eq!(scratch.file("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(scratch.file("cpu", "cpu.cfs_period_us"), "200000");
    assert_eq!(scratch.file("cpu", "cpu.cfs_burst_us"), "10000");
    assert_eq!(scratch.file("cpuset", "cpuset.cpus"), "0");
    assert_eq!(scratch.file("pids", "pids.max"), "77");
}

#[test]
fn memory_and_swap_can_be_raised_and_lowered_together() {
    let scratch = Scratch::new();
    let sizes = [(64, 64), (128, 192), (32, 32), (-1, -1), (16, 24)];
    for (limit, swap) in sizes.map(|(a, b): (i64, i64)| (a.max(-1), b.max(-1))) {
        let bytes = |mega: i64| if mega < 0 { -1 } else { mega << 20 };
        let (limit, swap) = (bytes(limit), bytes(swap));
        let memory = Memory { limit: Some(limit), swap: Some(swap), ..Memory::default() };
        scratch.group.apply(&with_memory(memory)).expect("apply");
        if limit > 0 {
            assert_eq!(scratch.file("memory", "memory.limit_in_bytes"), limit.to_string());
            assert_eq!(scratch.file("memory", "memory.memsw.limit_in_bytes"), swap.to_string());
        }
    }
}

#[test]
fn a_limit_without_its_controller_is_refused_by_name() {
    let scratch = Scratch::on(machine_without("cgroup2"));
    let network = spec::oci::NetworkLimits { class_id: Some(0x10_0001), ..Default::default() };
    let wish = Resources { network: Some(network), ..Resources::default() };
    let refused = scratch.group.apply(&wish).expect_err("net_cls is not mounted here");
    assert_eq!(
        refused.to_string(),
        "cannot set net_cls.classid: this machine has no net_cls controller for it"
    );
    assert_eq!(refused.kind(), Kind::Invalid);
}

#[test]
fn a_file_that_this_kernel_lacks_is_refused_by_name() {
    let scratch = Scratch::new();
    let block = spec::oci::BlockIo { leaf_weight: Some(300), ..Default::default() };
    let wish = Resources { block_io: Some(block), ..Resources::default() };
    let refused = scratch.group.apply(&wish).expect_err("gone since Linux 5.0");
    assert_eq!(refused.to_string(), "cannot set blkio.leaf_weight: this kernel does not offer it");
}

#[test]
fn the_number_of_processes_is_held() {
    let scratch = Scratch::new();
    let wish = Resources { pids: Some(Pids { limit: 1 }), ..Resources::default() };
    scratch.group.apply(&wish).expect("apply");
    let out = scratch.run("true | true");
    assert!(!out.status.success(), "the shell could fork");
}

/// Denies everything but /dev/null, for reading.
fn null_alone() -> Resources {
    let everything = DeviceRule { access: "rwm".into(), ..DeviceRule::default() };
    let null = DeviceRule {
        allow: true,
        kind: "c".into(),
        major: Some(1),
        minor: Some(3),
        access: "r".into(),
    };
    Resources { devices: vec![everything, null], ..Resources::default() }
}

const USE_DEVICES: &str = "\
    echo a < /dev/null; \
    (: < /dev/zero) 2> /dev/stdout | head -c 1 > /dev/stderr; \
    (: > /dev/null) 2> /dev/stdout | head -c 1 > /dev/stderr";

#[test]
fn dev2_a_version_1_group_uses_only_allowed_devices() {
    let scratch = Scratch::on(machine_without("cgroup2"));
    scratch.group.apply(&null_alone()).expect("apply");
    let out = scratch.run(USE_DEVICES);
    assert_eq!((&out.stdout[..], &out.stderr[..]), (&b"a\n"[..], &b"ss"[..]));
}

#[test]
fn dev2_a_version_2_group_uses_only_allowed_devices() {
    let scratch = Scratch::on(machine_without("cgroup"));
    scratch.group.apply(&null_alone()).expect("apply");
    let out = scratch.run(USE_DEVICES);
    assert_eq!((&out.stdout[..], &out.stderr[..]), (&b"a\n"[..], &b"ss"[..]));
}

#[test]
fn dev2_a_new_device_list_takes_the_place_of_the_old() {
    let scratch = Scratch::on(machine_without("cgroup"));
    scratch.group.apply(&null_alone()).expect("apply");
    let everything = DeviceRule { allow: true, access: "rwm".into(), ..DeviceRule::default() };
    let list = AllowList::from_rules(&[everything]).expect("valid");
    scratch.group.allow_devices(&list).expect("replace");
    let out = scratch.run(USE_DEVICES);
    assert_eq!((&out.stdout[..], &out.stderr[..]), (&b"a\n"[..], &b""[..]));
}

/// Freezes a process that counts, and sees that it does not go on.
fn freezing_stops(layout: Layout) {
    let scratch = Scratch::on(layout);
    let mut cat = scratch.sleeper();
    scratch.group.freeze().expect("freeze");
    assert!(scratch.group.frozen().expect("frozen"));
    drop(cat.0.stdin.take());
    // Its input is closed: a process that runs would end.
    assert!(!scratch.group.wait_empty(Duration::from_millis(50)).expect("wait"));
    assert!(cat.0.try_wait().expect("wait").is_none());
    scratch.group.thaw().expect("thaw");
    assert!(!scratch.group.frozen().expect("frozen"));
    assert!(cat.wait().success());
}

#[test]
fn frozen_processes_do_nothing_until_thawed_on_this_machine() {
    freezing_stops(Layout::detect().expect("a layout"));
}

#[test]
fn frozen_processes_do_nothing_until_thawed_on_version_1() {
    freezing_stops(machine_without("cgroup2"));
}

/// Two processes in two groups below, frozen: killed all the same.
fn killing_ends(layout: Layout) {
    let scratch = Scratch::on(layout);
    // Processes of a version 2 tree live in its leaves only.
    let below = ["left", "right"].map(|name| {
        let path = format!("{}/{name}", scratch.name);
        Cgroup::create(&scratch.layout, &path).expect("a group below")
    });
    let mut children = below.map(|group| {
        let cat = cat();
        group.enter(pid(&cat.0)).expect("enter");
        cat
    });
    let mut both = [pid(&children[0].0), pid(&children[1].0)];
    both.sort_unstable();
    assert_eq!(scratch.group.pids().expect("pids"), both);
    scratch.group.freeze().expect("freeze");
    scratch.group.kill().expect("kill");
    for child in &mut children {
        child.wait();
    }
    assert!(scratch.group.wait_empty(Duration::from_secs(5)).expect("wait"));
}

#[test]
fn pi3_killing_ends_frozen_processes_of_groups_below_too() {
    killing_ends(Layout::detect().expect("a layout"));
}

#[test]
fn pi3_killing_ends_frozen_processes_of_groups_below_too_on_version_1() {
    killing_ends(machine_without("cgroup2"));
}

#[test]
fn pi3_killing_ends_frozen_processes_of_groups_below_too_on_version_2() {
    killing_ends(machine_without("cgroup"));
}

#[test]
fn a_signal_reaches_every_process() {
    let scratch = Scratch::new();
    let (mut one, mut two) = (scratch.sleeper(), scratch.sleeper());
    scratch.group.signal(15).expect("signal");
    for child in [&mut one, &mut two] {
        let status = child.wait();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
    }
}

#[test]
fn removal_waits_for_processes_that_are_ending() {
    let scratch = Scratch::new();
    let cats: Vec<Cat> = (0..20).map(|_| scratch.sleeper()).collect();
    scratch.group.kill().expect("kill");
    scratch.group.remove().expect("remove");
    drop(cats);
}

#[test]
fn children_of_a_parent_are_listed_from_every_hierarchy() {
    let scratch = Scratch::new();
    Cgroup::create(&scratch.layout, &format!("{}/one", scratch.name)).expect("create");
    // As a crash in the middle of a removal would leave it.
    let last = scratch.group.paths().into_values().next_back().expect("a hierarchy");
    fs::create_dir(last.join("two")).expect("mkdir");
    let names = cgroup::children(&scratch.layout, &scratch.name).expect("children");
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

#[test]
fn a_parent_goes_when_nothing_is_below_it() {
    let scratch = Scratch::new();
    let child = format!("{}/child", scratch.name);
    let child = Cgroup::create(&scratch.layout, &child).expect("create");
    cgroup::remove_unused(&scratch.layout, &scratch.name).expect("nothing to do");
    assert!(scratch.group.paths().values().all(|dir| dir.is_dir()), "one is below it");
    child.remove().expect("remove");
    cgroup::remove_unused(&scratch.layout, &scratch.name).expect("remove");
    assert!(!scratch.group.paths().values().any(|dir| dir.exists()));
    cgroup::remove_unused(&scratch.layout, &scratch.name).expect("gone is as good");
}

#[test]
fn res3_figures_are_kept() {
    let scratch = Scratch::new();
    let wish = with_memory(Memory { limit: Some(64 << 20), ..Memory::default() });
    scratch.group.apply(&wish).expect("apply");
    scratch.run("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    let _cat = scratch.sleeper();
    let stats = scratch.group.stats().expect("stats");
    assert!(stats.cpu.total > 1_000_000, "{:?}", stats.cpu);
    assert_eq!(stats.memory.ram.limit, Some(64 << 20));
    assert!(stats.memory.ram.max > 0);
    assert_eq!(stats.pids.current, 1);
}

#[test]
fn running_out_of_memory_is_noticed_and_counted() {
    let scratch = Scratch::new();
    let memory = Memory { limit: Some(8 << 20), swap: Some(8 << 20), ..Memory::default() };
    scratch.group.apply(&with_memory(memory)).expect("apply");
    let mut watch = scratch.group.watch_oom().expect("watch");
    assert_eq!(watch.take().expect("take"), Oom::Nothing);
    let out = scratch.run("a=xxxxxxxx; while :; do a=$a$a; done");
    assert!(!out.status.success());
    assert_eq!(watch.take().expect("take"), Oom::Happened);
    assert_eq!(scratch.group.oom_kills().expect("count"), 1);
}

#[test]
fn a_controller_that_only_the_version_2_tree_has_is_used_on_a_hybrid_machine() {
    let layout = Layout::detect().expect("a layout");
    let has = layout.controllers().expect("controllers").iter().any(|c| c == "hugetlb");
    assert!(layout.version() == Version::Hybrid && has, "this test needs such a machine");
    let scratch = Scratch::on(layout);
    let limit = HugepageLimit { page_size: "2MB".into(), limit: 4 << 20 };
    let wish = Resources { hugepage_limits: vec![limit], ..Resources::default() };
    scratch.group.apply(&wish).expect("apply");
    assert_eq!(scratch.file("", "hugetlb.2MB.max"), "4194304");
    assert_eq!(scratch.group.stats().expect("stats").hugetlb["2MB"].limit, Some(4 << 20));
}

#[test]
fn unified_files_are_written_on_a_pure_version_2_machine_alone() {
    let wish = |file: &str| Resources {
        unified: [(file.to_owned(), "3".to_owned())].into(),
        ..Resources::default()
    };
    let pure = Scratch::on(machine_without("cgroup"));
    pure.group.apply(&wish("cgroup.max.depth")).expect("apply");
    assert_eq!(pure.file("", "cgroup.max.depth"), "3");
    let refused = pure.group.apply(&wish("pids.max")).expect_err("no such controller");
    assert!(matches!(refused, Error::NoController { .. }), "{refused}");
    let refused = pure.group.apply(&wish("../x.y")).expect_err("a path");
    assert_eq!(refused.kind(), Kind::Invalid);
    let hybrid = Scratch::new();
    assert!(hybrid.group.apply(&wish("cgroup.max.depth")).is_err());
}
