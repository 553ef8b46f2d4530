//! `cofferdam-run`: the program that makes containers.
//!
//! It is an OCI runtime: a verb reads a bundle or the state of a container,
//! does one thing and ends; what must last is kept in files below `--root`,
//! in control groups and in the container's own processes. The engine starts
//! it as `cofferdam-run nursery` instead, which lives as long as the daemon
//! and from which monitors are forked that live as long as their containers.
//!
//! ```text
//! words (the table) ─▶ args (the parser) ─▶ verbs ─▶ container, bundle
//!                  └─▶ help                      └─▶ runtime, cgroup
//! ```

mod args;
mod bundle;
mod clock;
mod container;
mod hand_over;
mod help;
mod log;
mod problem;
mod record;
mod scope;
mod streams;
mod verbs;
mod words;

use args::Given;
use log::Log;
use problem::{Doing, Problem};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The version of the OCI runtime specification that is spoken.
pub const SPEC: &str = "1.3.0";

/// What holds for every verb.
pub struct App {
    /// Where containers have their directories.
    pub root: PathBuf,
    /// Where lines for the caller go.
    pub log: Log,
    /// `--systemd-cgroup`.
    pub systemd: bool,
}

impl App {
    fn new(globals: &Given) -> Result<Self, Problem> {
        let log = Log::open(globals.last("log"), globals.last("log-format"), globals.has("debug"))?;
        let root = globals.last("root").map_or_else(default_root, PathBuf::from);
        let root = std::path::absolute(&root).doing("find", &root)?;
        let systemd =
            globals.has("systemd-cgroup") || globals.last("cgroup-manager") == Some("systemd");
        Ok(Self { root, log, systemd })
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// As `write(2)`.
    pub fn print(&self, text: &str) -> Result<u8, Problem> {
        std::io::stdout().write_all(text.as_bytes()).doing("write to", "standard output")?;
        Ok(0)
    }
}

fn default_root() -> PathBuf {
    let own = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !rustix::process::geteuid().is_root());
    own.map_or_else(|| "/run".into(), PathBuf::from).join("cofferdam-run")
}

fn main() -> ExitCode {
    // Text that is not UTF-8 names nothing that a verb could find.
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    if words.first().is_some_and(|word| word == "monitor" || word == "nursery") {
        return monitor::main();
    }
    ExitCode::from(begin(&program, &words))
}

/// Reads the options of the program and runs the verb.
fn begin(program: &str, words: &[String]) -> u8 {
    let globals = match args::leading(words::GLOBALS, words) {
        Ok(globals) => globals,
        Err(problem) => {
            print!("Incorrect Usage. {problem}\n\n{}", help::program());
            Log::default().error(&problem.line());
            return 1;
        }
    };
    let Some((name, rest)) = globals.arguments.split_first() else {
        print!("{}", if globals.has("version") { help::version() } else { help::program() });
        return 0;
    };
    if globals.has("version") || globals.has("help") || matches!(name.as_str(), "help" | "h") {
        let asked = rest.first().and_then(|name| words::verb(name));
        let program = if globals.has("version") { help::version() } else { help::program() };
        print!("{}", asked.map_or(program, help::verb));
        return 0;
    }
    let app = match App::new(&globals) {
        Ok(app) => app,
        Err(problem) => {
            Log::default().error(&problem.line());
            return 1;
        }
    };
    if words::REFUSED.contains(&name.as_str()) {
        app.log.error(&Problem::Refused(name.clone()).line());
        return 1;
    }
    let Some(verb) = words::verb(name) else {
        app.log.error(&Problem::UnknownVerb(name.clone()).line());
        return 3;
    };
    match perform(&app, program, verb, rest) {
        Ok(code) => code,
        Err(problem) => {
            if problem.is_usage() {
                print!("Incorrect Usage: {problem}\n\n{}", help::verb(verb));
            }
            app.log.error(&sentence(verb.name, &problem));
            // exec passes codes below 255 on from the program.
            if verb.name == "exec" && !problem.is_usage() { 255 } else { 1 }
        }
    }
}

fn perform(
    app: &App,
    program: &str,
    verb: &'static words::Verb,
    rest: &[String],
) -> Result<u8, Problem> {
    let given = args::following(verb, rest)?;
    if given.has("help") {
        return app.print(&help::verb(verb));
    }
    verb.count.check(given.arguments.len()).map_err(|wanted| Problem::ArgumentCount {
        program: program.to_owned(),
        verb: verb.name,
        wanted,
    })?;
    app.log.debug(&format!("{} {:?} below {}", verb.name, given.arguments, app.root.display()));
    if matches!(verb.name, "create" | "run" | "exec") {
        if !rustix::process::geteuid().is_root() {
            return Err(Problem::NotRoot);
        }
        runtime::protect_self().doing("protect", Path::new("/proc/self/exe"))?;
    }
    (verb.run)(app, &given)
}

/// The line that callers show: which verb failed, where they count on it.
fn sentence(verb: &str, problem: &Problem) -> String {
    let line = problem.line();
    match verb {
        _ if problem.is_usage() => line,
        "create" | "run" => format!("cofferdam-run {verb} failed: {line}"),
        "exec" => format!("exec failed: {line}"),
        _ => line,
    }
}
