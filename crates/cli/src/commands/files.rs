//! Words that move archives: cp, export, import, load, save.

use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    progress::{To, draw},
    show, streams,
    words::{Copy, Export, Import, Load, Save},
};
use base64::Engine as _;
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming};
use serde_json::Value;
use std::{
    io::{ErrorKind, IsTerminal as _, Write as _},
    path::{Component, Path, PathBuf},
};
use tokio::io::AsyncRead;

fn host(doing: &'static str, what: &str) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Host { doing, what, source }
}

/// A file, or the input for `-`.
async fn input(path: &str) -> Outcome<Box<dyn AsyncRead + Send + Unpin>> {
    if path == "-" {
        return Ok(Box::new(tokio::io::stdin()));
    }
    let file = tokio::fs::File::open(path).await.map_err(host("open", path))?;
    Ok(Box::new(file))
}

/// The same, where a person at a terminal would type no archive.
pub async fn piped(path: &str) -> Outcome<Box<dyn AsyncRead + Send + Unpin>> {
    if path == "-" && std::io::stdin().is_terminal() {
        return Err(Error::Unfit("an archive is wanted: name a file, or redirect one".into()));
    }
    input(path).await
}

/// Writes an archive to a file or to the output, which must be no terminal.
pub async fn output(body: Incoming, path: Option<&str>) -> Outcome {
    let Some(path) = path else {
        if std::io::stdout().is_terminal() {
            return Err(Error::Unfit(
                "cowardly refusing to save to a terminal. Use the -o flag or redirect".into(),
            ));
        }
        streams::body(body, true).await?;
        return Ok(0);
    };
    let file = std::fs::File::create(path).map_err(host("create", path))?;
    write_all(body, file, path).await?;
    Ok(0)
}

async fn write_all(mut body: Incoming, mut to: impl std::io::Write, what: &str) -> Outcome<()> {
    while let Some(frame) = body.frame().await {
        if let Some(bytes) = frame.map_err(Error::Broken)?.data_ref() {
            to.write_all(bytes).map_err(host("write", what))?;
        }
    }
    to.flush().map_err(host("write", what))
}

/// `export`
pub async fn export(client: &Client, words: Export) -> Outcome {
    let path = format!("/containers/{}/export", escape(&words.name));
    let answer = client.open(Method::GET, &path, "").await?;
    output(answer.into_body(), words.output.as_deref()).await
}

/// `save`
pub async fn save(client: &Client, words: Save) -> Outcome {
    let names: Vec<String> =
        words.images.iter().map(|name| format!("names={}", escape(name))).collect();
    let answer = client.open(Method::GET, &format!("/images/get?{}", names.join("&")), "").await?;
    output(answer.into_body(), words.output.as_deref()).await
}

/// `import`
pub async fn import(client: &Client, words: Import) -> Outcome {
    let from = input(&words.file).await?;
    let asked = query(&[
        ("fromSrc", "-"),
        ("repo", &words.image),
        ("message", &words.message),
        ("platform", &words.platform),
    ]);
    let changes: String =
        words.change.iter().map(|change| format!("&changes={}", escape(change))).collect();
    let answer =
        client.upload(Method::POST, &format!("/images/create{asked}{changes}"), from).await?;
    draw(answer.into_body(), To::Out).await
}

/// `load`
pub async fn load(client: &Client, words: Load) -> Outcome {
    let path = words.input.as_deref().unwrap_or("-");
    if path == "-" && std::io::stdin().is_terminal() {
        return Err(Error::Unfit("requested load from stdin, but stdin is empty".into()));
    }
    let from = input(path).await?;
    let quiet = if words.quiet { "1" } else { "0" };
    let answer = client.upload(Method::POST, &format!("/images/load?quiet={quiet}"), from).await?;
    draw(answer.into_body(), To::Out).await
}

