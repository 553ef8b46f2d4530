//! Scoped sockets that listen: `RUN/sockets/NAME/docker.sock`.
//!
//! Each has a directory of its own, so that a container can be given the
//! directory and finds the socket in it when the daemon has come back.

use crate::error::Error;
use crate::gate::Gate;
use crate::journal::Journal;
use engine::{Engine, ScopedSocket};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

/// A socket to be listened on, and what is to be held to on it.
pub type Opened = (UnixListener, Arc<Gate>);

/// All that listen.
pub struct Doors {
    data: PathBuf,
    run: PathBuf,
    open: Mutex<BTreeMap<String, Arc<Gate>>>,
    /// Who listens.
    server: UnboundedSender<Opened>,
}

impl Doors {
    /// Opens all that are recorded. One that cannot be opened stays closed,
    /// and the log says why.
    pub fn open(engine: &Engine, server: UnboundedSender<Opened>) -> Self {
        let options = engine.options();
        let doors = Self {
            data: options.data_root.clone(),
            run: options.run_root.join("sockets"),
            open: Mutex::default(),
            server,
        };
        let sockets = engine.scoped_sockets();
        doors.sweep(&sockets.iter().map(|socket| socket.name.as_str()).collect());
        for socket in &sockets {
            if let Err(error) = doors.listen(socket) {
                tracing::error!(name = socket.name, %error, "a scoped socket stays closed");
            }
        }
        doors
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Gate>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is, whether it listens or not.
    pub fn path(&self, name: &str) -> PathBuf {
        self.run.join(name).join("docker.sock")
    }

    /// Does it listen?
    pub fn is_open(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// Where journals are.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Records a new socket and listens on it.
    ///
    /// # Errors
    /// It makes no sense, is there already, or the host said no; then nothing
    /// is left of it.
    pub fn add(&self, engine: &Engine, socket: &ScopedSocket) -> Result<(), Error> {
        crate::scope::Scope::of(socket)?;
        let name = &socket.name;
        engine.add_scoped_socket(socket.clone())?;
        self.listen(socket).inspect_err(|_| {
            if let Err(error) = engine.forget_scoped_socket(name) {
                tracing::error!(name, %error, "cannot take back a scoped socket");
            }
        })
    }

    /// Ends a socket: struck from the records first, so that it does not come
    /// back, then closed to everybody who is on it.
    ///
    /// # Errors
    /// There is none, or it cannot be struck.
    pub fn remove(&self, engine: &Engine, name: &str) -> Result<(), Error> {
        engine.forget_scoped_socket(name)?;
        let gate = self.lock().remove(name);
        if let Some(gate) = gate {
            gate.revoke();
        }
        remove(&self.run.join(name)).map_err(|error| cannot("remove", &self.run, &error))
    }

    fn listen(&self, socket: &ScopedSocket) -> Result<(), Error> {
        let gate = Arc::new(Gate::open(socket, Journal::open(&self.data, &socket.name)?)?);
        let listener = self
            .bind(socket)
            .map_err(|error| cannot("listen on", &self.path(&socket.name), &error))?;
        self.lock().insert(socket.name.clone(), Arc::clone(&gate));
        self.server.send((listener, gate)).map_err(|_| Error::ours("the daemon is ending"))
    }

    /// Bound where nobody can connect yet, and moved into place when it has
    /// its owner.
    fn bind(&self, socket: &ScopedSocket) -> io::Result<UnixListener> {
        let make =
            |path: &Path, mode| fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        make(&self.run, 0o711)?;
        let fresh = self.run.join(format!(".{}", socket.name));
        let kept = self.run.join(&socket.name);
        remove(&fresh)?;
        make(&fresh, 0o700)?;
        make(&kept, 0o711)?;
        let path = fresh.join("docker.sock");
        let listener = UnixListener::bind(&path)?;
        chown(&path, Some(socket.uid), Some(socket.gid))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode(socket)))?;
        fs::rename(&path, self.path(&socket.name))?;
        fs::remove_dir(&fresh)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// Removes what no record names.
    fn sweep(&self, known: &BTreeSet<&str>) {
        for entry in fs::read_dir(&self.run).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if !known.contains(&*name.to_string_lossy())
                && let Err(error) = remove(&entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "cannot remove");
            }
        }
    }
}

/// Its owner alone, unless a group was named, too.
fn mode(socket: &ScopedSocket) -> u32 {
    if socket.gid == 0 { 0o600 } else { 0o660 }
}

fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn cannot(verb: &str, path: &Path, error: &io::Error) -> Error {
    Error::ours(format!("cannot {verb} {}: {error}", path.display()))
}
