//! The image that comes in: three layers, some 38,000 files, half a gigabyte,
//! of which there is another edition for each time that one comes in; as an
//! archive for `load`, and as the files of a registry.
//!
//! ```text
//!   DIR/{1,2,3}.tar      the layers
//!   DIR/{1,2,3}.tar.gz   the same by gzip(1), as registries have them
//!   DIR/archive.tar      what `save` would write
//!   STORAGE              a registry's, which holds it as made:EDITION
//! ```

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

/// Files of each layer.
const FILES: [u32; 3] = [22_000, 10_000, 6_000];
/// Files of one directory.
const TOGETHER: u32 = 40;
const BLOCK: usize = 512;
/// Words that texts are made of.
const WORDS: usize = 4096;

/// Where its parts are; gone when dropped, but for the registry's.
pub struct Made {
    dir: PathBuf,
    /// The name that the registry knows it by.
    pub name: String,
    pub layers: Vec<PathBuf>,
    pub packed: Vec<PathBuf>,
    pub archive: PathBuf,
    /// Bytes of the layers, and of the packed ones.
    pub bytes: (u64, u64),
}

impl Made {
    /// An edition that is like no other.
    pub fn new(dir: &Path, storage: &Path, edition: usize) -> Result<Self> {
        fs::create_dir(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let name = format!("made:{edition}");
        let layers: Vec<PathBuf> = (1..=3).map(|n| dir.join(format!("{n}.tar"))).collect();
        for (at, path) in layers.iter().enumerate() {
            layer(path, at, edition)?;
        }
        let packed: Vec<PathBuf> =
            layers.iter().map(|path| path.with_extension("tar.gz")).collect();
        let zip = "for f in 1 2 3; do gzip -nk $f.tar & done; wait";
        said("sh", &["-ec", zip], dir)?;
        let size = |paths: &[PathBuf]| -> Result<u64> {
            paths.iter().map(|path| Ok(fs::metadata(path).context("made")?.len())).sum()
        };
        let bytes = (size(&layers)?, size(&packed)?);
        let diff_ids = layers.iter().map(|path| digest(path)).collect::<Result<Vec<_>>>()?;
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/none"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": diff_ids.iter().map(|_| json!({"created_by": "made"})).collect::<Vec<_>>(),
        });
        let config_path = dir.join("config.json");
        fs::write(&config_path, config.to_string()).context("cannot write a configuration")?;
        let archive = dir.join("archive.tar");
        let manifest = json!([{
            "Config": "config.json", "RepoTags": [name], "Layers": ["1.tar", "2.tar", "3.tar"],
        }]);
        fs::write(dir.join("manifest.json"), manifest.to_string())
            .context("cannot write a manifest")?;
        let all = ["-cf", "archive.tar", "config.json", "1.tar", "2.tar", "3.tar", "manifest.json"];
        said("tar", &all, dir)?;
        store(storage, &config_path, &packed, &edition.to_string())?;
        Ok(Self { dir: dir.into(), name, layers, packed, archive, bytes })
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Lays the image out as Distribution's file system driver does.
fn store(storage: &Path, config: &Path, packed: &[PathBuf], tag: &str) -> Result<()> {
    let root = storage.join("docker/registry/v2");
    let repository = root.join("repositories/made");
    let blob = |path: &Path| -> Result<(String, u64)> {
        let digest = digest(path)?;
        let hex = digest.trim_start_matches("sha256:").to_owned();
        let place = root.join("blobs/sha256").join(&hex[..2]).join(&hex);
        fs::create_dir_all(&place).context("cannot make a registry's storage")?;
        fs::hard_link(path, place.join("data")).context("cannot store a blob")?;
        Ok((digest, fs::metadata(path).context("made")?.len()))
    };
    let link = |place: PathBuf, digest: &str| -> Result<()> {
        fs::create_dir_all(&place).context("cannot make a registry's storage")?;
        fs::write(place.join("link"), digest).context("cannot write a link")
    };
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    let mut described = Vec::new();
    for (path, kind) in std::iter::once((config, "container.image.v1+json"))
        .chain(packed.iter().map(|path| (path.as_path(), "image.rootfs.diff.tar.gzip")))
    {
        let (digest, size) = blob(path)?;
        link(repository.join("_layers/sha256").join(hex(&digest)), &digest)?;
        let kind = format!("application/vnd.docker.{kind}");
        described.push(json!({"mediaType": kind, "digest": digest, "size": size}));
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": described[0], "layers": described[1..],
    });
    let path = config.with_file_name("manifest");
    fs::write(&path, manifest.to_string()).context("cannot write a manifest")?;
    let (digest, _) = blob(&path)?;
    link(repository.join("_manifests/revisions/sha256").join(hex(&digest)), &digest)?;
    let tag = repository.join("_manifests/tags").join(tag);
    link(tag.join("current"), &digest)?;
    link(tag.join("index/sha256").join(hex(&digest)), &digest)
}

