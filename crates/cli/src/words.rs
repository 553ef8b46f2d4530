//! Every word of the command line, as one table: the parser, the help texts,
//! the man pages and the completions all come from it.
//!
//! Names and meanings are the Docker CLI's, so that what fingers have learnt
//! still works. A word that we do not carry is an error, not ignored.
//!
//! - [`containers`], [`images`], [`build`], [`networks`]: the flags of each command
//! - [`compose`]: those of `compose`
//! - [`run`]: those of `run` and `create`
//! - [`sockets`]: those of sockets for who may do less
//! - [`read`]: what was typed into them, and what is wrong with it
//! - [`later`]: large parts of the table, built when they are needed

mod build;
mod compose;
mod containers;
mod images;
mod later;
mod networks;
mod read;
mod run;
mod sockets;

pub use build::{Build, Builder, BuilderPrune};
pub use compose::{
    Compose, ComposeBuild, ComposeCommand, ComposeConfig, ComposeCp, ComposeDown, ComposeEvents,
    ComposeExec, ComposeKill, ComposeLogs, ComposePort, ComposePs, ComposePull, ComposePush,
    ComposeRestart, ComposeRm, ComposeRun, ComposeStats, ComposeStop, ComposeUp, ProjectFlags,
    Services,
};
pub use containers::{
    Attach, Commit, Copy, Exec, Export, Kill, Logs, Port, Ps, Rename, Rm, Start, Stats, Stop, Top,
    Update,
};
pub use images::{
    History, Images, Import, Load, Login, Logout, Manifest, Pull, Push, Referrers, Rmi, Save,
    Search, Tag,
};
pub use later::Later;
pub use networks::{
    Network, NetworkConnect, NetworkCreate, NetworkDisconnect, Volume, VolumeCreate, VolumeExport,
    VolumeImport,
};
pub use read::{Unread, read};
pub use run::{Limits, RunFlags};
pub use sockets::{Socket, SocketCreate, SocketLog, SocketLs};

use crate::tls::Papers;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// A container engine that confines every container in every way the kernel offers.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version, disable_help_flag = true, disable_version_flag = true)]
pub struct Words {
    /// The engine: unix://PATH, tcp://HOST[:PORT] with --tlsverify, or
    /// ssh://[USER@]HOST[:PORT] (else DOCKER_HOST, else the default socket)
    #[arg(short = 'H', long, global = true, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// The engine by its name, as `docker context` keeps it (else
    /// DOCKER_CONTEXT, else the current one; DOCKER_HOST comes before these)
    #[arg(short = 'c', long, value_name = "CONTEXT")]
    pub context: Option<String>,
    /// Over tcp://, speak to the engine alone that has a certificate of
    /// --tlscacert, and show ours (else DOCKER_TLS_VERIFY)
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub tlsverify: Option<bool>,
    /// Authorities of the engine's certificate (else ca.pem in
    /// DOCKER_CERT_PATH or ~/.docker)
    #[arg(long, value_name = "FILE")]
    pub tlscacert: Option<std::path::PathBuf>,
    /// Our certificate (else cert.pem there)
    #[arg(long, value_name = "FILE")]
    pub tlscert: Option<std::path::PathBuf>,
    /// Its key (else key.pem there)
    #[arg(long, value_name = "FILE")]
    pub tlskey: Option<std::path::PathBuf>,
    /// Print this help
    #[arg(long, global = true, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
    /// Print the version of this program
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
    #[command(subcommand)]
    pub command: Command,
}

