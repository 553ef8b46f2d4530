//! Figures for Prometheus: read by its own library, held against the kernel's.

use promises::{Cli, Engine, until};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    process::{Command, Stdio},
};

/// Where every engine of these tests serves figures, each on a host of its own.
const ADDRESS: &str = "127.0.0.1:9323";

/// What a client that wants OpenMetrics sends, as Prometheus does.
const OPEN: &str = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5";

/// Samples by name and labels, as the library reads them.
#[derive(Debug, Default)]
struct Figures(Vec<(String, BTreeMap<String, String>, f64)>);

impl Figures {
    /// Reads a page; fails where the library does, or a sample comes twice.
    fn read(page: &str, format: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/programs/figures.py");
        // The distribution's own, which has the library.
        let mut child = Command::new("/usr/bin/python3")
            .args([script, format])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut stdin = child.stdin.take().expect("piped");
        let text = page.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        let ran = promises::finish(child, "the library");
        writer.join().expect("written");
        assert_eq!(ran.code, 0, "{}\n{page}", ran.err);
        let mut seen = BTreeSet::new();
        let sample = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("JSON");
            assert!(seen.insert(line[0].to_string() + &line[1].to_string()), "twice: {line}");
            let labels = serde_json::from_value(line[1].clone()).expect("labels");
            let name = line[0].as_str().expect("a name").to_owned();
            (name, labels, line[2].as_f64().expect("a number"))
        };
        Self(ran.out.lines().map(sample).collect())
    }

    /// The one sample with these labels, if there is one.
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| of.get(*key).is_some_and(|found| found == value))
        };
        let mut fitting = self.0.iter().filter(|(n, of, _)| n == name && fits(of));
        let found = fitting.next().map(|(.., value)| *value);
        assert!(fitting.next().is_none(), "{name} {labels:?} is more than one");
        found
    }

    fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}: {self:?}"))
    }

    /// The same, as it is written where it is a whole number.
    fn says(&self, name: &str, labels: &[(&str, &str)]) -> String {
        self.one(name, labels).to_string()
    }

    /// What a label is anywhere.
    fn values(&self, label: &str) -> BTreeSet<&str> {
        self.0.iter().filter_map(|(_, labels, _)| labels.get(label).map(String::as_str)).collect()
    }
}

/// Asks at the address of figures; the status and the body.
fn asked(engine: &Engine, how: &str, path: &str) -> (String, String) {
    let curl =
        format!("curl -sS {how} -w '\n%{{http_code}} %{{content_type}}' http://{ADDRESS}{path}");
    let said = engine.host().says(&curl);
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.to_owned(), body.to_owned())
}

fn scraped(engine: &Engine) -> Figures {
    let (status, page) = asked(engine, "", "/metrics");
    assert!(status.starts_with("200 text/plain; version=0.0.4"), "{status}");
    Figures::read(&page, "text")
}

/// An engine that serves figures.
fn serving() -> Engine {
    let engine = Engine::with(&["--metrics-addr", ADDRESS]);
    promises::busybox(&engine);
    engine
}

/// The same, with a container `a` that has worked and rests.
fn busy() -> Engine {
    let engine = serving();
    let limits = ["--memory", "64m", "--pids-limit", "50", "--cpus", "0.5"];
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; touch /done; exec sleep 1000";
    let words = [&["run", "-d", "--name", "a"][..], &limits, &["busybox", "sh", "-c", script]];
    engine.says(&words.concat());
    until("its work", || engine.run(&["exec", "a", "test", "-e", "/done"]).code == 0);
    engine
}

