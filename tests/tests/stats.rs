//! What `stats` tells is what the kernel counted: every figure of a container
//! that used processors, memory, a disk and a network, held against the files
//! of its groups and its network, which are read here by themselves.

use promises::{Cli, Engine, until, web};
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

/// Figures by the name that `stats` has for them.
type Figures = BTreeMap<String, f64>;

/// An engine with a container `a` that has used everything and is paused, so
/// that its figures stay.
fn used() -> Engine {
    let engine = Engine::new();
    engine.says(&["network", "create", "n"]);
    web::serve(&engine, "s", &["--network", "n"]);
    engine.says(&["exec", "s", "dd", "if=/dev/zero", "of=/www/big", "bs=64k", "count=64"]);
    let script = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; \
                  dd if=/dev/zero of=/f bs=64k count=128 conv=fsync 2>/dev/null; \
                  wget -qO /tmp/big http://s/big; touch /done; exec sleep 1000";
    let limits = ["--memory", "128m", "--pids-limit", "50", "--cpus", "0.1"];
    let run = ["run", "-d", "--name", "a", "--network", "n", "--tmpfs", "/tmp"];
    engine.says(&[&run[..], &limits, &["busybox", "sh", "-c", script]].concat());
    until("its work", || engine.run(&["exec", "a", "test", "-e", "/done"]).code == 0);
    engine.says(&["pause", "a"]);
    engine
}

/// One sample, as the API tells it.
fn sample(engine: &Engine, name: &str) -> Value {
    let socket = engine.socket().display().to_string();
    let path = format!("http://x/containers/{name}/stats?stream=0&one-shot=1");
    serde_json::from_str(&engine.host().says(&format!("curl -sS --unix-socket {socket} '{path}'")))
        .expect("JSON")
}

/// The directory of each controller; that of version 2 is called `""`.
fn directories(engine: &Engine) -> BTreeMap<String, PathBuf> {
    let id = engine.inspect("a", "{{.Id}}");
    let parent = std::fs::read_to_string(engine.run_root().join("cgroup-parent")).expect("told");
    let layout = cgroup::Layout::detect().expect("groups");
    let group = cgroup::Cgroup::open(&layout, &format!("{}/{id}", parent.trim())).expect("a's");
    group.paths()
}

/// What the kernel counts, in the units and under the names of `stats`.
fn counted(engine: &Engine, dirs: &BTreeMap<String, PathBuf>) -> Figures {
    let mut figures = Figures::new();
    processors(dirs, &mut figures);
    memory(dirs, &mut figures);
    let pids = dirs.get("pids").unwrap_or_else(|| &dirs[""]);
    figures.insert("pids.current".into(), number(&read(pids, "pids.current")));
    figures.insert("pids.limit".into(), number(&read(pids, "pids.max")));
    disks(dirs, &mut figures);
    if let Some(dir) = dirs.get("").filter(|dir| dir.join("cpu.pressure").exists()) {
        for resource in ["cpu", "memory", "io"] {
            let text = read(dir, &format!("{resource}.pressure"));
            let total = text.split_whitespace().find_map(|word| word.strip_prefix("total="));
            let total = number(total.expect("a total"));
            figures.insert(format!("pressure.{resource}"), total);
        }
    }
    let pid = engine.pid_of("a");
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("its network");
    let line = table.lines().find_map(|line| line.trim().strip_prefix("eth0:")).expect("eth0");
    let columns: Vec<f64> = line.split_whitespace().map(number).collect();
    for (name, column) in [
        ("rx_bytes", 0),
        ("rx_packets", 1),
        ("rx_errors", 2),
        ("rx_dropped", 3),
        ("tx_bytes", 8),
        ("tx_packets", 9),
        ("tx_errors", 10),
        ("tx_dropped", 11),
    ] {
        figures.insert(format!("eth0.{name}"), columns[column]);
    }
    figures
}

fn processors(dirs: &BTreeMap<String, PathBuf>, figures: &mut Figures) {
    let mut put = |name: &str, value: f64| figures.insert(format!("cpu.{name}"), value);
    if let Some(dir) = dirs.get("cpuacct") {
        put("total", number(&read(dir, "cpuacct.usage")));
        let each = read(dir, "cpuacct.usage_percpu");
        for (at, value) in each.split_whitespace().enumerate() {
            put(&format!("per.{at}"), number(value));
        }
        let modes = read(dir, "cpuacct.stat");
        put("user", field(&modes, "user") * 1e7);
        put("kernel", field(&modes, "system") * 1e7);
    } else {
        let text = read(&dirs[""], "cpu.stat");
        put("total", field(&text, "usage_usec") * 1e3);
        put("user", field(&text, "user_usec") * 1e3);
        put("kernel", field(&text, "system_usec") * 1e3);
    }
    let (dir, key, unit) = match dirs.get("cpu") {
        Some(dir) => (dir, "throttled_time", 1.0),
        None => (&dirs[""], "throttled_usec", 1e3),
    };
    let text = read(dir, "cpu.stat");
    put("periods", field(&text, "nr_periods"));
    put("throttled_periods", field(&text, "nr_throttled"));
    put("throttled_time", field(&text, key) * unit);
}

