//! `--log-driver` and `--log-opt`.
//!
//! - `options`: which options a driver has, and what they may be
//! - `subject`: what of a container a log may tell: tags, labels, variables
//! - `syslog`: addresses, facilities, formats

mod options;
mod subject;
mod syslog;

use crate::{Refusal, Wish};
use options::Options;
use spec::{
    docker::LogConfig,
    log::{File, Form, Log, Remote},
};

pub use options::{check, merged};

/// The drivers, as `info` lists them.
pub const DRIVERS: [&str; 5] = ["journald", "json-file", "local", "none", "syslog"];

/// A container's log unless said otherwise: at most 100 MiB.
const MAX_BYTES: u64 = 20 << 20;
const MAX_FILES: u32 = 5;
/// What may wait for its driver with `mode=non-blocking`, as Docker has it.
const BUFFER: u64 = 1_000_000;
/// A tag by which a log elsewhere tells containers apart, as Docker's.
const TAG: &str = "{{.ID}}";

/// Where a container's log is, and what it tells of the container.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogPlace<'a> {
    /// Where `json-file` writes.
    pub json: &'a str,
    /// Where `local` writes.
    pub local: &'a str,
    /// Where a copy is kept of what goes elsewhere, so that it can be read.
    pub cache: &'a str,
    /// The container's name, without a slash.
    pub name: &'a str,
    /// `sha256:…`.
    pub image: &'a str,
    /// The program whose modes couriers and presses are.
    pub helper: &'a str,
    /// Whom a courier becomes that speaks over a network.
    pub user: u32,
}

/// Chooses the log.
///
/// # Errors
/// [`Refusal`] for a driver or an option that there is not.
pub fn choose(wish: &Wish<'_>) -> Result<Log, Refusal> {
    let asked = &wish.host_config.log_config;
    let options = Options::read(asked)?;
    let place = wish.log;
    let mut log = Log {
        buffer: options.non_blocking.then_some(options.buffer),
        helper: place.helper.to_owned(),
        ..Log::default()
    };
    let file = |path: &str, form| File {
        path: path.to_owned(),
        form,
        max_bytes: options.max_bytes,
        max_files: options.max_files,
        compress: options.compress && options.max_files > 1,
        attrs: String::new(),
    };
    match driver(asked)? {
        "none" => return Ok(Log::default()),
        "local" => log.file = Some(file(place.local, Form::Framed)),
        "syslog" => {
            let tag = subject::tag(wish, asked, TAG)?;
            log.remote = Some(Remote::Syslog(syslog::read(&asked.config, tag, place.user)?));
        }
        "journald" => log.remote = Some(Remote::Journald(subject::fields(wish, asked)?)),
        _ => {
            let attrs = subject::attributes(wish, asked)?;
            let file = file(place.json, Form::Json);
            log.file = Some(File { attrs, ..file });
        }
    }
    if log.remote.is_some() && !options.no_cache {
        log.file = Some(file(place.cache, Form::Framed));
    }
    Ok(log)
}

/// The driver that was asked for, by the name it has here.
fn driver(asked: &LogConfig) -> Result<&str, Refusal> {
    match asked.kind.as_str() {
        "" => Ok("json-file"),
        known if DRIVERS.contains(&known) => Ok(known),
        other => {
            Err(Refusal::invalid(format!("logger: no log driver named '{other}' is registered")))
        }
    }
}

#[cfg(test)]
mod tests;
