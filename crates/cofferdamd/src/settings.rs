//! What the daemon is told: on its command line and in a file of the same
//! words. The command line counts where both speak.

use api::secure::Papers;
use clap::Parser;
use engine::{Options, Watermarks};
use serde::Deserialize;
use spec::docker::LogConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

const DEFAULT_CONFIG: &str = "/etc/cofferdam/config.json";
const DEFAULT_HOST: &str = "unix:///run/cofferdam/cofferdam.sock";
const DEFAULT_DATA_ROOT: &str = "/var/lib/cofferdam";
const DEFAULT_RUN_ROOT: &str = "/run/cofferdam";
/// Of Docker's API with TLS, at IANA.
const TLS_PORT: u16 = 2376;
const DEFAULT_BRIDGE: &str = "coffer0";
const DEFAULT_LOG_LEVEL: &str = "info";
/// Percent of the disk, as Docker has it.
const DEFAULT_BUILD_CACHE: u8 = 10;

/// A container engine: the daemon, in the foreground.
#[derive(Debug, Default, Parser)]
#[command(name = "cofferdamd", version)]
pub struct Words {
    /// Where to listen: unix://PATH, fd:// for what systemd hands in, or
    /// tcp://ADDRESS[:PORT] with --tlsverify
    /// [default: unix:///run/cofferdam/cofferdam.sock]
    #[arg(short = 'H', long = "host", value_name = "HOST")]
    host: Vec<String>,
    /// Over tcp://, hear those alone who show a certificate of --tlscacert
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    tlsverify: Option<bool>,
    /// Over tcp://, speak TLS: it never speaks anything else, nor without
    /// --tlsverify
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    tls: Option<bool>,
    /// Authorities by whose certificates clients are known
    /// [default: DOCKER_CERT_PATH or ~/.docker, ca.pem]
    #[arg(long, value_name = "FILE")]
    tlscacert: Option<PathBuf>,
    /// The daemon's certificate [default: cert.pem there]
    #[arg(long, value_name = "FILE")]
    tlscert: Option<PathBuf>,
    /// Its key [default: key.pem there]
    #[arg(long, value_name = "FILE")]
    tlskey: Option<PathBuf>,
    /// Images, containers and volumes [default: /var/lib/cofferdam]
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// What lasts until the host restarts [default: /run/cofferdam]
    #[arg(long, value_name = "DIR")]
    run_root: Option<PathBuf>,
    /// Name of the default network's bridge [default: coffer0]
    #[arg(long, value_name = "NAME")]
    bridge: Option<String>,
    /// Address and prefix of that bridge, such as 172.30.0.1/16
    #[arg(long, value_name = "CIDR")]
    bip: Option<String>,
    /// Registry to ask before Docker Hub; may be given several times
    #[arg(long, value_name = "URL")]
    registry_mirror: Vec<String>,
    /// Registry (HOST[:PORT]) or network of registries that need not prove
    /// who it is, nor encrypt; may be given several times
    #[arg(long, value_name = "REGISTRY")]
    insecure_registry: Vec<String>,
    /// Remove unused images when more of the disk is taken than this; 0 for
    /// never [default: 85]
    #[arg(long, value_name = "PERCENT")]
    collect_above: Option<u8>,
    /// Until no more of the disk is taken than this [default: 80]
    #[arg(long, value_name = "PERCENT")]
    collect_down_to: Option<u8>,
    /// But none that came or was used so short a time ago [default: 120]
    #[arg(long, value_name = "SECONDS")]
    collect_spare: Option<u64>,
    /// Percent of the disk that the build cache may take; 100 for all of it
    /// [default: 10]
    #[arg(long, value_name = "PERCENT")]
    build_cache: Option<u8>,
    /// What a container may take of the disk unless it says otherwise, as
    /// size=10g: wants project quotas of the data root's file system
    #[arg(long, value_name = "size=BYTES")]
    storage_opt: Vec<String>,
    /// Log driver of containers that name none: json-file, local, journald,
    /// syslog or none [default: json-file]
    #[arg(long, value_name = "DRIVER")]
    log_driver: Option<String>,
    /// Option of that driver; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    log_opt: Vec<String>,
    /// Set no_new_privs in every container
    #[arg(long)]
    no_new_privileges: bool,
    /// Tell clients that what Docker calls experimental is here: its CLI asks
    /// before it offers build --squash
    #[arg(long)]
    experimental: bool,
    /// File with the same words [default: /etc/cofferdam/config.json]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve figures for Prometheus there, ADDRESS:PORT, at /metrics: whoever
    /// reaches it may read them
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_addr: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// The file. Docker's own names for the same things are understood.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Config {
    #[serde(alias = "hosts")]
    host: Vec<String>,
    tls: Option<bool>,
    tlsverify: Option<bool>,
    tlscacert: Option<PathBuf>,
    tlscert: Option<PathBuf>,
    tlskey: Option<PathBuf>,
    data_root: Option<PathBuf>,
    #[serde(alias = "exec-root")]
    run_root: Option<PathBuf>,
    bridge: Option<String>,
    bip: Option<String>,
    #[serde(alias = "registry-mirrors")]
    registry_mirror: Vec<String>,
    #[serde(alias = "insecure-registries")]
    insecure_registry: Vec<String>,
    collect_above: Option<u8>,
    collect_down_to: Option<u8>,
    collect_spare: Option<u64>,
    build_cache: Option<u8>,
    #[serde(alias = "storage-opts")]
    storage_opt: Vec<String>,
    log_driver: Option<String>,
    log_opts: BTreeMap<String, String>,
    no_new_privileges: bool,
    experimental: bool,
    metrics_addr: Option<String>,
    log_level: Option<String>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `fd://`.
    HandedIn,
    /// `tcp://ADDRESS:PORT`.
    Tcp(SocketAddr),
}

