//! `RUN --mount=type=ssh`: a socket whose connections end at the client's
//! agent.
//!
//! Who connects is the step's program, as often as it likes. Each connection
//! costs two threads, three descriptors and a stream to the client: a few are
//! served at a time, and who comes beyond them finds the connection closed.

use super::BuildClient;
use crate::{Error, error::Doing};
use std::{
    fs, io,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// Connections of one mount at a time.
const AT_A_TIME: usize = 16;

/// Stops listening when dropped.
pub(super) struct Agent {
    path: PathBuf,
    stop: Arc<AtomicBool>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the one that waits for callers.
        let _ = UnixStream::connect(&self.path);
        let _ = fs::remove_file(&self.path);
    }
}

/// One of the connections that are served; another may come when it is gone.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(taken: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::SeqCst) < AT_A_TIME).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Agent {
    /// Serves whoever connects at `path` with the client's agent `id`.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn serve(
        listener: UnixListener,
        path: PathBuf,
        client: Arc<dyn BuildClient>,
        id: String,
    ) -> Result<Self, Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let agent = Self { path, stop: Arc::clone(&stop) };
        let taken = Arc::new(AtomicUsize::new(0));
        let listen = move || {
            loop {
                let caller = listener.accept();
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                match caller {
                    Ok((caller, _)) => connect(caller, &*client, &id, &taken),
                    // It was gone again before we looked.
                    Err(error) if gone(&error) => {}
                    Err(error) => {
                        tracing::warn!(%error, "an ssh mount serves nobody any more");
                        return;
                    }
                }
            }
        };
        thread::Builder::new()
            .name("ssh mount".into())
            .spawn(listen)
            .doing("start a thread for", &agent.path)?;
        Ok(agent)
    }
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
}

fn connect(caller: UnixStream, client: &dyn BuildClient, id: &str, taken: &Arc<AtomicUsize>) {
    let Some(place) = Place::take(taken) else { return };
    let Ok(Some(agent)) = client.ssh(id) else { return };
    let serve = move || {
        let _place = place;
        relay(&caller, &agent);
    };
    if let Err(error) = thread::Builder::new().name("ssh agent".into()).spawn(serve) {
        tracing::warn!(%error, "no thread for a connection to an ssh agent");
    }
}

/// Both ways, until either end closes.
fn relay(caller: &UnixStream, agent: &UnixStream) {
    thread::scope(|scope| {
        let asks = || {
            let (mut from, mut to) = (caller, agent);
            let _ = io::copy(&mut from, &mut to);
            let _ = agent.shutdown(Shutdown::Write);
        };
        if let Err(error) = thread::Builder::new().spawn_scoped(scope, asks) {
            tracing::warn!(%error, "no thread for a connection to an ssh agent");
            let _ = agent.shutdown(Shutdown::Both);
        }
        let (mut from, mut to) = (agent, caller);
        let _ = io::copy(&mut from, &mut to);
        let _ = caller.shutdown(Shutdown::Both);
    });
}
