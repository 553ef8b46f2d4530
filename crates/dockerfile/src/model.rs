//! What a Dockerfile says, typed.
//!
//! Words stand here as they were written: nothing is expanded yet, because
//! what `$x` means is known only when its stage is built.
//!
//! Source: Docker's "Dockerfile reference".

use std::time::Duration;

/// A whole Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The comments at its top that are no comments.
    pub directives: Directives,
    /// The `ARG`s before the first `FROM`: what `FROM` lines may use, and the
    /// defaults of stages that say `ARG name` alone.
    pub args: Vec<Step>,
    /// Stages in the order in which they stand; at least one.
    pub stages: Vec<Stage>,
    /// What is allowed and should be told to the author.
    pub warnings: Vec<Warning>,
}

/// Parser directives: `# name=value` lines before all else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend image that the author wants.
    pub syntax: Option<String>,
    /// `# escape=`: a backslash, or a backtick.
    pub escape: char,
    /// `# check=`: which lint rules are skipped.
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { syntax: None, escape: '\\', check: None }
    }
}

/// Lines of the file, counted from 1, both ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lines {
    /// Where it begins.
    pub first: usize,
    /// Where it ends; with a here-document, the line of its last terminator.
    pub last: usize,
}

/// Something that Docker's builder warns of and carries out nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule's name in BuildKit, as `MaintainerDeprecated`.
    pub rule: &'static str,
    /// What is meant, in one line.
    pub text: String,
    /// Where it stands.
    pub lines: Lines,
}

/// One `FROM` and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// An image, an earlier stage's name, or `scratch`; may hold variables.
    pub base: String,
    /// `--platform=`; may hold variables.
    pub platform: Option<String>,
    /// `AS name`, in lower case as Docker keeps it.
    pub name: Option<String>,
    /// The line as written, on one line.
    pub text: String,
    /// Where the `FROM` stands.
    pub lines: Lines,
    /// The instructions after it.
    pub steps: Vec<Step>,
}

/// One instruction at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to do.
    pub instruction: Instruction,
    /// The instruction as written, continuation lines joined, without its
    /// here-documents: what progress and history show.
    pub text: String,
    /// Where it stands.
    pub lines: Lines,
}

/// All that a line may ask, `FROM` apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Instruction {
    Add(Add),
    Arg(Vec<Arg>),
    Cmd(Command),
    Copy(Copy),
    Entrypoint(Command),
    /// Name and value, in order; the older form `ENV name value` gives one.
    Env(Vec<Pair>),
    /// Ports as written; what a variable holds may be several.
    Expose(Vec<String>),
    Healthcheck(Healthcheck),
    Label(Vec<Pair>),
    Maintainer(String),
    /// The instruction to be kept for images built on this one, as written.
    Onbuild(String),
    Run(Run),
    Shell(Vec<String>),
    /// A name or number, as written.
    Stopsignal(String),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Pair {
    pub name: String,
    pub value: String,
}

/// `ARG name` or `ARG name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Arg {
    pub name: String,
    /// The default.
    pub value: Option<String>,
}

/// What `RUN`, `CMD`, `ENTRYPOINT` and a health check start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Words for the stage's shell, here-documents included: what follows
    /// `/bin/sh -c`.
    Shell(String),
    /// The JSON form: a program and its arguments.
    Exec(Vec<String>),
    /// `RUN <<NAME` whose document begins with `#!`: a file of that name is
    /// put in the read-only directory `/dev/pipes`, mode 0755, and executed.
    Script {
        /// The document's name.
        name: String,
        /// Its text.
        data: String,
    },
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// What is run.
    pub command: Command,
    /// `--mount=`, in order.
    pub mounts: Vec<MountText>,
    /// `--network=`.
    pub network: Network,
    /// `--security=`.
    pub security: Security,
}

/// `RUN --network=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Network {
    #[default]
    Default,
    None,
    Host,
}

/// `RUN --security=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Security {
    #[default]
    Sandbox,
    Insecure,
}

/// One `RUN --mount=` as written. Every value may hold variables, numbers
/// too, so it becomes a [`Mount`] only when its stage is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountText {
    /// Fields apart by commas.
    pub text: String,
    /// Its `from=`, which may hold no variables: a stage, an image or a named
    /// context that has to be there before.
    pub from: Option<String>,
}

