//! Starting the daemon where none listens.
//!
//! Only for the default socket and only as root: another socket was named on
//! purpose, and another user's daemon would be of no use.

use crate::{
    error::{Error, Outcome},
    place::DEFAULT_SOCKET,
};
use std::{
    fs, io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{net::UnixStream, time::Instant};

/// How long a daemon may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a daemon started here writes its log.
const LOG: &str = "/run/cofferdam/daemon.log";

/// Starts a daemon for `socket` if that is our place, and connects to it.
pub async fn start_for(socket: &Path, refused: io::Error) -> Outcome<UnixStream> {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    let absent = matches!(refused.kind(), ConnectionRefused | NotFound);
    if !absent || socket != Path::new(DEFAULT_SOCKET) || !rustix::process::geteuid().is_root() {
        return Err(Error::Unreachable { at: socket.display().to_string(), source: refused });
    }
    let mut daemon = spawn()?;
    let begun = Instant::now();
    loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => return Ok(stream),
            Err(source) if begun.elapsed() > PATIENCE => {
                return Err(Error::Unreachable { at: socket.display().to_string(), source });
            }
            Err(source) => {
                let ended = daemon.try_wait().ok().flatten().is_some();
                // Another CLI may have started one at the same moment: that one
                // then holds the lock, and ours has ended.
                if ended && begun.elapsed() > PATIENCE / 10 {
                    let at = format!("{} (the daemon ended; see {LOG})", socket.display());
                    return Err(Error::Unreachable { at, source });
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A daemon in a group and directory of its own, which outlives us and holds
/// nothing of ours: a pipe or a lock that it inherited would be held for good.
fn spawn() -> Outcome<std::process::Child> {
    let own = std::env::current_exe().map_err(|source| host("find", "this program", source))?;
    let program = own.with_file_name("cofferdamd");
    let folder = Path::new(LOG).parent().expect("LOG is in a directory");
    fs::create_dir_all(folder)
        .map_err(|source| host("make", &folder.display().to_string(), source))?;
    let log = fs::File::options().create(true).append(true).open(LOG);
    let log = log.map_err(|source| host("open", LOG, source))?;
    sys::process::cloexec_from(3).map_err(|source| host("keep", "open files", source))?;
    let mut command = Command::new(&program);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .current_dir("/")
        .process_group(0);
    command.spawn().map_err(|source| host("start", &program.display().to_string(), source))
}

fn host(doing: &'static str, what: &str, source: io::Error) -> Error {
    Error::Host { doing, what: what.to_owned(), source }
}
