//! What is sent to be built from: a directory, an archive, an address.

use crate::error::{Error, Outcome};
use dockerfile::Ignore;
use std::{
    fs,
    io::{self, Read, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};
use tokio::io::AsyncRead;

/// How a Dockerfile from elsewhere is called in the context.
const ELSEWHERE: &str = ".dockerfile.cofferdam";
/// Bytes by which an archive is told from a Dockerfile.
const BLOCK: usize = 512;

/// A context, found.
pub struct Context {
    /// Path of the Dockerfile in it.
    pub dockerfile: String,
    /// Where the engine fetches it; empty if it is sent.
    pub remote: String,
    body: Body,
}

enum Body {
    Nothing,
    /// A directory, what stays behind, and the Dockerfile's place in it.
    Dir {
        dir: PathBuf,
        ignore: Ignore,
        dockerfile: String,
        text: Option<String>,
    },
    /// An archive, whose first bytes have been read.
    Archive(Vec<u8>),
    /// A Dockerfile without a context.
    Alone(String),
}

fn host(doing: &'static str, what: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = what.display().to_string();
    move |source| Error::Host { doing, what, source }
}

fn is_remote(context: &str) -> bool {
    ["http://", "https://", "git://", "git@", "ssh://", "github.com/"]
        .iter()
        .any(|scheme| context.starts_with(scheme))
}

/// Finds the context and the Dockerfile.
pub fn find(context: &str, file: Option<&str>) -> Outcome<Context> {
    if context == "-" {
        return stdin(file);
    }
    let own = |dir: &Path| dir.join("Dockerfile");
    if is_remote(context) && !Path::new(context).is_dir() {
        if file == Some("-") {
            return Err(Error::Words(
                "a Dockerfile from standard input needs a local context".into(),
            ));
        }
        let remote = match context.strip_prefix("github.com/") {
            Some(rest) => format!("https://github.com/{}.git", rest.trim_end_matches(".git")),
            None => context.to_owned(),
        };
        let dockerfile = file.unwrap_or_default().to_owned();
        return Ok(Context { dockerfile, remote, body: Body::Nothing });
    }
    let dir = PathBuf::from(context);
    let real = dir.canonicalize().map_err(|_| {
        Error::Words(format!("unable to prepare context: path {context:?} not found"))
    })?;
    if !real.is_dir() {
        return Err(Error::Words(format!(
            "unable to prepare context: context must be a directory: {context}"
        )));
    }
    let ignored = match fs::read_to_string(real.join(".dockerignore")) {
        Ok(text) => Ignore::parse(&text)
            .map_err(|e| Error::Words(format!("error reading .dockerignore: {e}")))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Ignore::parse("").map_err(|e| Error::Words(e.to_string()))?
        }
        Err(e) => return Err(host("read", &real.join(".dockerignore"))(e)),
    };
    if file == Some("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map_err(host("read", Path::new("the input")))?;
        return Ok(beside(real, ignored, text));
    }
    let path = match file {
        Some(file) if Path::new(file).is_absolute() => PathBuf::from(file),
        // As the Docker CLI: seen from where the person is, else from the context.
        Some(file) if Path::new(file).exists() => PathBuf::from(file),
        Some(file) => real.join(file),
        None => own(&real),
    };
    let text = fs::read_to_string(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::Words(format!(
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: {}: no such file or directory",
            path.display()
        )),
        _ => host("read", &path)(e),
    })?;
    let inside = path.canonicalize().ok().and_then(|path| {
        path.strip_prefix(&real).ok().map(|rest| rest.to_string_lossy().into_owned())
    });
    let Some(dockerfile) = inside else { return Ok(beside(real, ignored, text)) };
    let body = Body::Dir { dir: real, ignore: ignored, dockerfile: dockerfile.clone(), text: None };
    Ok(Context { dockerfile, remote: String::new(), body })
}