/// `CONTAINER:PATH`; anything with a slash before its colon is a local path.
pub fn split(word: &str) -> Option<(&str, &str)> {
    word.split_once(':')
        .filter(|(name, _)| !name.is_empty() && !name.contains('/') && !name.starts_with('.'))
}

/// `cp`
pub async fn copy(client: &Client, words: Copy) -> Outcome {
    match (split(&words.source), split(&words.target)) {
        (Some((name, path)), None) => copy_out(client, name, path, &words).await,
        (None, Some((name, path))) => copy_in(client, name, path, &words).await,
        (Some(_), Some(_)) => {
            Err(Error::Unfit("copying between containers is not supported".into()))
        }
        (None, None) => Err(Error::Unfit("must specify at least one container source".into())),
    }
}

fn archive(name: &str, path: &str, more: &str) -> String {
    format!("/containers/{}/archive?path={}{more}", escape(name), escape(path))
}

/// What the engine says of a path in a container.
async fn stat(client: &Client, name: &str, path: &str) -> Outcome<Option<Value>> {
    let answer = match client.open(Method::HEAD, &archive(name, path, ""), "").await {
        Err(Error::Engine { status: 404, message }) if !message.contains("No such container") => {
            return Ok(None);
        }
        other => other?,
    };
    let header = answer.headers().get("X-Docker-Container-Path-Stat");
    let bytes = header
        .and_then(|value| base64::engine::general_purpose::STANDARD.decode(value.as_bytes()).ok());
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Go's `os.ModeDir` and `os.ModeSymlink`.
const GO_DIRECTORY: u64 = 1 << 31;
const GO_SYMLINK: u64 = 1 << 27;

async fn copy_out(client: &Client, name: &str, path: &str, words: &Copy) -> Outcome {
    let mut path = path.to_owned();
    if words.follow_link
        && let Some(found) = stat(client, name, &path).await?
        && found["mode"].as_u64().unwrap_or(0) & GO_SYMLINK != 0
    {
        let target = show::plain(&found["linkTarget"]);
        let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
        path = parent.join(target).display().to_string();
    }
    let answer = client.open(Method::GET, &archive(name, &path, ""), "").await?;
    if words.target == "-" {
        return output(answer.into_body(), None).await;
    }
    let file = tempfile::tempfile().map_err(host("make", "a temporary file"))?;
    write_all(answer.into_body(), &file, "a temporary file").await?;
    let contents = path.ends_with("/.");
    unpack(file, Path::new(&words.target), &words.target, contents, words.archive)?;
    Ok(0)
}

/// Unpacks what came out of a container, renaming its top to the target's
/// name where that is not a directory.
fn unpack(
    mut file: std::fs::File,
    target: &Path,
    text: &str,
    contents: bool,
    owners: bool,
) -> Outcome<()> {
    std::io::Seek::rewind(&mut file).map_err(host("read", "the archive"))?;
    let existing = std::fs::metadata(target).ok();
    let into_directory = existing.as_ref().is_some_and(std::fs::Metadata::is_dir);
    if text.ends_with('/') && !into_directory {
        return Err(Error::Unfit(format!("destination directory {text} does not exist")));
    }
    let folder = if into_directory {
        target
    } else {
        target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
    };
    if !folder.is_dir() {
        return Err(Error::Unfit(format!("the directory {} does not exist", folder.display())));
    }
    let mut archive = tar::Archive::new(file);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(owners);
    let place = |path: &Path| {
        // The contents of a directory come as `./f`, the root's as `/f`, and
        // anything else below its own name.
        let nameless = |c: &Component<'_>| matches!(c, Component::CurDir | Component::RootDir);
        let topless = path.components().next().is_some_and(|first| nameless(&first));
        let named: PathBuf = path.components().filter(|c| !nameless(c)).collect();
        let rest: PathBuf = named.components().skip(usize::from(!topless)).collect();
        let place: PathBuf = match (into_directory, contents) {
            (true, false) => named,
            (true, true) => rest,
            (false, _) => {
                std::iter::once(target.file_name().unwrap_or_default()).chain(&rest).collect()
            }
        };
        // The archive comes from inside a container: its names are not
        // trusted, so each is unpacked below the folder and nowhere else.
        if place.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
            return Err(Error::Unfit(format!(
                "the archive names {}, outside of the target",
                path.display()
            )));
        }
        checked(folder, &place)
    };
    for entry in archive.entries().map_err(host("read", "the archive"))? {
        let mut entry = entry.map_err(host("read", "the archive"))?;
        let name = host("read", "a name in the archive");
        let whole = place(&entry.path().map_err(name)?)?;
        if whole == folder.join("") {
            continue;
        }
        let shown = whole.display().to_string();
        if entry.header().entry_type().is_hard_link() {
            // Its other name is one of the archive's, never one of the host's.
            let other = entry.link_name().map_err(host("read", "a link in the archive"))?;
            let other = place(&other.unwrap_or_default())?;
            let linked = match std::fs::remove_file(&whole) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => std::fs::hard_link(other, &whole),
            };
            linked.map_err(host("unpack", &shown))?;
        } else {
            entry.unpack(&whole).map_err(host("unpack", &shown))?;
        }
    }
    Ok(())
}

