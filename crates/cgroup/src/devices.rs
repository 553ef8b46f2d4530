//! Which device nodes the processes of a group may use.
//!
//! An [`AllowList`] is what a list of OCI rules means: whether a device is
//! allowed that no rule names, and the exceptions. A version 1 group keeps it
//! in the kernel's own words; a version 2 group gets a small program for it
//! (`bpf`). Both say the same.

use crate::{Cgroup, Error, bpf, error::Doing};
use spec::oci::DeviceRule;
use std::os::fd::AsFd;

/// Block or character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Block,
    Char,
}

/// What may be done to a device: bits as in `BPF_DEVCG_ACC_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access(pub u8);

impl Access {
    const MKNOD: u8 = 1;
    const READ: u8 = 2;
    const WRITE: u8 = 4;
    pub const ALL: Self = Self(7);

    fn parse(text: &str) -> Option<Self> {
        text.chars().try_fold(Self(0), |Self(bits), letter| {
            Some(Self(
                bits | match letter {
                    'm' => Self::MKNOD,
                    'r' => Self::READ,
                    'w' => Self::WRITE,
                    _ => return None,
                },
            ))
        })
    }

    pub fn letters(self) -> String {
        let all = [(Self::READ, 'r'), (Self::WRITE, 'w'), (Self::MKNOD, 'm')];
        all.into_iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, letter)| letter).collect()
    }
}

/// Some devices; `None` is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Devices {
    pub node: Node,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

impl Devices {
    /// Every device of `other` is one of these.
    fn cover(self, other: Self) -> bool {
        let wide = |own: Option<u32>, its: Option<u32>| own.is_none() || own == its;
        self.node == other.node && wide(self.major, other.major) && wide(self.minor, other.minor)
    }

    /// Some device is one of both.
    fn meet(self, other: Self) -> bool {
        let common = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
        self.node == other.node
            && common(self.major, other.major)
            && common(self.minor, other.minor)
    }

    fn text(self, access: Access) -> String {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let letter = match self.node {
            Node::Block => 'b',
            Node::Char => 'c',
        };
        format!("{letter} {}:{} {}", number(self.major), number(self.minor), access.letters())
    }
}

/// One rule, for one kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub allow: bool,
    pub devices: Devices,
    pub access: Access,
}

/// The whole list: what holds for the rest, and rules of which later ones win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    pub(crate) rest: bool,
    pub(crate) rules: Vec<Rule>,
    /// A rule takes back a part of an earlier, wider one.
    pub(crate) holes: bool,
}

impl AllowList {
    /// What the rules mean, applied to a group that may use nothing.
    ///
    /// # Errors
    /// A type, number or access that no device has.
    pub fn from_rules(rules: &[DeviceRule]) -> Result<Self, Error> {
        let mut list = Self::default();
        for rule in rules {
            let bad = |why: String| Error::BadLimit { limit: "devices".into(), why };
            let access = Access::parse(&rule.access)
                .ok_or_else(|| bad(format!("{:?} is not an access", rule.access)))?;
            let number = |number: Option<i64>| match number {
                None | Some(-1) => Ok(None),
                Some(number) => u32::try_from(number)
                    .map(Some)
                    .map_err(|_| bad(format!("{number} is not a device number"))),
            };
            let (major, minor) = (number(rule.major)?, number(rule.minor)?);
            let nodes: &[Node] = match rule.kind.as_str() {
                "" | "a" => &[Node::Block, Node::Char],
                "b" => &[Node::Block],
                "c" | "u" => &[Node::Char],
                other => return Err(bad(format!("{other:?} is not a type of device"))),
            };
            if nodes.len() == 2 && (major, minor, access) == (None, None, Access::ALL) {
                list = Self { rest: rule.allow, ..Self::default() };
                continue;
            }
            for &node in nodes {
                let devices = Devices { node, major, minor };
                list.add(Rule { allow: rule.allow, devices, access });
            }
        }
        Ok(list)
    }

