//! Every word of the command line, as one table: the parser, the help texts,
//! the man pages and the completions all come from it.
//!
//! Names and meanings are the Docker CLI's, so that what fingers have learnt
//! still works. A word that we do not carry is an error, not ignored.
//!
//! - [`containers`], [`images`], [`build`], [`networks`]: the flags of each command
//! - [`run`]: those of `run` and `create`
//! - [`read`]: what was typed into them, and what is wrong with it
//! - [`later`]: large parts of the table, built when they are needed

mod build;
mod containers;
mod images;
mod later;
mod networks;
mod read;
mod run;

pub use build::{Build, Builder, BuilderPrune};
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
    Network, NetworkConnect, NetworkCreate, NetworkDisconnect, Volume, VolumeCreate,
};
pub use read::{Unread, read};
pub use run::{Limits, RunFlags};

use clap::{Args, Parser, Subcommand};

/// A container engine that confines every container in every way the kernel offers.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version, disable_help_flag = true, disable_version_flag = true)]
pub struct Words {
    /// The engine's socket: unix://PATH (else DOCKER_HOST, else the default)
    #[arg(short = 'H', long, global = true, value_name = "ADDRESS")]
    pub host: Option<String>,
    /// Print this help
    #[arg(long, global = true, action = clap::ArgAction::Help)]
    pub help: Option<bool>,
    /// Print the version of this program
    #[arg(short = 'v', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a new container
    Run(Later<RunFlags>),
    /// Make a container without starting it
    Create(Later<RunFlags>),
    /// Start stopped containers
    Start(Start),
    /// Attach the terminal to a running container
    Attach(Attach),
    /// Run a command in a running container
    Exec(Exec),
    /// Show what a container wrote
    Logs(Logs),
    /// Stop containers: their stop signal, then SIGKILL
    Stop(Stop),
    /// Stop containers and start them again
    Restart(Stop),
    /// Send a signal to containers
    Kill(Kill),
    /// Remove containers
    Rm(Rm),
    /// Wait until containers end, and print their exit codes
    Wait(Names),
    /// List containers
    Ps(Ps),
    /// Everything about containers, images, volumes or networks
    Inspect(Inspect),
    /// Give a container another name
    Rename(Rename),
    /// List the processes of a container
    Top(Top),
    /// Copy files to or from a container ("-" for a tar archive)
    Cp(Copy),
    /// Show what changed in a container's files
    Diff(Name),
    /// Write a container's files as a tar archive
    Export(Export),
    /// List a container's published ports
    Port(Port),
    /// Freeze containers
    Pause(Names),
    /// Let frozen containers go on
    Unpause(Names),
    /// Change a container's limits while it runs
    Update(Later<Update>),
    /// Show what containers use, as it changes
    Stats(Stats),
    /// Show what happens in the engine, as it happens
    Events(Events),
    /// Build an image from a Dockerfile
    Build(Later<Build>),
    /// Building images
    #[command(subcommand)]
    Builder(Later<Builder>),
    /// Make an image of a container's changes
    Commit(Commit),
    /// List images
    Images(Images),
    /// Make an image of a root file system's tar archive
    Import(Import),
    /// Take images from an archive
    Load(Load),
    /// Write images to an archive
    Save(Save),
    /// Fetch an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Tell a registry who you are, and remember it
    Login(Login),
    /// Forget who you are to a registry
    Logout(Logout),
    /// Search a registry for images
    Search(Search),
    /// What registries hold under a name
    #[command(subcommand)]
    Manifest(Manifest),
    /// Give an image another name
    Tag(Tag),
    /// Remove images
    Rmi(Rmi),
    /// Show how an image was made
    History(History),
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
    /// The engine itself
    #[command(subcommand)]
    System(Later<System>),
    /// About the engine and this machine
    Info(Format),
    /// Versions of this program and of the engine
    Version(Format),
    /// What the kernel says of the containers' confinement, and every weakening
    Audit(Audit),
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
    Ls(Images),
    /// Everything about images
    Inspect(Inspect),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(Rmi),
    /// Remove images without a name
    Prune(Prune),
    /// Keep images from being pruned and collected
    Pin(Pin),
    /// Let images be pruned and collected again
    Unpin(Pin),
    /// Give an image another name
    Tag(Tag),
    /// Show how an image was made
    History(History),
    /// Take images from an archive
    Load(Load),
    /// Write images to an archive
    Save(Save),
    /// Make an image of a root file system's tar archive
    Import(Import),
    /// Fetch an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// List what is attached to an image at its registry
    Referrers(Referrers),
}

#[derive(Debug, Subcommand)]
pub enum Container {
    Run(RunFlags),
    Create(RunFlags),
    Start(Start),
    Attach(Attach),
    Exec(Exec),
    Logs(Logs),
    Stop(Stop),
    Restart(Stop),
    Kill(Kill),
    #[command(visible_alias = "remove")]
    Rm(Rm),
    Wait(Names),
    #[command(visible_aliases = ["ps", "list"])]
    Ls(Ps),
    Inspect(Inspect),
    Rename(Rename),
    Top(Top),
    Cp(Copy),
    Diff(Name),
    Export(Export),
    Port(Port),
    Pause(Names),
    Unpause(Names),
    Update(Update),
    Stats(Stats),
    Commit(Commit),
    /// Remove containers that do not run
    Prune(Prune),
}

#[derive(Debug, Subcommand)]
pub enum System {
    /// What images, containers and volumes take
    Df(SystemDf),
    /// Remove what nothing uses
    Prune(Prune),
    /// About the engine and this machine
    Info(Format),
    /// Show what happens in the engine
    Events(Events),
    /// Look whether images, containers and volumes hold together
    Check(SystemCheck),
    /// Remove images that nothing uses until the disk is free enough, those
    /// first that were not used for longest
    Gc(SystemGc),
}

#[derive(Debug, Args)]
pub struct Pin {
    #[arg(value_name = "IMAGE", required = true)]
    pub names: Vec<String>,
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
