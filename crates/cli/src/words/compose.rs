//! The words of `compose`.
//!
//! - [`verbs`]: those of the words for containers that are there

mod verbs;

pub use verbs::{
    ComposeCp, ComposeEvents, ComposeKill, ComposePort, ComposeRestart, ComposeRm, ComposeStats,
    ComposeStop,
};

use super::Later;
use clap::{Args, Subcommand};

/// What `docker compose` takes before its command.
#[derive(Debug, Args)]
pub struct Compose {
    #[command(flatten)]
    pub project: ProjectFlags,
    #[command(subcommand)]
    pub command: ComposeCommand,
}

/// Which project.
#[derive(Debug, Default, Args)]
pub struct ProjectFlags {
    /// A Compose file; several are merged, later ones over earlier ones
    #[arg(short, long, value_name = "FILE")]
    pub file: Vec<String>,
    /// The project's name, else the files', else the directory's
    #[arg(short, long, value_name = "NAME")]
    pub project_name: Option<String>,
    /// What relative paths are relative to, else the first file's directory
    #[arg(long, value_name = "PATH")]
    pub project_directory: Option<String>,
    /// A profile to have; "*" for all
    #[arg(long, value_name = "NAME")]
    pub profile: Vec<String>,
    /// Variables for the files, in place of .env
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// auto, tty, plain or quiet
    #[arg(long, default_value = "auto", hide_default_value = true, value_name = "KIND")]
    pub progress: String,
    /// never, always or auto: colours
    #[arg(long, default_value = "auto", hide_default_value = true, value_name = "WHEN")]
    pub ansi: String,
}

#[derive(Debug, Subcommand)]
pub enum ComposeCommand {
    /// Create what is missing or has changed, and start it
    Up(Later<ComposeUp>),
    /// Stop and remove containers and networks
    Down(Later<ComposeDown>),
    /// List the project's containers
    Ps(Later<ComposePs>),
    /// Show what services wrote
    Logs(Later<ComposeLogs>),
    /// Run a command in a service's container
    Exec(Later<ComposeExec>),
    /// Run a command once, in a new container of a service
    Run(Later<ComposeRun>),
    /// Build services' images
    Build(Later<ComposeBuild>),
    /// Show the files as they are understood
    Config(Later<ComposeConfig>),
    /// Fetch services' images
    Pull(Later<ComposePull>),
    /// Send services' images to their registries
    Push(Later<ComposePush>),
    /// Create services' containers without starting them
    Create(Later<ComposeUp>),
    /// Start services' containers
    Start(Later<Services>),
    /// Stop services' containers
    Stop(Later<ComposeStop>),
    /// Stop services' containers and start them again
    Restart(Later<ComposeRestart>),
    /// Send a signal to services' containers
    Kill(Later<ComposeKill>),
    /// Remove services' stopped containers
    Rm(Later<ComposeRm>),
    /// Freeze services' containers
    Pause(Later<Services>),
    /// Let frozen services go on
    Unpause(Later<Services>),
    /// Show what happens to the project, as it happens
    Events(Later<ComposeEvents>),
    /// List the processes of services
    Top(Later<Services>),
    /// Show what services use, as it changes
    Stats(Later<ComposeStats>),
    /// Copy files to or from a service's container
    Cp(Later<ComposeCp>),
    /// Print where a service's port is published
    Port(Later<ComposePort>),
}

