//! Files from one tree into another, on a real file system.

use build::{Chmod, Counts, Manner, Target, Tree};
use dockerfile::Ignore;
use rustix::fs::{Mode, OFlags};
use std::{
    fs,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::Path,
};

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().expect("scratch"));
        for dir in ["from/dir/sub", "to/etc", "outside"] {
            fs::create_dir_all(scratch.path(dir)).expect("mkdir");
        }
        fs::write(scratch.path("outside/secret"), "secret").expect("write");
        scratch
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).expect("write");
    }

    fn tree(&self) -> Tree {
        Tree::new(open(&self.path("from")))
    }

    fn to(&self) -> OwnedFd {
        open(&self.path("to"))
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), String> {
        self.copy_as(from, to, &Manner { owner: Some((0, 0)), ..Manner::default() })
    }

    fn copy_as(&self, from: &str, to: &str, manner: &Manner<'_>) -> Result<(), String> {
        let tree = self.tree();
        let root = self.to();
        for found in tree.matching(from, false).map_err(|e| e.to_string())? {
            Target::new(root.as_fd()).copy(&found, to, manner).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|e| e.to_string())
    }

    fn sum(&self, path: &str) -> [u8; 32] {
        let tree = self.tree();
        tree.sum(&tree.find(path).expect(path), Counts::default()).expect(path)
    }
}

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).expect("open")
}

#[test]
fn a_source_never_leads_out_of_its_tree() {
    let scratch = Scratch::new();
    symlink(scratch.path("outside"), scratch.path("from/out")).expect("symlink");
    symlink("../../../../../../../../etc/passwd", scratch.path("from/up")).expect("symlink");
    for path in ["out/secret", "up", "../outside/secret", "dir/../../outside/secret", "out/*"] {
        assert!(scratch.copy(path, "/x").is_err(), "{path}");
    }
    // A link inside is followed, inside.
    symlink("/dir/a", scratch.path("from/inside")).expect("symlink");
    scratch.write("from/dir/a", "a");
    scratch.copy("inside", "/x").expect("copied");
    assert_eq!(scratch.read("to/x"), "a");
}

#[test]
fn a_target_never_leads_out_of_its_root() {
    let scratch = Scratch::new();
    scratch.write("from/f", "planted");
    symlink(scratch.path("outside"), scratch.path("to/link")).expect("symlink");
    symlink(scratch.path("outside/secret"), scratch.path("to/file")).expect("symlink");
    symlink("../../../../..", scratch.path("to/up")).expect("symlink");
    for target in ["/link/f", "/link/", "/file", "/up/f", "/../../f", "/etc/../../../f"] {
        scratch.copy("f", target).expect(target);
    }
    assert_eq!(scratch.read("outside/secret"), "secret");
    assert_eq!(fs::read_dir(scratch.path("outside")).expect("list").count(), 1);
    // The link itself was replaced, or led to its place inside the root.
    assert_eq!(scratch.read("to/file"), "planted");
    assert_eq!(scratch.read("to/f"), "planted");
}

#[test]
fn a_directory_gives_what_is_in_it_and_a_file_keeps_its_name() {
    let scratch = Scratch::new();
    scratch.write("from/dir/a", "a");
    scratch.write("from/dir/sub/b", "b");
    let mode = fs::Permissions::from_mode(0o751);
    fs::set_permissions(scratch.path("from/dir"), mode).expect("chmod");
    scratch.copy("dir", "/new").expect("copied");
    scratch.copy("dir/a", "/new/sub").expect("copied");
    scratch.copy("dir", "/etc").expect("copied");
    assert_eq!(scratch.read("to/new/sub/a"), "a");
    assert_eq!(scratch.read("to/etc/sub/b"), "b");
    let mode = |path: &str| fs::metadata(scratch.path(path)).expect(path).mode() & 0o7777;
    assert_eq!((mode("to/new"), mode("to/etc")), (0o755, 0o755), "new, or as it was");
    assert!(scratch.copy("dir/a", "/etc/sub/..").is_ok());
    scratch.write("to/plain", "x");
    assert!(scratch.copy("dir", "/plain").is_err(), "a file is no place for a directory");
    assert!(scratch.copy("dir/a", "/plain/x").is_err());
}

