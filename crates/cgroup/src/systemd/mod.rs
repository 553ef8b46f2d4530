//! Groups that systemd keeps: one scope for each container.
//!
//! On a machine with systemd, whoever makes control groups beside it may find
//! them rearranged. With `--systemd-cgroup` a runtime asks it for a
//! [`Place`] instead: a transient scope, in a slice, delegated to whom it is
//! for. systemd makes the directories, sets what it has words for
//! (`properties`) and takes them away when the last process is gone; the rest
//! is written as without it.
//!
//! ```text
//! Anchor ─▶ start(place, the anchor's pid) ─▶ Cgroup::join_made ─▶ first process ─▶ anchor goes
//!                                                                └▶ set … ─▶ kill ─▶ stop
//! ```
//!
//! It is spoken to over D-Bus by some hundred lines of our own (`wire`, `bus`):
//! five calls, one signal, and types that fit on a page. A general library
//! would double what runs as root before a container's program.
//!
//! Source: `org.freedesktop.systemd1(5)`; systemd's "Control Group APIs and
//! Delegation".

mod anchor;
mod annotation;
mod bus;
mod error;
mod place;
mod properties;
mod wire;

pub use anchor::Anchor;
pub use bus::is_running;
pub use error::Error;
pub use place::Place;
pub use wire::{Malformed, Value};

use crate::{Cgroup, Layout, Version};
use bus::{Answer, Bus};
use spec::oci::Resources;
use std::collections::BTreeMap;
use wire::Method;

/// A property's name and its value.
pub type Property = (String, Value);

/// What a new scope is to be.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// Where.
    pub place: &'a Place,
    /// Its first process.
    pub pid: i32,
    /// Which limits there are.
    pub version: Version,
    /// Limits, devices among them.
    pub limits: Option<&'a Resources>,
    /// The bundle's annotations; those named `org.systemd.property.…` count.
    pub annotations: &'a BTreeMap<String, String>,
}

/// A connection to systemd.
#[derive(Debug)]
pub struct Systemd {
    bus: Bus,
}

impl Systemd {
    /// Connects, over systemd's own socket or the system's bus.
    ///
    /// # Errors
    /// If neither is there, or we are not let in.
    pub fn connect() -> Result<Self, Error> {
        let mut own = Self { bus: Bus::connect()? };
        // Without it the ends of jobs are not told on a bus.
        own.call("Subscribe", &[])?;
        Ok(own)
    }

    /// Makes the scope and waits until it is there. A failed one of the same
    /// name, which nobody has cleaned up, gives way.
    ///
    /// # Errors
    /// [`Error::is_taken`] if there is such a unit; else what systemd, or a
    /// limit that makes no sense, comes to.
    pub fn start(&mut self, scope: &Scope<'_>) -> Result<(), crate::Error> {
        let properties = scope.properties()?;
        let unit = scope.place.unit();
        let arguments = [
            Value::text(unit),
            Value::text("replace"),
            list(&properties),
            // Units to be made along with it.
            Value::Array("(sa(sv))".into(), Vec::new()),
        ];
        let answer = match self.call("StartTransientUnit", &arguments) {
            Err(error) if error.is_taken() => {
                self.forget(unit)?;
                self.call("StartTransientUnit", &arguments)?
            }
            other => other?,
        };
        let ended = self.bus.wait(answer)?;
        if ended.result == "done" {
            return Ok(());
        }
        self.forget(unit)?;
        Err(Error::Job { unit: unit.into(), result: ended.result }.into())
    }

    /// Changes the limits of a scope that is there.
    ///
    /// # Errors
    /// As [`Systemd::start`].
    pub fn set(
        &mut self,
        unit: &str,
        version: Version,
        limits: &Resources,
    ) -> Result<(), crate::Error> {
        let properties = properties::limits(version, limits)?;
        // Until the next restart of the machine, as the unit itself.
        let arguments = [Value::text(unit), Value::Bool(true), list(&properties)];
        self.call("SetUnitProperties", &arguments)?;
        Ok(())
    }