    /// Whether all of `access` (letters of `rwm`) to a device is allowed.
    /// Words that no device has are not.
    pub fn allows(&self, block: bool, numbers: (u32, u32), access: &str) -> bool {
        let Some(access) = Access::parse(access) else { return false };
        let node = if block { Node::Block } else { Node::Char };
        let wanted = Devices { node, major: Some(numbers.0), minor: Some(numbers.1) };
        // As the program for the kernel: to allow, a rule must cover all that
        // is wanted; to deny, any of it; the last to hold decides.
        let holds = |rule: &&Rule| {
            let common = rule.access.0 & access.0;
            let enough = if rule.allow { common == access.0 } else { common != 0 };
            rule.devices.cover(wanted) && enough
        };
        self.rules.iter().rev().find(holds).map_or(self.rest, |rule| rule.allow)
    }

    /// Keeps the list short and, where it can, without order.
    fn add(&mut self, rule: Rule) {
        for old in self.rules.iter_mut().filter(|old| rule.devices.cover(old.devices)) {
            if rule.allow != old.allow {
                old.access.0 &= !rule.access.0;
            } else if old.access.0 & !rule.access.0 == 0 {
                old.access.0 = 0;
            }
        }
        self.rules.retain(|old| old.access.0 != 0);
        if rule.allow == self.rest {
            let narrows = |old: &Rule| {
                old.allow != rule.allow
                    && old.devices.meet(rule.devices)
                    && old.access.0 & rule.access.0 != 0
            };
            if self.rules.iter().any(narrows) {
                self.holes = true;
                self.rules.push(rule);
            }
            return;
        }
        // Two rules for the same devices become one, or "rw" would fit
        // neither "r" nor "w"; where order matters they stay apart.
        let same = |old: &&mut Rule| old.devices == rule.devices;
        match self.rules.iter_mut().find(same).filter(|_| !self.holes) {
            Some(old) => old.access.0 |= rule.access.0,
            None if rule.access.0 != 0 => self.rules.push(rule),
            None => {}
        }
    }

    /// The list in version 1's words: two files, and what to write to each.
    fn legacy(&self) -> Result<[(&'static str, Vec<String>); 2], Error> {
        if self.holes {
            return Err(Error::BadLimit {
                limit: "devices".into(),
                why: "cgroup v1 cannot take back a part of a wider rule".into(),
            });
        }
        let (all, exception) = if self.rest {
            ("devices.allow", "devices.deny")
        } else {
            ("devices.deny", "devices.allow")
        };
        let rules = self.rules.iter().map(|rule| rule.devices.text(rule.access)).collect();
        Ok([(all, vec!["a".to_owned()]), (exception, rules)])
    }
}

/// Rules that every container of an OCI bundle gets beside its own, since
/// its root file system has these nodes: all may be made, and the standard
/// ones and terminals used. So may `tun`, for those who make its node: what
/// comes of it takes `CAP_NET_ADMIN` over the container's own network.
///
/// Source: `config-linux.md`, "Default Devices"; for `tun` runc, which took it
/// from the list in 1.2.0 and put it back in 1.2.4.
pub fn standard() -> Vec<DeviceRule> {
    let rule = |kind: &str, major: Option<i64>, minor: Option<i64>, access: &str| DeviceRule {
        allow: true,
        kind: kind.into(),
        major,
        minor,
        access: access.into(),
    };
    let mut rules = vec![rule("c", None, None, "m"), rule("b", None, None, "m")];
    // null, zero, full, random, urandom, tty, ptmx, net/tun
    let nodes = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (10, 200)];
    rules.extend(nodes.map(|(major, minor)| rule("c", Some(major), Some(minor), "rwm")));
    // Pseudo terminals.
    rules.push(rule("c", Some(136), None, "rwm"));
    rules
}

