//! The isolation report as the host sees it, read from the kernel.

use crate::{Container, Engine, Error, error::Doing, house::House};
use spec::{Sandbox, oci};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// One layer of a container's confinement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `capabilities`, `seccomp`, `user namespace`, …
    pub layer: String,
    /// By the sandbox that was decided.
    pub expected: String,
    /// In the kernel, now.
    pub found: String,
    /// Do they agree?
    pub ok: bool,
}

/// Of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// One row a layer.
    pub rows: Vec<Row>,
    /// Every way in which it is weaker than the default, in words.
    pub weakened: Vec<String>,
}

/// What the kernel says of a container's init.
struct Found<'a> {
    dir: PathBuf,
    status: String,
    mounts: String,
    /// The capabilities that this machine lets anybody have.
    machine: u64,
    sandbox: &'a Sandbox,
}

impl Engine {
    /// Compares a running container with what was decided for it.
    ///
    /// # Errors
    /// Not running.
    pub fn audit(&self, reference: &str) -> Result<Audit, Error> {
        let container = self.0.find(reference)?.known().now();
        let pid = container.state.pid().ok_or_else(|| crate::verbs::not_running(&container))?;
        self.audit_of(&container, pid).map_err(|error| {
            // It may end while it is looked at, and be heard of later: nobody
            // has namespaces any more.
            let gone = fs::read_link(format!("/proc/{pid}/ns/mnt")).is_err();
            if gone { crate::verbs::not_running(&container) } else { error }
        })
    }

    fn audit_of(&self, container: &Container, pid: i32) -> Result<Audit, Error> {
        let path = self.0.paths.run(&container.id).join("sandbox.json");
        let text = fs::read(&path).doing("read", &path)?;
        let sandbox: Sandbox =
            serde_json::from_slice(&text).map_err(std::io::Error::from).doing("read", &path)?;
        let dir = PathBuf::from(format!("/proc/{pid}"));
        let read = |file: &str| fs::read_to_string(dir.join(file)).doing("read", dir.join(file));
        let ours = fs::read_to_string("/proc/self/status").doing("read", "/proc/self/status")?;
        let found = Found {
            status: read("status")?,
            mounts: read("mountinfo")?,
            machine: bits(value(&ours, "CapBnd")),
            dir: dir.clone(),
            sandbox: &sandbox,
        };
        let mut rows = found.capabilities();
        rows.extend(found.no_new_privileges());
        rows.push(found.seccomp());
        let host = &self.0.policy;
        rows.extend(host.selinux.then(|| found.labelled()));
        rows.extend(host.apparmor.then(|| found.profiled()));
        rows.push(found.ids(&read("uid_map")?));
        rows.extend(found.namespaces());
        rows.push(found.root());
        rows.push(found.covered());
        rows.extend(self.0.limits(container, &sandbox)?);
        rows.extend(self.0.egress(container)?);
        // What was decided at the start, and what has changed since.
        Ok(Audit { rows, weakened: container.weakened.clone() })
    }
}

fn row(layer: &str, expected: impl Into<String>, found: impl Into<String>) -> Row {
    let (expected, found) = (expected.into(), found.into());
    Row { layer: layer.to_owned(), ok: expected == found, expected, found }
}

/// A line of `/proc/PID/status`.
fn value<'a>(status: &'a str, key: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or("?").trim()
}

/// A set as the kernel spells it; what is none counts as everything.
fn bits(text: &str) -> u64 {
    u64::from_str_radix(text, 16).unwrap_or(u64::MAX)
}

