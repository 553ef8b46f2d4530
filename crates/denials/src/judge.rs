//! Which layer it was. Each is asked in the order in which the kernel asks
//! them; the first that says no has the blame.

use crate::{Denied, Seen, remedy, seen::wanted_device};
use cgroup::devices::AllowList;
use policy::Arch;
use seccomp::Program;
use spec::{Sandbox, capability, ids::Range, oci};

/// `errno(3)`.
const EPERM: i32 = 1;
/// `errno(3)`.
const EACCES: i32 = 13;
/// `errno(3)`.
const EROFS: i32 = 30;
/// `errno(3)`.
const ENOSYS: i32 = 38;

/// `SECCOMP_RET_ERRNO`, and the half in which it stands.
const ERRNO: u32 = 0x0005_0000;
const ACTION: u32 = 0xffff_0000;

/// `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH`.
const PERMISSIONS: [u8; 2] = [1, 2];

/// Calls that change what is mounted where.
const MOUNTING: [&str; 10] = [
    "mount",
    "umount",
    "umount2",
    "pivot_root",
    "move_mount",
    "open_tree",
    "fsmount",
    "fsconfig",
    "fspick",
    "mount_setattr",
];

/// A layer of a container's confinement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The filter of system calls.
    Seccomp,
    /// A capability that it has not.
    Capability,
    /// A flag of a mount: read-only, nodev, noexec.
    Mount,
    /// The list of devices it may use.
    Device,
    /// Landlock.
    Landlock,
    /// SELinux or AppArmor.
    SecurityModule,
    /// Its own range of ids.
    UserNamespace,
    /// A file's owner and mode: what any system has.
    Permissions,
    /// None of these.
    Unknown,
}

impl Layer {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Seccomp => "seccomp",
            Self::Capability => "capability",
            Self::Mount => "mount flag",
            Self::Device => "device",
            Self::Landlock => "Landlock",
            Self::SecurityModule => "LSM",
            Self::UserNamespace => "user namespace",
            Self::Permissions => "file permissions",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of the question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Who said no.
    pub layer: Layer,
    /// How that is known, in a few words.
    pub why: String,
    /// The smallest option that would allow it, if there is one.
    pub option: Option<String>,
}

impl Verdict {
    pub(crate) fn new(
        layer: Layer,
        why: impl Into<String>,
        option: Option<impl Into<String>>,
    ) -> Self {
        Self { layer, why: why.into(), option: option.map(Into::into) }
    }
}