#[test]
fn owners_modes_and_what_is_left_out_are_as_asked() {
    let scratch = Scratch::new();
    scratch.write("from/dir/a.txt", "a");
    scratch.write("from/dir/b.md", "b");
    fs::hard_link(scratch.path("from/dir/a.txt"), scratch.path("from/dir/c")).expect("link");
    let skip = Ignore::new(["b.md"]).expect("a pattern");
    let chmod = Chmod::parse("u=rwX,go=").expect("valid");
    let manner =
        Manner { owner: Some((7, 8)), chmod: Some(chmod), skip: Some(&skip), follow: false };
    scratch.copy_as("dir", "/deep/er", &manner).expect("copied");
    let meta = |path: &str| fs::metadata(scratch.path(path)).expect(path);
    let file = meta("to/deep/er/a.txt");
    assert_eq!((file.uid(), file.gid(), file.mode() & 0o7777), (7, 8, 0o600));
    assert_eq!((meta("to/deep").uid(), meta("to/deep/er").mode() & 0o7777), (7, 0o700));
    assert_eq!(file.ino(), meta("to/deep/er/c").ino(), "two names of one file stay so");
    assert!(!scratch.path("to/deep/er/b.md").exists());
}

#[test]
fn owners_come_along_where_they_are_to_be_kept() {
    let scratch = Scratch::new();
    scratch.write("from/dir/a", "a");
    for (path, who) in [("dir", 5), ("dir/a", 6), ("dir/sub", 7)] {
        std::os::unix::fs::chown(scratch.path("from").join(path), Some(who), Some(who))
            .expect("chown");
    }
    scratch.copy_as("dir", "/new", &Manner::default()).expect("copied");
    let tree = scratch.tree();
    let found = tree.find("dir").expect("found");
    Target::new(scratch.to().as_fd()).take(&found, "taken").expect("copied");
    let uid = |path: &str| fs::metadata(scratch.path("to").join(path)).expect(path).uid();
    assert_eq!((uid("new"), uid("new/a"), uid("new/sub")), (0, 6, 7), "a new directory is root's");
    assert_eq!((uid("taken"), uid("taken/a")), (5, 6));
}

#[test]
fn what_is_taken_back_comes_with_its_directories_and_counts() {
    let scratch = Scratch::new();
    for dir in ["from/dir/out/deep/keep", "from/dir/out/empty", "from/dir/gone/deep"] {
        fs::create_dir_all(scratch.path(dir)).expect("mkdir");
    }
    for file in ["out/lost", "out/deep/keep/f", "out/deep/lost", "gone/deep/f"] {
        scratch.write(&format!("from/dir/{file}"), "before");
    }
    let skip = Ignore::new(["out", "gone", "!out/deep/keep", "!gone/none"]).expect("patterns");
    let counts = Counts { skip: Some(&skip), ..Counts::default() };
    let sum = || {
        let tree = scratch.tree();
        tree.sum(&tree.find("dir").expect("found"), counts).expect("sum")
    };
    let manner = Manner { owner: Some((0, 0)), skip: Some(&skip), ..Manner::default() };
    scratch.copy_as("dir", "/new", &manner).expect("copied");
    assert_eq!(scratch.read("to/new/out/deep/keep/f"), "before");
    for path in ["out/lost", "out/deep/lost", "out/empty", "gone"] {
        assert!(!scratch.path("to/new").join(path).exists(), "{path}");
    }
    let before = sum();
    scratch.write("from/dir/out/lost", "after");
    assert_eq!(sum(), before, "what stays behind does not count");
    scratch.write("from/dir/out/deep/keep/f", "after");
    assert_ne!(sum(), before);
}

#[test]
fn a_sum_tells_content_mode_and_names_and_not_time() {
    let scratch = Scratch::new();
    scratch.write("from/dir/a", "a");
    let before = scratch.sum("dir");
    let file = fs::File::options().write(true).open(scratch.path("from/dir/a")).expect("open");
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("touch");
    assert_eq!(scratch.sum("dir"), before);
    fs::set_permissions(scratch.path("from/dir/a"), fs::Permissions::from_mode(0o700))
        .expect("chmod");
    let mode = scratch.sum("dir");
    assert_ne!(mode, before);
    fs::rename(scratch.path("from/dir/a"), scratch.path("from/dir/b")).expect("rename");
    let name = scratch.sum("dir");
    assert_ne!(name, mode);
    scratch.write("from/dir/b", "b");
    assert_ne!(scratch.sum("dir"), name);
    fs::create_dir(scratch.path("from/dir/c")).expect("mkdir");
    let with_dir = scratch.sum("dir");
    fs::rename(scratch.path("from/dir/c"), scratch.path("from/dir/sub/c")).expect("rename");
    assert_ne!(scratch.sum("dir"), with_dir, "where a directory is makes a difference");
}

