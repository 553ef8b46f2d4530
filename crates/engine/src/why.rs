//! What was denied to a container lately, by which layer, and what would allow
//! it: the kernel's own records, and a look for a while where one is asked for.
//!
//! Nothing of this is in the kernel unless somebody looks, and then no longer
//! than that: a container that nobody asks about pays nothing.

use crate::{Container, Engine, Error, Kind, error::Doing, house::House};
use denials::{Denied, Judge, Layer, Owner, Record, Scope, Verdict, Watching};
use policy::user::Identity;
use spec::{Sandbox, oci};
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Looks at once: each makes every call of the machine a little slower.
const AT_ONCE: usize = 4;
/// Different denials that are told apart in one look.
const KINDS: usize = 1000;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// One kind of denial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which layer, why, and what would allow it.
    pub verdict: Verdict,
    /// The call's name.
    pub call: String,
    /// As `errno(3)` names it.
    pub error: String,
    /// What the call named.
    pub path: Option<String>,
    /// The program, as the kernel calls it.
    pub program: String,
    /// How often.
    pub count: u64,
}

/// What a look saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Why {
    /// In the order of their first time.
    pub denials: Vec<Denial>,
    /// How many there were for which there was no room.
    pub lost: u64,
    /// What could not be seen, in words.
    pub notes: Vec<String>,
}

/// A look under way; it ends when it is dropped.
pub struct Looking {
    engine: Engine,
    container: Arc<Container>,
    watching: Watching,
    judge: Judge,
    seen: Vec<Denial>,
    known: HashMap<(Verdict, String, String, Option<String>, String), usize>,
    beyond: u64,
    _place: Place,
}

/// One of [`AT_ONCE`].
struct Place;