fn digest(path: &Path) -> Result<String> {
    let out = said("sha256sum", &[&path.display().to_string()], Path::new("/"))?;
    let hex = out.split(' ').next().context("sha256sum says a digest")?;
    Ok(format!("sha256:{hex}"))
}

/// What a command said, which must succeed.
pub fn said(program: &str, words: &[&str], dir: &Path) -> Result<String> {
    let out = Command::new(program).args(words).current_dir(dir).output();
    let out = out.with_context(|| format!("cannot start {program}"))?;
    ensure!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Writes one layer. Editions differ in the time of the files alone.
fn layer(path: &Path, at: usize, edition: usize) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 + at as u64);
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| dice.word()).collect();
    let header = |out: &mut dyn Write, name: &str, size: usize, kind: u8| {
        header(out, name, size, kind, 1_600_000_000 + edition)
    };
    let write = |out: &mut dyn Write, dice: &mut Dice| -> io::Result<()> {
        for n in 0..FILES[at] {
            let dir = format!("usr/{}/{}/{}", at + 1, n / TOGETHER / 20, n / TOGETHER);
            if n % (TOGETHER * 20) == 0 {
                if n == 0 {
                    header(out, "usr/", 0, b'5')?;
                    header(out, &format!("usr/{}/", at + 1), 0, b'5')?;
                }
                header(out, &format!("usr/{}/{}/", at + 1, n / TOGETHER / 20), 0, b'5')?;
            }
            if n % TOGETHER == 0 {
                header(out, &format!("{dir}/"), 0, b'5')?;
            }
            let content = dice.content(&words);
            header(out, &format!("{dir}/file-{n}"), content.len(), b'0')?;
            out.write_all(&content)?;
            let padding = content.len().next_multiple_of(BLOCK) - content.len();
            out.write_all(&[0; BLOCK][..padding])?;
        }
        out.write_all(&[0; 2 * BLOCK])
    };
    write(&mut out, &mut dice).and_then(|()| out.flush()).context("cannot write a layer")
}

/// A ustar header (POSIX.1-1988).
fn header(out: &mut dyn Write, name: &str, size: usize, kind: u8, time: usize) -> io::Result<()> {
    let mut block = [0; BLOCK];
    let mode = if kind == b'5' { "0000755" } else { "0000644" };
    let fields: [(usize, &str); 7] = [
        (0, name),
        (100, mode),
        (108, "0000000"),
        (116, "0000000"),
        (124, &format!("{size:011o}")),
        (136, &format!("{time:011o}")),
        (257, "ustar\x0000"),
    ];
    for (place, text) in fields {
        block[place..place + text.len()].copy_from_slice(text.as_bytes());
    }
    block[156] = kind;
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    out.write_all(&block)
}

/// The same throws each time (xorshift64*).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.throw() >> 33).unwrap_or(0) % bound
    }

    fn word(&mut self) -> Vec<u8> {
        let len = 2 + self.below(9);
        let letters = (0..len).map(|_| b'a' + u8::try_from(self.below(26)).unwrap_or(0));
        letters.chain([b' ']).collect()
    }

    /// One file in six is of bytes that nothing compresses, the others are
    /// texts; 512 bytes to 64 KiB.
    fn content(&mut self, words: &[Vec<u8>]) -> Vec<u8> {
        let exponent = self.below(7);
        let size = (512 << exponent) + self.below(512 << exponent);
        let mut content = Vec::with_capacity(size + 16);
        let raw = self.below(6) == 0;
        while content.len() < size {
            if raw {
                content.extend_from_slice(&self.throw().to_le_bytes());
            } else {
                // The earlier words are the more frequent ones.
                let most = 1 + self.below(words.len());
                content.extend_from_slice(&words[self.below(most)]);
            }
        }
        content.truncate(size);
        content
    }
}
