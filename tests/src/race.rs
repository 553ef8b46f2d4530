//! One racer for every race between a check of a path and its use.
//!
//! A container of the attacker's changes places between a good thing and a
//! link, without a pause, in a directory that it shares with what the engine
//! does: a volume, its own root. `look swap` is its program.

use crate::{Engine, Outside, attack::must_fail, until};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

/// A race that runs; it ends with the engine's containers.
pub struct Race<'a> {
    engine: &'a Engine,
    outside: Outside<'a>,
    volume: PathBuf,
}

impl<'a> Race<'a> {
    /// Starts the container `racer`. It has the volume at `/race`, where
    /// `d`, a directory with a file `secret`, changes places with a link to
    /// the directory outside, and so does `/d` in its root.
    ///
    /// `look` is the program of that name.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn of_directories(engine: &'a Engine, look: &str) -> Self {
        let outside = Outside::of(engine);
        let volume = engine.scratch().join("race");
        fs::create_dir_all(volume.join("d")).expect("scratch");
        fs::write(volume.join("d/secret"), "the racer's own").expect("scratch");
        symlink(outside.dir(), volume.join("l")).expect("scratch");
        let race = Self { engine, outside, volume };
        race.start(look, &["/race/d", "/race/l", "/d", "/l"]);
        race
    }

    /// The same with a volume that is to be a `/dev`: `null`, a null device,
    /// and `console`, a file, change places with links to `target`.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn of_devices(engine: &'a Engine, look: &str, target: &str) -> Self {
        let outside = Outside::of(engine);
        let volume = engine.scratch().join("race");
        fs::create_dir(&volume).expect("scratch");
        engine.host().says(&format!("mknod -m 666 {}/null c 1 3", volume.display()));
        fs::write(volume.join("console"), "").expect("scratch");
        for link in ["n", "c"] {
            symlink(target, volume.join(link)).expect("scratch");
        }
        let race = Self { engine, outside, volume };
        race.start(look, &["/race/null", "/race/n", "/race/console", "/race/c"]);
        race
    }

    fn start(&self, look: &str, pairs: &[&str]) {
        let (volume, look) = (format!("{}:/race", self.path()), format!("{look}:/look:ro"));
        let script = format!(
            "mkdir /d && echo own > /d/secret && ln -s {} /l && exec /look swap {}",
            self.outside.path(),
            pairs.join(" ")
        );
        self.engine.says(&[
            "run", "-d", "--name", "racer", "-v", &volume, "-v", &look, "busybox", "sh", "-c",
            &script,
        ]);
        let first = self.volume.join(Path::new(pairs[0]).file_name().expect("a name"));
        until("the racer", || fs::symlink_metadata(&first).is_ok_and(|about| about.is_symlink()));
    }

    /// What it shares, as the host sees it.
    pub fn path(&self) -> String {
        self.volume.display().to_string()
    }

    /// What must stay as it is.
    pub fn outside(&self) -> &Outside<'a> {
        &self.outside
    }

    /// The racer wins against whoever looks at `name` first and uses it then:
    /// it was no link, and it led elsewhere.
    ///
    /// # Panics
    /// If it does not.
    pub fn bites(&self, name: &str) {
        let path = self.volume.join(name);
        until("a check by path to be led astray", || {
            (0..1000).any(|_| {
                let checked = fs::symlink_metadata(&path).expect("one of the two");
                // The target may be a path that only a container has.
                let used = fs::metadata(&path).map_or(0, |about| about.ino());
                !checked.is_symlink() && used != checked.ino()
            })
        });
    }

    /// Tries an attack so many times while the racer runs. It gets through if
    /// it says so, or if anything outside has changed.
    ///
    /// # Panics
    /// If it gets through.
    pub fn holds(&self, name: &str, times: usize, mut attack: impl FnMut(usize) -> Option<String>) {
        must_fail(name, || (0..times).find_map(&mut attack).or_else(|| self.outside.changed()));
        assert_eq!(self.engine.inspect("racer", "{{.State.Running}}"), "true", "it raced on");
    }
}