impl Place {
    fn take() -> Result<Self, Error> {
        let room = |taken| (taken < AT_ONCE).then_some(taken + 1);
        let got = UNDER_WAY.fetch_update(Ordering::AcqRel, Ordering::Acquire, room);
        got.map(|_| Self).map_err(|_| {
            Error::Conflict(format!("{AT_ONCE} looks at containers are under way: wait for one"))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Engine {
    /// What the kernel wrote down by itself of a container.
    ///
    /// # Errors
    /// None such; the kernel's log cannot be read.
    pub fn records(&self, reference: &str) -> Result<Vec<Record>, Error> {
        let container = self.container(reference)?;
        // One that does not run has no processes, and is known by its ids.
        let group = container.state.is_running().then(|| self.0.group(&container));
        let processes = group.transpose()?.map_or(Ok(Vec::new()), |group| group.pids())?;
        let owner = Owner { scope: own_ids(&container), level: container.level.clone(), processes };
        denials::records(&owner).doing("read", "the kernel's log")
    }

    /// Begins to look at a container. One that is `starting` is looked at from
    /// its first moment on.
    ///
    /// # Errors
    /// It does not run (or does, if it is to be started), shares with others
    /// what it would be known by, too many looks are under way, or the kernel
    /// does not let this process look.
    pub fn look(&self, reference: &str, starting: bool) -> Result<Looking, Error> {
        let container = self.container(reference)?;
        let place = Place::take()?;
        let scope = scope(&container, starting)?;
        let sandbox = self.0.sandbox(&container)?;
        let errors = judge(&container, sandbox.clone(), true)?.errors();
        let watching = Watching::begin(scope, &errors)
            .map_err(|error| Error::below(Kind::Unsupported, &error))?;
        let judge = judge(&container, sandbox, watching.tells_capabilities())?;
        Ok(Looking {
            engine: self.clone(),
            container,
            watching,
            judge,
            seen: Vec::new(),
            known: HashMap::new(),
            beyond: 0,
            _place: place,
        })
    }

    /// The filter of system calls of a container, with these calls allowed: a
    /// profile for `--security-opt seccomp=FILE`.
    ///
    /// # Errors
    /// It has no filter, or there is no such call.
    pub fn filter_allowing(&self, reference: &str, calls: &[&str]) -> Result<oci::Seccomp, Error> {
        let container = self.container(reference)?;
        let sandbox = self.0.sandbox(&container)?;
        let rules = sandbox.config.linux.and_then(|linux| linux.seccomp).ok_or_else(|| {
            Error::Conflict(format!("{} has no filter of system calls", container.name))
        })?;
        denials::allowing(rules, calls).map_err(Error::Invalid)
    }
}

impl House {
    /// What was decided for a container that runs, or would be for another that
    /// is started now: what was written down of it goes with its end.
    fn sandbox(&self, container: &Container) -> Result<Sandbox, Error> {
        let path = self.paths.run(&container.id).join("sandbox.json");
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let slot = self.find(container.id.as_str())?.slot;
                let points = self.points(container)?;
                return self.decide(container, slot, &Identity::default(), &points, true);
            }
            text => text.doing("read", &path)?,
        };
        serde_json::from_slice(&text).map_err(std::io::Error::from).doing("read", &path)
    }
}

fn judge(container: &Container, sandbox: Sandbox, tells: bool) -> Result<Judge, Error> {
    let judge = Judge::new(&container.name, sandbox, tells);
    judge.map_err(|error| Error::below(Kind::Host, &error))
}

impl Looking {
    /// Takes what was denied since.
    ///
    /// # Errors
    /// The kernel would not tell.
    pub fn fetch(&mut self) -> Result<(), Error> {
        let fetched = self.watching.fetch().map_err(|e| Error::below(Kind::Host, &e))?;
        for denied in fetched {
            self.take(&denied);
        }
        Ok(())
    }

    fn take(&mut self, denied: &Denied) {
        let verdict = self.judge.judge(denied, self.seen_now(denied).as_ref());
        let Some(verdict) = verdict else { return };
        let denial = Denial {
            verdict,
            call: denied.name(),
            error: denied.error_name(),
            path: denied.path.clone(),
            program: denied.program.clone(),
            count: 1,
        };
        let key = (
            denial.verdict.clone(),
            denial.call.clone(),
            denial.error.clone(),
            denial.path.clone(),
            denial.program.clone(),
        );
        match self.known.get(&key) {
            Some(at) => self.seen[*at].count += 1,
            None if self.seen.len() < KINDS => {
                self.known.insert(key, self.seen.len());
                self.seen.push(denial);
            }
            None => self.beyond += 1,
        }
    }

    /// What is at the path that a call named, as long as the container runs.
    fn seen_now(&self, denied: &Denied) -> Option<denials::Seen> {
        // One that was removed has ended, too.
        let now = self.engine.container(self.container.id.as_str()).ok()?;
        denials::look(now.state.pid()?, denied)
    }

    /// Ends the look.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub fn finish(mut self) -> Result<Why, Error> {
        self.fetch()?;
        let lost = self.watching.lost().map_err(|e| Error::below(Kind::Host, &e))? + self.beyond;
        let mut notes = Vec::new();
        if !self.watching.tells_capabilities() {
            notes.push(
                "this kernel does not tell which capability was missing; Linux 6.14 does".into(),
            );
        }
        let labelled = |denial: &Denial| denial.verdict.layer == Layer::Unknown;
        if self.seen.iter().any(labelled) {
            notes.push("what is unknown may be a file's own permissions".into());
        }
        Ok(Why { denials: self.seen, lost, notes })
    }
}

/// Its ids, if nobody else has them.
fn own_ids(container: &Container) -> Option<Scope> {
    let mode = container.host.userns_mode.as_str();
    let range = container.range().filter(|range| range.kept.is_none());
    let range = range.filter(|_| !mode.starts_with("container:"))?;
    Some(Scope::Ids { first: range.first, size: range.size })
}

/// By what its processes are known to the kernel.
fn scope(container: &Container, starting: bool) -> Result<Scope, Error> {
    let pid = container.state.pid();
    if starting && pid.is_some() {
        return Err(Error::Conflict(format!("{} runs already", container.name)));
    }
    if let Some(scope) = own_ids(container).filter(|_| starting || pid.is_some()) {
        return Ok(scope);
    }
    if starting {
        return Err(Error::Unsupported(format!(
            "{} has no ids of its own, so it cannot be told from others before it runs: start it, \
             then look at it",
            container.name
        )));
    }
    let pid = pid.ok_or_else(|| crate::verbs::not_running(container))?;
    let path = format!("/proc/{pid}/ns/pid");
    let namespace = fs::metadata(&path).doing("look at", &path)?;
    let ours = fs::metadata("/proc/self/ns/pid").doing("look at", "/proc/self/ns/pid")?;
    let shares = container.host.pid_mode.starts_with("container:");
    if namespace.ino() == ours.ino() || shares {
        return Err(Error::Unsupported(format!(
            "{} has neither ids nor a process namespace of its own: what is denied to it cannot \
             be told from what is denied to others",
            container.name
        )));
    }
    Ok(Scope::Processes { device: namespace.dev(), inode: namespace.ino() })
}
