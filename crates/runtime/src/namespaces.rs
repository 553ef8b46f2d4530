//! Which namespaces are new, which are joined, and in what order.

use crate::failure::{Doing, refusal};
use rustix::{
    fs::{Mode, OFlags},
    thread::{LinkNameSpaceType as Kind, UnshareFlags},
};
use spec::{oci, wire::Failure};
use std::os::fd::{AsFd, OwnedFd};

/// The `linux.namespaces` of a container, sorted. A namespace that is not
/// listed is shared with the caller.
#[derive(Debug)]
pub(crate) struct Namespaces {
    /// To be made for it.
    pub new: UnshareFlags,
    /// To be joined with the host's rights, before any user namespace.
    joined: Vec<(Kind, OwnedFd)>,
    /// A user namespace to be joined.
    pub user: Option<OwnedFd>,
}

impl Namespaces {
    /// Reads the list and opens what is to be joined.
    pub fn open(list: &[oci::Namespace]) -> Result<Self, Failure> {
        let mut sorted = Self { new: UnshareFlags::empty(), joined: Vec::new(), user: None };
        let mut seen = UnshareFlags::empty();
        for namespace in list {
            let (kind, flag) = kind(&namespace.kind)?;
            if seen.contains(flag) {
                return Err(refusal(format!("namespace {:?} is listed twice", namespace.kind)));
            }
            seen |= flag;
            if namespace.path.is_empty() {
                sorted.new |= flag;
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let fd = rustix::fs::open(&namespace.path, flags, Mode::empty())
                .doing(|| format!("open the namespace {}", namespace.path))?;
            match kind {
                Kind::User => sorted.user = Some(fd),
                Kind::Mount => {
                    return Err(refusal(format!(
                        "joining the mount namespace {} is not supported: a container's root is \
                         built in one of its own",
                        namespace.path
                    )));
                }
                _ => sorted.joined.push((kind, fd)),
            }
        }
        if !sorted.new.contains(UnshareFlags::NEWNS) {
            return Err(refusal(
                "a container without a mount namespace of its own is not supported: its mounts \
                 would be the host's",
            ));
        }
        Ok(sorted)
    }

    /// Has it a user namespace, new or joined?
    pub fn mapped(&self) -> bool {
        self.user.is_some() || self.new.contains(UnshareFlags::NEWUSER)
    }

    /// Has it a namespace other than the caller's?
    pub fn private(&self, flag: UnshareFlags) -> bool {
        self.new.contains(flag)
            || (flag == UnshareFlags::NEWUSER && self.user.is_some())
            || self.joined.iter().any(|(kind, _)| *kind as u32 == flag.bits())
    }

    /// Joins what is to be joined, except a user namespace and the one that
    /// [counts processes](Self::join_processes).
    pub fn join(&self) -> Result<(), Failure> {
        self.joined.iter().filter(|(kind, _)| *kind != Kind::ProcessID).try_for_each(join)
    }

    /// Joins a process namespace: what is forked from now on is in it, and
    /// knows other processes by its numbers alone.
    pub fn join_processes(&self) -> Result<(), Failure> {
        self.joined.iter().filter(|(kind, _)| *kind == Kind::ProcessID).try_for_each(join)
    }
}

fn kind(word: &str) -> Result<(Kind, UnshareFlags), Failure> {
    Ok(match word {
        "pid" => (Kind::ProcessID, UnshareFlags::NEWPID),
        "network" => (Kind::Network, UnshareFlags::NEWNET),
        "mount" => (Kind::Mount, UnshareFlags::NEWNS),
        "ipc" => (Kind::InterProcessCommunication, UnshareFlags::NEWIPC),
        "uts" => (Kind::HostNameAndNISDomainName, UnshareFlags::NEWUTS),
        "user" => (Kind::User, UnshareFlags::NEWUSER),
        "cgroup" => (Kind::ControlGroup, UnshareFlags::NEWCGROUP),
        "time" => (Kind::Time, UnshareFlags::NEWTIME),
        word => return Err(refusal(format!("unknown namespace type {word:?}"))),
    })
}

fn join((kind, fd): &(Kind, OwnedFd)) -> Result<(), Failure> {
    rustix::thread::move_into_link_name_space(fd.as_fd(), Some(*kind))
        .doing(|| format!("join a namespace ({kind:?})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<oci::Namespace> {
        words.iter().map(|w| oci::Namespace { kind: (*w).into(), path: String::new() }).collect()
    }

    #[test]
    fn a_container_needs_a_mount_namespace() {
        assert!(Namespaces::open(&list(&["pid"])).is_err());
        let ok = Namespaces::open(&list(&["pid", "mount", "user"])).expect("listed");
        assert!(ok.mapped() && ok.private(UnshareFlags::NEWPID));
        assert!(!ok.private(UnshareFlags::NEWNET), "not listed is shared");
    }

    #[test]
    fn what_is_unknown_or_listed_twice_is_refused() {
        assert!(Namespaces::open(&list(&["mount", "mnt"])).is_err());
        assert!(Namespaces::open(&list(&["mount", "mount"])).is_err());
    }
}