#[derive(Debug, Args)]
pub struct Services {
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Default, Args)]
pub struct ComposeUp {
    /// In the background
    #[arg(short, long)]
    pub detach: bool,
    /// Build images first
    #[arg(long)]
    pub build: bool,
    /// Build nothing, even what is missing
    #[arg(long)]
    pub no_build: bool,
    /// always, missing or never, in place of each service's own
    #[arg(long, value_name = "WHEN")]
    pub pull: Option<String>,
    /// Say less while pulling
    #[arg(long)]
    pub quiet_pull: bool,
    /// Make containers anew though nothing has changed
    #[arg(long)]
    pub force_recreate: bool,
    /// Keep containers though something has changed
    #[arg(long)]
    pub no_recreate: bool,
    /// Make what the services depend on anew, too
    #[arg(long)]
    pub always_recreate_deps: bool,
    /// Not the services that these depend on
    #[arg(long)]
    pub no_deps: bool,
    /// Create, and do not start
    #[arg(long)]
    pub no_start: bool,
    /// Remove containers of services that are in no file any more
    #[arg(long)]
    pub remove_orphans: bool,
    /// Fresh anonymous volumes in place of the old containers'
    #[arg(short = 'V', long)]
    pub renew_anon_volumes: bool,
    /// SERVICE=NUMBER of containers
    #[arg(long, value_name = "SERVICE=NUMBER")]
    pub scale: Vec<String>,
    /// Seconds to wait before SIGKILL
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub timeout: Option<i64>,
    /// Wait until services run, or are healthy; in the background
    #[arg(long)]
    pub wait: bool,
    /// How long to wait for that
    #[arg(long, value_name = "SECONDS")]
    pub wait_timeout: Option<u64>,
    /// Stop everything once a container has ended
    #[arg(long)]
    pub abort_on_container_exit: bool,
    /// End with this service's exit code, once a container has ended
    #[arg(long, value_name = "SERVICE")]
    pub exit_code_from: Option<String>,
    /// Show what these services write, and no others
    #[arg(long, value_name = "SERVICE")]
    pub attach: Vec<String>,
    /// Do not show what these services write
    #[arg(long, value_name = "SERVICE")]
    pub no_attach: Vec<String>,
    /// Show what the services write that these depend on, too
    #[arg(long)]
    pub attach_dependencies: bool,
    /// Without colours
    #[arg(long)]
    pub no_color: bool,
    /// Without the names before lines
    #[arg(long)]
    pub no_log_prefix: bool,
    /// With the time of each line
    #[arg(long)]
    pub timestamps: bool,
    /// Take "yes" for the answer to every question
    #[arg(short, long)]
    pub yes: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeDown {
    /// Remove containers of services that are in no file any more
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove images: all, or local (those without a name of their own)
    #[arg(long, value_name = "WHICH")]
    pub rmi: Option<String>,
    /// Seconds to wait before SIGKILL
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub timeout: Option<i64>,
    /// Remove volumes, named ones and anonymous ones
    #[arg(short, long)]
    pub volumes: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposePs {
    /// Also those that do not run
    #[arg(short, long)]
    pub all: bool,
    /// status=STATUS
    #[arg(long)]
    pub filter: Vec<String>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Whole identifiers and commands
    #[arg(long)]
    pub no_trunc: bool,
    /// Also services that are in no file any more
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true)]
    pub orphans: bool,
    /// Identifiers alone
    #[arg(short, long)]
    pub quiet: bool,
    /// Services' names alone
    #[arg(long)]
    pub services: bool,
    /// Only those of a status
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
    #[arg(value_name = "SERVICE")]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeLogs {
    /// Go on showing what comes
    #[arg(short, long)]
    pub follow: bool,
    /// Of the container of this number alone
    #[arg(long, value_name = "NUMBER")]
    pub index: Option<i64>,
    /// Without colours
    #[arg(long)]
    pub no_color: bool,
    /// Without the names before lines
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Only from a time on (RFC 3339, or as 10m)
    #[arg(long, default_value = "", hide_default_value = true)]
    pub since: String,
    /// Only up to a time
    #[arg(long, default_value = "", hide_default_value = true)]
    pub until: String,
    /// Only the last so many lines of each container
    #[arg(short = 'n', long, default_value = "all")]
    pub tail: String,
    /// With the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeExec {
    /// Do not wait for it
    #[arg(short, long)]
    pub detach: bool,
    /// NAME=VALUE, or NAME from here
    #[arg(short, long)]
    pub env: Vec<String>,
    /// In the container of this number
    #[arg(long, value_name = "NUMBER")]
    pub index: Option<i64>,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub no_tty: bool,
    /// With every capability
    #[arg(long)]
    pub privileged: bool,
    /// USER[:GROUP]
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub user: String,
    /// Directory to be in
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub workdir: String,
    #[arg(value_name = "SERVICE")]
    pub service: String,
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeRun {
    /// Build the image first
    #[arg(long)]
    pub build: bool,
    /// A capability to have
    #[arg(long, value_name = "NAME")]
    pub cap_add: Vec<String>,
    /// A capability not to have
    #[arg(long, value_name = "NAME")]
    pub cap_drop: Vec<String>,
    /// In the background; print the container's name
    #[arg(short, long)]
    pub detach: bool,
    /// In place of the service's
    #[arg(long, value_name = "COMMAND")]
    pub entrypoint: Option<String>,
    /// NAME=VALUE, or NAME from here
    #[arg(short, long, value_name = "VARIABLE")]
    pub env: Vec<String>,
    /// Keep the input open
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true)]
    pub interactive: bool,
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    #[arg(long)]
    pub name: Option<String>,
    /// Without a terminal
    #[arg(short = 'T', long = "no-tty", alias = "no-TTY")]
    pub no_tty: bool,
    /// Not the services that this one depends on
    #[arg(long)]
    pub no_deps: bool,
    /// [[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL]
    #[arg(short, long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// Say less while pulling
    #[arg(long)]
    pub quiet_pull: bool,
    /// Remove containers of services that are in no file any more
    #[arg(long)]
    pub remove_orphans: bool,
    /// Remove the container when it ends
    #[arg(long)]
    pub rm: bool,
    /// Publish the service's ports, too
    #[arg(short = 'P', long)]
    pub service_ports: bool,
    /// Be called on networks as the service is
    #[arg(long)]
    pub use_aliases: bool,
    /// USER[:GROUP]
    #[arg(short, long)]
    pub user: Option<String>,
    /// SOURCE:PATH[:OPTIONS]
    #[arg(short, long, value_name = "VOLUME")]
    pub volume: Vec<String>,
    /// Directory to be in
    #[arg(short, long)]
    pub workdir: Option<String>,
    #[arg(value_name = "SERVICE")]
    pub service: String,
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Default, Args)]
pub struct ComposeBuild {
    /// NAME[=VALUE] for ARG
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub build_arg: Vec<String>,
    /// Memory of RUN, e.g. 512m
    #[arg(short, long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Take nothing from the cache
    #[arg(long)]
    pub no_cache: bool,
    /// Ask registries for newer images
    #[arg(long)]
    pub pull: bool,
    /// Send the images to their registries
    #[arg(long)]
    pub push: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    /// Also what the services depend on
    #[arg(long)]
    pub with_dependencies: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeConfig {
    /// yaml or json
    #[arg(long, default_value = "yaml")]
    pub format: String,
    /// The services' hashes: "*", or names apart by commas
    #[arg(long, value_name = "SERVICE")]
    pub hash: Option<String>,
    /// Images' names alone
    #[arg(long)]
    pub images: bool,
    /// Profiles' names alone
    #[arg(long)]
    pub profiles: bool,
    /// Services' names alone
    #[arg(long)]
    pub services: bool,
    /// Volumes' names alone
    #[arg(long)]
    pub volumes: bool,
    /// Leave variables in values as they are written
    #[arg(long)]
    pub no_interpolate: bool,
    /// Only look whether all is well
    #[arg(short, long)]
    pub quiet: bool,
    /// A file instead of the output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
    #[arg(value_name = "SERVICE")]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposePull {
    /// Not those that can be built
    #[arg(long)]
    pub ignore_buildable: bool,
    /// Go on past those that cannot be had
    #[arg(long)]
    pub ignore_pull_failures: bool,
    /// Also what the services depend on
    #[arg(long)]
    pub include_deps: bool,
    /// missing or always
    #[arg(long, value_name = "WHEN")]
    pub policy: Option<String>,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposePush {
    /// Go on past those that cannot be sent
    #[arg(long)]
    pub ignore_push_failures: bool,
    /// Also what the services depend on
    #[arg(long)]
    pub include_deps: bool,
    /// Say nothing of how it goes
    #[arg(short, long)]
    pub quiet: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}
