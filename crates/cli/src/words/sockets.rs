//! Words about sockets for those who may do less.

use super::Inspect;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Socket {
    /// Make a socket on which some things may be done to some containers
    Create(SocketCreate),
    /// List such sockets
    #[command(visible_alias = "list")]
    Ls(SocketLs),
    /// Everything about such sockets
    Inspect(Inspect),
    /// Revoke sockets: whoever is on one is cut off
    #[command(visible_alias = "remove")]
    Rm(SocketRm),
    /// Show what was asked over a socket, by whom, and what became of it
    Log(SocketLog),
}

#[derive(Debug, Args)]
pub struct SocketCreate {
    #[arg(value_name = "NAME")]
    pub name: String,
    /// read, env, logs, start, stop, restart, kill, pause, exec, attach, files
    #[arg(long, value_name = "RIGHT", required = true, value_delimiter = ',')]
    pub allow: Vec<String>,
    /// KEY=VALUE that a container has to have; all of them, if several
    #[arg(long, required = true)]
    pub label: Vec<String>,
    /// Its owner on the host, who may connect
    #[arg(long, default_value = "root")]
    pub user: String,
    /// A group of the host, whose members may connect, too
    #[arg(long)]
    pub group: Option<String>,
}

#[derive(Debug, Args)]
pub struct SocketLs {
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub struct SocketRm {
    #[arg(value_name = "SOCKET", required = true)]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct SocketLog {
    #[arg(value_name = "SOCKET")]
    pub name: String,
    /// The last so many calls
    #[arg(short = 'n', long)]
    pub tail: Option<usize>,
    /// A Go template, "table TEMPLATE" or "json"
    #[arg(long)]
    pub format: Option<String>,
}
