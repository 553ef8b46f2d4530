//! SEC: what strangers send is taken apart by processes that have few rights
//! or none, and whose end is an error of one archive alone.

use promises::{Cli, Engine, until};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

/// A process that takes an archive apart, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Worker {
    pid: i32,
    what: String,
}

impl Worker {
    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.pid))
    }

    /// A line of its status; none once it has ended.
    fn field(&self, name: &str) -> Option<String> {
        let status = fs::read_to_string(self.file("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn capabilities(&self) -> Vec<String> {
        let sets = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"];
        sets.iter().map(|set| self.field(set).expect("it runs")).collect()
    }

    /// The capabilities with these numbers, where it may have any.
    fn has_but(&self, numbers: &[u32]) {
        let set = format!("{:016x}", numbers.iter().fold(0, |all, one| all | 1_u64 << one));
        let none = format!("{:016x}", 0);
        assert_eq!(self.capabilities(), [none.as_str(), &set, &set, &set, &none], "{self:?}");
        assert_eq!(self.field("NoNewPrivs:").as_deref(), Some("1"), "{self:?}");
        assert_eq!(self.field("Seccomp:").as_deref(), Some("2"), "{self:?}");
        let users = self.field("Uid:").expect("it runs");
        assert!(!users.starts_with("0 "), "{self:?}: {users}");
        // Its streams and its directory, whose own are opened and closed.
        for fd in fs::read_dir(self.file("fd")).expect("it runs") {
            let Ok(what) = fs::read_link(fd.expect("an entry").path()) else { continue };
            let what = what.to_string_lossy().into_owned();
            assert!(!what.starts_with("/memfd:"), "{self:?} keeps {what}");
            let kinds = ["pipe:", "socket:", "/"];
            assert!(kinds.iter().any(|kind| what.starts_with(kind)), "{self:?} has {what}");
        }
    }

    /// Has all that there is for it these names, now or soon?
    fn sees(&self, wanted: &[&str]) {
        until("it to see its directory alone", || self.names() == wanted);
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.file("root/")).expect("it runs");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// CHOWN, DAC_OVERRIDE, FOWNER, FSETID and SETFCAP.
const FILES: [u32; 5] = [0, 1, 3, 4, 31];
/// And MKNOD.
const LAYER: [u32; 6] = [0, 1, 3, 4, 27, 31];

/// Those of an engine.
fn workers(engine: &Engine) -> Vec<Worker> {
    let daemon = engine.pid().to_string();
    let entries = fs::read_dir("/proc").expect("procfs");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let worker = |pid: i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).into_owned();
        let mut words = words.split('\0').skip(1);
        let what = words.next().filter(|word| *word == "unpacker").and_then(|_| words.next())?;
        let worker = Worker { pid, what: what.to_owned() };
        (worker.field("PPid:")? == daemon).then_some(worker)
    };
    pids.filter_map(worker).collect()
}

/// The one that does this, once it has given up its rights.
fn at_work(engine: &Engine, what: &str) -> Worker {
    let mut found = None;
    until("a process to unpack it", || {
        let one = workers(engine).into_iter().find(|worker| worker.what == what);
        found = one.filter(|one| one.field("Seccomp:").as_deref() == Some("2"));
        found.is_some()
    });
    found.expect("was just found")
}

/// A request whose body stops in the middle.
struct Half {
    connection: UnixStream,
    rest: Vec<u8>,
}

impl Half {
    fn send(engine: &Engine, method: &str, target: &str, body: &[u8]) -> Self {
        let mut connection = UnixStream::connect(engine.socket()).expect("it listens");
        connection.set_read_timeout(Some(promises::PATIENCE)).expect("a socket");
        let (first, rest) = body.split_at(body.len() / 2);
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).expect("it reads");
        connection.write_all(first).expect("it reads");
        Self { connection, rest: rest.to_vec() }
    }

    /// Sends the rest, as far as anybody wants it; the answer.
    fn ends(mut self) -> String {
        // Who has an error to tell need not read on.
        let _ = self.connection.write_all(&self.rest);
        let mut answer = Vec::new();
        let read = self.connection.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(read.is_ok() || !answer.is_empty(), "{read:?}");
        answer
    }
}

