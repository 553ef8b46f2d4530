//! What is known of images: tables of the data root's data base, all named
//! `image_…`, on a connection of the store's own.
//!
//! A change is one transaction, flushed before it returns
//! (`synchronous=FULL`): an image that was named stays named.

use crate::{Error, content::Figures, step_records};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use spec::{Digest, Reference};
use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sys::fail::{Point, point};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS image_layers (
        diff_id TEXT PRIMARY KEY,
        size    INTEGER NOT NULL,
        tar     INTEGER NOT NULL,
        entries INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS image_records (
        id      TEXT PRIMARY KEY,
        parent  TEXT,
        created INTEGER NOT NULL,
        tagged  INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS image_stacks (
        id      TEXT NOT NULL,
        place   INTEGER NOT NULL,
        diff_id TEXT NOT NULL,
        PRIMARY KEY (id, place)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS image_stacks_by_layer ON image_stacks (diff_id);
    CREATE TABLE IF NOT EXISTS image_names (
        name TEXT PRIMARY KEY,
        id   TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS image_names_by_id ON image_names (id);
    CREATE TABLE IF NOT EXISTS image_manifests (
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        id         TEXT NOT NULL,
        PRIMARY KEY (repository, digest)
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS image_manifests_by_id ON image_manifests (id);
    CREATE TABLE IF NOT EXISTS image_blobs (
        diff_id    TEXT NOT NULL,
        repository TEXT NOT NULL,
        digest     TEXT NOT NULL,
        size       INTEGER NOT NULL,
        media_type TEXT NOT NULL,
        PRIMARY KEY (diff_id, repository)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS image_marks (
        id     TEXT PRIMARY KEY,
        used   INTEGER NOT NULL,
        pinned INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS image_held (
        id TEXT PRIMARY KEY
    ) WITHOUT ROWID;
";
/// Whoever a stack of layers may be of: an image, a step of a build, or an
/// image that went and left its layers to its containers.
pub(crate) const OWNERS: &str = "SELECT id FROM image_records UNION SELECT id FROM image_steps
     UNION SELECT id FROM image_held";
/// Rows that speak of an image that has none, by table and column.
pub(crate) const STRAY: [(&str, &str, &str); 4] = [
    ("image_names", "id", "a name"),
    ("image_manifests", "id", "a digest's name"),
    ("image_stacks", "id", "a stack of layers"),
    ("image_marks", "id", "a mark"),
];
/// Layers that are in nobody's stack.
pub(crate) const UNSTACKED: &str = "diff_id NOT IN (SELECT diff_id FROM image_stacks)";
/// How long the engine's own connection may keep us waiting.
const PATIENCE: Duration = Duration::from_secs(10);

/// The tables.
pub(crate) struct Records(Mutex<Connection>);

/// One image, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub id: Digest,
    pub parent: Option<Digest>,
    /// Nanoseconds since the epoch.
    pub created: u64,
    /// Nanoseconds since the epoch.
    pub tagged: u64,
}

/// What is noted of an image beside what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// When a container of it was last there; nanoseconds since the epoch.
    pub used: u64,
    /// It is not collected.
    pub pinned: bool,
}

/// An image to be written down.
pub(crate) struct New<'a> {
    pub row: Row,
    /// Lowest first.
    pub layers: &'a [(Digest, Figures)],
    pub names: &'a [Reference],
    /// Where a registry has it: a repository, and the manifest's digest.
    pub manifest: Option<(&'a str, &'a Digest)>,
    /// What that repository calls the layers.
    pub blobs: &'a [Blob],
}

/// A layer as a repository of some registry holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Of its plain tar.
    pub diff_id: Digest,
    /// The repository, in full.
    pub repository: String,
    /// Of the bytes that are held, compressed as they are.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// What they are.
    pub media_type: String,
}

impl Records {
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.execute_batch(SCHEMA)?;
            connection.execute_batch(step_records::SCHEMA)?;
            Ok(connection)
        };
        let connection = open().map_err(|source| Error::Records { doing: "begin", source })?;
        Ok(Self(Mutex::new(connection)))
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // A statement that panicked was rolled back by its drop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        read(&self.connection()).map_err(|source| Error::Records { doing, source })
    }

    pub(crate) fn change<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let all = |connection: &mut Connection| {
            let behaviour = rusqlite::TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(behaviour)?;
            let done = change(&transaction)?;
            point(Point::Recording);
            transaction.commit()?;
            point(Point::Recorded);
            Ok(done)
        };
        all(&mut self.connection()).map_err(|source| Error::Records { doing, source })
    }

    /// Writes an image down, with its layers and names; true if it is new.
    pub fn add(&self, new: &New<'_>) -> Result<bool, Error> {
        self.change("add an image", |t| {
            for (place, (diff_id, figures)) in (0i64..).zip(new.layers) {
                insert_stack(t, &new.row.id, place, diff_id, *figures)?;
            }
            let added = insert_image(t, new)?;
            if let Some((repository, digest)) = new.manifest {
                set_manifest(t, repository, digest, &new.row.id)?;
            }
            new.blobs.iter().try_for_each(|blob| set_blob(t, blob))?;
            for name in new.names {
                set_name(t, name, &new.row)?;
            }
            Ok(added)
        })
    }

    /// Gives an image a name; says whose it was before.
    pub fn tag(&self, name: &Reference, row: &Row) -> Result<Option<Digest>, Error> {
        self.change("tag an image", |t| {
            let before = t
                .query_row("SELECT id FROM image_names WHERE name = ?", [name.to_string()], |r| {
                    digest(r, 0)
                })
                .optional()?;
            set_name(t, name, row)?;
            Ok(before)
        })
    }

    /// Remembers that a registry calls the image so.
    pub fn add_manifest(
        &self,
        repository: &str,
        manifest: &Digest,
        id: &Digest,
        blobs: &[Blob],
    ) -> Result<(), Error> {
        self.change("note a manifest", |t| {
            set_manifest(t, repository, manifest, id)?;
            blobs.iter().try_for_each(|blob| set_blob(t, blob))
        })
    }

    /// Where registries have a layer, as far as is known.
    pub fn blobs(&self, diff_id: &Digest) -> Result<Vec<Blob>, Error> {
        self.read("list where a layer is", |c| {
            c.prepare_cached(
                "SELECT repository, digest, size, media_type FROM image_blobs WHERE diff_id = ?",
            )?
            .query_map([diff_id.as_str()], |r| {
                Ok(Blob {
                    diff_id: diff_id.clone(),
                    repository: r.get(0)?,
                    digest: digest(r, 1)?,
                    size: unsigned(r, 2)?,
                    media_type: r.get(3)?,
                })
            })?
            .collect()
        })
    }

    /// Takes names away.
    pub fn untag(&self, names: &[Name]) -> Result<(), Error> {
        self.change("untag an image", |t| names.iter().try_for_each(|name| drop_name(t, name)))
    }

    /// Takes an image's record away, with all its names; says which layers no
    /// image needs any more, topmost first. What is `held` for containers
    /// keeps its layers until [`release`](Self::release).
    pub fn remove(&self, id: &Digest, held: bool) -> Result<Vec<(Digest, u64)>, Error> {
        self.change("remove an image", |t| {
            if held {
                t.execute("INSERT OR IGNORE INTO image_held VALUES (?)", [id.as_str()])?;
            }
            for table in ["image_names", "image_manifests", "image_marks"] {
                t.execute(&format!("DELETE FROM {table} WHERE id = ?"), [id.as_str()])?;
            }
            t.execute("DELETE FROM image_records WHERE id = ?", [id.as_str()])?;
            // The build cache outlives its images.
            let free =
                if has_owner(t, id)? { Vec::new() } else { step_records::drop_stack(t, id)? };
            Ok(free)
        })
    }

    /// Images that went and left their layers to their containers.
    pub fn held(&self) -> Result<Vec<Digest>, Error> {
        self.read("list what containers hold", |c| {
            c.prepare("SELECT id FROM image_held")?.query_map([], |r| digest(r, 0))?.collect()
        })
    }

    /// Whether an image is one of those.
    pub fn is_held(&self, id: &Digest) -> Result<bool, Error> {
        self.read("find what containers hold", |c| {
            c.prepare_cached("SELECT 1 FROM image_held WHERE id = ?")?.exists([id.as_str()])
        })
    }

    /// The last container of such an image has gone; says which layers nothing
    /// needs any more.
    pub fn release(&self, id: &Digest) -> Result<Vec<(Digest, u64)>, Error> {
        self.change("give up what containers held", |t| {
            let held = t.execute("DELETE FROM image_held WHERE id = ?", [id.as_str()])? > 0;
            if held && !has_owner(t, id)? {
                step_records::drop_stack(t, id)
            } else {
                Ok(Vec::new())
            }
        })
    }

    /// One image's row.
    pub fn row(&self, id: &Digest) -> Result<Option<Row>, Error> {
        self.read("find an image", |c| {
            c.query_row("SELECT * FROM image_records WHERE id = ?", [id.as_str()], row).optional()
        })
    }

    /// All images, newest first.
    pub fn rows(&self) -> Result<Vec<Row>, Error> {
        self.read("list the images", |c| {
            c.prepare("SELECT * FROM image_records ORDER BY created DESC, id")?
                .query_map([], row)?
                .collect()
        })
    }

    /// Ids that begin so: two are enough to know.
    pub fn by_prefix(&self, hex: &str) -> Result<Vec<Digest>, Error> {
        self.read("find an image", |c| {
            c.prepare("SELECT id FROM image_records WHERE id >= ?1 AND id < ?2 LIMIT 2")?
                .query_map([format!("sha256:{hex}"), format!("sha256:{hex}g")], |r| digest(r, 0))?
                .collect()
        })
    }

    /// The image of that name.
    pub fn by_name(&self, name: &Reference) -> Result<Option<Digest>, Error> {
        self.read("find an image", |c| {
            let find = |sql, values: &[&str]| {
                c.query_row(sql, rusqlite::params_from_iter(values), |r| digest(r, 0)).optional()
            };
            match name.digest() {
                Some(manifest) => find(
                    "SELECT id FROM image_manifests WHERE repository = ? AND digest = ?",
                    &[&name.repository(), manifest.as_str()],
                ),
                None => find("SELECT id FROM image_names WHERE name = ?", &[&name.to_string()]),
            }
        })
    }

    /// An image's names, sorted: with tags, then by digests.
    pub fn names(&self, id: &Digest) -> Result<Vec<Name>, Error> {
        self.read("list an image's names", |c| {
            let mut names: Vec<Name> = c
                .prepare_cached("SELECT name FROM image_names WHERE id = ? ORDER BY name")?
                .query_map([id.as_str()], |r| Ok(Name::Tag(reference(r, 0)?)))?
                .collect::<Result<_, _>>()?;
            let manifests: Vec<Name> = c
                .prepare_cached(
                    "SELECT repository, digest FROM image_manifests WHERE id = ?
                     ORDER BY repository, digest",
                )?
                .query_map([id.as_str()], |r| {
                    Ok(Name::Manifest(reference(r, 0)?.with_digest(digest(r, 1)?)))
                })?
                .collect::<Result<_, _>>()?;
            names.extend(manifests);
            Ok(names)
        })
    }

    /// Names with a tag in one repository.
    pub fn names_in(&self, repository: &str) -> Result<Vec<(Reference, Digest)>, Error> {
        self.read("list a repository", |c| {
            c.prepare("SELECT name, id FROM image_names WHERE name >= ?1 AND name < ?2")?
                // `;` comes after `:`.
                .query_map([format!("{repository}:"), format!("{repository};")], |r| {
                    Ok((reference(r, 0)?, digest(r, 1)?))
                })?
                .collect()
        })
    }

    /// An image's layers, lowest first.
    pub fn layers(&self, id: &Digest) -> Result<Vec<(Digest, Figures)>, Error> {
        self.read("list an image's layers", |c| {
            c.prepare_cached(
                "SELECT diff_id, size, tar, entries
                 FROM image_stacks JOIN image_layers USING (diff_id) WHERE id = ? ORDER BY place",
            )?
            .query_map([id.as_str()], |r| {
                let figures = Figures {
                    size: unsigned(r, 1)?,
                    tar: unsigned(r, 2)?,
                    entries: unsigned(r, 3)?,
                };
                Ok((digest(r, 0)?, figures))
            })?
            .collect()
        })
    }

    /// Whether some image has that layer.
    pub fn needs(&self, diff_id: &Digest) -> Result<bool, Error> {
        self.read("find a layer", |c| {
            c.prepare_cached("SELECT 1 FROM image_layers WHERE diff_id = ?")?
                .exists([diff_id.as_str()])
        })
    }

    /// Bytes of all layers, each counted once.
    pub fn size(&self) -> Result<u64, Error> {
        self.read("add up the layers", |c| {
            c.query_row("SELECT coalesce(sum(size), 0) FROM image_layers", [], |r| unsigned(r, 0))
        })
    }

    /// Bytes of an image's layers that other images have, too.
    pub fn shared(&self, id: &Digest) -> Result<u64, Error> {
        self.read("add up the layers", |c| {
            c.query_row(
                "SELECT coalesce(sum(size), 0) FROM image_stacks AS own
                 JOIN image_layers USING (diff_id)
                 WHERE id = ?1 AND EXISTS (
                     SELECT 1 FROM image_stacks AS other
                     WHERE other.diff_id = own.diff_id AND other.id <> ?1
                         AND other.id IN (SELECT id FROM image_records))",
                [id.as_str()],
                |r| unsigned(r, 0),
            )
        })
    }

    /// Images that were made from this one.
    pub fn children(&self, id: &Digest) -> Result<Vec<Digest>, Error> {
        self.read("list an image's children", |c| {
            c.prepare_cached("SELECT id FROM image_records WHERE parent = ?")?
                .query_map([id.as_str()], |r| digest(r, 0))?
                .collect()
        })
    }

    /// All layers, with their figures.
    pub fn all_layers(&self) -> Result<Vec<(Digest, Figures)>, Error> {
        self.read("list the layers", |c| {
            c.prepare("SELECT diff_id, size, tar, entries FROM image_layers ORDER BY diff_id")?
                .query_map([], |r| {
                    let (size, tar) = (unsigned(r, 1)?, unsigned(r, 2)?);
                    Ok((digest(r, 0)?, Figures { size, tar, entries: unsigned(r, 3)? }))
                })?
                .collect()
        })
    }
}

