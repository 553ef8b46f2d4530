//! Pulls from and pushes to a registry that goes wrong as it is told. Needs
//! root.

mod fake;
mod hostile;
mod pull;
mod push;
mod referrers;

use fake::{Fake, own_network};
use image::Store;
use registry::{Error, Pace, Pull, Pulled, Registry, Said, Settings};

/// A store, and a registry to speak to.
struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
    registry: Registry,
    fake: Fake,
}

/// Who takes archives apart for the tests.
fn workers() -> unpacker::Workers {
    unpacker::Workers::new(
        env!("CARGO_BIN_EXE_registry-unpacker"),
        1_900_000_000,
        "a test".as_ref(),
    )
}

fn scratch() -> Scratch {
    own_network();
    let dir = tempfile::tempdir().expect("scratch");
    let store = Store::open(dir.path(), workers()).expect("open");
    Scratch { dir, store, registry: Registry::new(keeping()), fake: Fake::new() }
}

/// What comes is kept at once, however quickly it does.
fn keeping() -> Settings {
    let pace = Pace { quick: std::time::Duration::ZERO, ..Pace::default() };
    Settings { pace, ..Settings::default() }
}

impl Scratch {
    fn wish(&self, name: &str) -> Pull {
        Pull { reference: self.fake.name(name), platform: None, credentials: None }
    }

    fn pull(&self, wish: &Pull) -> (Result<Pulled, Error>, Vec<Said>) {
        let mut said = Vec::new();
        let pulled = self.registry.pull(&self.store, wish, &mut |line| {
            said.push(line);
            Ok(())
        });
        (pulled, said)
    }

    fn pulled(&self, name: &str) -> Pulled {
        self.pull(&self.wish(name)).0.expect("pull")
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, *bytes).expect("memory");
    }
    tar.into_inner().expect("memory")
}

/// Bytes that do not compress, the same always.
fn noise(len: usize) -> Vec<u8> {
    let mut x = 1_u32;
    let next = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x.to_le_bytes()[0]
    });
    next.take(len).collect()
}
