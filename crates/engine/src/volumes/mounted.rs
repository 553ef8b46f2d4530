//! Volumes with a [`Backing`]: mounted as long as somebody uses them.
//!
//! The mount is made on the volume's own directory, in the daemon's mount
//! namespace, where people and tools of the host find it as with Docker. Who
//! uses it are containers that run, and verbs that look into one that does
//! not. The machine itself is asked whether it is mounted, so that a daemon
//! that was killed leaves nothing that its successor misjudges.
//!
//! All volumes are held while somebody comes to use them, whatever is in
//! them: who changes all of one ([`Filling`]) is then alone with it.

use super::{Volume, backing::Backing};
use crate::{Container, Error, Kind, State, error::Doing, house::House};
use rustix::{
    fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx},
    io::Errno,
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount,
        unmount,
    },
};
use std::{
    collections::BTreeMap,
    ffi::CString,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, Mutex, MutexGuard},
};

/// One volume that is held, or was.
#[derive(Default)]
struct Hold {
    /// By how many verbs.
    verbs: u32,
    /// By one that changes all that is in it: nobody else comes to it then.
    filling: bool,
    /// Mounting and unmounting is done under it. A server that is not there
    /// takes minutes to be missed: whoever has this waits for nobody else's
    /// volume, and who wants to know whether a volume is held does not wait.
    turn: Arc<Mutex<()>>,
}

/// Which volumes are held.
#[derive(Default)]
pub(crate) struct Mounted(Mutex<BTreeMap<String, Hold>>);

impl Mounted {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Hold>> {
        self.0.lock().expect("no holder panics")
    }

    fn hold(&self, name: &str) {
        self.all().entry(name.to_owned()).or_default().verbs += 1;
    }

    fn let_go(&self, name: &str) {
        if let Some(hold) = self.all().get_mut(name) {
            hold.verbs -= 1;
        }
    }

    fn is_held(&self, name: &str) -> bool {
        self.all().get(name).is_some_and(|hold| hold.verbs > 0 || hold.filling)
    }

    fn is_being_filled(&self, name: &str) -> bool {
        self.all().get(name).is_some_and(|hold| hold.filling)
    }

    /// Keeps everybody else from a volume that no verb holds; false if one does.
    fn fill(&self, name: &str) -> bool {
        let mut all = self.all();
        let hold = all.entry(name.to_owned()).or_default();
        let free = hold.verbs == 0 && !hold.filling;
        hold.filling |= free;
        free
    }

    fn filled(&self, name: &str) {
        if let Some(hold) = self.all().get_mut(name) {
            hold.filling = false;
        }
    }

    fn turn(&self, name: &str) -> Arc<Mutex<()>> {
        Arc::clone(&self.all().entry(name.to_owned()).or_default().turn)
    }

    /// Forgets one that nobody holds.
    fn forget(&self, name: &str) {
        let mut all = self.all();
        if all.get(name).is_some_and(|hold| hold.verbs == 0 && !hold.filling) {
            all.remove(name);
        }
    }
}

/// Keeps volumes from being removed, and mounted if they are.
pub(crate) struct Held<'a> {
    house: &'a House,
    names: Vec<String>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            self.house.volumes.mounted.let_go(name);
            self.house.leave_volume(name);
        }
    }
}

/// Keeps everybody else from a volume whose content is being changed as a
/// whole, and it mounted if it is.
pub(super) struct Filling<'a> {
    house: &'a House,
    pub name: String,
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        self.house.volumes.mounted.filled(&self.name);
        self.house.leave_volume(&self.name);
    }
}

