//! `COPY`, `ADD` and `WORKDIR`: what changes files without a program.
//!
//! The state so far is mounted with a fresh layer on top, as a container's
//! root is, but with the ids that images have; what was written there is
//! packed.

use super::{
    BuildManner, BuildSaid, bases::Origin, error::BuildError, fetch, job::Stopped, stage::Stage,
};
use crate::{Error, archive::read_in_root};
use build::{Chmod, Counts, Found, Manner, Target, clean, climbs, config::absolute, key};
use dockerfile::{Add, Copy, Files, Ignore};
use image::Layer;
use snapshot::IdRange;
use spec::docker::Config;
use std::{
    fs,
    os::fd::{AsFd as _, BorrowedFd},
    path::PathBuf,
};
use unpacker::{Put, Workers};

/// One source, found.
enum Source {
    /// In a tree; below where its parents are kept.
    Found(Found, String),
    /// A here-document: name and text.
    Document(String, String),
    /// A file that was fetched: its name.
    Fetched(String, PathBuf),
    /// A repository that was fetched: a directory.
    Cloned(PathBuf),
}

/// What an instruction asks, beside its sources.
struct Asked<'a> {
    word: &'static str,
    files: &'a Files,
    parents: bool,
    /// Archives are unpacked: those that are here, those that were fetched.
    unpack: (bool, bool),
    /// Who unpacks them.
    workers: &'a Workers,
}

impl Stage<'_, '_> {
    /// `WORKDIR` makes the directory where it is missing.
    pub(super) fn workdir(&mut self, told: &str, config: Config) -> Result<(), Stopped> {
        let history = self.told(told, &config);
        // BuildKit makes it the user's, Docker's classic builder root's.
        let user = match self.job.wish.manner {
            BuildManner::BuildKit => config.user.clone(),
            BuildManner::Classic => String::new(),
        };
        let key = key(&[&self.key, "workdir", told, &user]);
        let path = config.working_dir.clone();
        self.settle(key, &history, config, |stage| {
            let there = if stage.draft.layers.is_empty() {
                path == "/"
            } else {
                stage.job.mounted(&stage.draft)?.find(&path).is_ok_and(|f| f.is_dir())
            };
            if there {
                return Ok(None);
            }
            stage.changed(false, |root| {
                let owner = (!user.is_empty()).then(|| owner_by_user(root, &user)).transpose()?;
                Target::new(root).dir(&path, owner)?;
                Ok(())
            })
        })
    }

    pub(super) fn copy(&mut self, copy: &Copy) -> Result<(), Stopped> {
        let from = self.job.from(self.index, copy.from.as_deref(), self.at)?;
        let asked = Asked {
            word: "COPY",
            files: &copy.files,
            parents: copy.parents,
            unpack: (false, false),
            workers: self.job.engine.0.images.workers(),
        };
        // A stage or image that is the same has the same files: they need not
        // be read.
        let quick = match &from {
            Origin::Draft(draft, _) => {
                let stack: Vec<&str> = draft.layers.iter().map(|l| l.diff_id().as_str()).collect();
                Some(key(&[
                    &self.key,
                    "copy from, with owners",
                    &format!("{copy:?}"),
                    &stack.join(" "),
                ]))
            }
            _ => None,
        };
        if let Some(quick) = &quick
            && let Some(draft) = self.recall(quick)?
        {
            let (stage, step) = self.at;
            self.job.client.said(BuildSaid::Cached { stage, step });
            self.job.used(quick);
            self.go_on(draft, quick.clone());
            return Ok(());
        }
        let mut sources = Vec::new();
        for pattern in &copy.files.sources {
            self.local(&from, pattern, &asked, &mut sources)?;
        }
        documents(&copy.files, &mut sources)?;
        self.put(&asked, Some(&from), &sources, quick)
    }