#[test]
fn wildcards_walk_part_by_part() {
    let scratch = Scratch::new();
    for file in ["a.txt", "b.txt", "c.md", "dir/d.txt", "dir/sub/e.txt"] {
        scratch.write(&format!("from/{file}"), file);
    }
    let tree = scratch.tree();
    let names = |pattern: &str| {
        let found = tree.matching(pattern, true).expect(pattern);
        found.into_iter().map(|found| found.path).collect::<Vec<_>>()
    };
    assert_eq!(names("*.txt"), ["a.txt", "b.txt"]);
    assert_eq!(names("d*/*.txt"), ["dir/d.txt"]);
    assert_eq!(names("[bc].*"), ["b.txt", "c.md"]);
    assert_eq!(names("**/*.txt"), ["a.txt", "b.txt", "dir/d.txt", "dir/sub/e.txt"]);
    let shallow = tree.matching("**/*.txt", false).expect("some");
    let shallow: Vec<_> = shallow.iter().map(|found| found.path.as_str()).collect();
    assert_eq!(shallow, ["dir/d.txt"], "for COPY two stars are one");
    assert!(tree.matching("*.none", true).is_err() && tree.matching("[", true).is_err());
}

/// Of one letter each.
fn nested(levels: usize) -> String {
    vec!["d"; levels].join("/")
}

/// On a stack no larger than those that builds run on.
fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(512 << 10);
        thread.spawn_scoped(scope, work).expect("a thread").join().expect("no panic")
    })
}

#[test]
fn a_path_of_two_thousand_parts_is_made_on_a_small_stack() {
    let scratch = Scratch::new();
    let path = nested(2000);
    // On the way a link that leads deep to where nothing is.
    symlink(nested(1000), scratch.path("to/link")).expect("symlink");
    on_a_small_stack(|| {
        let root = scratch.to();
        let target = Target::new(root.as_fd());
        target.dir(&path, None).expect("made");
        target.dir(&format!("link/{}", nested(900)), None).expect("made");
        assert!(target.is_dir(&path).expect("looked at"));
        assert!(target.is_dir(&nested(1900)).expect("looked at"));
    });
}

#[test]
fn a_link_to_where_nothing_is_leads_inside_the_root() {
    let scratch = Scratch::new();
    symlink("../../../made/there", scratch.path("to/etc/link")).expect("symlink");
    symlink("loop", scratch.path("to/loop")).expect("symlink");
    let root = scratch.to();
    let target = Target::new(root.as_fd());
    target.dir("etc/link/a/b", None).expect("made");
    assert!(scratch.path("to/made/there/a/b").is_dir());
    assert!(target.dir("loop/a", None).is_err());
    scratch.write("to/file", "x");
    let refused = target.dir("file/a", None).expect_err("a file is in the way").to_string();
    assert_eq!(refused, "cannot create the directory /file/a: something else is in its place");
}

#[test]
fn a_source_that_is_nested_too_deep_is_refused_on_a_small_stack() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.path(&format!("from/deep/{}", nested(199)))).expect("mkdir");
    let ignore = Ignore::new(["deep", "!**/kept"]).expect("patterns");
    let copied = || on_a_small_stack(|| scratch.copy("deep", "/copy"));
    let summed = |counts: Counts<'_>| {
        on_a_small_stack(|| {
            let tree = scratch.tree();
            tree.sum(&tree.find("").expect("root"), counts).map_err(|e| e.to_string())
        })
    };
    let skipping = Counts { skip: Some(&ignore), ..Counts::default() };
    copied().expect("just deep enough");
    summed(skipping).expect("just deep enough");
    fs::create_dir_all(scratch.path(&format!("from/deep/{}", nested(1900)))).expect("mkdir");
    for refused in [copied().err(), summed(Counts::default()).err(), summed(skipping).err()] {
        let words = refused.expect("too deep");
        assert!(words.contains("nested too deep: 200 levels are the most"), "{words}");
    }
}