/// An image as an archive, compressed: `save | gzip`.
fn archive(engine: &Engine) -> Vec<u8> {
    let file = engine.scratch().join("saved.tar");
    engine.says_as(Cli::Docker, &["save", "-o", &file.display().to_string(), "busybox"]);
    engine.host().says(&format!("gzip -f {}", file.display()));
    fs::read(file.with_extension("tar.gz")).expect("scratch")
}

/// A tar of one file, `file`, of four million bytes.
fn large(engine: &Engine) -> Vec<u8> {
    let (dir, tar) = (engine.scratch().join("up"), engine.scratch().join("up.tar"));
    fs::create_dir(&dir).expect("scratch");
    fs::write(dir.join("file"), vec![7; 4 << 20]).expect("scratch");
    engine.host().says(&format!("tar -C {} -cf {} file", dir.display(), tar.display()));
    fs::read(tar).expect("scratch")
}

/// What is below the directory of layers.
fn layers(engine: &Engine) -> Vec<String> {
    let entries = fs::read_dir(engine.data_root().join("layers")).expect("list");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn sec_a_load_is_taken_apart_by_processes_without_rights() {
    let engine = Engine::new();
    let archive = archive(&engine);
    engine.says(&["rmi", "busybox"]);
    let load = Half::send(&engine, "POST", "/images/load", &archive);
    let layer = at_work(&engine, "layer");
    layer.has_but(&LAYER);
    layer.sees(&["recipe.zst", "root"]);
    let inflate = at_work(&engine, "inflate");
    inflate.has_but(&[]);
    assert_eq!(fs::read_dir(inflate.file("fd")).expect("it runs").count(), 3, "its streams");
    let answer = load.ends();
    assert!(answer.contains("Loaded image: busybox:latest"), "{answer}");
    assert_eq!(workers(&engine), []);
    assert_eq!(engine.says(&["run", "--rm", "busybox", "echo", "well"]), "well");
    engine.leaves_nothing();
}

#[test]
fn sec_a_context_is_unpacked_by_a_process_that_sees_nothing_else() {
    let engine = Engine::new();
    let build = Half::send(&engine, "POST", "/build?t=x", &large(&engine));
    let worker = at_work(&engine, "files");
    worker.has_but(&FILES);
    worker.sees(&["file"]);
    let answer = build.ends();
    assert!(answer.contains("Dockerfile"), "there is none: {answer}");
    assert_eq!(workers(&engine), []);
    engine.leaves_nothing();
}

#[test]
fn sec_files_are_put_into_a_container_by_a_process_that_sees_nothing_else() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
    let tar = large(&engine);
    let put = Half::send(&engine, "PUT", "/containers/c/archive?path=/tmp", &tar);
    let worker = at_work(&engine, "files");
    worker.has_but(&FILES);
    let root = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    let inside = |name| PathBuf::from(format!("/proc/{}/{name}", engine.pid_of("c")));
    let its_root = root(&inside("root/")).expect("it runs");
    assert_eq!(root(&worker.file("root/")).expect("it runs"), its_root);
    // Its powers are over what the container's root has powers over: in a
    // namespace of the same ids, and not even in the container's own.
    let map = |path: PathBuf| fs::read_to_string(path).expect("it runs");
    assert_eq!(map(worker.file("uid_map")), map(inside("uid_map")));
    let of = |path: PathBuf| fs::read_link(path).expect("it runs");
    let own = of(worker.file("ns/user"));
    assert!(own != of(inside("ns/user")) && own != of("/proc/self/ns/user".into()));
    let answer = put.ends();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let found = engine.says(&["exec", "c", "stat", "-c", "%u %s", "/tmp/file"]);
    assert_eq!(found, format!("0 {}", 4 << 20));
    assert_eq!(workers(&engine), []);
    engine.says(&["rm", "-f", "c"]);
    engine.leaves_nothing();
}