#[test]
fn prometheus_own_library_reads_every_figure() {
    let engine = busy();
    engine.says(&["create", "--name", "b.c_d-e", "busybox"]);
    assert_eq!(engine.run(&["run", "--name", "f", "busybox", "sh", "-c", "exit 3"]).code, 3);
    let text = scraped(&engine);
    let state = |word| text.one("cofferdam_containers", &[("state", word)]);
    assert_eq!((state("running"), state("created"), state("exited")), (1.0, 1.0, 1.0));
    assert_eq!(text.says("cofferdam_container_exit_code", &[("name", "f")]), "3");
    let dockers = |word| text.one("engine_daemon_container_states_containers", &[("state", word)]);
    assert_eq!((dockers("running"), dockers("paused"), dockers("stopped")), (1.0, 0.0, 2.0));
    assert_eq!(text.says("engine_daemon_engine_info", &[]), "1");
    let a = |name: &str| text.one(&format!("cofferdam_container_{name}"), &[("name", "a")]);
    assert_eq!((a("memory_limit_bytes"), a("pids_limit")), (f64::from(64 << 20), 50.0));
    assert!(a("cpu_seconds_total") > 0.0 && a("cpu_periods_total") > 0.0);
    assert!(a("memory_usage_bytes") >= a("memory_working_set_bytes") && a("pids") >= 1.0);
    assert_eq!((a("restarts_total"), a("oom_kills_total")), (0.0, 0.0));
    let wire = [("name", "a"), ("interface", "eth0"), ("network", "bridge")];
    text.one("cofferdam_container_network_receive_bytes_total", &wire);
    assert!(text.one("process_resident_memory_bytes", &[]) > 1e6);
    assert!(text.one("process_start_time_seconds", &[]) > 1e9);
    let starts = [("action", "start")];
    assert_eq!(text.says("engine_daemon_container_actions_seconds_count", &starts), "2");
    let (status, page) = asked(&engine, &format!("-H 'Accept: {OPEN}'"), "/metrics");
    assert!(status.starts_with("200 application/openmetrics-text; version=1.0.0"), "{status}");
    let open = Figures::read(&page, "openmetrics");
    let names = |figures: &Figures| -> BTreeSet<String> {
        figures.0.iter().map(|(name, ..)| name.clone()).collect()
    };
    assert_eq!(names(&open), names(&text), "the same in both");
    engine.leaves_nothing();
}

#[test]
fn figures_are_those_of_the_kernel() {
    let engine = busy();
    // What does nothing has figures that stay.
    engine.says(&["pause", "a"]);
    let id = engine.inspect("a", "{{.Id}}");
    let parent = std::fs::read_to_string(engine.run_root().join("cgroup-parent")).expect("told");
    let layout = cgroup::Layout::detect().expect("groups");
    let group = cgroup::Cgroup::open(&layout, &format!("{}/{id}", parent.trim())).expect("a's");
    let paths = group.paths();
    let number = |controller: &str, v1: &str, v2: &str, key: &str| -> f64 {
        let (dir, file) = match paths.get(controller) {
            Some(dir) => (dir, v1),
            None => (&paths[""], v2),
        };
        let text = std::fs::read_to_string(dir.join(file)).expect(file);
        let line = text.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        line.trim().parse().expect("a number")
    };
    let cpu = if paths.contains_key("cpuacct") {
        number("cpuacct", "cpuacct.usage", "", "") / 1e9
    } else {
        number("", "", "cpu.stat", "usage_usec ") / 1e6
    };
    let memory = number("memory", "memory.usage_in_bytes", "memory.current", "");
    let pids = number("pids", "pids.current", "pids.current", "");
    let figures = scraped(&engine);
    let a = |name: &str| figures.one(&format!("cofferdam_container_{name}"), &[("name", "a")]);
    let near = |found: f64, wanted: f64| (found - wanted).abs() <= wanted * 0.02;
    assert!(near(a("cpu_seconds_total"), cpu), "{} {cpu}", a("cpu_seconds_total"));
    assert!(near(a("memory_usage_bytes"), memory), "{} {memory}", a("memory_usage_bytes"));
    assert!(near(a("pids"), pids), "{} {pids}", a("pids"));
    if let Some(dir) = paths.get("").filter(|dir| dir.join("cpu.pressure").exists()) {
        let text = std::fs::read_to_string(dir.join("cpu.pressure")).expect("pressure");
        let total = text.split_whitespace().find_map(|word| word.strip_prefix("total="));
        let total: f64 = total.expect("a total").parse().expect("a number");
        let labels = [("name", "a"), ("resource", "cpu"), ("kind", "some")];
        let found = figures.one("cofferdam_container_pressure_seconds_total", &labels);
        assert!(near(found, total / 1e6), "{found} {total}");
    }
    engine.says(&["unpause", "a"]);
    engine.leaves_nothing();
}