impl Found<'_> {
    fn status(&self, key: &str) -> &str {
        value(&self.status, key)
    }

    fn linux(&self) -> oci::Linux {
        self.sandbox.config.linux.clone().unwrap_or_default()
    }

    fn capabilities(&self) -> Vec<Row> {
        let process = self.sandbox.config.process.clone().unwrap_or_default();
        let sets = process.capabilities.unwrap_or_default();
        let mut most = mask(&sets.bounding);
        if self.linux().uid_mappings.is_empty() {
            // Without a user namespace of its own nobody has what the machine
            // itself has given up.
            most = format!("{:016x}", bits(&most) & self.machine);
        }
        let bounding = row("capabilities: bounding", most.clone(), self.status("CapBnd"));
        let within = |key: &str| bits(self.status(key)) & !bits(&most) == 0;
        // A program may drop what it was given, and never gain.
        let effective = Row {
            layer: "capabilities: effective".into(),
            expected: format!("within {most}"),
            found: self.status("CapEff").to_owned(),
            ok: within("CapEff") && within("CapPrm") && within("CapInh") && within("CapAmb"),
        };
        vec![bounding, effective]
    }

    fn no_new_privileges(&self) -> Option<Row> {
        let asked = self.sandbox.config.process.as_ref().is_some_and(|p| p.no_new_privileges);
        asked.then(|| row("no_new_privs", "1", self.status("NoNewPrivs")))
    }

    fn seccomp(&self) -> Row {
        let expected = if self.linux().seccomp.is_some() { "filter" } else { "unconfined" };
        let found = match self.status("Seccomp") {
            "2" => "filter",
            "0" => "unconfined",
            other => other,
        };
        row("seccomp", expected, found)
    }

    /// A label of the security module's, as the kernel shows it.
    fn label(&self, file: &str) -> String {
        let text = fs::read_to_string(self.dir.join("attr").join(file));
        // Labels of SELinux end in a zero byte, of AppArmor in a line's end.
        text.map_or_else(|_| "?".into(), |text| text.trim_end_matches(['\0', '\n']).to_owned())
    }

    fn labelled(&self) -> Row {
        let asked = self.sandbox.config.process.as_ref().map_or("", |p| &p.selinux_label);
        let found = self.label("current");
        if asked.is_empty() {
            let expected = "none of its own".to_owned();
            return Row { layer: "SELinux label".into(), expected, found, ok: true };
        }
        // The kernel has one name of several for a type.
        let spelt = crate::selinux::spelt(asked);
        row("SELinux label", spelt.unwrap_or_else(|| asked.to_owned()), found)
    }

    fn profiled(&self) -> Row {
        let asked = self.sandbox.config.process.as_ref().map_or("", |p| &p.apparmor_profile);
        let expected = match asked {
            "" | "unconfined" => "unconfined".to_owned(),
            profile => format!("{profile} (enforce)"),
        };
        row("AppArmor profile", expected, self.label("apparmor/current"))
    }

    fn ids(&self, uid_map: &str) -> Row {
        let text =
            |map: &oci::IdMapping| format!("{} {} {}", map.container_id, map.host_id, map.size);
        let mut expected: Vec<String> = self.linux().uid_mappings.iter().map(text).collect();
        if expected.is_empty() {
            expected.push(format!("0 0 {}", u32::MAX));
        }
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let found: Vec<String> = uid_map.lines().map(words).collect();
        row("user ids", expected.join(", "), found.join(", "))
    }

    fn namespaces(&self) -> Vec<Row> {
        let own: BTreeSet<String> = self
            .linux()
            .namespaces
            .iter()
            .filter(|namespace| namespace.path.is_empty())
            .map(|namespace| namespace.kind.clone())
            .collect();
        let kinds = [
            ("pid", "pid"),
            ("mount", "mnt"),
            ("network", "net"),
            ("ipc", "ipc"),
            ("uts", "uts"),
            ("cgroup", "cgroup"),
            ("user", "user"),
        ];
        let joined: BTreeSet<String> = self
            .linux()
            .namespaces
            .iter()
            .filter(|n| !n.path.is_empty())
            .map(|n| n.kind.clone())
            .collect();
        let one = |(kind, file): &(&str, &str)| {
            if joined.contains(*kind) {
                return None;
            }
            let expected = if own.contains(*kind) { "its own" } else { "the host's" };
            let theirs = fs::read_link(self.dir.join("ns").join(file)).ok();
            let ours = fs::read_link(Path::new("/proc/self/ns").join(file)).ok();
            let found = match (theirs, ours) {
                (Some(theirs), Some(ours)) if theirs == ours => "the host's",
                (Some(_), Some(_)) => "its own",
                _ => "cannot be read",
            };
            Some(row(&format!("{kind} namespace"), expected, found))
        };
        kinds.iter().filter_map(one).collect()
    }

    /// Options of the mount at a place; the last one there is on top.
    fn options(&self, place: &str) -> Option<&str> {
        let fields = |line: &'_ str| -> Option<(usize, usize)> {
            let mut parts = line.splitn(7, ' ');
            let point = parts.nth(4)?;
            let options = parts.next()?;
            let start = options.as_ptr() as usize - line.as_ptr() as usize;
            (point == place).then_some((start, options.len()))
        };
        self.mounts
            .lines()
            .filter_map(|line| fields(line).map(|(start, len)| &line[start..start + len]))
            .next_back()
    }

    fn root(&self) -> Row {
        let found = match self.options("/") {
            Some(options) if options.split(',').any(|option| option == "nodev") => "nodev",
            Some(_) => "devices work",
            None => "not mounted",
        };
        row("root file system", "nodev", found)
    }

    /// Paths of the kernel that are masked or read-only.
    fn covered(&self) -> Row {
        let linux = self.linux();
        let all = linux.masked_paths.iter().chain(&linux.readonly_paths);
        // What this kernel does not have needs no cover.
        let there: Vec<&String> = all
            .filter(|path| Path::new(&format!("{}/root{path}", self.dir.display())).exists())
            .collect();
        let open: Vec<&str> = there
            .iter()
            .filter(|path| self.options(path).is_none())
            .map(|path| path.as_str())
            .collect();
        let expected = format!("{} covered", there.len());
        let found =
            if open.is_empty() { expected.clone() } else { format!("open: {}", open.join(" ")) };
        row("masked and read-only paths", expected, found)
    }
}