/// A place below the folder, as a whole path.
fn checked(folder: &Path, place: &Path) -> Outcome<PathBuf> {
    // No component on the way may be a link that the archive planted.
    let mut walked = folder.to_owned();
    for component in place.parent().into_iter().flat_map(Path::components) {
        walked.push(component);
        let planted = std::fs::symlink_metadata(&walked).is_ok_and(|meta| meta.is_symlink());
        if planted {
            return Err(Error::Unfit(format!(
                "the archive writes through the link {}",
                walked.display()
            )));
        }
    }
    Ok(folder.join(place))
}

async fn copy_in(client: &Client, name: &str, path: &str, words: &Copy) -> Outcome {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut target = path.clone();
    let mut found = stat(client, name, &path).await?;
    if let Some(link) =
        found.as_ref().filter(|stat| stat["mode"].as_u64().unwrap_or(0) & GO_SYMLINK != 0)
    {
        let parent = Path::new(&path).parent().unwrap_or(Path::new("/"));
        target = parent.join(show::plain(&link["linkTarget"])).display().to_string();
        found = stat(client, name, &target).await?;
    }
    let is_directory =
        found.as_ref().is_some_and(|stat| stat["mode"].as_u64().unwrap_or(0) & GO_DIRECTORY != 0);
    let owners = if words.archive { "&copyUIDGID=true" } else { "" };
    if words.source == "-" {
        let more = format!("&noOverwriteDirNonDir=true{owners}");
        client.upload(Method::PUT, &archive(name, &target, &more), tokio::io::stdin()).await?;
        return Ok(0);
    }
    let source = Path::new(&words.source);
    let meta = if words.follow_link {
        std::fs::metadata(source)
    } else {
        std::fs::symlink_metadata(source)
    };
    let meta = meta.map_err(host("read", &words.source))?;
    let contents = words.source.ends_with("/.");
    let own = std::path::absolute(source).map_err(host("resolve", &words.source))?;
    let own = own.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (folder, top) = if is_directory {
        if contents && meta.is_dir() {
            (target.clone(), ".".to_owned())
        } else {
            (target.clone(), own)
        }
    } else {
        if found.is_some() && meta.is_dir() {
            return Err(Error::Unfit(format!(
                "cannot copy directory {} over the file {target}",
                words.source
            )));
        }
        if target.ends_with('/') && found.is_none() && !meta.is_dir() {
            return Err(Error::Unfit(format!(
                "destination directory {target} does not exist in the container"
            )));
        }
        let whole = Path::new(target.trim_end_matches('/'));
        let parent = whole.parent().unwrap_or(Path::new("/")).display().to_string();
        (
            parent,
            whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        )
    };
    let file = pack(source, &top, words.follow_link, &meta)?;
    let more = format!("&noOverwriteDirNonDir=true{owners}");
    let file = tokio::fs::File::from_std(file);
    client.upload(Method::PUT, &archive(name, &folder, &more), file).await?;
    Ok(0)
}