    pub(super) fn add(&mut self, add: &Add) -> Result<(), Stopped> {
        let asked = Asked {
            word: "ADD",
            files: &add.files,
            parents: false,
            unpack: (add.unpack.unwrap_or(true), add.unpack.unwrap_or(false)),
            workers: self.job.engine.0.images.workers(),
        };
        let mut sources = Vec::new();
        let mut from = None;
        for source in &add.files.sources {
            if fetch::is_repository(source) {
                let dir = fetch::clone(self.job, source, add)?;
                sources.push(Source::Cloned(dir));
            } else if fetch::is_address(source) {
                let (name, file) = fetch::download(self.job, source, add.checksum.as_deref())?;
                sources.push(Source::Fetched(name, file));
            } else {
                if add.checksum.is_some() {
                    let words = "checksum can't be specified for local sources";
                    return Err(BuildError::invalid(words).into());
                }
                if from.is_none() {
                    from = Some(self.job.from(self.index, None, self.at)?);
                }
                if let Some(from) = &from {
                    self.local(from, source, &asked, &mut sources)?;
                }
            }
        }
        documents(&add.files, &mut sources)?;
        self.put(&asked, from.as_ref(), &sources, None)
    }

    /// Sources in a tree.
    fn local(
        &self,
        from: &Origin<'_>,
        pattern: &str,
        asked: &Asked<'_>,
        into: &mut Vec<Source>,
    ) -> Result<(), Stopped> {
        let classic = self.job.wish.manner == BuildManner::Classic;
        // BuildKit takes what climbs for the top.
        if classic && climbs(pattern) && !matches!(from, Origin::Draft(..)) {
            return Err(BuildError::invalid(format!(
                "{} failed: forbidden path outside the build context: {pattern} ()",
                asked.word
            ))
            .into());
        }
        // `a/./b`: what is kept of the path begins behind the point.
        let pivot = pattern.find("/./").map(|at| clean(&pattern[..at]));
        let found = match from.tree().matching(pattern, asked.parents) {
            // BuildKit copies as many as there are.
            Err(build::Error::Missing(_)) if !classic && build::Wildcard::is_one(pattern) => {
                return Ok(());
            }
            found => found,
        };
        let found = found.map_err(|error| match error {
            build::Error::Missing(_) if !classic => BuildError::invalid(format!(
                "failed to compute cache key: failed to calculate checksum of ref: \"/{}\": not found",
                clean(pattern)
            )),
            build::Error::Missing(_) if build::Wildcard::is_one(pattern) => {
                BuildError::invalid(format!("{} failed: no source files were specified", asked.word))
            }
            build::Error::Missing(path) => BuildError::invalid(format!(
                "{} failed: file not found in build context or excluded by .dockerignore: stat {path}: file does not exist",
                asked.word
            )),
            other => other.into(),
        })?;
        for one in found {
            let kept = match &pivot {
                Some(pivot) => {
                    let kept = one.path.strip_prefix(pivot.as_str()).unwrap_or(&one.path);
                    kept.trim_start_matches('/').to_owned()
                }
                None => one.path.clone(),
            };
            into.push(Source::Found(one, kept));
        }
        Ok(())
    }

    /// Puts the sources where they are to be.
    fn put(
        &mut self,
        asked: &Asked<'_>,
        from: Option<&Origin<'_>>,
        sources: &[Source],
        quick: Option<String>,
    ) -> Result<(), Stopped> {
        let Asked { word, files, .. } = asked;
        let classic = self.job.wish.manner == BuildManner::Classic;
        if sources.is_empty() && classic {
            return Err(BuildError::invalid(format!(
                "{word} failed: no source files were specified"
            ))
            .into());
        }
        let dir = files.target.ends_with('/') || matches!(&*files.target, "." | "./");
        if sources.len() > 1 && !dir && classic {
            return Err(BuildError::invalid(format!(
                "When using {word} with more than one source file, the destination must be a \
                 directory and end with a /"
            ))
            .into());
        }
        let ignore = Ignore::new(&files.exclude)
            .map_err(|e| BuildError::invalid(format!("--exclude: {e}")))?;
        let skip = Some(&ignore).filter(|ignore| !ignore.is_empty());
        // What a stage or an image has keeps its owner, all else is root's: a
        // client's owners mean nothing here.
        let keeps = files.chown.is_none() && matches!(from, Some(Origin::Draft(..)));
        let sum = sum(from, sources, Counts { owners: keeps, skip })?;
        let mut target = absolute(&files.target, &self.draft.config.config.working_dir);
        let told = self.told_files(word, files, &sum, &target);
        if dir && !target.ends_with('/') {
            target.push('/');
        }
        let inputs = format!(
            "{word} {target} {:?} {:?} {} {} {:?} {:?}",
            files.chown, files.chmod, files.link, asked.parents, asked.unpack, files.exclude
        );
        let key = key(&[&self.key, "files", &inputs, &sum]);
        let chmod = files.chmod.as_deref().map(Chmod::parse).transpose();
        let chmod = chmod.map_err(BuildError::invalid)?;
        let config = self.draft.config.config.clone();
        self.settle(key, &told, config, |stage| {
            let below = if files.link && !stage.draft.layers.is_empty() {
                Some(stage.job.mounted(&stage.draft)?)
            } else {
                None
            };
            stage.changed(files.link, |root| {
                let owner = match files.chown.as_deref() {
                    Some(who) => Some(owner(root, who)?),
                    None if keeps => None,
                    None => Some((0, 0)),
                };
                let follow = !classic;
                let manner = Manner { owner, chmod: chmod.clone(), skip, follow };
                for source in sources {
                    let to = Target::above(root, below.as_ref());
                    one(&to, source, from, &target, asked, &manner)?;
                }
                Ok(())
            })
        })?;
        if let Some(quick) = quick {
            // The same again, by what it was copied from.
            self.also(quick)?;
        }
        Ok(())
    }