/// One `RUN --mount=`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `target`, `dst`, `destination`; may be relative to the working
    /// directory. None only for secrets (then `/run/secrets/` and the id, or
    /// no file if there is an environment name) and ssh (then
    /// `/run/buildkit/ssh_agent.N`).
    pub target: Option<String>,
    /// The kind, with what only it has.
    pub kind: MountKind,
}

/// The kinds of `RUN --mount=type=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Files of a stage, an image or the context; what is written is lost.
    Bind {
        /// A stage, image or named context; the build context if none.
        from: Option<String>,
        /// A path in it, `/` if none.
        source: Option<String>,
        /// `rw`: writes are allowed (and thrown away).
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        /// Its name; the (cleaned) target if none.
        id: Option<String>,
        /// What its first use starts with; empty if none.
        from: Option<String>,
        /// A path in that.
        source: Option<String>,
        /// Who may use it at the same time.
        sharing: Sharing,
        /// `ro`.
        read_only: bool,
        /// Of a new directory; 0755 if none.
        mode: Option<u32>,
        /// Its owner, 0 if none.
        uid: Option<u32>,
        /// Its group, 0 if none.
        gid: Option<u32>,
    },
    /// Memory.
    Tmpfs {
        /// The most it may hold, bytes; 0 is no limit of its own.
        size: u64,
    },
    /// Bytes that only this step sees.
    Secret(Held),
    /// The socket of an ssh agent.
    Ssh(Held),
}

/// What secret and ssh mounts share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Its name with the client. None: the last part of the target, for a
    /// secret; `default`, for ssh.
    pub id: Option<String>,
    /// `required`: to fail if the client has none.
    pub required: bool,
    /// `env=` of a secret: the variable that holds it.
    pub env: Option<String>,
    /// 0400 for a secret, 0600 for ssh, if none.
    pub mode: Option<u32>,
    /// 0 if none.
    pub uid: Option<u32>,
    /// 0 if none.
    pub gid: Option<u32>,
}

/// Who may use a cache mount at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody.
    #[default]
    Shared,
    /// Each gets a directory of its own.
    Private,
    /// One after the other.
    Locked,
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// `--from=`: a stage's name or number, an image or a named context; the
    /// build context if none.
    pub from: Option<String>,
    /// Files, and how they are written.
    pub files: Files,
    /// `--parents`: keep the directories of the source's path.
    pub parents: bool,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Add {
    /// Files, addresses, and how they are written.
    pub files: Files,
    /// `--checksum=sha256:…` of a download, or the commit of a repository.
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--unpack`: archives are unpacked or not, whatever the default is
    /// (local archives are, downloads are not).
    pub unpack: Option<bool>,
}

/// Sources, destination and what both `COPY` and `ADD` may say of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Paths with `*`, `?`, `[…]` by Go's `filepath.Match`; for `ADD`, also
    /// addresses. Here-documents are in `documents`.
    pub sources: Vec<String>,
    /// Here-documents used as sources.
    pub documents: Vec<Document>,
    /// A directory if it ends with `/`.
    pub target: String,
    /// `--chown=user:group`, names or numbers.
    pub chown: Option<String>,
    /// `--chmod=`: octal, or symbolic as `u=rwX,go=rX`.
    pub chmod: Option<String>,
    /// `--link`: the layer stands for itself, whatever lies below.
    pub link: bool,
    /// `--exclude=`, patterns as in `.dockerignore`.
    pub exclude: Vec<String>,
}

/// A here-document that becomes a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The file's name: the word after `<<`.
    pub name: String,
    /// Its text; tabs at the beginning of lines are gone if it was `<<-`.
    pub data: String,
    /// Variables in it are expanded: its name was not quoted.
    pub expand: bool,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`: no check, whatever the base image says.
    None,
    /// `CMD`. What is not said is the engine's default.
    Cmd {
        /// What is run.
        test: Command,
        /// `--interval=`.
        interval: Option<Duration>,
        /// `--timeout=`.
        timeout: Option<Duration>,
        /// `--start-period=`.
        start_period: Option<Duration>,
        /// `--start-interval=`.
        start_interval: Option<Duration>,
        /// `--retries=`.
        retries: Option<u32>,
    },
}

impl Instruction {
    /// Its word, in capitals.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}
