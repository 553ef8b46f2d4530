//! What is known of steps of builds: the table `image_steps`.
//!
//! A step's stack of layers stands in `image_stacks` beside those of images,
//! under the digest of its configuration; an image and a step of the same
//! digest share it.

use crate::{
    Error, Kept,
    records::{New, Row},
    records::{Records, digest, has_owner, insert_image, insert_stack, set_name, unsigned},
    store::nanos,
    {Draft, Step},
};
use rusqlite::{OptionalExtension, Transaction, params};
use spec::Digest;
use std::collections::HashSet;

pub(crate) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS image_steps (
        key     TEXT PRIMARY KEY,
        parent  TEXT NOT NULL,
        id      TEXT NOT NULL,
        what    TEXT NOT NULL,
        size    INTEGER NOT NULL,
        created INTEGER NOT NULL,
        used    INTEGER NOT NULL,
        uses    INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS image_steps_by_id ON image_steps (id);
";

/// Configurations, and layers with their bytes, that nothing needs any more.
type Freed = (Vec<Digest>, Vec<(Digest, u64)>);

impl Records {
    /// What a step came to.
    pub fn step(&self, key: &str) -> Result<Option<Digest>, Error> {
        self.read("find a step", |c| {
            c.prepare_cached("SELECT id FROM image_steps WHERE key = ?")?
                .query_row([key], |r| digest(r, 0))
                .optional()
        })
    }

    /// All steps, the oldest first.
    pub fn steps(&self) -> Result<Vec<Step>, Error> {
        self.read("list the steps", |c| {
            c.prepare(
                "SELECT key, parent, id, what, size, created, used, uses FROM image_steps
                 ORDER BY created, key",
            )?
            .query_map([], |r| {
                Ok(Step {
                    key: r.get(0)?,
                    parent: r.get(1)?,
                    id: digest(r, 2)?,
                    what: r.get(3)?,
                    size: unsigned(r, 4)?,
                    created: unsigned(r, 5)?,
                    used: unsigned(r, 6)?,
                    uses: unsigned(r, 7)?,
                })
            })?
            .collect()
        })
    }

    /// Digests of the configurations that steps came to.
    pub fn step_ids(&self) -> Result<HashSet<Digest>, Error> {
        self.read("list the steps", |c| {
            c.prepare("SELECT DISTINCT id FROM image_steps")?
                .query_map([], |r| digest(r, 0))?
                .collect()
        })
    }

    /// Keys of the steps whose stack has a layer.
    pub fn steps_on(&self, diff_id: &Digest) -> Result<Vec<String>, Error> {
        self.read("list the steps on a layer", |c| {
            c.prepare(
                "SELECT key FROM image_steps WHERE id IN (
                     SELECT id FROM image_stacks WHERE diff_id = ?)",
            )?
            .query_map([diff_id.as_str()], |r| r.get(0))?
            .collect()
        })
    }

    /// Whether some record names a configuration.
    pub fn names_document(&self, id: &Digest) -> Result<bool, Error> {
        self.read("find a document", |c| {
            c.prepare_cached(
                "SELECT 1 FROM image_records WHERE id = ?1
                 UNION SELECT 1 FROM image_steps WHERE id = ?1
                 UNION SELECT 1 FROM image_manifests WHERE digest = ?1",
            )?
            .exists([id.as_str()])
        })
    }

    /// Writes a build down, in one transaction; names move last. Says what
    /// nothing needs any more, for a step may have been there and have come
    /// to something else.
    pub fn keep_steps(
        &self,
        made: &[(Step, Draft)],
        used: &[String],
        images: &[Kept<'_>],
        now: u64,
    ) -> Result<Freed, Error> {
        self.change("write a build down", |t| {
            let mut before = Vec::new();
            for (step, draft) in made {
                stack(t, draft)?;
                let known = t
                    .prepare_cached("SELECT id FROM image_steps WHERE key = ? AND id <> ?")?
                    .query_row([&step.key, step.id.as_str()], |r| digest(r, 0))
                    .optional()?;
                before.extend(known);
                t.execute(
                    "INSERT OR REPLACE INTO image_steps VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    params![
                        step.key,
                        step.parent,
                        step.id.as_str(),
                        step.what,
                        step.size.cast_signed(),
                        step.created.cast_signed(),
                        step.used.cast_signed(),
                        step.uses.cast_signed()
                    ],
                )?;
            }
            for key in used {
                t.execute(
                    "UPDATE image_steps SET used = ?, uses = uses + 1 WHERE key = ?",
                    params![now.cast_signed(), key],
                )?;
            }
            for Kept { draft, parent, names } in images {
                stack(t, draft)?;
                let created = nanos(draft.config.created.as_deref());
                let row =
                    Row { id: draft.id.clone(), parent: parent.clone(), created, tagged: now };
                let new = New { row, layers: &[], names: &[], manifest: None, blobs: &[] };
                insert_image(t, &new)?;
                names.iter().try_for_each(|name| set_name(t, name, &new.row))?;
            }
            free(t, before)
        })
    }

    /// Takes steps away; says which configurations and layers nothing needs
    /// any more.
    pub fn forget_steps(&self, keys: &[String]) -> Result<Freed, Error> {
        self.change("forget steps", |t| {
            let mut forgotten = Vec::new();
            for key in keys {
                let id = t
                    .prepare_cached("DELETE FROM image_steps WHERE key = ? RETURNING id")?
                    .query_row([key], |r| digest(r, 0))
                    .optional()?;
                forgotten.extend(id);
            }
            free(t, forgotten)
        })
    }
}

/// Takes away the stacks of those configurations that nobody has any more.
fn free(t: &Transaction<'_>, ids: Vec<Digest>) -> rusqlite::Result<Freed> {
    let (mut alone, mut freed) = (Vec::new(), Vec::new());
    for id in ids {
        if !has_owner(t, &id)? {
            freed.extend(drop_stack(t, &id)?);
            alone.push(id);
        }
    }
    Ok((alone, freed))
}

fn stack(t: &Transaction<'_>, draft: &Draft) -> rusqlite::Result<()> {
    for (place, layer) in (0i64..).zip(&draft.layers) {
        insert_stack(t, &draft.id, place, &layer.diff_id, layer.figures)?;
    }
    Ok(())
}

/// Takes a stack away; says which layers no other has, topmost first.
pub(crate) fn drop_stack(t: &Transaction<'_>, id: &Digest) -> rusqlite::Result<Vec<(Digest, u64)>> {
    let mut free = t.prepare_cached(
        "SELECT diff_id, size FROM image_stacks AS own JOIN image_layers USING (diff_id)
         WHERE id = ?1 AND NOT EXISTS (
             SELECT 1 FROM image_stacks AS other
             WHERE other.diff_id = own.diff_id AND other.id <> ?1)
         GROUP BY diff_id ORDER BY max(place) DESC",
    )?;
    let free: Vec<(Digest, u64)> = free
        .query_map([id.as_str()], |r| Ok((digest(r, 0)?, unsigned(r, 1)?)))?
        .collect::<Result<_, _>>()?;
    t.execute("DELETE FROM image_stacks WHERE id = ?", [id.as_str()])?;
    for (diff_id, _) in &free {
        t.execute("DELETE FROM image_layers WHERE diff_id = ?", [diff_id.as_str()])?;
        t.execute("DELETE FROM image_blobs WHERE diff_id = ?", [diff_id.as_str()])?;
    }
    Ok(free)
}
