//! Every word of the command line, as one table: the parser, the help texts,
//! the man pages and the completions all come from it.
//!
//! Names and meanings are the Docker CLI's, so that what fingers have learnt
//! still works. A word that we do not carry is an error, not ignored.

mod later;
mod read;
mod run;

pub use later::Later;
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
pub struct Start {
    #[arg(value_name = "CONTAINER", required = true)]
    pub names: Vec<String>,
    /// Attach to output and error
    #[arg(short, long)]
    pub attach: bool,
    /// Attach to input
    #[arg(short, long)]
    pub interactive: bool,
    /// Keys that detach, e.g. ctrl-p,ctrl-q
    #[arg(long)]
    pub detach_keys: Option<String>,
}

#[derive(Debug, Args)]
pub struct Attach {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    /// Do not attach to input
    #[arg(long)]
    pub no_stdin: bool,
    /// Pass signals on to the program
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sig_proxy: bool,
    /// Keys that detach
    #[arg(long)]
    pub detach_keys: Option<String>,
}

#[derive(Debug, Args)]
pub struct Exec {
    /// Do not wait for it
    #[arg(short, long)]
    pub detach: bool,
    /// Keep its input open
    #[arg(short, long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// NAME=VALUE, or NAME from here
    #[arg(short, long)]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// USER[:GROUP]
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub user: String,
    /// Directory to be in
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub workdir: String,
    /// With every capability
    #[arg(long)]
    pub privileged: bool,
    /// Keys that detach
    #[arg(long)]
    pub detach_keys: Option<String>,
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Logs {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    /// Go on showing what comes
    #[arg(short, long)]
    pub follow: bool,
    /// With the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Only the last so many lines
    #[arg(short = 'n', long, default_value = "all")]
    pub tail: String,
    /// Only from a time on (RFC 3339, or as 10m)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub since: String,
    /// Only up to a time
    #[arg(long, default_value = "", hide_default_value = true)]
    pub until: String,
    /// Further details given to the log
    #[arg(long)]
    pub details: bool,
}

#[derive(Debug, Args)]
pub struct Stop {
    #[arg(value_name = "CONTAINER", required = true)]
    pub names: Vec<String>,
    /// The signal to send first
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub signal: String,
    /// Seconds to wait before SIGKILL; -1 for ever
    #[arg(short = 't', long = "time", alias = "timeout", allow_hyphen_values = true)]
    pub time: Option<i64>,
}

#[derive(Debug, Args)]
pub struct Kill {
    #[arg(value_name = "CONTAINER", required = true)]
    pub names: Vec<String>,
    /// Name or number
    #[arg(short, long, default_value = "KILL")]
    pub signal: String,
}

#[derive(Debug, Args)]
pub struct Rm {
    #[arg(value_name = "CONTAINER", required = true)]
    pub names: Vec<String>,
    /// Also running ones, which are killed
    #[arg(short, long)]
    pub force: bool,
    /// And their anonymous volumes
    #[arg(short, long)]
    pub volumes: bool,
    /// Remove the link of that name
    #[arg(short, long)]
    pub link: bool,
}

#[derive(Debug, Args)]
pub struct Ps {
    /// Also those that do not run
    #[arg(short, long)]
    pub all: bool,
    /// Identifiers alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Whole identifiers and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// With the size of their files
    #[arg(short, long)]
    pub size: bool,
    /// Only the latest
    #[arg(short, long)]
    pub latest: bool,
    /// Only the last so many
    #[arg(short = 'n', long, allow_hyphen_values = true)]
    pub last: Option<i64>,
    /// KEY=VALUE
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
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
pub struct Rename {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    pub new_name: String,
}

#[derive(Debug, Args)]
pub struct Top {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    /// As ps(1) takes them
    #[arg(value_name = "PS-OPTION", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Copy {
    /// CONTAINER:PATH, PATH or -
    pub source: String,
    /// CONTAINER:PATH, PATH or -
    #[arg(value_name = "DESTINATION")]
    pub target: String,
    /// Keep owner and group
    #[arg(short, long)]
    pub archive: bool,
    /// Follow the source if it is a symbolic link
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// Say nothing of what was copied
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Export {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    /// A file instead of the output
    #[arg(short, long)]
    pub output: Option<String>,
}

#[derive(Debug, Args)]
pub struct Port {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    /// PORT[/PROTOCOL] in the container
    pub port: Option<String>,
}

#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    pub limits: Limits,
    /// no, on-failure[:N], always or unless-stopped
    #[arg(long)]
    pub restart: Option<String>,
    #[arg(value_name = "CONTAINER", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Stats {
    #[arg(value_name = "CONTAINER")]
    pub names: Vec<String>,
    /// Also those that do not run
    #[arg(short, long)]
    pub all: bool,
    /// Once
    #[arg(long)]
    pub no_stream: bool,
    /// Whole identifiers
    #[arg(long)]
    pub no_trunc: bool,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
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
pub struct Commit {
    #[arg(value_name = "CONTAINER")]
    pub name: String,
    #[arg(value_name = "REPOSITORY[:TAG]", default_value = "", hide_default_value = true)]
    pub image: String,
    /// An instruction as in a Dockerfile
    #[arg(short, long)]
    pub change: Vec<String>,
    /// Why
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub message: String,
    /// By whom
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub author: String,
    /// Freeze the container meanwhile
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub pause: bool,
}

#[derive(Debug, Args)]
pub struct Images {
    #[arg(value_name = "REPOSITORY[:TAG]")]
    pub reference: Option<String>,
    /// Also those that only carry others
    #[arg(short, long)]
    pub all: bool,
    /// With digests
    #[arg(long)]
    pub digests: bool,
    /// KEY=VALUE
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Whole identifiers
    #[arg(long)]
    pub no_trunc: bool,
    /// Identifiers alone
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Import {
    /// A tar archive, or - for the input
    #[arg(value_name = "FILE")]
    pub file: String,
    #[arg(value_name = "REPOSITORY[:TAG]", default_value = "", hide_default_value = true)]
    pub image: String,
    /// An instruction as in a Dockerfile
    #[arg(short, long)]
    pub change: Vec<String>,
    /// Why
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub message: String,
    /// OS[/ARCHITECTURE[/VARIANT]]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub platform: String,
}

#[derive(Debug, Args)]
pub struct Load {
    /// A file instead of the input
    #[arg(short, long)]
    pub input: Option<String>,
    /// No progress
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Save {
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// A file instead of the output
    #[arg(short, long)]
    pub output: Option<String>,
}

#[derive(Debug, Args)]
pub struct Push {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// All tags of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct Login {
    /// HOST[:PORT]; Docker Hub if none
    #[arg(value_name = "REGISTRY", default_value = "", hide_default_value = true)]
    pub server: String,
    #[arg(short, long)]
    pub username: Option<String>,
    /// Others can see it: better is --password-stdin
    #[arg(short, long)]
    pub password: Option<String>,
    /// Read the password from the input
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Args)]
pub struct Logout {
    /// HOST[:PORT]; Docker Hub if none
    #[arg(value_name = "REGISTRY", default_value = "", hide_default_value = true)]
    pub server: String,
}

#[derive(Debug, Args)]
pub struct Search {
    /// [REGISTRY/]WORD
    pub term: String,
    /// Results at most
    #[arg(long, default_value_t = 25)]
    pub limit: u32,
    /// KEY=VALUE (is-official, stars)
    #[arg(short, long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Whole descriptions
    #[arg(long)]
    pub no_trunc: bool,
}

#[derive(Debug, Subcommand)]
pub enum Manifest {
    /// Show the manifest or index as it is
    Inspect {
        #[arg(value_name = "IMAGE")]
        image: String,
    },
}

#[derive(Debug, Args)]
pub struct Pull {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// All tags of the repository
    #[arg(short, long)]
    pub all_tags: bool,
    /// Say less
    #[arg(short, long)]
    pub quiet: bool,
    /// OS[/ARCHITECTURE[/VARIANT]]
    #[arg(long, default_value = "", hide_default_value = true)]
    pub platform: String,
}

#[derive(Debug, Args)]
pub struct Tag {
    #[arg(value_name = "IMAGE")]
    pub source: String,
    #[arg(value_name = "NEW-IMAGE")]
    pub target: String,
}

#[derive(Debug, Args)]
pub struct Rmi {
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
    /// Also if stopped containers use it
    #[arg(short, long)]
    pub force: bool,
    /// Keep untagged parents
    #[arg(long)]
    pub no_prune: bool,
}

#[derive(Debug, Args)]
pub struct History {
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Sizes and times for people
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub human: bool,
    /// Whole texts
    #[arg(long)]
    pub no_trunc: bool,
    /// Identifiers alone
    #[arg(short, long)]
    pub quiet: bool,
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
pub enum Volume {
    /// Make a volume
    Create(VolumeCreate),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(List),
    /// Everything about volumes
    Inspect(Inspect),
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm(VolumeRm),
    /// Remove anonymous volumes that no container uses
    Prune(Prune),
}

#[derive(Debug, Args)]
pub struct VolumeCreate {
    pub name: Option<String>,
    #[arg(short, long, default_value = "local")]
    pub driver: String,
    /// KEY=VALUE
    #[arg(long)]
    pub label: Vec<String>,
    /// KEY=VALUE for the driver
    #[arg(short, long)]
    pub opt: Vec<String>,
}

#[derive(Debug, Args)]
pub struct VolumeRm {
    #[arg(value_name = "VOLUME", required = true)]
    pub names: Vec<String>,
    /// Do not mind if there is none
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Subcommand)]
pub enum Network {
    /// List networks
    #[command(visible_alias = "list")]
    Ls(List),
    /// Everything about networks
    Inspect(Inspect),
    /// Make a network
    Create(NetworkCreate),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(VolumeRm),
    /// Join a container to a network
    Connect(NetworkConnect),
    /// Take a container out of a network
    Disconnect(NetworkConnect),
    /// Remove networks that no container uses
    Prune(Prune),
}

#[derive(Debug, Args)]
pub struct NetworkCreate {
    #[arg(value_name = "NETWORK")]
    pub name: String,
    #[arg(short, long, default_value = "bridge")]
    pub driver: String,
    /// CIDR
    #[arg(long)]
    pub subnet: Vec<String>,
    #[arg(long)]
    pub gateway: Vec<String>,
    /// CIDR to give addresses from
    #[arg(long)]
    pub ip_range: Vec<String>,
    /// NAME=ADDRESS not to give
    #[arg(long)]
    pub aux_address: Vec<String>,
    /// No way out
    #[arg(long)]
    pub internal: bool,
    #[arg(long)]
    pub attachable: bool,
    #[arg(long)]
    pub ipv6: bool,
    /// KEY=VALUE
    #[arg(long)]
    pub label: Vec<String>,
    /// KEY=VALUE for the driver
    #[arg(short, long)]
    pub opt: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkConnect {
    #[arg(value_name = "NETWORK")]
    pub network: String,
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    #[arg(long)]
    pub alias: Vec<String>,
    #[arg(long)]
    pub ip: Option<String>,
    #[arg(long)]
    pub ip6: Option<String>,
    #[arg(short, long)]
    pub force: bool,
}

#[derive(Debug, Subcommand)]
pub enum Image {
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
