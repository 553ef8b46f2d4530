//! `RUN --mount`: what a step sees for its time.
//!
//! Every mount is a bind mount of something that the build keeps in its
//! [room](super::room), so that it reaches the container as any other bind
//! mount does. Where one needs a place in the root file system, that goes
//! again: [stubs](super::stubs).

use super::{
    agent::Agent, bases::Origin, error::BuildError, job::Stopped, run::script, stage::Stage, stubs,
};
use crate::{Error, error::Doing};
use build::{Counts, Target, clean, config::absolute};
use dockerfile::{Command, Held, Mount, MountKind, Sharing};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use spec::docker::{BindOptions, Config, HostConfig, TmpfsOptions};
use std::{
    collections::{BTreeMap, HashSet},
    fs,
    io::ErrorKind,
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix::{
            fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::SystemTime,
};

/// Where an agent's socket is seen.
const AGENT: &str = "/run/buildkit/ssh_agent";
/// Where secrets are seen.
const SECRETS: &str = "/run/secrets";
/// Where scripts of here-documents are seen.
const PIPES: &str = "/dev/pipes";

/// Cache mounts that are in use alone.
static LOCKED: (Mutex<Option<HashSet<PathBuf>>>, Condvar) = (Mutex::new(None), Condvar::new());

/// Cache mounts that steps share, and how many do.
static SHARED: Mutex<BTreeMap<PathBuf, u32>> = Mutex::new(BTreeMap::new());

/// Whether a step works in a cache mount at this moment.
pub(super) fn in_use(dir: &Path) -> bool {
    let locked = LOCKED.0.lock().unwrap_or_else(PoisonError::into_inner);
    let alone = locked.as_ref().is_some_and(|locked| locked.contains(dir));
    alone || shared().contains_key(dir)
}

/// Moves a cache mount elsewhere, unless a step works in it or it is gone; says
/// whether it did. A step that begins meanwhile finds it whole or not at all.
pub(super) fn take_away(dir: &Path, place: &Path) -> Result<bool, Error> {
    let locked = LOCKED.0.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = shared();
    if shared.contains_key(dir) || locked.as_ref().is_some_and(|locked| locked.contains(dir)) {
        return Ok(false);
    }
    match fs::rename(dir, place) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        renamed => renamed.doing("move away", dir)?,
    }
    let mark = mark(dir);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        removed => removed.doing("remove", &mark).map(|()| true),
    }
}

/// The file whose time tells when a cache mount served last: what steps do to
/// the directory itself tells nothing.
pub(super) fn mark(dir: &Path) -> PathBuf {
    let build = dir.parent().and_then(Path::parent).unwrap_or(dir);
    build.join("used").join(dir.file_name().unwrap_or_default())
}

fn serves(dir: &Path) -> Result<(), Error> {
    let mark = mark(dir);
    let marks = mark.parent().unwrap_or(&mark);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(marks).doing("create", marks)?;
    let mut options = fs::File::options();
    let file = options.write(true).create(true).truncate(false).open(&mark);
    let file = file.doing("create", &mark)?;
    file.set_modified(SystemTime::now()).doing("change the time of", &mark)
}

fn shared() -> std::sync::MutexGuard<'static, BTreeMap<PathBuf, u32>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a step mounts, found; nothing is made yet.
pub(super) struct Prepared<'a> {
    /// What of it makes a difference to the result: parts of a key.
    pub inputs: Vec<String>,
    mounts: Vec<(String, Found<'a>)>,
    script: Option<(String, String)>,
}

