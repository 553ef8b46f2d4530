//! Builds of tests: a context in an engine's scratch directory, and the two
//! doors that a client builds through.

use crate::{Cli, Engine, Ran, finish};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Both CLIs, for what each must do alike.
pub const BOTH: [Cli; 2] = [Cli::Docker, Cli::Cofferdam];

/// A context in the engine's scratch directory, for the classic door.
pub struct Context<'a> {
    /// Whose.
    pub engine: &'a Engine,
    /// It.
    pub dir: PathBuf,
}

impl<'a> Context<'a> {
    /// A new directory.
    ///
    /// # Panics
    /// If there is one of that name.
    #[must_use]
    pub fn new(engine: &'a Engine, name: &str) -> Self {
        let dir = engine.scratch().join(name);
        fs::create_dir(&dir).expect("scratch");
        Self { engine, dir }
    }

    /// Writes one of its files.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("scratch");
        fs::write(path, text).expect("scratch");
        self
    }

    /// A build that is to be started; `-` among the words stands for the
    /// context.
    #[must_use]
    pub fn command(&self, cli: Cli, words: &[&str]) -> Command {
        let mut all = vec!["build"];
        all.extend(words);
        let dir = self.dir.display().to_string();
        if !words.contains(&"-") {
            all.push(&dir);
        }
        let mut command = self.engine.command(cli, &all);
        command.env("DOCKER_BUILDKIT", "0").stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Builds through one of the CLIs.
    ///
    /// # Panics
    /// If it does not end.
    pub fn build(&self, cli: Cli, words: &[&str]) -> Ran {
        let ran = finish(self.command(cli, words).spawn().expect("starts"), "a build");
        let shown = |line: &&str| !line.contains("IPv4 forwarding");
        Ran { out: ran.out.lines().filter(shown).collect::<Vec<_>>().join("\n"), ..ran }
    }

    /// Builds what must succeed; what was said.
    ///
    /// # Panics
    /// If it fails.
    pub fn builds(&self, cli: Cli, words: &[&str]) -> String {
        let ran = self.build(cli, words);
        assert_eq!(ran.code, 0, "{ran:?}\ndaemon: {}", self.engine.logged());
        ran.out
    }

    /// Builds what must fail; the words.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fails(&self, cli: Cli, words: &[&str]) -> String {
        let ran = self.build(cli, words);
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.err
    }

    /// Writes its Dockerfile.
    pub fn dockerfile(&self, text: &str) -> &Self {
        self.file("Dockerfile", text)
    }
}

/// A context that is there already.
pub fn at<'a>(engine: &'a Engine, dir: &Path) -> Context<'a> {
    Context { engine, dir: dir.to_owned() }
}

/// An image's identifier.
pub fn id(engine: &Engine, image: &str) -> String {
    engine.says(&["image", "inspect", "--format", "{{.Id}}", image])
}

/// A web server on the test host. Ends when dropped.
pub struct Serving(Child);

impl Serving {
    /// Serves a directory.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(engine: &Engine, dir: &Path) -> Self {
        let mut command = engine.host().command("python3");
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0", "--directory"]);
        let child = command.arg(dir).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self(child.expect("python3 starts"))
    }

    /// Something that was started already, and says on its standard output
    /// where it listens as Python's own server does.
    #[must_use]
    pub fn of(child: Child) -> Self {
        Self(child)
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If it does not say so, or was asked before.
    pub fn port(&mut self) -> u16 {
        let out = self.0.stdout.take().expect("piped");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).expect("a line");
        let port = line.split_whitespace().nth(5).expect("Serving HTTP on ADDRESS port PORT");
        port.parse().expect("a port")
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An engine whose Docker CLI has its plugins, and a context: BuildKit's door.
pub struct Kitchen {
    /// It.
    pub engine: Engine,
    /// The context.
    pub context: PathBuf,
}

impl Kitchen {
    /// A new engine.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn new() -> Self {
        Self::of(Engine::new())
    }

    /// The same around an engine that is there.
    ///
    /// # Panics
    /// If the plugins are not there.
    pub fn of(engine: Engine) -> Self {
        let plugins = engine.client_config().join("cli-plugins");
        fs::create_dir_all(&plugins).expect("scratch");
        for (variable, name) in
            [("COFFERDAM_BUILDX", "docker-buildx"), ("COFFERDAM_COMPOSE", "docker-compose")]
        {
            let plugin = std::env::var_os(variable);
            let plugin = plugin.unwrap_or_else(|| panic!("no {variable}: run `cargo xtask test`"));
            symlink(plugin, plugins.join(name)).expect("scratch");
        }
        let context = engine.scratch().join("context");
        fs::create_dir(&context).expect("scratch");
        Self { engine, context }
    }

    /// Writes a file of the context.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.context.join(path);
        fs::create_dir_all(path.parent().expect("below")).expect("scratch");
        fs::write(path, text).expect("scratch");
        self
    }

    /// Builds a Dockerfile; progress is on standard error.
    pub fn build(&self, dockerfile: &str, words: &[&str]) -> Ran {
        self.file("Dockerfile", dockerfile);
        let context = self.context.display().to_string();
        let mut all = vec!["build", "--progress=plain"];
        all.extend(words);
        all.push(&context);
        self.engine.run_as(Cli::Docker, &all)
    }

    /// Builds what must succeed; gives the progress.
    ///
    /// # Panics
    /// If it fails.
    pub fn builds(&self, dockerfile: &str, words: &[&str]) -> String {
        let ran = self.build(dockerfile, words);
        assert_eq!(ran.code, 0, "{ran:?}\ndaemon: {}", self.engine.logged());
        ran.err
    }

    /// Builds what must fail; gives the progress.
    ///
    /// # Panics
    /// If it succeeds.
    pub fn fails(&self, dockerfile: &str, words: &[&str]) -> String {
        let ran = self.build(dockerfile, words);
        assert_ne!(ran.code, 0, "{ran:?}");
        ran.err
    }

    /// What a file of an image holds.
    pub fn holds(&self, image: &str, path: &str) -> String {
        self.engine.says(&["run", "--rm", image, "cat", path])
    }

    /// A path of the scratch directory, in words.
    pub fn out(&self, name: &str) -> String {
        self.engine.scratch().join(name).display().to_string()
    }
}

impl Default for Kitchen {
    fn default() -> Self {
        Self::new()
    }
}