/// Settled.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub hosts: Vec<Host>,
    /// With which to listen on the network, if that is asked for.
    pub papers: Option<Papers>,
    /// Where to serve figures.
    pub metrics: Option<SocketAddr>,
    /// Kept.
    pub data_root: PathBuf,
    /// Until the host restarts.
    pub run_root: PathBuf,
    /// For `tracing`.
    pub log_level: String,
    bridge: String,
    bip: Option<String>,
    registry_mirrors: Vec<String>,
    insecure_registries: Vec<String>,
    collect: Option<Watermarks>,
    build_cache: Option<u8>,
    storage_opts: Vec<String>,
    log: LogConfig,
    no_new_privileges: bool,
    experimental: bool,
}

/// Why the daemon does not know what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// The file makes no sense.
    #[error("cannot understand {}", path.display())]
    Understand {
        /// The file.
        path: PathBuf,
        /// Where, and what.
        source: serde_json::Error,
    },
    /// There is no listening there.
    #[error(
        "cannot listen on {0}: use unix://PATH with an absolute path, fd://, or \
         tcp://ADDRESS[:PORT] with an address of this host's in numbers"
    )]
    Host(String),
    /// There is no serving figures there.
    #[error(
        "cannot serve figures at {0}: use --metrics-addr ADDRESS:PORT with an address of this \
         host's in numbers, such as 127.0.0.1:9323"
    )]
    Metrics(String),
    /// Who reaches the API is root.
    #[error(
        "cannot listen on {0} without certificates, since who reaches the API is root: add \
         --tlsverify, with --tlscacert, --tlscert and --tlskey"
    )]
    Plaintext(Host),
    /// A disk has no such part.
    #[error("the build cache cannot have {0}% of the disk: at most 100 are wanted")]
    CachePart(u8),
    /// A disk has no such part.
    #[error(
        "images are to be collected above {above}% of the disk and down to {down_to}%: at most \
         100 and no more than that are wanted"
    )]
    Watermarks {
        /// When to begin.
        above: u8,
        /// When to end.
        down_to: u8,
    },
    /// A mirror is known to whoever asks for `info`, and to the log. It is
    /// not shown here.
    #[error("a registry mirror cannot hold a name and password: it is shown to every client")]
    Secret,
    /// There is no such mirror.
    #[error("cannot use the registry mirror {0}: http:// or https://, and a host, is wanted")]
    Mirror(String),
    /// There is no such log.
    #[error("cannot log so: {0}")]
    Log(String),
    /// A path that depends on where the daemon was started.
    #[error("{} is not an absolute path", .0.display())]
    Relative(PathBuf),
}

