//! A bundle: a directory with `config.json` and, by its word, a root.

use crate::problem::{Doing, Problem};
use spec::oci::{Config, Linux, Process, Seccomp};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// One bundle, read and found sound.
pub struct Bundle {
    /// Absolute.
    pub dir: PathBuf,
    /// Absolute.
    pub rootfs: PathBuf,
    pub config: Config,
}

impl Bundle {
    /// Reads the bundle in `dir`, or in the current directory.
    pub fn open(dir: Option<&str>) -> Result<Self, Problem> {
        let dir = fs::canonicalize(dir.unwrap_or(".")).doing("open bundle", dir.unwrap_or("."))?;
        let path = dir.join("config.json");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(Problem::NoConfig),
            other => other.doing("read", &path)?,
        };
        let mut config: Config = serde_json::from_slice(&bytes)
            .map_err(|source| Problem::BadJson { what: "config.json", source })?;
        if let Some(linux) = &mut config.linux {
            // As runc: an object in which nothing is said is none.
            linux.seccomp.take_if(|rules| *rules == Seccomp::default());
        }
        check(&config)?;
        let root = config.root.as_ref().map(|root| Path::new(&root.path));
        let rootfs = root.map(|root| dir.join(root)).unwrap_or_default();
        if !rootfs.is_dir() {
            return Err(bad(format!("invalid rootfs: {} is not a directory", rootfs.display())));
        }
        let rootfs = fs::canonicalize(&rootfs).doing("open root", &rootfs)?;
        Ok(Self { dir, rootfs, config })
    }
}

fn bad(text: impl Into<String>) -> Problem {
    Problem::BadConfig(text.into())
}

/// What no container can be made of.
fn check(config: &Config) -> Result<(), Problem> {
    let version = config.oci_version.split('.').next();
    if version != Some("1") {
        return Err(bad(format!("unsupported ociVersion {:?}", config.oci_version)));
    }
    let process = config.process.as_ref();
    check_process(process.ok_or_else(|| bad("process property must not be empty"))?)?;
    if config.root.as_ref().is_none_or(|root| root.path.is_empty()) {
        return Err(bad("root property must not be empty"));
    }
    config.linux.as_ref().map_or(Ok(()), check_linux)
}

/// What this runtime would have to pass over in silence.
fn check_linux(linux: &Linux) -> Result<(), Problem> {
    if linux.intel_rdt.is_some() {
        return Err(Problem::NotCarried("intelRdt"));
    }
    if linux.memory_policy.is_some() {
        return Err(Problem::NotCarried("memoryPolicy"));
    }
    if !linux.net_devices.is_empty() {
        return Err(Problem::NotCarried("netDevices"));
    }
    let own_time = linux.namespaces.iter().any(|n| n.kind == "time" && n.path.is_empty());
    if !linux.time_offsets.is_empty() && !own_time {
        return Err(bad("timeOffsets need a time namespace of the container's own"));
    }
    Ok(())
}

/// What no process can be made of.
pub fn check_process(process: &Process) -> Result<(), Problem> {
    if process.cwd.is_empty() {
        return Err(bad("Cwd property must not be empty"));
    }
    if !process.cwd.starts_with('/') {
        return Err(bad("Cwd must be an absolute path"));
    }
    if process.args.is_empty() {
        return Err(bad("args must not be empty"));
    }
    if let Some(affinity) = &process.exec_cpu_affinity {
        for list in [&affinity.initial, &affinity.last] {
            if !runtime::is_processor_list(list) {
                return Err(bad(format!("execCPUAffinity: {list:?} is no list of processors")));
            }
        }
    }
    let named = |pair: &&String| pair.find('=').is_some_and(|at| at > 0);
    match process.env.iter().find(|pair| !named(pair)) {
        Some(pair) => Err(Problem::BadVariable(pair.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> String {
        let config = serde_json::from_str(json).expect("valid JSON");
        check(&config).expect_err("must refuse").to_string()
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(refusal(r#"{"ociVersion":"2.0.0"}"#), "unsupported ociVersion \"2.0.0\"");
        assert_eq!(refusal(r#"{"ociVersion":"1.0.2"}"#), "process property must not be empty");
        let process = |fields: &str| {
            refusal(&format!(r#"{{"ociVersion":"1.0.2","process":{{"user":{{}},{fields}}}}}"#))
        };
        assert_eq!(process(r#""args":["sh"],"cwd":"""#), "Cwd property must not be empty");
        assert_eq!(process(r#""args":["sh"],"cwd":"x""#), "Cwd must be an absolute path");
        assert_eq!(process(r#""args":[],"cwd":"/""#), "args must not be empty");
        assert_eq!(
            process(r#""args":["sh"],"cwd":"/","env":["A"]"#),
            "invalid environment variable: \"A\""
        );
        assert_eq!(process(r#""args":["sh"],"cwd":"/""#), "root property must not be empty");
    }
}