    fn told_files(&self, word: &str, files: &Files, sum: &str, target: &str) -> String {
        match self.job.wish.manner {
            BuildManner::Classic => {
                let chown = files.chown.as_ref().map(|who| format!("--chown={who} "));
                let kind =
                    if files.sources.len() + files.documents.len() > 1 { "multi" } else { "file" };
                let shell = build::config::shell(&self.draft.config.config).join(" ");
                format!(
                    "{shell} #(nop) {word} {}{kind}:{sum} in {target} ",
                    chown.unwrap_or_default()
                )
            }
            BuildManner::BuildKit => {
                let flag = |name: &str, value: &Option<String>| {
                    value.as_ref().map(|value| format!("--{name}={value} ")).unwrap_or_default()
                };
                let names: Vec<&str> = files
                    .sources
                    .iter()
                    .map(String::as_str)
                    .chain(files.documents.iter().map(|document| document.name.as_str()))
                    .collect();
                format!(
                    "{word} {}{}{} {} # buildkit",
                    flag("chown", &files.chown),
                    flag("chmod", &files.chmod),
                    names.join(" "),
                    files.target
                )
            }
        }
    }

    /// Lets `change` write on top of the state so far (of nothing, if
    /// `alone`); what it wrote.
    fn changed(
        &self,
        alone: bool,
        change: impl FnOnce(BorrowedFd<'_>) -> Result<(), Stopped>,
    ) -> Result<Option<Layer>, Stopped> {
        // In the build's room, and not among the roots of containers: no
        // record names it.
        let room = self.job.room.roots();
        let id = crate::random::id();
        let root = snapshot::Root::prepare(room, id.as_str(), IdRange::HOST)?;
        let dirs = if alone { Vec::new() } else { self.job.making.dirs(&self.draft) };
        let changed = (|| {
            let mount = root.mount(&dirs)?;
            change(mount.as_fd())?;
            drop(mount);
            Ok::<_, Stopped>(self.job.making.take_over(&root)?)
        })();
        let removed = snapshot::Root::remove(room, id.as_str());
        let changed = changed?;
        removed?;
        Ok(changed)
    }
}

/// Here-documents. A name is read from the top of an empty tree, as Docker
/// reads it: one that is in a directory finds none there.
fn documents(files: &Files, into: &mut Vec<Source>) -> Result<(), BuildError> {
    for document in &files.documents {
        let name = clean(&document.name);
        if name.is_empty() || name.contains('/') {
            let words = format!("the here-document {:?} is no name of a file", document.name);
            return Err(BuildError::invalid(words));
        }
        into.push(Source::Document(name, document.data.clone()));
    }
    Ok(())
}

/// Digest of all sources.
fn sum(
    from: Option<&Origin<'_>>,
    sources: &[Source],
    counts: Counts<'_>,
) -> Result<String, Stopped> {
    let mut sums = Vec::new();
    for source in sources {
        let sum = match source {
            Source::Found(found, kept) => {
                let tree = from.map(Origin::tree).ok_or_else(|| BuildError::invalid("no tree"))?;
                let sum = tree.sum(found, counts)?;
                format!("{} {kept}", build::hex(&sum))
            }
            Source::Document(name, text) => key(&["document", name, text]),
            Source::Fetched(name, path) => {
                let tree = super::job::tree(path.parent().unwrap_or(path))?;
                let found = tree.find(&path.file_name().unwrap_or_default().to_string_lossy())?;
                format!("{} {name}", build::hex(&tree.sum(&found, counts)?))
            }
            Source::Cloned(path) => {
                let tree = super::job::tree(path)?;
                build::hex(&tree.sum(&tree.find("")?, counts)?)
            }
        };
        sums.push(sum);
    }
    let sums: Vec<&str> = sums.iter().map(String::as_str).collect();
    Ok(key(&sums))
}

/// One source into the root.
fn one(
    target: &Target<'_>,
    source: &Source,
    from: Option<&Origin<'_>>,
    path: &str,
    asked: &Asked<'_>,
    manner: &Manner<'_>,
) -> Result<(), Stopped> {
    match source {
        Source::Found(found, kept) => {
            if asked.unpack.0
                && found.is_file()
                && unpacked(target.root(), &mut found.open()?, path, asked)?
            {
                return Ok(());
            }
            match from {
                Some(from) if asked.parents => {
                    target.copy_with_parents(from.tree(), found, kept, path, manner)?;
                }
                _ => target.copy(found, path, manner)?,
            }
        }
        Source::Document(name, text) => {
            target.write(name, &mut text.as_bytes(), 0o644, path, manner)?;
        }
        Source::Fetched(name, file) => {
            let mut opened = fs::File::open(file).map_err(|source| Error::Host {
                doing: "open",
                path: file.clone(),
                source,
            })?;
            if asked.unpack.1 && unpacked(target.root(), &mut opened, path, asked)? {
                return Ok(());
            }
            // As Docker: nobody but root reads what was fetched.
            target.write(name, &mut opened, 0o600, path, manner)?;
        }
        Source::Cloned(dir) => {
            let tree = super::job::tree(dir)?;
            let path = if path.ends_with('/') { path.to_owned() } else { format!("{path}/") };
            target.copy(&tree.find("")?, &path, manner)?;
        }
    }
    Ok(())
}

/// Unpacks a file if it is an archive.
fn unpacked(
    root: BorrowedFd<'_>,
    file: &mut fs::File,
    path: &str,
    asked: &Asked<'_>,
) -> Result<bool, Stopped> {
    if !asked.workers.is_archive(file)? {
        return Ok(false);
    }
    Target::new(root).dir(path, None)?;
    let owner = asked.files.chown.as_deref().map(|who| owner(root, who)).transpose()?;
    let options = snapshot::PutOptions { owner, ..snapshot::PutOptions::default() };
    let wish = Put { root, path, ids: IdRange::HOST, options };
    asked.workers.put(&wish, file)?;
    Ok(true)
}

/// `USER`, by the files of the root, as BuildKit reads it for `WORKDIR`: a
/// number alone is both, a name's group is the one it logs in with (also where
/// the group that is said is not known), and who is not known is root: it is
/// refused when a program is to be started.
fn owner_by_user(root: BorrowedFd<'_>, who: &str) -> Result<(u32, u32), BuildError> {
    if let Ok(number) = who.parse() {
        return Ok((number, number));
    }
    let passwd = read_in_root(root, "etc/passwd")?;
    let group = read_in_root(root, "etc/group")?;
    let resolve = |who: &str| policy::user::resolve(who, &passwd, &group, &[]);
    let alone = || resolve(who.split(':').next().unwrap_or_default());
    let known = resolve(who).or_else(|_| alone());
    Ok(known.map_or((0, 0), |identity| (identity.uid, identity.gid)))
}

/// `--chown=user[:group]`, by the files of the root. A name or number alone
/// is both.
fn owner(root: BorrowedFd<'_>, who: &str) -> Result<(u32, u32), BuildError> {
    let passwd = read_in_root(root, "etc/passwd")?;
    let group = read_in_root(root, "etc/group")?;
    let resolve = |words: &str| policy::user::resolve(words, &passwd, &group, &[]);
    let refused = |refusal: policy::Refusal| {
        BuildError::invalid(format!(
            "unable to convert uid/gid chown string to host mapping: {refusal}"
        ))
    };
    let identity = match who.split_once(':') {
        Some(_) => resolve(who).map_err(refused)?,
        None => match resolve(&format!("{who}:{who}")) {
            Ok(identity) => identity,
            Err(_) => resolve(who).map_err(refused)?,
        },
    };
    Ok((identity.uid, identity.gid))
}
