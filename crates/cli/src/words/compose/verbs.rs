//! The words of `compose stop`, `restart`, `kill`, `rm`, `events`, `stats`,
//! `cp` and `port`.

use clap::Args;

#[derive(Debug, Args)]
pub struct ComposeStop {
    /// Seconds to wait before SIGKILL
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub timeout: Option<i64>,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeRestart {
    /// Not the services that depend on these with `restart: true`
    #[arg(long)]
    pub no_deps: bool,
    /// Seconds to wait before SIGKILL
    #[arg(short, long, value_name = "SECONDS", allow_hyphen_values = true)]
    pub timeout: Option<i64>,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeKill {
    /// Name or number
    #[arg(short, long, default_value = "SIGKILL")]
    pub signal: String,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeRm {
    /// Do not ask
    #[arg(short, long)]
    pub force: bool,
    /// Stop them first
    #[arg(short, long)]
    pub stop: bool,
    /// And their anonymous volumes
    #[arg(short, long)]
    pub volumes: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeEvents {
    /// Each as a JSON object
    #[arg(long)]
    pub json: bool,
    /// From a time on
    #[arg(long, default_value = "", hide_default_value = true)]
    pub since: String,
    /// Up to a time
    #[arg(long, default_value = "", hide_default_value = true)]
    pub until: String,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeStats {
    /// Also those that do not run
    #[arg(short, long)]
    pub all: bool,
    /// A Go template, or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Once
    #[arg(long)]
    pub no_stream: bool,
    /// Whole identifiers
    #[arg(long)]
    pub no_trunc: bool,
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

#[derive(Debug, Args)]
pub struct ComposeCp {
    /// Keep owner and group
    #[arg(short, long)]
    pub archive: bool,
    /// Follow the source if it is a symbolic link
    #[arg(short = 'L', long)]
    pub follow_link: bool,
    /// The container of this number
    #[arg(long, value_name = "NUMBER")]
    pub index: Option<i64>,
    /// SERVICE:PATH, PATH or -
    pub source: String,
    /// SERVICE:PATH, PATH or -
    #[arg(value_name = "DESTINATION")]
    pub target: String,
}

#[derive(Debug, Args)]
pub struct ComposePort {
    /// The container of this number
    #[arg(long, value_name = "NUMBER")]
    pub index: Option<i64>,
    /// tcp or udp
    #[arg(long, default_value = "tcp")]
    pub protocol: String,
    #[arg(value_name = "SERVICE")]
    pub service: String,
    #[arg(value_name = "PRIVATE-PORT")]
    pub port: String,
}