#[test]
fn sec_what_a_container_may_only_read_is_not_written_by_a_copy_into_it() {
    let engine = Engine::new();
    let (kept, tar) = (engine.scratch().join("kept"), engine.scratch().join("in.tar"));
    fs::create_dir_all(engine.scratch().join("in/ro")).expect("scratch");
    fs::create_dir(&kept).expect("scratch");
    fs::write(engine.scratch().join("in/ro/file"), "x").expect("scratch");
    engine.host().says(&format!(
        "tar -C {}/in -cf {} ro/file",
        engine.scratch().display(),
        tar.display()
    ));
    let tar = fs::read(tar).expect("scratch");
    let mount = format!("{}:/in/ro:ro", kept.display());
    engine.says(&["create", "--name", "c", "-v", &mount, "busybox", "sleep", "1000"]);
    let put = || Half::send(&engine, "PUT", "/containers/c/archive?path=/in", &tar).ends();
    for runs in [false, true] {
        if runs {
            engine.says(&["start", "c"]);
        }
        let answer = put();
        assert!(answer.to_lowercase().contains("read-only file system"), "{runs}: {answer}");
        assert_eq!(fs::read_dir(&kept).expect("list").count(), 0, "{runs}");
    }
    engine.says(&["rm", "-f", "c"]);
    // A volume that is written leads to a root that is not.
    engine.says(&["run", "--name", "v", "-v", "vol:/v", "busybox", "ln", "-s", "/etc", "/v/ro"]);
    let create = ["create", "--name", "c", "--read-only", "-v", "vol:/v", "busybox", "true"];
    engine.says(&create);
    let answer = Half::send(&engine, "PUT", "/containers/c/archive?path=/v", &tar).ends();
    assert!(answer.to_lowercase().contains("read-only file system"), "{answer}");
    engine.says(&["rm", "c", "v"]);
    engine.says(&["volume", "rm", "vol"]);
    engine.leaves_nothing();
}

#[test]
fn sec_one_that_is_killed_is_an_error_of_one_archive_and_leaves_nothing() {
    let engine = Engine::new();
    let archive = archive(&engine);
    engine.says(&["rmi", "busybox"]);
    assert_eq!(layers(&engine).len(), 1, "the built-in image's");
    for what in ["layer", "inflate"] {
        let load = Half::send(&engine, "POST", "/images/load", &archive);
        let worker = at_work(&engine, what);
        sys::signal::send(worker.pid, 9).expect("it runs");
        let answer = load.ends();
        assert!(answer.contains("was killed by signal 9"), "{what}: {answer}");
        assert_eq!(workers(&engine), [], "{what}");
        assert_eq!(layers(&engine).len(), 1, "{what}");
        assert_eq!(engine.says(&["images", "-q", "busybox"]), "", "{what}");
    }
    let load = Half::send(&engine, "POST", "/images/load", &archive);
    assert!(load.ends().contains("Loaded image: busybox:latest"));
    assert_eq!(engine.says(&["run", "--rm", "busybox", "echo", "well"]), "well");
    engine.leaves_nothing();
}

#[test]
fn sec_none_outlives_its_daemon() {
    let mut engine = Engine::new();
    let archive = archive(&engine);
    engine.says(&["rmi", "busybox"]);
    let load = Half::send(&engine, "POST", "/images/load", &archive);
    let both = [at_work(&engine, "layer"), at_work(&engine, "inflate")];
    engine.kill_daemon();
    until("their end", || both.iter().all(|one| !is_there(one)));
    drop(load);
    engine.start();
    // The door is open before the sweep is done; answers come after.
    assert_eq!(engine.says(&["images", "-q", "busybox"]), "");
    assert_eq!(layers(&engine).len(), 1, "the built-in image's");
    let load = Half::send(&engine, "POST", "/images/load", &archive);
    assert!(load.ends().contains("Loaded image: busybox:latest"));
    engine.leaves_nothing();
}

/// It has not ended: an orphan whom nobody has waited for has no memory.
fn is_there(worker: &Worker) -> bool {
    fs::read(worker.file("cmdline")).is_ok_and(|words| !words.is_empty())
}