impl House {
    /// Mounts what backs a container's volumes, and keeps it mounted until the
    /// answer is dropped; or longer, if the container runs by then.
    ///
    /// # Errors
    /// One that cannot be mounted, in Docker's words.
    pub fn hold_volumes(&self, container: &Container) -> Result<Held<'_>, Error> {
        let held = self.hold_new(container);
        self.mount_held(&held)?;
        Ok(held)
    }

    /// Keeps all volumes of a container that no record names yet.
    pub fn hold_new(&self, container: &Container) -> Held<'_> {
        let mut held = Held { house: self, names: Vec::new() };
        for mount in &container.mounts {
            if self.volumes.get(&mount.name).is_some() {
                self.volumes.mounted.hold(&mount.name);
                held.names.push(mount.name.clone());
            }
        }
        held
    }

    /// Keeps one volume.
    pub fn hold_volume(&self, name: &str) -> Held<'_> {
        self.volumes.mounted.hold(name);
        Held { house: self, names: vec![name.to_owned()] }
    }

    /// Keeps every other verb from a volume; none if one has it.
    pub(super) fn claim_volume(&self, name: &str) -> Option<Filling<'_>> {
        let free = self.volumes.mounted.fill(name);
        free.then(|| Filling { house: self, name: name.to_owned() })
    }

    /// Keeps everybody from a volume, and mounts what backs it.
    ///
    /// # Errors
    /// A container that runs uses it, or some verb does; it cannot be mounted.
    pub(super) fn fill_volume(&self, name: &str) -> Result<Filling<'_>, Error> {
        let filling = self.claim_volume(name).ok_or_else(|| {
            Error::Conflict(format!(
                "volume {name} is being started with, copied from or filled: try again"
            ))
        })?;
        // One that is starting holds it, and one that comes to start is told.
        let runs = |container: &Container| {
            use State::{Paused, Restarting, Running, Starting};
            let alive = matches!(
                container.state,
                Starting | Running { .. } | Paused { .. } | Restarting { .. }
            );
            alive && container.mounts.iter().any(|mount| mount.name == name)
        };
        if let Some(user) = self.roster.all().iter().map(|cell| cell.now()).find(|c| runs(c)) {
            return Err(Error::Conflict(format!(
                "volume {name} is in use by container {}: stop it first",
                user.name
            )));
        }
        self.mount_volume(name)?;
        Ok(filling)
    }

    /// Somebody who held a volume does so no longer.
    fn leave_volume(&self, name: &str) {
        if self.volumes.get(name).is_some_and(|volume| !volume.is_plain()) {
            self.unmount_if_unused(name);
        } else {
            self.volumes.mounted.forget(name);
        }
    }

    /// Mounts what backs the volumes that are held. It may take minutes.
    ///
    /// # Errors
    /// As [`hold_volumes`](Self::hold_volumes).
    pub fn mount_held(&self, held: &Held<'_>) -> Result<(), Error> {
        for name in &held.names {
            if self.volumes.mounted.is_being_filled(name) {
                return Err(Error::Conflict(format!(
                    "volume {name} is being filled by an import: try again when that is done"
                )));
            }
            self.mount_volume(name)?;
        }
        Ok(())
    }

    fn mount_volume(&self, name: &str) -> Result<(), Error> {
        let Some((volume, backing)) = self.backed(name)? else { return Ok(()) };
        let turn = self.volumes.mounted.turn(name);
        let _turn = turn.lock().expect("no holder panics");
        if !is_mounted(&volume.mountpoint)? {
            attach(&backing, &volume.mountpoint)?;
        }
        Ok(())
    }

    /// Takes down what backed the volumes of a container that has ended, if
    /// nobody else uses them.
    pub fn let_volumes_go(&self, container: &Container) {
        for mount in &container.mounts {
            match self.backed(&mount.name) {
                Ok(Some((volume, _))) => self.unmount_if_unused(&volume.name),
                Ok(None) => {}
                Err(error) => tracing::error!(volume = mount.name, %error, "cannot read a volume"),
            }
        }
    }

    /// Takes down whatever an earlier daemon left mounted and nobody uses.
    pub fn sweep_volumes(&self) {
        for volume in self.volumes.all() {
            if !volume.is_plain() {
                self.unmount_if_unused(&volume.name);
            }
        }
    }

    /// A volume that is to be removed: what is in its directory must be its
    /// own, and not what is mounted there.
    ///
    /// # Errors
    /// It is in use, or cannot be unmounted.
    pub(super) fn bare_volume(&self, name: &str) -> Result<(), Error> {
        let Some(volume) = self.volumes.get(name) else { return Ok(()) };
        if self.volumes.mounted.is_held(name) {
            return Err(Error::Conflict(format!("remove {name}: volume is in use")));
        }
        if volume.is_plain() {
            return Ok(());
        }
        let turn = self.volumes.mounted.turn(name);
        let _turn = turn.lock().expect("no holder panics");
        detach(&volume.mountpoint)?;
        self.volumes.mounted.forget(name);
        Ok(())
    }

    fn backed(&self, name: &str) -> Result<Option<(Volume, Backing)>, Error> {
        let Some(volume) = self.volumes.get(name) else { return Ok(None) };
        Ok(Backing::parse(&volume.options)?.map(|backing| (volume, backing)))
    }

    fn unmount_if_unused(&self, name: &str) {
        if self.volumes.mounted.is_held(name) {
            return;
        }
        let turn = self.volumes.mounted.turn(name);
        let _turn = turn.lock().expect("no holder panics");
        let uses = |container: &Container| {
            let alive = matches!(container.state, State::Running { .. } | State::Paused { .. });
            alive && container.mounts.iter().any(|mount| mount.name == name)
        };
        // Who comes from here on mounts it again.
        if self.volumes.mounted.is_held(name)
            || self.roster.all().iter().any(|cell| uses(&cell.now()))
        {
            return;
        }
        let Some(volume) = self.volumes.get(name) else { return };
        if let Err(error) = detach(&volume.mountpoint) {
            tracing::error!(volume = name, %error, "cannot unmount a volume");
        }
    }
}

