//! The records looked after: whether they hold together, what may go, what
//! was used.

use crate::{
    Error,
    records::{Mark, OWNERS, Records, STRAY, UNSTACKED, digest, unsigned},
};
use rusqlite::params;
use spec::{Digest, Reference};
use std::collections::{HashMap, HashSet};

impl Records {
    /// Takes a name away that an image was given at `tagged`, nanoseconds
    /// since the epoch; whether no name has been given to the image since.
    pub fn take_name(&self, name: &Reference, id: &Digest, tagged: u64) -> Result<bool, Error> {
        self.change("take a name back", |t| {
            let taken = t.execute(
                "DELETE FROM image_names WHERE name = ?1 AND id = ?2 AND EXISTS
                 (SELECT 1 FROM image_records WHERE id = ?2 AND tagged = ?3)",
                params![name.to_string(), id.as_str(), tagged.cast_signed()],
            )?;
            Ok(taken > 0)
        })
    }

    /// What the data base finds wrong with itself, in its own words.
    pub fn damage(&self) -> Result<Option<String>, Error> {
        let said = self.read("examine the records", |c| {
            c.query_row("PRAGMA quick_check(1)", [], |r| r.get::<_, String>(0))
        })?;
        Ok((said != "ok").then_some(said))
    }

    /// What speaks of an image that is not there: what it is, and how many.
    pub fn strays(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        self.read("look for stray records", |c| {
            let mut found = Vec::new();
            for (table, column, what) in STRAY {
                let sql = format!("SELECT count(*) FROM {table} WHERE {column} NOT IN ({OWNERS})");
                found.push((what, c.query_row(&sql, [], |r| unsigned(r, 0))?));
            }
            let sql = format!("SELECT count(*) FROM image_layers WHERE {UNSTACKED}");
            found.push(("a layer", c.query_row(&sql, [], |r| unsigned(r, 0))?));
            found.retain(|(_, count)| *count > 0);
            Ok(found)
        })
    }

    /// Takes those away.
    pub fn drop_strays(&self) -> Result<(), Error> {
        self.change("remove stray records", |t| {
            for (table, column, _) in STRAY {
                t.execute(&format!("DELETE FROM {table} WHERE {column} NOT IN ({OWNERS})"), [])?;
            }
            for table in ["image_layers", "image_blobs"] {
                t.execute(&format!("DELETE FROM {table} WHERE {UNSTACKED}"), [])?;
            }
            Ok(())
        })
    }

    /// When images were used last and whether they are to stay, as far as
    /// that was noted.
    pub fn marks(&self) -> Result<HashMap<Digest, Mark>, Error> {
        self.read("list the marks", |c| {
            c.prepare("SELECT id, used, pinned FROM image_marks")?
                .query_map([], |r| {
                    Ok((digest(r, 0)?, Mark { used: unsigned(r, 1)?, pinned: r.get(2)? }))
                })?
                .collect()
        })
    }

    /// Notes when images were used last.
    pub fn note_used(&self, used: &[(Digest, u64)]) -> Result<(), Error> {
        self.change("note what was used", |t| {
            for (id, at) in used {
                t.execute(
                    "INSERT INTO image_marks SELECT id, ?2, 0 FROM image_records WHERE id = ?1
                     ON CONFLICT (id) DO UPDATE SET used = max(used, ?2)",
                    params![id.as_str(), at.cast_signed()],
                )?;
            }
            Ok(())
        })
    }

    /// Notes whether an image is to stay.
    pub fn pin(&self, id: &Digest, pinned: bool) -> Result<(), Error> {
        self.change("pin an image", |t| {
            t.execute(
                "INSERT INTO image_marks VALUES (?1, 0, ?2)
                 ON CONFLICT (id) DO UPDATE SET pinned = ?2",
                params![id.as_str(), pinned],
            )
            .map(drop)
        })
    }

    /// Bytes of the layers that nothing but these images and steps of the
    /// build cache has.
    pub fn freed_with(&self, ids: &[Digest], steps: &[String]) -> Result<u64, Error> {
        let alone = self.layers_alone_of(ids, steps)?;
        Ok(alone.values().map(|(size, _)| size).sum())
    }

    /// Those of the images, and of what the steps came to, that have such a
    /// layer.
    pub fn that_free(&self, ids: &[Digest], steps: &[String]) -> Result<HashSet<Digest>, Error> {
        let alone = self.layers_alone_of(ids, steps)?;
        Ok(alone.into_values().filter(|(size, _)| *size > 0).flat_map(|(_, ids)| ids).collect())
    }

    /// Layers that nothing but these images and steps has: bytes, and which
    /// of them. An image and a step of the same digest share their stack.
    fn layers_alone_of(
        &self,
        ids: &[Digest],
        steps: &[String],
    ) -> Result<HashMap<String, (u64, Vec<Digest>)>, Error> {
        let images: HashSet<&Digest> = ids.iter().collect();
        let steps: HashSet<&str> = steps.iter().map(String::as_str).collect();
        self.read("add up the layers", |c| {
            let mut stay = HashSet::new();
            let sql = "SELECT id FROM image_records UNION ALL SELECT id FROM image_held";
            for id in c.prepare(sql)?.query_map([], |r| digest(r, 0))? {
                let id = id?;
                if !images.contains(&id) {
                    stay.insert(id);
                }
            }
            let mut known = c.prepare("SELECT key, id FROM image_steps")?;
            let mut known = known.query([])?;
            while let Some(r) = known.next()? {
                if !steps.contains(r.get_ref(0)?.as_str()?) {
                    stay.insert(digest(r, 1)?);
                }
            }
            let mut users: HashMap<String, (u64, Option<Vec<Digest>>)> = HashMap::new();
            let mut rows = c.prepare(
                "SELECT id, diff_id, size FROM image_stacks JOIN image_layers USING (diff_id)",
            )?;
            let mut rows = rows.query([])?;
            while let Some(r) = rows.next()? {
                let (id, size) = (digest(r, 0)?, unsigned(r, 2)?);
                let layer = users.entry(r.get(1)?).or_insert_with(|| (size, Some(Vec::new())));
                if stay.contains(&id) {
                    layer.1 = None;
                } else if let Some(users) = &mut layer.1 {
                    users.push(id);
                }
            }
            Ok(users
                .into_iter()
                .filter_map(|(diff_id, (size, users))| Some((diff_id, (size, users?))))
                .collect())
        })
    }

    /// Names of all directories and files that some record needs: of layers,
    /// and of documents.
    pub fn content(&self) -> Result<(HashSet<String>, HashSet<String>), Error> {
        self.read("list the content", |c| {
            let all = |sql| {
                c.prepare(sql)?
                    .query_map([], |r| Ok(digest(r, 0)?.hex().to_owned()))?
                    .collect::<Result<HashSet<_>, _>>()
            };
            Ok((
                all("SELECT diff_id FROM image_layers")?,
                all("SELECT id FROM image_records UNION SELECT digest FROM image_manifests
                     UNION SELECT id FROM image_steps")?,
            ))
        })
    }
}
