//! `--security-opt`, read.

use crate::Refusal;
use spec::docker::HostConfig;

/// What was said of the layers that `--security-opt` speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The program can gain nothing by running another.
    pub no_new_privileges: bool,
    /// System calls.
    pub filter: Filter,
    /// The profile's name; empty for the default.
    pub apparmor: String,
    /// What follows `label=`.
    pub labels: Vec<String>,
    /// Masked and read-only kernel paths are left as they are.
    pub system_paths: bool,
    /// The container's cgroup directory may be written to.
    pub writable_cgroups: bool,
}

/// Of system calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Nothing was said.
    #[default]
    Unspoken,
    /// The default, by name: also for a privileged container.
    Builtin,
    /// None.
    Unconfined,
    /// The content of a profile.
    Json(String),
}

/// Reads the options.
///
/// # Errors
/// [`Refusal::Invalid`] in Docker's words.
pub fn read(host_config: &HostConfig) -> Result<Options, Refusal> {
    let mut options = Options::default();
    for word in host_config.security_opt.iter().flatten() {
        if word == "no-new-privileges" {
            options.no_new_privileges = true;
            continue;
        }
        if word == "disable" {
            options.labels.push(word.clone());
            continue;
        }
        let (key, value) = word
            .split_once('=')
            .or_else(|| word.split_once(':'))
            .ok_or_else(|| Refusal::Invalid(format!("invalid --security-opt 1: {word:?}")))?;
        match key {
            "label" => options.labels.push(value.to_owned()),
            "apparmor" => value.clone_into(&mut options.apparmor),
            "seccomp" => {
                options.filter = match value {
                    "unconfined" => Filter::Unconfined,
                    "builtin" | "" => Filter::Builtin,
                    json => Filter::Json(json.to_owned()),
                }
            }
            "no-new-privileges" => options.no_new_privileges = truth(word, value)?,
            "writable-cgroups" => options.writable_cgroups = truth(word, value)?,
            "systempaths" if value == "unconfined" => options.system_paths = true,
            _ => return Err(Refusal::Invalid(format!("invalid --security-opt 2: {word:?}"))),
        }
    }
    Ok(options)
}

/// As Go's `strconv.ParseBool`.
fn truth(word: &str, value: &str) -> Result<bool, Refusal> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Refusal::Invalid(format!("invalid --security-opt 2: {word:?}"))),
    }
}