/// Is something mounted on `path` itself?
fn is_mounted(path: &str) -> Result<bool, Error> {
    // A server that has gone is not asked.
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let found = statx(CWD, path, flags, StatxFlags::empty()).doing("look at", path)?;
    Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// As many as are there: one for each time.
fn detach(path: &str) -> Result<(), Error> {
    loop {
        // With the root of what was bound goes all that is below it; what is a
        // peer of a mount of the host's would take that one along.
        match mount_change(path, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC) {
            Ok(()) => {}
            // No mount begins there, or nothing is there at all.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error).doing("keep to itself what is mounted on", path),
        }
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // Nothing is mounted there (any more), or nothing is there at all.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error).doing("unmount", path),
        }
    }
}

fn attach(backing: &Backing, path: &str) -> Result<(), Error> {
    let failed = |words: &str| Error::Below {
        kind: Kind::Host,
        message: format!("error while mounting volume '{path}': {words}"),
    };
    if backing.device.is_empty() {
        return Err(failed("missing device in volume options"));
    }
    let resolved = resolve(backing).map_err(|words| failed(&words))?;
    try_attach(&resolved, path).map_err(|error| {
        // Half of it may be there.
        let left = detach(path);
        let error = left.err().map_or_else(|| error.to_string(), |left| format!("{error}; {left}"));
        failed(&format!("failed to mount local volume: {}: {error}", backing.told(path)))
    })
}

fn try_attach(backing: &Backing, path: &str) -> std::io::Result<()> {
    let data = CString::new(backing.data.as_str())?;
    let data = (!data.is_empty()).then_some(&*data);
    mount(&backing.device, path, &backing.kind, backing.flags, data)?;
    // The first call binds, and no more.
    let more = backing.flags & !(MountFlags::BIND | MountFlags::REC);
    if backing.flags.contains(MountFlags::BIND) && !more.is_empty() {
        mount_remount(path, MountFlags::BIND | more, c"")?;
    }
    if !backing.propagation.is_empty() {
        mount_change(path, backing.propagation)?;
    }
    Ok(())
}

/// The kernel takes a server's address as numbers alone.
fn resolve(backing: &Backing) -> Result<Backing, String> {
    let mut resolved = backing.clone();
    if !matches!(backing.kind.as_str(), "nfs" | "nfs4" | "cifs") {
        return Ok(resolved);
    }
    let Some(name) = backing.data.split(',').find_map(|word| word.strip_prefix("addr=")) else {
        return Ok(resolved);
    };
    if name.parse::<IpAddr>().is_err() {
        let found = (name, 0).to_socket_addrs().map(|mut found| found.next());
        let address = match found {
            Ok(Some(address)) => address.ip(),
            Ok(None) => {
                return Err(format!(
                    "error resolving passed in network volume address: {name} has none"
                ));
            }
            Err(error) => {
                return Err(format!("error resolving passed in network volume address: {error}"));
            }
        };
        resolved.data = backing.data.replace(&format!("addr={name}"), &format!("addr={address}"));
    }
    Ok(resolved)
}
