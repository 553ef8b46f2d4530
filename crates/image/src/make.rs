//! Images made here: of a root file system, of a container, of a program.

use crate::{
    Error, Store,
    archive::json,
    content::{Figures, Lease, Taken},
    instructions,
};
use sha2::{Digest as _, Sha256};
use spec::{
    Digest, Reference,
    docker::{self, Words},
    image::{History, ImageConfig, Platform, RootFs},
};
use std::{
    io::{Read, Write},
    path::Path,
};

/// What an imported root file system becomes.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Its name, if it is to have one.
    pub reference: Option<Reference>,
    /// For people.
    pub message: String,
    /// Dockerfile instructions (`CMD …`, `ENV …`).
    pub changes: Vec<String>,
    /// The host's if none.
    pub platform: Option<Platform>,
}

/// What a container's changes become.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Its name, if it is to have one.
    pub reference: Option<Reference>,
    /// For people.
    pub comment: String,
    /// For people.
    pub author: String,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// What a container of it gets: the container's own configuration, with
    /// what the client laid over it.
    pub config: docker::Config,
    /// The container's id.
    pub container: String,
}

impl Store {
    /// Makes an image of a root file system's tar (gzip, zstd or plain).
    ///
    /// # Errors
    /// A hostile or broken archive; a malformed change.
    pub fn import(&self, wish: &Import, tar: &mut dyn Read) -> Result<Digest, Error> {
        let mut config = docker::Config::default();
        // A malformed change is told before the archive is read.
        instructions::apply(&wish.changes, &mut config)?;
        self.leasing(|lease| self.import_into(wish, config, tar, lease))
    }