impl Cgroup {
    /// Makes `list` the group's whole device list.
    ///
    /// # Errors
    /// [`Error::NoController`] on a machine with neither version 1's
    /// controller nor version 2.
    pub fn allow_devices(&self, list: &AllowList) -> Result<(), Error> {
        if let Some(dir) = self.legacy("devices") {
            return list.legacy()?.iter().try_for_each(|(file, lines)| dir.write_each(file, lines));
        }
        let Some(dir) = self.unified() else {
            let (limit, controller) = ("devices".to_owned(), "devices".to_owned());
            return Err(Error::NoController { limit, controller });
        };
        let group = dir.fd()?;
        let program = sys::bpf::load_device_program(&bpf::assemble(list))
            .doing("load a device program for", &dir.path)?;
        let old =
            sys::bpf::device_programs(group).doing("list the device programs of", &dir.path)?;
        // With one program there is no moment without any.
        let replaced = if let [one] = &old[..] { Some(one.as_fd()) } else { None };
        sys::bpf::attach_device_program(group, program.as_fd(), replaced)
            .doing("attach a device program to", &dir.path)?;
        for extra in old.iter().filter(|_| replaced.is_none()) {
            sys::bpf::detach_device_program(group, extra.as_fd())
                .doing("detach an old device program from", &dir.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        let (major, minor) = (Some(major), Some(minor));
        DeviceRule { allow, kind: kind.into(), major, minor, access: access.into() }
    }

    fn everything(allow: bool) -> DeviceRule {
        DeviceRule { allow, access: "rwm".into(), ..DeviceRule::default() }
    }

    fn legacy(rules: &[DeviceRule]) -> Vec<String> {
        let list = AllowList::from_rules(rules).expect("valid rules");
        let writes = list.legacy().expect("version 1 can say it");
        let lines = |(file, lines): (&str, Vec<String>)| {
            lines.into_iter().map(|line| format!("{} {line}", &file[8..])).collect::<Vec<_>>()
        };
        writes.into_iter().flat_map(lines).collect()
    }

    #[test]
    fn a_list_says_of_one_device_what_the_kernel_will() {
        let rules = [
            rule(true, "c", 10, -1, "rw"),
            rule(false, "c", 10, 229, "w"),
            rule(true, "b", 8, 0, "rwm"),
        ];
        let list = AllowList::from_rules(&rules).expect("valid rules");
        assert!(list.allows(false, (10, 200), "rw") && list.allows(false, (10, 229), "r"));
        assert!(!list.allows(false, (10, 229), "rw"), "a part of it was taken back");
        assert!(!list.allows(false, (10, 200), "m"), "more than was given");
        assert!(list.allows(true, (8, 0), "m") && !list.allows(false, (8, 0), "r"));
        assert!(!list.allows(false, (10, 200), "x"), "no word of devices");
        let all = AllowList::from_rules(&[everything(true)]).expect("valid rules");
        assert!(all.allows(true, (1, 1), "rwm"));
    }

    #[test]
    fn without_a_rule_nothing_is_allowed() {
        assert_eq!(legacy(&[]), ["deny a"]);
    }

    #[test]
    fn exceptions_follow_the_rule_for_the_rest() {
        assert_eq!(
            legacy(&[everything(false), rule(true, "c", 1, 3, "rwm")]),
            ["deny a", "allow c 1:3 rwm"]
        );
        assert_eq!(
            legacy(&[everything(true), rule(false, "b", 8, -1, "w")]),
            ["allow a", "deny b 8:* w"]
        );
    }

    #[test]
    fn a_rule_for_everything_forgets_those_before_it() {
        assert_eq!(legacy(&[rule(true, "c", 1, 3, "rwm"), everything(false)]), ["deny a"]);
    }

    #[test]
    fn two_rules_for_one_device_are_one() {
        assert_eq!(
            legacy(&[rule(true, "c", 1, 3, "r"), rule(true, "c", 1, 3, "w")]),
            ["deny a", "allow c 1:3 rw"]
        );
    }

    #[test]
    fn what_is_taken_back_is_gone() {
        assert_eq!(
            legacy(&[rule(true, "c", 1, 3, "rw"), rule(false, "c", 1, -1, "w")]),
            ["deny a", "allow c 1:3 r"]
        );
        assert_eq!(
            legacy(&[rule(true, "c", 1, 3, "r"), rule(false, "c", -1, -1, "r")]),
            ["deny a"]
        );
    }

    #[test]
    fn a_hole_in_a_wider_rule_is_refused_by_version_1() {
        let rules = [rule(true, "c", 1, -1, "rw"), rule(false, "c", 1, 3, "w")];
        assert!(AllowList::from_rules(&rules).expect("valid").legacy().is_err());
    }

    #[test]
    fn a_rule_of_both_kinds_with_numbers_is_two_rules() {
        assert_eq!(
            legacy(&[rule(true, "a", 7, 1, "r")]),
            ["deny a", "allow b 7:1 r", "allow c 7:1 r"]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            rule(true, "x", 1, 3, "r"),
            rule(true, "c", 1, 3, "q"),
            rule(true, "c", -2, 3, "r"),
            rule(true, "c", 1 << 40, 3, "r"),
        ] {
            assert!(AllowList::from_rules(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
    }
}