/// A Dockerfile that is not in its context.
fn beside(dir: PathBuf, ignore: Ignore, text: String) -> Context {
    let dockerfile = ELSEWHERE.to_owned();
    let body = Body::Dir { dir, ignore, dockerfile: dockerfile.clone(), text: Some(text) };
    Context { dockerfile, remote: String::new(), body }
}

/// An archive or a Dockerfile from the standard input.
fn stdin(file: Option<&str>) -> Outcome<Context> {
    if file == Some("-") {
        let words = "invalid argument: can't use stdin for both build context and dockerfile";
        return Err(Error::Words(words.into()));
    }
    let mut begins = Vec::new();
    io::stdin()
        .take(BLOCK as u64)
        .read_to_end(&mut begins)
        .map_err(host("read", Path::new("the input")))?;
    let compressed = [&[0x1f, 0x8b][..], &[0x28, 0xb5, 0x2f, 0xfd], &[0xfd, b'7', b'z'], b"BZh"];
    let archive = begins.get(257..262) == Some(b"ustar")
        || compressed.iter().any(|magic| begins.starts_with(magic));
    if archive {
        let dockerfile = file.unwrap_or_default().to_owned();
        return Ok(Context { dockerfile, remote: String::new(), body: Body::Archive(begins) });
    }
    let mut text = begins;
    io::stdin().read_to_end(&mut text).map_err(host("read", Path::new("the input")))?;
    let text = String::from_utf8(text)
        .map_err(|_| Error::Words("the input is neither an archive nor a Dockerfile".into()))?;
    if file.is_some_and(|file| file != "Dockerfile") {
        return Err(Error::Words("--file needs a context, and the input is a Dockerfile".into()));
    }
    let dockerfile = "Dockerfile".to_owned();
    Ok(Context { dockerfile, remote: String::new(), body: Body::Alone(text) })
}

impl Context {
    /// What is sent.
    pub fn body(self) -> Box<dyn AsyncRead + Send + Unpin> {
        match self.body {
            Body::Nothing => Box::new(tokio::io::empty()),
            Body::Archive(begins) => {
                let begins = io::Cursor::new(begins);
                Box::new(tokio::io::AsyncReadExt::chain(begins, tokio::io::stdin()))
            }
            Body::Alone(text) => {
                let mut tar = tar::Builder::new(Vec::new());
                // Memory takes it.
                let _ = add_text(&mut tar, "Dockerfile", &text);
                Box::new(io::Cursor::new(tar.into_inner().unwrap_or_default()))
            }
            Body::Dir { dir, ignore, dockerfile, text } => {
                let Ok((ours, theirs)) = UnixStream::pair() else {
                    return Box::new(Broken("no sockets are left".into()));
                };
                let worker = std::thread::spawn(move || {
                    let mut tar =
                        tar::Builder::new(io::BufWriter::with_capacity(256 << 10, &theirs));
                    let packed = pack(&mut tar, &dir, "", &ignore, &dockerfile)
                        .and_then(|()| {
                            text.map_or(Ok(()), |text| add_text(&mut tar, &dockerfile, &text))
                        })
                        .and_then(|()| tar.into_inner()?.flush());
                    packed.err().map(|e| e.to_string())
                });
                let made = ours
                    .set_nonblocking(true)
                    .and_then(|()| tokio::net::UnixStream::from_std(ours));
                match made {
                    Ok(stream) => Box::new(Packed { stream, worker: Some(worker) }),
                    Err(e) => Box::new(Broken(e.to_string())),
                }
            }
        }
    }
}

/// A directory that is being packed by a thread; its failure is the stream's.
struct Packed {
    stream: tokio::net::UnixStream,
    worker: Option<std::thread::JoinHandle<Option<String>>>,
}