enum Found<'a> {
    Bind { from: Origin<'a>, source: String, writable: bool },
    Cache { dir: PathBuf, seed: Option<(Origin<'a>, String)>, sharing: Sharing, mount: MountKind },
    Tmpfs { size: u64 },
    Secret(Held, String),
    Ssh(Held),
}

/// What stands while the step runs.
#[derive(Default)]
pub(super) struct Live {
    pub stubs: Vec<stubs::Stub>,
    /// A secret is in the step's environment: its container must go.
    pub secret: bool,
    locked: Vec<PathBuf>,
    shared: Vec<PathBuf>,
    agents: Vec<Agent>,
    /// Secrets that are variables.
    pub hidden: Vec<String>,
}

impl<'j> Stage<'j, '_> {
    /// Finds what a step mounts.
    pub(super) fn mounts(
        &self,
        mounts: &[Mount],
        command: &Command,
    ) -> Result<Prepared<'j>, Stopped> {
        let job = self.job;
        let mut prepared = Prepared { inputs: Vec::new(), mounts: Vec::new(), script: None };
        for (number, mount) in mounts.iter().enumerate() {
            let target = self.target(mount, number)?;
            // All that was said of it counts. What a secret is does not, and is
            // not written down anywhere.
            prepared.inputs.push(format!("{mount:?}"));
            prepared.inputs.push(target.clone());
            let found = match &mount.kind {
                MountKind::Bind { from, source, writable } => {
                    let from = job.from(self.index, from.as_deref(), self.at)?;
                    let source = source.clone().unwrap_or_default();
                    let found = from.tree().find(&source)?;
                    let sum = from.tree().sum(&found, Counts { owners: true, skip: None })?;
                    prepared.inputs.push(build::hex(&sum));
                    Found::Bind { from, source, writable: *writable }
                }
                MountKind::Cache { id, from, source, sharing, mode, uid, gid, .. } => {
                    let id = id.clone().unwrap_or_else(|| target.clone());
                    // One that begins otherwise is another one.
                    let begins = match (mode, uid, gid) {
                        (None, None, None) => None,
                        begins => Some(format!("{begins:?}")),
                    };
                    let mut parts = vec!["cache".to_owned(), id];
                    parts.extend(begins);
                    let seed = match from {
                        Some(from) => {
                            let from = job.from(self.index, Some(from), self.at)?;
                            let source = source.clone().unwrap_or_default();
                            let found = from.tree().find(&source)?;
                            let counts = Counts { owners: true, skip: None };
                            let sum = build::hex(&from.tree().sum(&found, counts)?);
                            // Filled with something else it is another one.
                            parts.push(sum.clone());
                            prepared.inputs.push(sum);
                            Some((from, source))
                        }
                        None => None,
                    };
                    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                    let name = build::key(&parts);
                    let dir = self.job.engine.0.paths.data.join("build/mounts").join(name);
                    let mount = mount.kind.clone();
                    Found::Cache { dir, seed, sharing: *sharing, mount }
                }
                MountKind::Tmpfs { size } => Found::Tmpfs { size: *size },
                MountKind::Secret(held) => {
                    let last = target.rsplit('/').next().unwrap_or_default().to_owned();
                    let id = held.id.clone().unwrap_or(last);
                    Found::Secret(held.clone(), id)
                }
                MountKind::Ssh(held) => Found::Ssh(held.clone()),
            };
            prepared.mounts.push((target, found));
        }
        if let Some((name, text)) = script(command) {
            prepared.inputs.extend(["script".into(), name.to_owned(), text.to_owned()]);
            prepared.script = Some((name.to_owned(), text.to_owned()));
        }
        Ok(prepared)
    }

    fn target(&self, mount: &Mount, number: usize) -> Result<String, BuildError> {
        let dir = &self.draft.config.config.working_dir;
        match (&mount.target, &mount.kind) {
            (Some(target), _) => {
                let target = absolute(target, dir);
                if target == "/" {
                    return Err(BuildError::invalid("invalid mount target \"/\""));
                }
                Ok(target)
            }
            (None, MountKind::Secret(held)) if held.env.is_some() => Ok(String::new()),
            (None, MountKind::Secret(held)) => {
                let id = held.id.clone().unwrap_or_default();
                Ok(format!("{SECRETS}/{}", clean(id.rsplit('/').next().unwrap_or_default())))
            }
            (None, MountKind::Ssh(_)) => Ok(format!("{AGENT}.{number}")),
            (None, _) => Err(BuildError::invalid("a mount needs a target")),
        }
    }
}