fn pack(
    source: &Path,
    top: &str,
    follow: bool,
    meta: &std::fs::Metadata,
) -> Outcome<std::fs::File> {
    let what = source.display().to_string();
    let file = tempfile::tempfile().map_err(host("make", "a temporary file"))?;
    let mut builder = tar::Builder::new(file);
    builder.follow_symlinks(false);
    let packed = if meta.is_dir() {
        builder.append_dir_all(top, source)
    } else {
        builder.follow_symlinks(follow);
        builder.append_path_with_name(source, top)
    };
    packed.map_err(host("read", &what))?;
    let mut file = builder.into_inner().map_err(host("write", "a temporary file"))?;
    file.flush()
        .and_then(|()| std::io::Seek::rewind(&mut file))
        .map_err(host("write", "a temporary file"))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_from_a_path() {
        assert_eq!(split("web:/etc/hosts"), Some(("web", "/etc/hosts")));
        assert_eq!(split("./a:b"), None);
        assert_eq!(split("/a:b"), None);
        assert_eq!(split(".a:b"), None);
        assert_eq!(split("-"), None);
    }

    fn archive_of(entries: &[(&str, tar::EntryType, &str)]) -> std::fs::File {
        let mut builder = tar::Builder::new(tempfile::tempfile().expect("scratch"));
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_size(0);
                builder.append_link(&mut header, name, content).expect("memory");
            } else {
                header.set_size(content.len() as u64);
                builder.append_data(&mut header, name, content.as_bytes()).expect("memory");
            }
        }
        builder.into_inner().expect("memory")
    }

    #[test]
    fn a_file_takes_the_targets_name() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = archive_of(&[("passwd", tar::EntryType::Regular, "x")]);
        let target = scratch.path().join("mine");
        unpack(file, &target, &target.display().to_string(), false, false).expect("unpacks");
        assert_eq!(std::fs::read_to_string(target).expect("there"), "x");
    }

    #[test]
    fn a_second_name_is_one_in_the_target_and_never_one_of_the_host() {
        let scratch = tempfile::tempdir().expect("scratch");
        let file = || {
            archive_of(&[
                ("d/", tar::EntryType::Directory, ""),
                ("d/a", tar::EntryType::Regular, "x"),
                ("d/b", tar::EntryType::Link, "d/a"),
            ])
        };
        for (name, contents) in [("renamed", false), ("renamed", false), (".", true)] {
            let target = scratch.path().join(name);
            unpack(file(), &target, name, contents, false).expect("unpacks");
            assert_eq!(std::fs::read_to_string(target.join("b")).expect("there"), "x");
        }
        let host = scratch.path().join("shadow");
        std::fs::write(&host, "secret").expect("scratch");
        for name in [host.display().to_string(), "../shadow".to_owned()] {
            let file = archive_of(&[("d/b", tar::EntryType::Link, &name)]);
            let inside = scratch.path().join("renamed");
            unpack(file, &inside, "renamed", false, false).expect_err("must refuse");
            assert!(!inside.join("d/b").exists());
        }
    }

    #[test]
    fn an_archive_cannot_write_through_its_own_link() {
        let scratch = tempfile::tempdir().expect("scratch");
        let outside = scratch.path().join("outside");
        let inside = scratch.path().join("inside");
        std::fs::create_dir(&outside).expect("scratch");
        std::fs::create_dir(&inside).expect("scratch");
        let link = outside.display().to_string();
        let file = archive_of(&[
            ("d", tar::EntryType::Symlink, &link),
            ("d/evil", tar::EntryType::Regular, "x"),
        ]);
        unpack(file, &inside, "inside", false, false).expect_err("must refuse");
        assert!(!outside.join("evil").exists());
    }
}
