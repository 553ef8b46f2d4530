//! Volumes with a [`Backing`]: mounted as long as somebody uses them.
//!
//! The mount is made on the volume's own directory, in the daemon's mount
//! namespace, where people and tools of the host find it as with Docker. Who
//! uses it are containers that run, and verbs that look into one that does
//! not. The machine itself is asked whether it is mounted, so that a daemon
//! that was killed leaves nothing that its successor misjudges.

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
        self.all().get(name).is_some_and(|hold| hold.verbs > 0)
    }

    fn turn(&self, name: &str) -> Arc<Mutex<()>> {
        Arc::clone(&self.all().entry(name.to_owned()).or_default().turn)
    }

    /// Forgets one that nobody holds.
    fn forget(&self, name: &str) {
        let mut all = self.all();
        if all.get(name).is_some_and(|hold| hold.verbs == 0) {
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
        let mounted = &self.house.volumes.mounted;
        for name in &self.names {
            mounted.let_go(name);
            if self.house.volumes.get(name).is_some_and(|volume| !volume.is_plain()) {
                self.house.unmount_if_unused(name);
            } else {
                mounted.forget(name);
            }
        }
    }
}

impl House {
    /// Mounts what backs a container's volumes, and keeps it mounted until the
    /// answer is dropped; or longer, if the container runs by then.
    ///
    /// # Errors
    /// One that cannot be mounted, in Docker's words.
    pub fn hold_volumes(&self, container: &Container) -> Result<Held<'_>, Error> {
        let held = self.holding(container, |volume| !volume.is_plain());
        self.mount_held(&held)?;
        Ok(held)
    }

    /// Keeps all volumes of a container that no record names yet.
    pub fn hold_new(&self, container: &Container) -> Held<'_> {
        self.holding(container, |_| true)
    }

    fn holding(&self, container: &Container, chosen: impl Fn(&Volume) -> bool) -> Held<'_> {
        let mut held = Held { house: self, names: Vec::new() };
        for mount in &container.mounts {
            if self.volumes.get(&mount.name).is_some_and(|volume| chosen(&volume)) {
                self.volumes.mounted.hold(&mount.name);
                held.names.push(mount.name.clone());
            }
        }
        held
    }

    /// Mounts what backs the volumes that are held. It may take minutes.
    ///
    /// # Errors
    /// As [`hold_volumes`](Self::hold_volumes).
    pub fn mount_held(&self, held: &Held<'_>) -> Result<(), Error> {
        for name in &held.names {
            let Some((volume, backing)) = self.backed(name)? else { continue };
            let turn = self.volumes.mounted.turn(name);
            let _turn = turn.lock().expect("no holder panics");
            if !is_mounted(&volume.mountpoint)? {
                attach(&backing, &volume.mountpoint)?;
            }
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