impl Prepared<'_> {
    /// Makes it, and asks for it in a container's words.
    pub fn begin(
        &self,
        stage: &Stage<'_, '_>,
        config: &mut Config,
        host: &mut HostConfig,
    ) -> Result<Live, Stopped> {
        let mut live = Live::default();
        let mut wanted = Vec::new();
        let locked = self.mounts.iter().filter_map(|(_, found)| match found {
            Found::Cache { dir, sharing: Sharing::Locked, .. } => Some(dir.clone()),
            _ => None,
        });
        live.lock(locked.collect(), &|| stage.job.goes_on())?;
        for (target, found) in &self.mounts {
            let bind = match found {
                Found::Bind { from, source, writable } => {
                    Some((bind_source(stage, from, source, *writable)?, !writable))
                }
                Found::Cache { dir, seed, sharing, mount } => {
                    let (path, read_only) =
                        cache(stage, &mut live, dir, seed.as_ref(), *sharing, mount)?;
                    Some((path, read_only))
                }
                Found::Tmpfs { size } => {
                    let size_bytes = i64::try_from(*size).unwrap_or(i64::MAX);
                    wanted.push(spec::docker::Mount {
                        kind: "tmpfs".into(),
                        target: target.clone(),
                        tmpfs_options: (*size > 0)
                            .then(|| TmpfsOptions { size_bytes, ..TmpfsOptions::default() }),
                        ..spec::docker::Mount::default()
                    });
                    None
                }
                Found::Secret(held, id) => {
                    live.secret |= held.env.is_some();
                    secret(stage, &mut live, held, id, target)?
                }
                Found::Ssh(held) => agent(stage, config, &mut live, held, target)?,
            };
            if let Some((path, read_only)) = bind {
                wanted.push(bind_mount(&path, target, read_only));
            }
        }
        if let Some((name, text)) = &self.script {
            let path = stage.job.room.place()?;
            let name_of = clean(name);
            fs::create_dir(&path).doing("create", &path)?;
            let file = path.join(&name_of);
            fs::write(&file, text).doing("write", &file)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755))
                .doing("change the mode of", &file)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .doing("change the mode of", &path)?;
            wanted.push(bind_mount(&path, PIPES, true));
        }
        if !wanted.is_empty() {
            let tree = stage.job.mounted(&stage.draft)?;
            live.stubs =
                wanted.iter().filter_map(|mount| stubs::missing(&tree, &mount.target)).collect();
        }
        host.mounts.get_or_insert_default().extend(wanted);
        Ok(live)
    }
}

fn bind_mount(path: &Path, target: &str, read_only: bool) -> spec::docker::Mount {
    spec::docker::Mount {
        kind: "bind".into(),
        source: path.to_string_lossy().into_owned(),
        target: target.to_owned(),
        read_only,
        bind_options: Some(BindOptions::default()),
        ..spec::docker::Mount::default()
    }
}

/// The path of what is to be seen: itself in the context or in a layer, a
/// copy of what is written to or lies in several layers.
fn bind_source(
    stage: &Stage<'_, '_>,
    from: &Origin<'_>,
    source: &str,
    writable: bool,
) -> Result<PathBuf, Stopped> {
    let tree = from.tree();
    let found = tree.find(source)?;
    let itself = match from {
        _ if writable => None,
        Origin::Draft(draft, tree) => {
            let real = stubs::real_path(tree, source);
            real.and_then(|path| in_one_layer(&stage.job.making.dirs(draft), &path))
        }
        Origin::Context(_) | Origin::Named(_) => {
            let path = format!("/proc/self/fd/{}", found.as_fd().as_raw_fd());
            Some(fs::read_link(&path).doing("read the link", &path)?)
        }
    };
    if let Some(path) = itself {
        return Ok(path);
    }
    let place = stage.job.room.place()?;
    let parent = place.parent().unwrap_or(&place);
    let to = super::job::tree(parent)?;
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    Target::new(to.root()).take(&found, &name)?;
    Ok(place)
}

/// Where a path lies that one layer alone shows all of; `path` is real, and
/// is there when the layers lie on one another.
fn in_one_layer(layers: &[PathBuf], path: &str) -> Option<PathBuf> {
    let kind = |layer: &PathBuf| {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(layer, flags | OFlags::DIRECTORY, Mode::empty()).ok()?;
        let path = if path.is_empty() { "." } else { path };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let found = rustix::fs::openat2(root, path, flags, Mode::empty(), how).ok()?;
        let stat = rustix::fs::fstat(found).ok()?;
        Some(FileType::from_raw_mode(stat.st_mode))
    };
    // What is above the first one that has it says nothing of it.
    let mut having = layers.iter().rev().filter_map(|layer| Some((layer, kind(layer)?)));
    let (top, found) = having.next()?;
    // A directory shows what lower layers have of it, too.
    let whole = match found {
        FileType::RegularFile => true,
        FileType::Directory => having.next().is_none(),
        _ => false,
    };
    whole.then(|| top.join(path))
}