impl House {
    /// Limits in the kernel against those that were decided.
    fn limits(&self, container: &Container, sandbox: &Sandbox) -> Result<Vec<Row>, Error> {
        let stats = self.group(container)?.stats()?;
        let linux = sandbox.config.linux.as_ref();
        let resources = linux.and_then(|l| l.resources.clone()).unwrap_or_default();
        // An update since the start is in the request, not in the sandbox.
        let shown = |limit: Option<u64>| limit.map_or("no limit".into(), |limit| limit.to_string());
        let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
        let updated = container.host.pids_limit.and_then(positive);
        let decided = resources.pids.and_then(|pids| positive(pids.limit));
        let pids = row("processes", shown(updated.or(decided)), shown(stats.pids.limit));
        let mut rows = vec![pids];
        if let Some(memory) = positive(container.host.memory) {
            // The kernel counts in pages.
            let found = stats.memory.ram.limit;
            let ok = found.is_some_and(|found| found <= memory && memory - found < 65536);
            let expected = memory.to_string();
            rows.push(Row { layer: "memory".into(), expected, found: shown(found), ok });
        }
        Ok(rows)
    }
}

impl House {
    /// What may go out, as the kernel holds it; none if nothing was said of it.
    fn egress(&self, container: &Container) -> Result<Option<Row>, Error> {
        let said = |plug: &&network::Endpoint| !plug.egress.is_default();
        let Some(plug) = container.plugs.values().find(said) else { return Ok(None) };
        let expected = plug.egress.to_string();
        let held = self.networks.hold_policies(&container.plugs)?;
        let found = if held { expected.clone() } else { "is not held".to_owned() };
        Ok(Some(row("egress", expected, found)))
    }
}