/// Why nobody can be judged: what was decided for the container makes no sense
/// any more. To pass over it would be to say that the layer is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// Its filter.
    #[error("cannot read the container's filter of system calls")]
    Filter(#[source] seccomp::Error),
    /// Its devices.
    #[error("cannot read the container's list of devices")]
    Devices(#[source] cgroup::Error),
}

/// Knows one container's confinement.
#[derive(Debug)]
pub struct Judge {
    pub(crate) name: String,
    pub(crate) sandbox: Sandbox,
    pub(crate) filter: Option<Program>,
    pub(crate) bounding: Vec<String>,
    pub(crate) ids: Option<Range>,
    devices: AllowList,
    tells_capabilities: bool,
}

impl Judge {
    /// For the container called `name`. `tells_capabilities`: the kernel says
    /// which were asked for.
    ///
    /// # Errors
    /// Its filter or its list of devices cannot be read.
    pub fn new(name: &str, sandbox: Sandbox, tells_capabilities: bool) -> Result<Self, Unreadable> {
        let linux = sandbox.config.linux.clone().unwrap_or_default();
        let process = sandbox.config.process.clone().unwrap_or_default();
        let rules = linux.resources.unwrap_or_default().devices;
        let filter = linux.seccomp.as_ref().map(seccomp::compile).transpose();
        Ok(Self {
            name: name.to_owned(),
            filter: filter.map_err(Unreadable::Filter)?,
            bounding: process.capabilities.unwrap_or_default().bounding,
            ids: Range::of(&linux.uid_mappings, &linux.gid_mappings),
            devices: AllowList::from_rules(&rules).map_err(Unreadable::Devices)?,
            tells_capabilities,
            sandbox,
        })
    }

    /// Every error that a denial of this container may come as: its filter may
    /// answer with others than the kernel does.
    pub fn errors(&self) -> Vec<i32> {
        let mut errors = vec![EPERM, EACCES, EROFS, ENOSYS];
        let rules = self.linux().and_then(|linux| linux.seccomp.clone()).unwrap_or_default();
        let said = rules.syscalls.iter().filter_map(|rule| rule.errno_ret);
        for error in said.chain(rules.default_errno_ret) {
            // 0 is no error, and programs for the kernel are short.
            if let Some(error) = i32::try_from(error).ok().filter(|e| (1..4096).contains(e))
                && !errors.contains(&error)
                && errors.len() < 32
            {
                errors.push(error);
            }
        }
        errors
    }

    pub(crate) fn linux(&self) -> Option<&oci::Linux> {
        self.sandbox.config.linux.as_ref()
    }

    pub(crate) fn has(&self, capability: &str) -> bool {
        self.bounding.iter().any(|has| has == capability)
    }

    /// Who it was. `seen` is what is at the path that the call named. None if
    /// it was no denial: a call that this kernel has not, or a file that was
    /// found to be somebody else's business.
    pub fn judge(&self, denied: &Denied, seen: Option<&Seen>) -> Option<Verdict> {
        if self.filtered(denied) {
            // Each thread that a C library starts is tried by it first, and then
            // made by the call that the filter can look into.
            if denied.error == ENOSYS && denied.name() == "clone3" {
                return None;
            }
            return Some(remedy::filter(self, denied));
        }
        let verdict = match denied.error {
            EROFS => Some(remedy::read_only(self, denied, seen)),
            EPERM | EACCES => self
                .mandatory(denied)
                .or_else(|| self.device(denied, seen))
                .or_else(|| no_exec(denied, seen))
                .or_else(|| self.missing(denied, seen))
                .or_else(|| self.foreign(seen))
                .or_else(|| Some(self.unexplained(denied))),
            // The kernel has no such call, or the error means something else.
            _ => None,
        }?;
        Some(verdict)
    }

    /// Runs the container's filter on the call.
    pub(crate) fn filtered(&self, denied: &Denied) -> bool {
        self.filter.as_ref().is_some_and(|filter| {
            let action = filter.answer(&denied.call).action;
            let error = action & !ACTION;
            action & ACTION == ERRNO && u32::try_from(denied.error) == Ok(error)
        })
    }

    /// Landlock answers before any capability is asked for, and so says nothing
    /// of them.
    fn mandatory(&self, denied: &Denied) -> Option<Verdict> {
        let mounts = MOUNTING.contains(&denied.name().as_str());
        let holds = self.sandbox.landlock.is_some() && self.tells_capabilities;
        if !(mounts && holds && denied.error == EPERM && denied.capabilities.is_empty()) {
            return None;
        }
        Some(Verdict::new(
            Layer::Landlock,
            "nothing under Landlock changes what is mounted where",
            Some("--cap-add SYS_ADMIN"),
        ))
    }

    fn device(&self, denied: &Denied, seen: Option<&Seen>) -> Option<Verdict> {
        if let Some((block, major, minor)) = wanted_device(denied) {
            let allowed = self.devices.allows(block, (major, minor), "m");
            let asked = !denied.capabilities.is_empty();
            return (!allowed && !asked).then(|| remedy::make_device(block, (major, minor)));
        }
        let seen = seen?;
        let (block, major, minor) = seen.device?;
        let flags = denied.open_flags();
        if flags.is_none() && denied.name() != "openat2" {
            return None;
        }
        let access = match flags.map(|flags| flags & 3) {
            Some(0) => "r",
            Some(1) => "w",
            _ => "rw",
        };
        let numbers = (major, minor);
        if denied.error == EACCES && seen.has("nodev") {
            let why = format!("{} is on {}, which is mounted nodev", seen.path, seen.mount);
            return Some(Verdict::new(
                Layer::Mount,
                why,
                Some(remedy::device(block, numbers, &seen.path, access)),
            ));
        }
        let refused = !self.devices.allows(block, numbers, access);
        (denied.error == EPERM && refused).then(|| {
            let letter = if block { 'b' } else { 'c' };
            let why = format!("{letter} {major}:{minor} is not among its devices for {access}");
            Verdict::new(
                Layer::Device,
                why,
                Some(remedy::device(block, numbers, &seen.path, access)),
            )
        })
    }

    /// The kernel asked for a capability and did not find it.
    fn missing(&self, denied: &Denied, seen: Option<&Seen>) -> Option<Verdict> {
        let first = *denied.capabilities.first()?;
        let all = denied.capabilities.iter();
        let names: Vec<&str> = all.filter_map(|&number| name(number)).collect();
        if PERMISSIONS.contains(&first)
            && let Some(verdict) = remedy::permissions(self, denied, seen)
        {
            return Some(verdict);
        }
        let capability = name(first)?;
        let whole = denied.whole_machine & 1 << first != 0 && self.ids.is_some();
        Some(remedy::capability(self, denied, capability, &names, whole))
    }

    /// A file of somebody whom the container's range does not have.
    fn foreign(&self, seen: Option<&Seen>) -> Option<Verdict> {
        let (ids, seen) = (self.ids.as_ref()?, seen?);
        let theirs = |id: u32| {
            ids.uids().iter().any(|m| (m.host_id..m.host_id.saturating_add(m.size)).contains(&id))
        };
        (!theirs(seen.owner)).then(|| {
            let why = format!(
                "{} belongs to user {} of the host, who is none of the container's",
                seen.path, seen.owner
            );
            Verdict::new(Layer::UserNamespace, why, Some("--userns=host"))
        })
    }

    fn unexplained(&self, denied: &Denied) -> Verdict {
        let process = self.sandbox.config.process.as_ref();
        let labelled = |p: &oci::Process| {
            !p.selinux_label.is_empty()
                || !(p.apparmor_profile.is_empty() || p.apparmor_profile == "unconfined")
        };
        let why = if !self.tells_capabilities && denied.error == EPERM {
            "this kernel does not tell which capability it asked for (Linux 6.14 does)"
        } else if process.is_some_and(labelled) {
            "no layer of the engine's; the security module may have written down more"
        } else {
            "no layer of the engine's: a file's own permissions, or a rule of the kernel's"
        };
        Verdict::new(Layer::Unknown, why, None::<String>)
    }
}

fn no_exec(denied: &Denied, seen: Option<&Seen>) -> Option<Verdict> {
    let seen = seen?;
    let executes = ["execve", "execveat"].contains(&denied.name().as_str());
    (executes && denied.error == EACCES && seen.has("noexec")).then(|| {
        let why = format!("{} is mounted noexec", seen.mount);
        Verdict::new(Layer::Mount, why, Some(format!("--tmpfs {}:exec", seen.mount)))
    })
}

fn name(number: u8) -> Option<&'static str> {
    capability::NAMES.get(usize::from(number)).copied()
}