fn cache(
    stage: &Stage<'_, '_>,
    live: &mut Live,
    dir: &Path,
    seed: Option<&(Origin<'_>, String)>,
    sharing: Sharing,
    mount: &MountKind,
) -> Result<(PathBuf, bool), Stopped> {
    let MountKind::Cache { read_only, mode, uid, gid, .. } = mount else {
        return Err(BuildError::invalid("not a cache mount").into());
    };
    let dir = match sharing {
        Sharing::Shared => {
            *shared().entry(dir.to_owned()).or_default() += 1;
            live.shared.push(dir.to_owned());
            dir.to_owned()
        }
        // Since before the first mount was made.
        Sharing::Locked => dir.to_owned(),
        Sharing::Private => live.lock_one_of(dir),
    };
    if !dir.is_dir() {
        let parent = dir.parent().unwrap_or(&dir).to_owned();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&parent)
            .doing("create", &parent)?;
        // Whole or not at all: another build may look for it.
        let new = stage.job.room.place()?;
        match seed {
            Some((from, source)) => {
                let found = from.tree().find(source)?;
                let to = super::job::tree(new.parent().unwrap_or(&new))?;
                let name = new.file_name().unwrap_or_default().to_string_lossy();
                Target::new(to.root()).take(&found, &name)?;
            }
            None => fs::create_dir(&new).doing("create", &new)?,
        }
        let mode = fs::Permissions::from_mode(mode.unwrap_or(0o755));
        fs::set_permissions(&new, mode).doing("change the mode of", &new)?;
        std::os::unix::fs::chown(&new, Some(uid.unwrap_or(0)), Some(gid.unwrap_or(0)))
            .doing("change the owner of", &new)?;
        match fs::rename(&new, &dir) {
            Err(_) if dir.is_dir() => {}
            renamed => renamed.doing("rename into place", &dir)?,
        }
    }
    serves(&dir)?;
    Ok((dir, *read_only))
}

fn secret(
    stage: &Stage<'_, '_>,
    live: &mut Live,
    held: &Held,
    id: &str,
    target: &str,
) -> Result<Option<(PathBuf, bool)>, Stopped> {
    let bytes = match stage.job.client.secret(id) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if held.required => {
            return Err(BuildError::invalid(format!("secret {id}: not found")).into());
        }
        Ok(None) => return Ok(None),
        Err(why) => return Err(BuildError::invalid(format!("secret {id}: {why}")).into()),
    };
    if let Some(name) = &held.env {
        let value = String::from_utf8(bytes.clone()).map_err(|_| {
            BuildError::invalid(format!("secret {id} is no text: it cannot be a variable"))
        })?;
        live.hidden.push(format!("{name}={value}"));
    }
    if target.is_empty() {
        return Ok(None);
    }
    let path = stage.job.room.secret_place();
    let mut file = fs::File::options();
    let mut file =
        file.write(true).create_new(true).mode(0o600).open(&path).doing("create", &path)?;
    std::io::Write::write_all(&mut file, &bytes).doing("write", &path)?;
    let (uid, gid) = (held.uid.unwrap_or(0), held.gid.unwrap_or(0));
    std::os::unix::fs::chown(&path, Some(uid), Some(gid)).doing("change the owner of", &path)?;
    let mode = fs::Permissions::from_mode(held.mode.unwrap_or(0o400));
    fs::set_permissions(&path, mode).doing("change the mode of", &path)?;
    Ok(Some((path, true)))
}