/// What an image is called by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `repository:tag`.
    Tag(Reference),
    /// `repository@digest` of a registry's manifest.
    Manifest(Reference),
}

impl Name {
    pub fn reference(&self) -> &Reference {
        match self {
            Self::Tag(reference) | Self::Manifest(reference) => reference,
        }
    }

    pub fn is_tag(&self) -> bool {
        matches!(self, Self::Tag(_))
    }
}

/// Whether anything has a stack of layers under this digest.
pub(crate) fn has_owner(t: &Transaction<'_>, id: &Digest) -> rusqlite::Result<bool> {
    t.prepare_cached(&format!("SELECT 1 FROM ({OWNERS}) WHERE id = ?"))?.exists([id.as_str()])
}

/// One layer of an image's or a step's stack.
pub(crate) fn insert_stack(
    t: &Transaction<'_>,
    id: &Digest,
    place: i64,
    diff_id: &Digest,
    figures: Figures,
) -> rusqlite::Result<()> {
    t.prepare_cached("INSERT OR IGNORE INTO image_layers VALUES (?, ?, ?, ?)")?.execute(
        params![
            diff_id.as_str(),
            figures.size.cast_signed(),
            figures.tar.cast_signed(),
            figures.entries.cast_signed()
        ],
    )?;
    t.prepare_cached("INSERT OR IGNORE INTO image_stacks VALUES (?, ?, ?)")?
        .execute(params![id.as_str(), place, diff_id.as_str()])
        .map(drop)
}