/// Of the machine that this was built for.
pub fn arch() -> Arch {
    match seccomp::Arch::NATIVE {
        seccomp::Arch::Aarch64 | seccomp::Arch::Arm => Arch::Aarch64,
        _ => Arch::X86_64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::oci::{DeviceRule, Linux, Resources, Seccomp};

    fn judge(linux: Linux) -> Result<Judge, Unreadable> {
        let mut sandbox = Sandbox::default();
        sandbox.config.linux = Some(linux);
        Judge::new("c", sandbox, true)
    }

    fn denied(call: &str, error: i32, path: Option<&str>) -> Denied {
        let number = seccomp::Arch::X86_64.number(call).expect("a call");
        Denied {
            pid: i32::MAX,
            thread: i32::MAX,
            uid: 0,
            program: "p".into(),
            error,
            call: seccomp::Call { arch: seccomp::Arch::X86_64, number, args: [0; 6] },
            path: path.map(str::to_owned),
            capabilities: Vec::new(),
            whole_machine: 0,
        }
    }

    #[test]
    fn rules_that_cannot_be_read_are_no_absence_of_rules() {
        let filter = Seccomp { default_action: "SCMP_ACT_NONESUCH".into(), ..Seccomp::default() };
        let refused = judge(Linux { seccomp: Some(filter), ..Linux::default() });
        assert!(matches!(refused, Err(Unreadable::Filter(_))), "{refused:?}");
        let rule = DeviceRule { allow: true, access: "x".into(), ..DeviceRule::default() };
        let resources = Resources { devices: vec![rule], ..Resources::default() };
        let refused = judge(Linux { resources: Some(resources), ..Linux::default() });
        assert!(matches!(refused, Err(Unreadable::Devices(_))), "{refused:?}");
    }

    #[test]
    fn where_an_ended_program_was_is_not_guessed() {
        let judge = judge(Linux::default()).expect("no rules");
        let told = |path| judge.judge(&denied("open", EROFS, path), None).expect("a denial");
        for path in [Some("new"), Some("/etc/../new"), Some("../etc/new"), None] {
            let verdict = told(path);
            assert_eq!((verdict.layer, verdict.option), (Layer::Mount, None), "{path:?}");
            assert!(!verdict.why.contains(" on /"), "{}", verdict.why);
        }
        assert!(told(Some("/etc/new")).why.contains("by its name on /"));
    }

    #[test]
    fn what_no_layer_explains_is_unknown_and_has_no_option() {
        let judge = judge(Linux::default()).expect("no rules");
        let verdict = judge.judge(&denied("kill", EPERM, None), None).expect("a denial");
        assert_eq!((verdict.layer, verdict.option), (Layer::Unknown, None));
    }
}