fn agent(
    stage: &Stage<'_, '_>,
    config: &mut Config,
    live: &mut Live,
    held: &Held,
    target: &str,
) -> Result<Option<(PathBuf, bool)>, Stopped> {
    let id = held.id.clone().unwrap_or_else(|| "default".into());
    match stage.job.client.ssh(&id) {
        Ok(Some(_)) => {}
        Ok(None) if held.required => {
            return Err(BuildError::invalid(format!("unset ssh forward key {id}")).into());
        }
        Ok(None) => return Ok(None),
        Err(why) => return Err(BuildError::invalid(format!("ssh {id}: {why}")).into()),
    }
    let path = stage.job.room.secret_place();
    let listener = UnixListener::bind(&path).doing("listen at", &path)?;
    let (uid, gid) = (held.uid.unwrap_or(0), held.gid.unwrap_or(0));
    std::os::unix::fs::chown(&path, Some(uid), Some(gid)).doing("change the owner of", &path)?;
    let mode = fs::Permissions::from_mode(held.mode.unwrap_or(0o600));
    fs::set_permissions(&path, mode).doing("change the mode of", &path)?;
    let client = Arc::clone(&stage.job.shared_client);
    live.agents.push(Agent::serve(listener, path.clone(), client, id)?);
    config.env.push(format!("SSH_AUTH_SOCK={target}"));
    Ok(Some((path, false)))
}

impl Live {
    /// Waits until caches are nobody's: for one after the other in an order
    /// that all steps keep, so that no two wait for each other. `goes_on` is
    /// asked while it waits.
    fn lock(
        &mut self,
        mut dirs: Vec<PathBuf>,
        goes_on: &dyn Fn() -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        dirs.sort();
        dirs.dedup();
        for dir in dirs {
            let mut locked = LOCKED.0.lock().unwrap_or_else(PoisonError::into_inner);
            while !locked.get_or_insert_default().insert(dir.clone()) {
                goes_on()?;
                let patience = std::time::Duration::from_millis(200);
                let woken = LOCKED.1.wait_timeout(locked, patience);
                locked = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
            drop(locked);
            self.locked.push(dir);
        }
        Ok(())
    }

    /// The first of a cache's directories that is nobody's.
    fn lock_one_of(&mut self, dir: &Path) -> PathBuf {
        let mut locked = LOCKED.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = dir.to_owned();
        let mut number = 0;
        while !locked.get_or_insert_default().insert(own.clone()) {
            number += 1;
            own = dir.with_extension(number.to_string());
        }
        self.locked.push(own.clone());
        own
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for dir in self.locked.iter().chain(&self.shared).filter(|dir| dir.is_dir()) {
            if let Err(error) = serves(dir) {
                tracing::warn!(%error, "when a cache mount served last is not written down");
            }
        }
        let mut locked = LOCKED.0.lock().unwrap_or_else(PoisonError::into_inner);
        for dir in &self.locked {
            locked.get_or_insert_default().remove(dir);
        }
        LOCKED.1.notify_all();
        drop(locked);
        let mut shared = shared();
        for dir in &self.shared {
            if let Some(count) = shared.get_mut(dir) {
                *count -= 1;
                if *count == 0 {
                    shared.remove(dir);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_waits_for_a_cache_holds_none_that_comes_later() {
        let [x, y] = ["/steps/x", "/steps/y"].map(PathBuf::from);
        let mut first = Live::default();
        first.lock(vec![x.clone()], &|| Ok(())).expect("nobody's");
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let waits = || {
                    tell.send(()).expect("a listener");
                    Ok(())
                };
                let mut second = Live::default();
                second.lock(vec![y.clone(), x.clone()], &waits).expect("its turn comes");
            });
            told.recv().expect("it waits");
            let free = !in_use(&y);
            drop(first);
            assert!(free, "or a step that has it would wait for ever for this one");
        });
    }

    #[test]
    fn a_cache_goes_whole_and_not_while_it_serves() {
        let scratch = tempfile::tempdir().expect("scratch");
        let (dir, place) = (scratch.path().join("mounts/one"), scratch.path().join("place"));
        fs::create_dir_all(&dir).expect("scratch");
        serves(&dir).expect("noted");
        shared().insert(dir.clone(), 1);
        assert!(in_use(&dir) && !take_away(&dir, &place).expect("asked"));
        shared().remove(&dir);
        let mut live = Live::default();
        assert_eq!(live.lock_one_of(&dir), dir);
        assert!(!take_away(&dir, &place).expect("asked"));
        drop(live);
        assert!(mark(&dir).is_file() && take_away(&dir, &place).expect("asked"));
        assert!(place.is_dir() && !dir.exists() && !mark(&dir).exists());
        assert!(!take_away(&dir, &place).expect("gone already"));
    }
}