    fn import_into(
        &self,
        wish: &Import,
        config: docker::Config,
        tar: &mut dyn Read,
        lease: &mut Lease<'_>,
    ) -> Result<Digest, Error> {
        let taken = self.content.take(tar, lease)?;
        let comment =
            if wish.message.is_empty() { "Imported from -" } else { &wish.message }.to_owned();
        let platform = wish.platform.clone().unwrap_or_else(host);
        let created = time();
        let image = ImageConfig {
            architecture: platform.architecture,
            variant: platform.variant,
            os: platform.os,
            comment: Some(comment.clone()),
            created: Some(created.clone()),
            config,
            rootfs: RootFs { diff_ids: vec![taken.diff_id.clone()], ..RootFs::default() },
            history: vec![History {
                created: Some(created),
                comment: Some(comment),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        self.write_down(&image, None, &[(taken.diff_id, taken.figures)], wish.reference.as_ref())
    }

    /// Makes an image of what a container changed against `parent` (none for
    /// a container without image).
    ///
    /// # Errors
    /// A malformed change; what the host said.
    pub fn commit(
        &self,
        parent: Option<&Digest>,
        root: &snapshot::Root,
        wish: &Commit,
    ) -> Result<Digest, Error> {
        self.leasing(|lease| self.commit_into(parent, root, wish, lease))
    }

    fn commit_into(
        &self,
        parent: Option<&Digest>,
        root: &snapshot::Root,
        wish: &Commit,
        lease: &mut Lease<'_>,
    ) -> Result<Digest, Error> {
        let Platform { architecture, os, .. } = host();
        let new = ImageConfig { architecture, os, ..ImageConfig::default() };
        let mut image = parent.map_or(Ok(new), |id| self.config(id))?;
        let mut config = image_part(&wish.config);
        instructions::apply(&wish.changes, &mut config)?;
        let mut layers = Vec::new();
        for (diff_id, figures) in parent.map_or(Ok(Vec::new()), |id| self.records.layers(id))? {
            lease.take(&diff_id)?.ok_or_else(|| Error::Missing(diff_id.to_string()))?;
            layers.push((diff_id, figures));
        }
        let taken = self.content.take_packed(lease, |out| {
            root.pack(out).map_err(|e| match e {
                snapshot::Error::Output(e) => Error::Input(e),
                source => Error::Snapshot { doing: "pack the container's changes", source },
            })
        })?;
        let created = time();
        let words = wish.config.cmd.as_ref().map_or(&[][..], |Words(words)| words);
        image.history.push(History {
            created: Some(created.clone()),
            created_by: Some(words.join(" ")),
            author: text(&wish.author),
            comment: text(&wish.comment),
            empty_layer: is_empty(&taken),
        });
        if !is_empty(&taken) {
            image.rootfs.diff_ids.push(taken.diff_id.clone());
            layers.push((taken.diff_id, taken.figures));
        }
        image.created = Some(created);
        image.author = text(&wish.author);
        image.comment = text(&wish.comment);
        image.container = text(&wish.container);
        image.config = config;
        self.write_down(&image, parent, &layers, wish.reference.as_ref())
    }

    /// The image `name` of one static program at `/program`, made if it is
    /// not there or was made of other bytes.
    ///
    /// # Errors
    /// What the host said.
    pub fn builtin(&self, name: &str, program: &[u8]) -> Result<Digest, Error> {
        let name = &name.parse::<Reference>()?;
        let tar = root_of(program);
        let diff_id = Digest::from_sha256(Sha256::digest(&tar).into());
        let Platform { architecture, os, .. } = host();
        let created = jiff::Timestamp::UNIX_EPOCH.to_string();
        let image = ImageConfig {
            architecture,
            os,
            created: Some(created.clone()),
            config: docker::Config {
                env: vec!["PATH=/".into()],
                entrypoint: Some(Words(vec!["/program".into()])),
                working_dir: "/".into(),
                ..docker::Config::default()
            },
            rootfs: RootFs { diff_ids: vec![diff_id], ..RootFs::default() },
            history: vec![History {
                created: Some(created),
                created_by: Some("built in".into()),
                ..History::default()
            }],
            ..ImageConfig::default()
        };
        let bytes = json(&image);
        let id = Digest::from_sha256(Sha256::digest(&bytes).into());
        if self.records.row(&id)?.is_some() {
            let name = name.clone().or_latest();
            if self.records.by_name(&name)?.as_ref() != Some(&id) {
                self.tag(&id, &name)?;
            }
            return Ok(id);
        }
        self.leasing(|lease| {
            let taken = self.content.take(&mut &tar[..], lease)?;
            self.write_down(&image, None, &[(taken.diff_id, taken.figures)], Some(name))
        })
    }

    fn write_down(
        &self,
        image: &ImageConfig,
        parent: Option<&Digest>,
        layers: &[(Digest, Figures)],
        name: Option<&Reference>,
    ) -> Result<Digest, Error> {
        let bytes = json(image);
        let names: Vec<Reference> = name.map(|name| name.clone().or_latest()).into_iter().collect();
        Ok(self.add(&bytes, parent, layers, &names)?.0)
    }
}

/// What of a container's configuration an image keeps.
fn image_part(config: &docker::Config) -> docker::Config {
    docker::Config {
        hostname: String::new(),
        domainname: String::new(),
        attach_stdin: false,
        attach_stdout: false,
        attach_stderr: false,
        tty: false,
        open_stdin: false,
        stdin_once: false,
        image: String::new(),
        mac_address: None,
        ..config.clone()
    }
}

/// A tar of nothing is no layer.
fn is_empty(taken: &Taken) -> bool {
    taken.figures.entries == 0
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What this engine runs on, in the words of images.
pub fn host() -> Platform {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Platform { architecture: architecture.into(), os: "linux".into(), ..Platform::default() }
}

/// The present, as images write it: RFC 3339.
pub fn time() -> String {
    jiff::Timestamp::now().to_string()
}

/// The same of so many seconds after 1970, if the calendar has it.
pub fn time_of(seconds: i64) -> Option<String> {
    jiff::Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

/// The root of a program that needs nothing but itself: the same bytes for
/// the same program, always.
fn root_of(program: &[u8]) -> Vec<u8> {
    const USERS: &[u8] = b"root:x:0:0:root:/:/program\nnobody:x:65534:65534:nobody:/:/program\n";
    const GROUPS: &[u8] = b"root:x:0:\nnogroup:x:65534:\n";
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, mode, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, Path::new(path), content).expect("memory takes it");
    };
    for path in ["dev/", "etc/", "proc/", "sys/"] {
        add(tar::EntryType::Directory, path, 0o755, b"");
    }
    add(tar::EntryType::Directory, "tmp/", 0o1777, b"");
    add(tar::EntryType::Regular, "etc/passwd", 0o644, USERS);
    add(tar::EntryType::Regular, "etc/group", 0o644, GROUPS);
    add(tar::EntryType::Regular, "program", 0o755, program);
    let mut bytes = tar.into_inner().expect("memory takes it");
    let _ = bytes.flush();
    bytes
}