#[test]
fn what_a_container_calls_its_interfaces_spoils_no_figure() {
    let engine = busy();
    let pid = engine.pid_of("a");
    engine.host().says(&format!(
        "nsenter --net=/proc/{pid}/ns/net \
         ip link add 'a\"}}1\\' type veth peer name \"$(printf 'b\\377')\""
    ));
    let figures = scraped(&engine);
    assert_eq!(figures.values("interface"), BTreeSet::from(["eth0"]), "the engine's own alone");
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let stats = engine.says_as(cli, &["stats", "--no-stream", "--format", "{{.NetIO}}", "a"]);
        assert!(stats.contains('/'), "{cli:?}: {stats}");
    }
    engine.leaves_nothing();
}

#[test]
fn a_scoped_socket_tells_of_its_own_containers_and_not_of_the_engine() {
    let engine = Engine::new();
    for (name, team) in [("mine", "a"), ("other", "b")] {
        let label = format!("team={team}");
        engine.says(&["run", "-d", "--name", name, "--label", &label, "busybox", "sleep", "1000"]);
    }
    let ask = |socket: &str| {
        let curl = "curl -sS -w '\n%{http_code}' --unix-socket";
        let said = engine.host().says(&format!("{curl} {socket} http://x/cofferdam/metrics"));
        let (body, status) = said.rsplit_once('\n').expect("a status");
        (status.to_owned(), body.to_owned())
    };
    let whole = ask(&engine.socket().display().to_string());
    assert_eq!(Figures::read(&whole.1, "text").values("name"), BTreeSet::from(["mine", "other"]));
    let make = |name: &str, allow: &str| {
        engine.says(&["socket", "create", name, "--allow", allow, "--label", "team=a"])
    };
    let (status, page) = ask(&make("reads", "read"));
    assert_eq!(status, "200", "{page}");
    assert!(!page.contains("other") && !page.contains("engine_daemon"), "{page}");
    let figures = Figures::read(&page, "text");
    assert_eq!(figures.values("name"), BTreeSet::from(["mine"]));
    assert!(figures.find("process_cpu_seconds_total", &[]).is_none(), "{page}");
    let (status, page) = ask(&make("logs", "logs"));
    assert!(status == "403" && !page.contains("cofferdam_container"), "{status} {page}");
    engine.leaves_nothing();
}

#[test]
fn at_their_address_there_are_figures_and_nothing_else() {
    let mut engine = serving();
    for path in ["/", "/containers/json", "/v1.51/containers/json", "/cofferdam/metrics"] {
        let (status, page) = asked(&engine, "", path);
        assert!(status.starts_with("404"), "{path}: {status} {page}");
    }
    let (status, _) = asked(&engine, "-X POST", "/metrics");
    assert!(status.starts_with("405"), "{status}");
    // Who says nothing keeps nobody else from being answered.
    let connect = |_| {
        let mut nc = engine.host().command("/bin/busybox");
        nc.args(["nc", "127.0.0.1", "9323"]).stdin(Stdio::piped()).spawn().expect("nc starts")
    };
    let mute: Vec<_> = (0..4).map(connect).collect();
    scraped(&engine);
    for mut client in mute {
        client.kill().expect("our child");
        client.wait().expect("our child");
    }
    engine.stop();
    let said = engine.refuses_to_start(&["--metrics-addr", "everywhere"]);
    assert!(said.contains("--metrics-addr ADDRESS:PORT") && said.lines().count() == 1, "{said}");
    engine.start();
    engine.leaves_nothing();
}
