//! One daemon for each data root.
//!
//! The lock is the kernel's, on a file of the data root: it goes with the
//! daemon, however that ends. The file stays and holds the last owner's pid,
//! for people.

use anyhow::{Context as _, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Held for as long as the daemon runs.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "its closing is the unlocking")] File);

/// Takes the lock.
///
/// # Errors
/// Another daemon has it, or the file cannot be had.
pub fn take(data_root: &Path) -> anyhow::Result<Lock> {
    let path = data_root.join("cofferdamd.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default())
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            // For the message only.
            let _ = file.read_to_string(&mut owner);
            bail!(
                "another cofferdamd (process {}) uses {}: stop it, or choose another --data-root",
                owner.trim(),
                data_root.display()
            );
        }
        Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .context("cannot write the lock")?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_root_has_one_daemon_at_a_time() {
        let root = tempfile::tempdir().expect("tempdir");
        let first = take(root.path()).expect("nobody has it");
        let second = take(root.path()).expect_err("it is taken").to_string();
        assert!(second.contains(&format!("process {}", std::process::id())), "{second}");
        drop(first);
        take(root.path()).expect("it is free again");
    }
}
