//! Where an engine lives and what it was told.

use std::path::PathBuf;

/// What `cofferdamd` was started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Images, containers, volumes and the state: survives a restart of the host.
    pub data_root: PathBuf,
    /// Sockets and what is true of this boot only.
    pub run_root: PathBuf,
    /// Name of the default network's bridge.
    pub bridge: String,
    /// Address and prefix of that bridge, e.g. `172.30.0.1/16`; the first
    /// free private range if none.
    pub bip: Option<String>,
    /// `cofferdam-run`.
    pub runtime_binary: PathBuf,
    /// Registries to ask before Docker Hub.
    pub registry_mirrors: Vec<String>,
    /// Registries (`HOST[:PORT]`) and networks of them that need not prove
    /// who they are, nor encrypt.
    pub insecure_registries: Vec<String>,
    /// When images are collected; never if none.
    pub collect: Option<crate::Watermarks>,
    /// Percent of the disk that the build cache may take; all of it if none.
    pub build_cache: Option<u8>,
    /// What a container may take of the disk unless it says otherwise, as
    /// `size=10g`.
    pub storage_opts: Vec<String>,
    /// `no_new_privs` for every container.
    pub no_new_privileges: bool,
    /// The log driver of containers that name none, and its options.
    pub log: spec::docker::LogConfig,
    /// Clients are told that what Docker calls experimental is here: its CLI
    /// hides `build --squash` elsewhere.
    pub experimental: bool,
}