/// The image's own row; true if it is new.
pub(crate) fn insert_image(t: &Transaction<'_>, new: &New<'_>) -> rusqlite::Result<bool> {
    let added = t.execute(
        "INSERT OR IGNORE INTO image_records VALUES (?, ?, ?, ?)",
        params![
            new.row.id.as_str(),
            new.row.parent.as_ref().map(Digest::as_str),
            new.row.created.cast_signed(),
            new.row.tagged.cast_signed()
        ],
    )?;
    Ok(added > 0)
}

pub(crate) fn set_name(t: &Transaction<'_>, name: &Reference, row: &Row) -> rusqlite::Result<()> {
    t.execute(
        "INSERT OR REPLACE INTO image_names VALUES (?, ?)",
        [name.to_string(), row.id.to_string()],
    )?;
    t.execute(
        "UPDATE image_records SET tagged = ? WHERE id = ?",
        params![row.tagged.cast_signed(), row.id.as_str()],
    )
    .map(drop)
}

fn set_manifest(
    t: &Transaction<'_>,
    repository: &str,
    digest: &Digest,
    id: &Digest,
) -> rusqlite::Result<()> {
    t.execute(
        "INSERT OR REPLACE INTO image_manifests VALUES (?, ?, ?)",
        [repository, digest.as_str(), id.as_str()],
    )
    .map(drop)
}