    /// Ends the scope; one that is gone is as good as ended. Its processes
    /// should be killed before: systemd gives them the time of a service.
    ///
    /// # Errors
    /// If systemd does not answer.
    pub fn stop(&mut self, unit: &str) -> Result<(), Error> {
        match self.call("StopUnit", &[Value::text(unit), Value::text("replace")]) {
            Err(error) if error.is("NoSuchUnit") => return Ok(()),
            // Whatever has become of it shows when the groups are removed.
            other => drop(self.bus.wait(other?)?),
        }
        self.forget(unit)
    }

    /// Lets systemd drop a unit that has failed; any other it has dropped.
    fn forget(&mut self, unit: &str) -> Result<(), Error> {
        match self.call("ResetFailedUnit", &[Value::text(unit)]) {
            Err(Error::Answer { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    fn call(&mut self, member: &'static str, arguments: &[Value]) -> Result<Answer, Error> {
        let method = Method {
            destination: "org.freedesktop.systemd1",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member,
        };
        self.bus.call(method, arguments)
    }
}

impl Scope<'_> {
    /// All that makes the scope, the bundle's own words last.
    fn properties(&self) -> Result<Vec<Property>, crate::Error> {
        let text = |name: &str, value: String| (name.to_owned(), Value::Text(value));
        let flag = |name: &str, value| (name.to_owned(), Value::Bool(value));
        let pid = u32::try_from(self.pid).expect("a pid is positive");
        let io = if self.version == Version::V2 { "IOAccounting" } else { "BlockIOAccounting" };
        let mut all = vec![
            text("Description", format!("cofferdam-run container {}", self.place.name())),
            text("Slice", self.place.slice().into()),
            flag("Delegate", true),
            ("PIDs".into(), Value::Array("u".into(), vec![Value::Uint32(pid)])),
            flag("MemoryAccounting", true),
            flag("CPUAccounting", true),
            flag(io, true),
            flag("TasksAccounting", true),
            // Containers of an engine are stopped by it and not at "shutdown".
            flag("DefaultDependencies", false),
        ];
        if let Some(limits) = self.limits {
            all.extend(properties::limits(self.version, limits)?);
        }
        all.extend(annotation::properties(self.annotations)?);
        Ok(all)
    }
}

fn list(properties: &[Property]) -> Value {
    let pair = |(name, value): &Property| {
        Value::Struct(vec![Value::text(name), Value::Variant(value.clone().into())])
    };
    Value::Array("(sv)".into(), properties.iter().map(pair).collect())
}

/// Where systemd has put a process, from the top of a tree: the kernel's own
/// answer, which does not depend on where systemd's own tree begins.
///
/// # Errors
/// If the process is gone, or in a group outside of what is mounted here.
pub fn group_of(layout: &Layout, pid: i32) -> Result<String, Error> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(path).map_err(|e| Error::Anchor("read the group of", e))?;
    let group = group_in(&text, layout.version());
    if group.split('/').any(|part| part == "..") || !group.starts_with('/') {
        return Err(Error::Elsewhere(group.into()));
    }
    Ok(group.into())
}

/// systemd counts its units in a tree of its own, if there is one.
fn group_in(text: &str, version: Version) -> &str {
    let of = |tree: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| *controllers == tree).map(|(_, group)| group)
    };
    let named = of("name=systemd").filter(|_| version != Version::V2);
    named.or_else(|| of("")).unwrap_or_default()
}

impl Cgroup {
    /// The group `path` that systemd has made in the hierarchies it knows,
    /// with processes in it; makes it in the others.
    ///
    /// # Errors
    /// As [`Cgroup::create`], but for processes.
    pub fn join_made(layout: &Layout, path: &str) -> Result<Self, crate::Error> {
        Self::create_with(layout, path, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_in_systemds_own_tree() {
        let text = "9:name=systemd:/a.slice/x.scope\n8:pids:/a0::b\n0::/b.slice/x.scope\n";
        assert_eq!(group_in(text, Version::Hybrid), "/a.slice/x.scope");
        assert_eq!(group_in(text, Version::V2), "/b.slice/x.scope");
        assert_eq!(group_in("0::/b.slice\n", Version::Hybrid), "/b.slice");
        assert_eq!(group_in("8:pids:/\n", Version::V2), "");
    }
}