fn memory(dirs: &BTreeMap<String, PathBuf>, figures: &mut Figures) {
    let legacy = dirs.get("memory");
    let dir = legacy.unwrap_or_else(|| &dirs[""]);
    let of = |v1: &str, v2: &str| number(&read(dir, if legacy.is_some() { v1 } else { v2 }));
    figures.insert("memory.usage".into(), of("memory.usage_in_bytes", "memory.current"));
    figures.insert("memory.limit".into(), of("memory.limit_in_bytes", "memory.max"));
    for line in read(dir, "memory.stat").lines() {
        let (key, value) = line.split_once(' ').expect("key and value");
        // The kernel writes to disks when it likes.
        if !key.contains("dirty") && !key.contains("writeback") {
            figures.insert(format!("memory.stats.{key}"), number(value));
        }
    }
}

fn disks(dirs: &BTreeMap<String, PathBuf>, figures: &mut Figures) {
    if let Some(dir) = dirs.get("blkio") {
        for (file, name) in [
            ("blkio.throttle.io_service_bytes_recursive", "bytes"),
            ("blkio.throttle.io_serviced_recursive", "requests"),
        ] {
            for line in read(dir, file).lines() {
                let words: Vec<&str> = line.split_whitespace().collect();
                // The last is the total of all devices.
                let [device, op, value] = words[..] else { continue };
                figures.insert(format!("io.{name}.{device}.{op}"), number(value));
            }
        }
        return;
    }
    for line in read(&dirs[""], "io.stat").lines() {
        let mut words = line.split_whitespace();
        let device = words.next().unwrap_or_default();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (name, op) = match key {
                "rbytes" => ("bytes", "Read"),
                "wbytes" => ("bytes", "Write"),
                "dbytes" => ("bytes", "Discard"),
                "rios" => ("requests", "Read"),
                "wios" => ("requests", "Write"),
                "dios" => ("requests", "Discard"),
                _ => continue,
            };
            figures.insert(format!("io.{name}.{device}.{op}"), number(value));
        }
    }
}

fn read(dir: &std::path::Path, file: &str) -> String {
    let path = dir.join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn number(text: &str) -> f64 {
    text.trim().parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn field(text: &str, key: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    number(value.unwrap_or_else(|| panic!("no {key} in {text}")))
}

/// The same of a sample.
fn told(sample: &Value) -> Figures {
    let mut figures = Figures::new();
    let mut put = |name: String, value: &Value| {
        figures.insert(name, value.as_f64().unwrap_or_else(|| panic!("{value} is no number")));
    };
    let cpu = &sample["cpu_stats"];
    put("cpu.total".into(), &cpu["cpu_usage"]["total_usage"]);
    put("cpu.user".into(), &cpu["cpu_usage"]["usage_in_usermode"]);
    put("cpu.kernel".into(), &cpu["cpu_usage"]["usage_in_kernelmode"]);
    let each = cpu["cpu_usage"]["percpu_usage"].as_array();
    for (at, value) in each.into_iter().flatten().enumerate() {
        put(format!("cpu.per.{at}"), value);
    }
    for name in ["periods", "throttled_periods", "throttled_time"] {
        put(format!("cpu.{name}"), &cpu["throttling_data"][name]);
    }
    let memory = &sample["memory_stats"];
    put("memory.usage".into(), &memory["usage"]);
    put("memory.limit".into(), &memory["limit"]);
    for (key, value) in memory["stats"].as_object().expect("memory.stat") {
        put(format!("memory.stats.{key}"), value);
    }
    put("pids.current".into(), &sample["pids_stats"]["current"]);
    put("pids.limit".into(), &sample["pids_stats"]["limit"]);
    for (field, name) in
        [("io_service_bytes_recursive", "bytes"), ("io_serviced_recursive", "requests")]
    {
        for entry in sample["blkio_stats"][field].as_array().expect("a list") {
            let op = entry["op"].as_str().expect("an operation");
            let device = format!("{}:{}", entry["major"], entry["minor"]);
            put(format!("io.{name}.{device}.{op}"), &entry["value"]);
        }
    }
    let pressure = sample["Cofferdam"]["pressure_stats"].as_object();
    for (resource, stalls) in pressure.into_iter().flatten() {
        put(format!("pressure.{resource}"), &stalls["some"]["total"]);
    }
    for (name, value) in sample["networks"]["eth0"].as_object().expect("eth0") {
        put(format!("eth0.{name}"), value);
    }
    figures
}

#[test]
fn every_figure_is_within_two_percent_of_the_kernels() {
    let engine = used();
    let dirs = directories(&engine);
    let before = counted(&engine, &dirs);
    let sample = sample(&engine, "a");
    let after = counted(&engine, &dirs);
    let told = told(&sample);
    for (name, least) in &before {
        let most = after.get(name).expect("counted twice").max(*least) * 1.02;
        let least = after[name].min(*least) * 0.98;
        let found = told.get(name).unwrap_or_else(|| panic!("no {name}: {sample}"));
        assert!(
            (least..=most).contains(found),
            "{name} is {found}, not {least} to {most}: {sample}"
        );
    }
    for what in ["cpu.total", "memory.usage", "eth0.rx_bytes", "cpu.throttled_time"] {
        assert!(told[what] > 0.0, "{what} was not used: {sample}");
    }
    assert!(told["eth0.rx_bytes"] > f64::from(4 << 20), "{sample}");
    // What the CLIs make of it.
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let format = "{{.PIDs}} {{.MemUsage}}";
        let line = engine.says_as(cli, &["stats", "--no-stream", "--format", format, "a"]);
        assert!(line.ends_with("/ 128MiB"), "{cli:?}: {line}");
    }
    engine.says(&["unpause", "a"]);
    engine.leaves_nothing();
}
