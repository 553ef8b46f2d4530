//! Words about containers.

use super::Limits;
use clap::Args;

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
    /// What may go out, instead of what might; "" for everything
    #[arg(long, value_name = "POLICY")]
    pub egress: Vec<String>,
    /// [[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL], beside what is published
    #[arg(long, value_name = "PORT")]
    pub publish: Vec<String>,
    /// [[HOST-IP:]HOST-PORT:]PORT[/PROTOCOL], to be withdrawn
    #[arg(long, value_name = "PORT")]
    pub unpublish: Vec<String>,
    /// type=bind|volume|tmpfs,source=…,target=…, beside what is mounted
    #[arg(long, value_name = "MOUNT")]
    pub mount: Vec<String>,
    /// SOURCE:TARGET[:MODE], beside what is mounted
    #[arg(short = 'v', long, value_name = "VOLUME")]
    pub volume: Vec<String>,
    /// TARGET[:OPTIONS], beside what is mounted
    #[arg(long, value_name = "MOUNT")]
    pub tmpfs: Vec<String>,
    /// TARGET of what is to be taken away
    #[arg(long, value_name = "TARGET")]
    pub unmount: Vec<String>,
    /// KEY=VALUE, instead of one of that name
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// KEY of a label that is to go
    #[arg(long, value_name = "KEY")]
    pub unlabel: Vec<String>,
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