impl Words {
    /// Completes what was said by the file and the defaults.
    ///
    /// # Errors
    /// What was said makes no sense.
    pub fn settled(self) -> Result<Settings, Error> {
        let config = match &self.config {
            Some(path) => Config::read(path)?.ok_or_else(|| Error::Read {
                path: path.clone(),
                source: ErrorKind::NotFound.into(),
            })?,
            None => Config::read(Path::new(DEFAULT_CONFIG))?.unwrap_or_default(),
        };
        self.over(config)
    }

    fn over(self, file: Config) -> Result<Settings, Error> {
        let list = |said: Vec<String>, file: Vec<String>| if said.is_empty() { file } else { said };
        let mut hosts = list(self.host, file.host);
        if hosts.is_empty() {
            hosts.push(DEFAULT_HOST.into());
        }
        let above = self.collect_above.or(file.collect_above);
        let down_to = self.collect_down_to.or(file.collect_down_to);
        let collect = watermarks(above, down_to, self.collect_spare.or(file.collect_spare))?;
        let path = |said: Option<PathBuf>, file, default: &str| {
            let path = said.or(file).unwrap_or_else(|| default.into());
            if path.is_absolute() { Ok(path) } else { Err(Error::Relative(path)) }
        };
        let mirrors = list(self.registry_mirror, file.registry_mirror);
        mirrors.iter().try_for_each(|mirror| check_mirror(mirror))?;
        let hosts: Vec<Host> =
            hosts.iter().map(|host| Host::parse(host)).collect::<Result<_, _>>()?;
        let papers = papers(
            &hosts,
            self.tlsverify.or(file.tlsverify) == Some(true),
            [
                self.tlscacert.or(file.tlscacert),
                self.tlscert.or(file.tlscert),
                self.tlskey.or(file.tlskey),
            ],
        )?;
        Ok(Settings {
            hosts,
            papers,
            metrics: metrics(self.metrics_addr.or(file.metrics_addr))?,
            data_root: path(self.data_root, file.data_root, DEFAULT_DATA_ROOT)?,
            run_root: path(self.run_root, file.run_root, DEFAULT_RUN_ROOT)?,
            log_level: self
                .log_level
                .or(file.log_level)
                .unwrap_or_else(|| DEFAULT_LOG_LEVEL.into()),
            bridge: self.bridge.or(file.bridge).unwrap_or_else(|| DEFAULT_BRIDGE.into()),
            bip: self.bip.or(file.bip),
            registry_mirrors: mirrors,
            insecure_registries: list(self.insecure_registry, file.insecure_registry),
            collect,
            build_cache: cache_part(self.build_cache.or(file.build_cache))?,
            storage_opts: list(self.storage_opt, file.storage_opt),
            log: log(self.log_driver.or(file.log_driver), self.log_opt, file.log_opts)?,
            no_new_privileges: self.no_new_privileges || file.no_new_privileges,
            experimental: self.experimental || file.experimental,
        })
    }
}

/// What containers log to that say nothing. Options of the command line come
/// to those of the file.
fn log(
    driver: Option<String>,
    said: Vec<String>,
    mut config: BTreeMap<String, String>,
) -> Result<LogConfig, Error> {
    for word in said {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| Error::Log(format!("--log-opt {word}: KEY=VALUE is wanted")))?;
        config.insert(key.into(), value.into());
    }
    let log = LogConfig { kind: driver.unwrap_or_else(|| "json-file".into()), config };
    engine::check_log(&log).map_err(|error| Error::Log(error.to_string()))?;
    Ok(log)
}

/// What it takes to listen on the network; none where nobody asked to.
fn papers(
    hosts: &[Host],
    verify: bool,
    named: [Option<PathBuf>; 3],
) -> Result<Option<Papers>, Error> {
    let Some(afar) = hosts.iter().find(|host| matches!(host, Host::Tcp(_))) else {
        return Ok(None);
    };
    if !verify {
        return Err(Error::Plaintext(afar.clone()));
    }
    let [ca, cert, key] = named;
    let folder = || {
        let said = std::env::var_os("DOCKER_CERT_PATH").filter(|path| !path.is_empty());
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".docker");
        said.map_or_else(home, PathBuf::from)
    };
    Ok(Some(Papers {
        ca: ca.unwrap_or_else(|| folder().join("ca.pem")),
        cert: cert.unwrap_or_else(|| folder().join("cert.pem")),
        key: key.unwrap_or_else(|| folder().join("key.pem")),
    }))
}

