//! Words about networks and volumes.

use super::{Inspect, Later, List, Prune};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum Volume {
    /// Make a volume
    Create(Later<VolumeCreate>),
    /// List volumes
    #[command(visible_alias = "list")]
    Ls(Later<List>),
    /// Everything about volumes
    Inspect(Later<Inspect>),
    /// Remove volumes
    #[command(visible_alias = "remove")]
    Rm(Later<VolumeRm>),
    /// Remove anonymous volumes that no container uses
    Prune(Later<Prune>),
    /// Write all that is in a volume as a tar archive
    Export(Later<VolumeExport>),
    /// Fill a volume, a new one or an empty one, with what is in a tar archive
    Import(Later<VolumeImport>),
}

#[derive(Debug, Args)]
pub struct VolumeExport {
    #[arg(value_name = "VOLUME")]
    pub name: String,
    /// A file instead of the output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<String>,
}

#[derive(Debug, Args)]
pub struct VolumeImport {
    #[arg(value_name = "VOLUME")]
    pub name: String,
    /// A tar archive, compressed or not, or - for the input
    #[arg(value_name = "FILE", default_value = "-", hide_default_value = true)]
    pub file: String,
    /// Replace what is in it
    #[arg(short, long)]
    pub force: bool,
    /// Of a new one
    #[arg(short, long, value_name = "NAME", default_value = "local")]
    pub driver: String,
    /// KEY=VALUE of a new one
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// KEY=VALUE for the driver, of a new one
    #[arg(short, long, value_name = "KEY=VALUE")]
    pub opt: Vec<String>,
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
    Ls(Later<List>),
    /// Everything about networks
    Inspect(Later<Inspect>),
    /// Make a network
    Create(Later<NetworkCreate>),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(Later<VolumeRm>),
    /// Change a network
    Update(Later<NetworkUpdate>),
    /// Join a container to a network
    Connect(Later<NetworkConnect>),
    /// Take a container out of a network
    Disconnect(Later<NetworkDisconnect>),
    /// Remove networks that no container uses
    Prune(Later<Prune>),
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
    /// IPv4, unless false
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv4: Option<bool>,
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub ipv6: Option<bool>,
    #[arg(long, value_name = "DRIVER", default_value = "default")]
    pub ipam_driver: String,
    /// KEY=VALUE for the address driver
    #[arg(long, value_name = "KEY=VALUE")]
    pub ipam_opt: Vec<String>,
    /// local
    #[arg(long)]
    pub scope: Option<String>,
    /// Words for other networks, and no network
    #[arg(long)]
    pub config_only: bool,
    /// Such words, for a network of them
    #[arg(long, value_name = "NETWORK")]
    pub config_from: Option<String>,
    /// KEY=VALUE
    #[arg(long)]
    pub label: Vec<String>,
    /// KEY=VALUE for the driver
    #[arg(short, long)]
    pub opt: Vec<String>,
    /// What may go out: deny, allow=CIDR[:PORT], allow=dns:NAME[:PORT], metadata
    #[arg(long, value_name = "POLICY")]
    pub egress: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkUpdate {
    #[arg(value_name = "NETWORK", required = true)]
    pub names: Vec<String>,
    /// What may go out, instead of what might; "" for everything
    #[arg(long, value_name = "POLICY", required = true)]
    pub egress: Vec<String>,
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
    /// The network with the highest leads out
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true, default_value_t = 0)]
    pub gw_priority: i64,
    /// CONTAINER:ALIAS
    #[arg(long)]
    pub link: Vec<String>,
    #[arg(long, value_name = "ADDRESS")]
    pub link_local_ip: Vec<String>,
    /// KEY=VALUE for the driver
    #[arg(long, value_name = "KEY=VALUE")]
    pub driver_opt: Vec<String>,
}

#[derive(Debug, Args)]
pub struct NetworkDisconnect {
    #[arg(value_name = "NETWORK")]
    pub network: String,
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    #[arg(short, long)]
    pub force: bool,
}