fn set_blob(t: &Transaction<'_>, blob: &Blob) -> rusqlite::Result<()> {
    t.execute(
        "INSERT OR REPLACE INTO image_blobs VALUES (?, ?, ?, ?, ?)",
        params![
            blob.diff_id.as_str(),
            blob.repository,
            blob.digest.as_str(),
            blob.size.cast_signed(),
            blob.media_type
        ],
    )
    .map(drop)
}

fn drop_name(t: &Transaction<'_>, name: &Name) -> rusqlite::Result<()> {
    match name {
        Name::Tag(name) => t.execute("DELETE FROM image_names WHERE name = ?", [name.to_string()]),
        Name::Manifest(name) => t.execute(
            "DELETE FROM image_manifests WHERE repository = ? AND digest = ?",
            [name.repository(), name.digest().map(ToString::to_string).unwrap_or_default()],
        ),
    }
    .map(drop)
}

fn row(r: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let parent: Option<String> = r.get(1)?;
    Ok(Row {
        id: digest(r, 0)?,
        parent: parent.map(|text| parsed(&text, 1)).transpose()?,
        created: unsigned(r, 2)?,
        tagged: unsigned(r, 3)?,
    })
}

fn parsed<T: std::str::FromStr>(text: &str, column: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e))
    })
}

pub(crate) fn digest(r: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Digest> {
    parsed(r.get_ref(column)?.as_str()?, column)
}

fn reference(r: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Reference> {
    parsed(r.get_ref(column)?.as_str()?, column)
}

pub(crate) fn unsigned(r: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    r.get::<_, i64>(column).map(i64::cast_unsigned)
}