/// Capability names as the kernel spells a set.
fn mask(names: &[String]) -> String {
    let bits = names.iter().filter_map(|name| spec::capability::number(name));
    let bits = bits.fold(0_u64, |bits, bit| bits | 1 << bit);
    format!("{bits:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_default_set_is_spelt_as_the_kernel_spells_it() {
        let names = [
            "CHOWN",
            "DAC_OVERRIDE",
            "FSETID",
            "FOWNER",
            "MKNOD",
            "NET_RAW",
            "SETGID",
            "SETUID",
            "SETFCAP",
            "SETPCAP",
            "NET_BIND_SERVICE",
            "SYS_CHROOT",
            "KILL",
            "AUDIT_WRITE",
        ];
        let names = names.map(|name| format!("CAP_{name}"));
        assert_eq!(mask(&names), "00000000a80425fb");
    }

    #[test]
    fn what_is_not_as_decided_is_not_ok() {
        let mut sandbox = Sandbox::default();
        sandbox.config.linux =
            Some(oci::Linux { seccomp: Some(oci::Seccomp::default()), ..oci::Linux::default() });
        let found = Found {
            dir: "/proc/self".into(),
            status: "CapBnd:\t000001ffffffffff\nSeccomp:\t0\n".into(),
            mounts: "1 0 0:1 / / rw,nosuid - overlay none rw\n2 1 0:1 / / rw,nodev - overlay x rw"
                .into(),
            machine: u64::MAX,
            sandbox: &sandbox,
        };
        assert!(!found.seccomp().ok);
        assert!(!found.capabilities()[0].ok);
        assert!(found.root().ok, "the mount on top counts");
        assert!(found.ids("         0          0 4294967295").ok);
    }

    #[test]
    fn a_label_that_the_kernel_does_not_show_is_not_ok() {
        let dir = tempfile::tempdir().expect("scratch");
        fs::create_dir_all(dir.path().join("attr/apparmor")).expect("mkdir");
        let label = "system_u:system_r:container_t:s0:c1,c2";
        let process = oci::Process {
            selinux_label: label.into(),
            apparmor_profile: "mine".into(),
            ..oci::Process::default()
        };
        let mut sandbox = Sandbox::default();
        sandbox.config.process = Some(process);
        let found = Found {
            dir: dir.path().to_owned(),
            status: String::new(),
            mounts: String::new(),
            machine: 0,
            sandbox: &sandbox,
        };
        let shows = |selinux: &str, apparmor: &str| {
            fs::write(dir.path().join("attr/current"), selinux).expect("write");
            fs::write(dir.path().join("attr/apparmor/current"), apparmor).expect("write");
            let same = |row: Row| row.ok == (row.expected == row.found) && row.ok;
            (same(found.labelled()), same(found.profiled()))
        };
        assert_eq!(shows(&format!("{label}\0"), "mine (enforce)\n"), (true, true));
        let other = "system_u:system_r:container_t:s0:c1,c3\0";
        assert_eq!(shows(other, "mine (complain)\n"), (false, false));
    }

    #[test]
    fn what_the_machine_itself_lacks_is_not_missed() {
        let mut sandbox = Sandbox::default();
        let bounding = vec!["CAP_CHOWN".to_owned(), "CAP_SYS_RESOURCE".to_owned()];
        let sets = oci::Capabilities { bounding, ..oci::Capabilities::default() };
        sandbox.config.process =
            Some(oci::Process { capabilities: Some(sets), ..oci::Process::default() });
        let found = |machine| Found {
            dir: "/proc/self".into(),
            status: "CapBnd:\t0000000000000001\n".into(),
            mounts: String::new(),
            machine,
            sandbox: &sandbox,
        };
        assert!(found(!(1 << 24)).capabilities()[0].ok);
        assert!(!found(u64::MAX).capabilities()[0].ok);
    }
}