impl AsyncRead for Packed {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = std::task::ready!(std::pin::Pin::new(&mut self.stream).poll_read(cx, buf));
        if read.is_ok() && buf.filled().len() == before {
            // Its end of the stream is closed: it is about to return.
            let said = self.worker.take().and_then(|worker| worker.join().ok()).flatten();
            if let Some(words) = said {
                return std::task::Poll::Ready(Err(io::Error::other(words)));
            }
        }
        std::task::Poll::Ready(read)
    }
}

/// A stream that fails at once.
struct Broken(String);

impl AsyncRead for Broken {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Ready(Err(io::Error::other(self.0.clone())))
    }
}

fn add_text(tar: &mut tar::Builder<impl io::Write>, name: &str, text: &str) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o600);
    header.set_size(text.len() as u64);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    tar.append_data(&mut header, name, text.as_bytes())
}

/// Packs a directory but for what stays behind; the Dockerfile goes along in
/// any case, and so does `.dockerignore`.
fn pack(
    tar: &mut tar::Builder<impl io::Write>,
    dir: &Path,
    path: &str,
    ignore: &Ignore,
    dockerfile: &str,
) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<_>>()?;
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(io::Error::other(format!("{} is no UTF-8 text", entry.path().display())));
        };
        let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
        let wanted = below == dockerfile || below == ".dockerignore";
        let on_the_way = dockerfile.starts_with(&format!("{below}/"));
        let meta = entry.metadata()?;
        if !wanted && ignore.matches(&below) {
            if meta.is_dir() && (on_the_way || ignore.may_come_back_below(&below)) {
                pack(tar, &entry.path(), &below, ignore, dockerfile)?;
            }
            continue;
        }
        let mut header = tar::Header::new_gnu();
        header.set_mode(meta.mode() & 0o7777);
        header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        let kind = meta.file_type();
        if kind.is_dir() {
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, format!("{below}/"), io::empty())?;
            pack(tar, &entry.path(), &below, ignore, dockerfile)?;
        } else if kind.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, &below, fs::read_link(entry.path())?)?;
        } else if kind.is_file() {
            let file = fs::File::open(entry.path())?;
            header.set_size(meta.len());
            // One that grows meanwhile is sent as it was, one that shrinks with zeros.
            let content = file.chain(io::repeat(0)).take(meta.len());
            tar.append_data(&mut header, &below, content)?;
        }
        // Sockets, pipes and devices mean nothing elsewhere.
    }
    Ok(())
}

/// Unpacks the files of an image into a directory.
pub fn unpack(from: impl Read, dir: &Path) -> Outcome<()> {
    let mut archive = tar::Archive::new(from);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    archive.unpack(dir).map_err(host("write", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(ignore: &str, dockerfile: &str) -> Vec<String> {
        let dir = tempfile::tempdir().expect("scratch");
        for path in ["a/b/c", "a/d", "keep", "Dockerfile", ".dockerignore"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("mkdir");
            fs::write(path, "x").expect("write");
        }
        let mut tar = tar::Builder::new(Vec::new());
        let ignore = Ignore::parse(ignore).expect("patterns");
        pack(&mut tar, dir.path(), "", &ignore, dockerfile).expect("packed");
        let bytes = tar.into_inner().expect("memory");
        let mut archive = tar::Archive::new(&bytes[..]);
        let name = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            entry.expect("entry").path().expect("path").to_string_lossy().into_owned()
        };
        archive.entries().expect("entries").map(name).collect()
    }

    #[test]
    fn what_is_ignored_stays_behind_but_for_the_dockerfile() {
        let names = packed("*\n!a/b\n", "Dockerfile");
        assert_eq!(names, [".dockerignore", "Dockerfile", "a/b/", "a/b/c"]);
        assert_eq!(packed("a\n", "a/d"), [".dockerignore", "Dockerfile", "a/d", "keep"]);
    }

    #[test]
    fn an_address_is_told_from_a_path() {
        assert!(is_remote("https://x/y.git#main") && is_remote("git@h:p"));
        assert!(!is_remote("./x") && !is_remote("/x"));
    }
}