/// `ADDRESS:PORT`, `localhost:PORT` or `:PORT`, which is every address; none
/// where nothing is said, as with Docker.
fn metrics(said: Option<String>) -> Result<Option<SocketAddr>, Error> {
    let Some(said) = said.filter(|said| !said.is_empty()) else { return Ok(None) };
    let (address, port) = said.rsplit_once(':').unwrap_or((&said, ""));
    let address = match address {
        "" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        address => address,
    };
    match format!("{address}:{port}").parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(Error::Metrics(said)),
    }
}

/// None for all of the disk.
fn cache_part(percent: Option<u8>) -> Result<Option<u8>, Error> {
    match percent.unwrap_or(DEFAULT_BUILD_CACHE) {
        percent @ 0..=99 => Ok(Some(percent)),
        100 => Ok(None),
        percent => Err(Error::CachePart(percent)),
    }
}

/// None for never. Who names only where to begin ends five percent below.
fn watermarks(
    above: Option<u8>,
    down_to: Option<u8>,
    spare: Option<u64>,
) -> Result<Option<Watermarks>, Error> {
    let defaults = Watermarks::default();
    let above = above.unwrap_or_else(|| down_to.unwrap_or(0).max(defaults.above));
    if above == 0 {
        return Ok(None);
    }
    let down_to =
        down_to.unwrap_or_else(|| above.saturating_sub(defaults.above - defaults.down_to));
    if above > 100 || down_to > above {
        return Err(Error::Watermarks { above, down_to });
    }
    let young = spare.map_or(defaults.young, std::time::Duration::from_secs);
    Ok(Some(Watermarks { above, down_to, young }))
}

/// `[http[s]://]HOST[:PORT][/PATH]`.
fn check_mirror(text: &str) -> Result<(), Error> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(Error::Secret);
    }
    if !matches!(scheme, "http" | "https") || host.is_empty() || rest.contains(['?', '#']) {
        return Err(Error::Mirror(text.to_owned()));
    }
    Ok(())
}

impl Config {
    fn read(path: &Path) -> Result<Option<Self>, Error> {
        match fs::read(path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| Error::Understand { path: path.into(), source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path: path.into(), source }),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, Error> {
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("fd", "" | "*")) => Ok(Self::HandedIn),
            Some(("tcp", address)) => {
                socket_address(address).map(Self::Tcp).ok_or_else(|| Error::Host(text.into()))
            }
            _ => Err(Error::Host(text.into())),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::HandedIn => f.write_str("fd://"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// `ADDRESS[:PORT]`; without an address all of the host's of IPv4.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim_end_matches('/');
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    if let Some(port) = text.strip_prefix(':') {
        return Some(SocketAddr::from(([0, 0, 0, 0], port.parse().ok()?)));
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => IpAddr::V6(address.parse().ok()?),
        None => IpAddr::V4(text.parse().ok()?),
    };
    Some(SocketAddr::new(address, TLS_PORT))
}

impl Settings {
    /// What the engine wants to know.
    ///
    /// # Errors
    /// `cofferdam-run` is not beside this program.
    pub fn options(&self) -> anyhow::Result<Options> {
        use anyhow::Context as _;
        let ourselves = std::env::current_exe().context("cannot find our own program")?;
        let runtime_binary = ourselves.with_file_name("cofferdam-run");
        fs::metadata(&runtime_binary)
            .with_context(|| format!("cannot find {}", runtime_binary.display()))?;
        Ok(Options {
            data_root: self.data_root.clone(),
            run_root: self.run_root.clone(),
            bridge: self.bridge.clone(),
            bip: self.bip.clone(),
            runtime_binary,
            registry_mirrors: self.registry_mirrors.clone(),
            insecure_registries: self.insecure_registries.clone(),
            collect: self.collect,
            build_cache: self.build_cache,
            storage_opts: self.storage_opts.clone(),
            log: self.log.clone(),
            no_new_privileges: self.no_new_privileges,
            experimental: self.experimental,
        })
    }
}

#[cfg(test)]
mod tests;