impl Words {
    /// What was said of certificates, completed.
    pub fn papers(&self) -> Papers {
        let named = [&self.tlscacert, &self.tlscert, &self.tlskey].map(Clone::clone);
        Papers::new(self.tlsverify, named)
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a new container
    Run(Later<RunFlags>),
    /// Make a container without starting it
    Create(Later<RunFlags>),
    /// Start stopped containers
    Start(Later<Start>),
    /// Attach the terminal to a running container
    Attach(Later<Attach>),
    /// Run a command in a running container
    Exec(Later<Exec>),
    /// Show what a container wrote
    Logs(Later<Logs>),
    /// Stop containers: their stop signal, then SIGKILL
    Stop(Later<Stop>),
    /// Stop containers and start them again
    Restart(Later<Stop>),
    /// Send a signal to containers
    Kill(Later<Kill>),
    /// Remove containers
    Rm(Later<Rm>),
    /// Wait until containers end, and print their exit codes
    Wait(Later<Names>),
    /// List containers
    Ps(Later<Ps>),
    /// Everything about containers, images, volumes or networks
    Inspect(Later<Inspect>),
    /// Give a container another name
    Rename(Later<Rename>),
    /// List the processes of a container
    Top(Later<Top>),
    /// Copy files to or from a container ("-" for a tar archive)
    Cp(Later<Copy>),
    /// Show what changed in a container's files
    Diff(Later<Name>),
    /// Write a container's files as a tar archive
    Export(Later<Export>),
    /// List a container's published ports
    Port(Later<Port>),
    /// Freeze containers
    Pause(Later<Names>),
    /// Let frozen containers go on
    Unpause(Later<Names>),
    /// Change a container's limits while it runs
    Update(Later<Update>),
    /// Show what containers use, as it changes
    Stats(Later<Stats>),
    /// Show what happens in the engine, as it happens
    Events(Later<Events>),
    /// Build an image from a Dockerfile
    Build(Later<Build>),
    /// Building images
    #[command(subcommand)]
    Builder(Later<Builder>),
    /// Make an image of a container's changes
    Commit(Later<Commit>),
    /// List images
    Images(Later<Images>),
    /// Make an image of a root file system's tar archive
    Import(Later<Import>),
    /// Take images from an archive
    Load(Later<Load>),
    /// Write images to an archive
    Save(Later<Save>),
    /// Fetch an image from a registry
    Pull(Later<Pull>),
    /// Send an image to a registry
    Push(Later<Push>),
    /// Tell a registry who you are, and remember it
    Login(Later<Login>),
    /// Forget who you are to a registry
    Logout(Later<Logout>),
    /// Search a registry for images
    Search(Later<Search>),
    /// What registries hold under a name
    #[command(subcommand)]
    Manifest(Later<Manifest>),
    /// Give an image another name
    Tag(Later<Tag>),
    /// Remove images
    Rmi(Later<Rmi>),
    /// Show how an image was made
    History(Later<History>),
    /// Several containers as one project, from Compose files
    Compose(Later<Compose>),
    /// Volumes
    #[command(subcommand)]
    Volume(Later<Volume>),
    /// Networks
    #[command(subcommand)]
    Network(Later<Network>),
    /// Images, under Docker's newer words
    #[command(subcommand)]
    Image(Later<Image>),
    /// Containers, under Docker's newer words
    #[command(subcommand)]
    Container(Later<Container>),
    /// Sockets for those who may do less
    #[command(subcommand)]
    Socket(Later<Socket>),
    /// The engine itself
    #[command(subcommand)]
    System(Later<System>),
    /// About the engine and this machine
    Info(Later<Format>),
    /// Versions of this program and of the engine
    Version(Later<Format>),
    /// What the kernel says of the containers' confinement, and every weakening
    Audit(Later<Audit>),
    /// What was denied to a container, by which layer, and what would allow it
    Why(Later<Why>),
    /// What this machine lacks of what containers rest on, and how to mend it
    Doctor(Later<Format>),
    /// Take over the images, volumes and containers of a Docker that is stopped
    Migrate(Later<Migrate>),
    /// Print a script that completes words and names in a shell
    Completion(Later<Completion>),
    /// Write the man pages into a directory
    #[command(hide = true)]
    Man(Later<Man>),
}

#[derive(Debug, Args)]
pub struct Completion {
    /// The shell that is to run it
    pub shell: Shell,
}

/// Shells that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub struct Man {
    #[arg(value_name = "PATH")]
    pub directory: std::path::PathBuf,
}

#[derive(Debug, Args)]
pub struct Format {
    /// A Go template, or "json"
    #[arg(short, long)]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct Audit {
    /// One container; all running ones if none is named
    pub container: Option<String>,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct Why {
    /// Look at it for so long, such as 10s
    #[arg(long = "for", value_name = "DURATION", conflicts_with_all = ["start", "allow"])]
    pub duration: Option<String>,
    /// Start it, and look at it until it ends (for 10 minutes at most)
    #[arg(long, conflicts_with_all = ["allow", "command"])]
    pub start: bool,
    /// Print its filter of system calls with these allowed, to be given to
    /// --security-opt seccomp=FILE
    #[arg(long, value_name = "CALL", value_delimiter = ',', conflicts_with = "command")]
    pub allow: Vec<String>,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// The container
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    /// A program to run in it, and to look at it meanwhile
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Name {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct Names {
    #[arg(value_name = "CONTAINER", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Inspect {
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// A Go template, or "json"
    #[arg(short, long)]
    pub format: Option<String>,
    /// With the size of a container's files
    #[arg(short, long)]
    pub size: bool,
    /// container, image, volume or network
    #[arg(long = "type")]
    pub kind: Option<String>,
}

#[derive(Debug, Args)]
pub struct Events {
    /// KEY=VALUE
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// From a time on
    #[arg(long, default_value = "", hide_default_value = true)]
    pub since: String,
    /// Up to a time
    #[arg(long, default_value = "", hide_default_value = true)]
    pub until: String,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct List {
    /// KEY=VALUE
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Names alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Whole identifiers
    #[arg(long)]
    pub no_trunc: bool,
}

#[derive(Debug, Args)]
pub struct Prune {
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Also what only lacks a user at the moment
    #[arg(short, long)]
    pub all: bool,
    /// Volumes too (of `system prune`)
    #[arg(long)]
    pub volumes: bool,
    /// KEY=VALUE
    #[arg(long)]
    pub filter: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Image {
    /// Build an image from a Dockerfile
    Build(Later<Build>),
    /// List images
    #[command(visible_alias = "list")]
    Ls(Later<Images>),
    /// Everything about images
    Inspect(Later<Inspect>),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(Later<Rmi>),
    /// Remove images without a name
    Prune(Later<Prune>),
    /// Keep images from being pruned and collected
    Pin(Later<Pin>),
    /// Let images be pruned and collected again
    Unpin(Later<Pin>),
    /// Give an image another name
    Tag(Later<Tag>),
    /// Show how an image was made
    History(Later<History>),
    /// Take images from an archive
    Load(Later<Load>),
    /// Write images to an archive
    Save(Later<Save>),
    /// Make an image of a root file system's tar archive
    Import(Later<Import>),
    /// Fetch an image from a registry
    Pull(Later<Pull>),
    /// Send an image to a registry
    Push(Later<Push>),
    /// List what is attached to an image at its registry
    Referrers(Later<Referrers>),
}

#[derive(Debug, Subcommand)]
pub enum Container {
    Run(Later<RunFlags>),
    Create(Later<RunFlags>),
    Start(Later<Start>),
    Attach(Later<Attach>),
    Exec(Later<Exec>),
    Logs(Later<Logs>),
    Stop(Later<Stop>),
    Restart(Later<Stop>),
    Kill(Later<Kill>),
    #[command(visible_alias = "remove")]
    Rm(Later<Rm>),
    Wait(Later<Names>),
    #[command(visible_aliases = ["ps", "list"])]
    Ls(Later<Ps>),
    Inspect(Later<Inspect>),
    Rename(Later<Rename>),
    Top(Later<Top>),
    Cp(Later<Copy>),
    Diff(Later<Name>),
    Export(Later<Export>),
    Port(Later<Port>),
    Pause(Later<Names>),
    Unpause(Later<Names>),
    Update(Later<Update>),
    Stats(Later<Stats>),
    Commit(Later<Commit>),
    /// Remove containers that do not run
    Prune(Later<Prune>),
}

#[derive(Debug, Subcommand)]
pub enum System {
    /// What images, containers and volumes take
    Df(Later<SystemDf>),
    /// Remove what nothing uses
    Prune(Later<Prune>),
    /// About the engine and this machine
    Info(Later<Format>),
    /// Show what happens in the engine
    Events(Later<Events>),
    /// Look whether images, containers and volumes hold together
    Check(Later<SystemCheck>),
    /// Remove images that nothing uses until the disk is free enough, those
    /// first that were not used for longest
    Gc(Later<SystemGc>),
    /// Carry the input and output to the engine, as ssh:// wants it
    #[command(hide = true)]
    DialStdio,
}

#[derive(Debug, Args)]
pub struct Pin {
    #[arg(value_name = "IMAGE", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Migrate {
    /// Docker's data root, on the engine's machine
    #[arg(long, value_name = "DIR", default_value = "/var/lib/docker")]
    pub root: String,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Move volumes out of Docker's root instead of copying them
    #[arg(long = "move")]
    pub moves: bool,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct SystemCheck {
    /// Mend what can be mended
    #[arg(long)]
    pub repair: bool,
    /// Read all layers and compare them with their digests
    #[arg(long)]
    pub content: bool,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
}

#[derive(Debug, Args)]
pub struct SystemGc {
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct SystemDf {
    /// Each object
    #[arg(short, long)]
    pub verbose: bool,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
}
