//! A user's profile in Docker's format: OCI rules with conditions on the
//! machine and the container, which are decided here.

use crate::{Arch, Host, Refusal};
use serde::Deserialize;
use spec::{
    docker::null_is_default,
    oci::{Seccomp, SyscallArg, SyscallRule},
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_default")]
    architectures: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    arch_map: Vec<ArchMap>,
    #[serde(default, deserialize_with = "null_is_default")]
    flags: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    listener_path: String,
    #[serde(default, deserialize_with = "null_is_default")]
    listener_metadata: String,
    #[serde(default, deserialize_with = "null_is_default")]
    syscalls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMap {
    architecture: String,
    #[serde(default, deserialize_with = "null_is_default")]
    sub_architectures: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_default")]
    args: Vec<SyscallArg>,
    #[serde(default, deserialize_with = "null_is_default")]
    includes: Condition,
    #[serde(default, deserialize_with = "null_is_default")]
    excludes: Condition,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(deserialize_with = "null_is_default")]
    caps: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// Reads a profile for a container whose bounding set is `caps`.
///
/// # Errors
/// [`Refusal::Invalid`] in Docker's words.
pub fn read(text: &str, caps: &[String], host: &Host) -> Result<Seccomp, Refusal> {
    let profile: Profile = serde_json::from_str(text)
        .map_err(|error| Refusal::Invalid(format!("decoding seccomp profile failed: {error}")))?;
    if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
        return Err(Refusal::Invalid(
            "both 'architectures' and 'archMap' were specified in the seccomp profile, use either \
             'architectures' or 'archMap'"
                .into(),
        ));
    }
    let native = match host.arch {
        Arch::X86_64 => "SCMP_ARCH_X86_64",
        Arch::Aarch64 => "SCMP_ARCH_AARCH64",
    };
    let mut architectures = profile.architectures;
    for map in profile.arch_map.into_iter().filter(|map| map.architecture == native) {
        architectures.push(map.architecture);
        architectures.extend(map.sub_architectures);
    }
    let mut syscalls = Vec::new();
    for call in profile.syscalls {
        if !call.name.is_empty() && !call.names.is_empty() {
            return Err(Refusal::Invalid(
                "'name' and 'names' were specified in the seccomp profile, use either 'name' or \
                 'names'"
                    .into(),
            ));
        }
        if !applies(&call, caps, host)? {
            continue;
        }
        let names = if call.name.is_empty() { call.names } else { vec![call.name] };
        syscalls.push(SyscallRule {
            names,
            action: call.action,
            errno_ret: call.errno_ret,
            args: call.args,
        });
    }
    if !profile.listener_path.is_empty() || !profile.listener_metadata.is_empty() {
        return Err(Refusal::Unsupported(
            "a seccomp profile with a listener is not supported: answer its calls with \
             SCMP_ACT_ERRNO or SCMP_ACT_ALLOW"
                .into(),
        ));
    }
    Ok(Seccomp {
        default_action: profile.default_action,
        default_errno_ret: profile.default_errno_ret,
        architectures,
        flags: profile.flags,
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls,
    })
}

/// Includes are all needed; a single exclude is enough.
fn applies(call: &Call, caps: &[String], host: &Host) -> Result<bool, Refusal> {
    // Go's names, with which Docker's profiles are written.
    let arch = match host.arch {
        Arch::X86_64 => "amd64",
        Arch::Aarch64 => "arm64",
    };
    let (with, without) = (&call.includes, &call.excludes);
    let new = |at_least: &Option<String>| match at_least {
        Some(version) => version_of(version).map(|version| Some(host.kernel >= version)),
        None => Ok(None),
    };
    Ok((with.arches.is_empty() || with.arches.iter().any(|a| a == arch))
        && with.caps.iter().all(|cap| caps.contains(cap))
        && new(&with.min_kernel)?.unwrap_or(true)
        && !without.arches.iter().any(|a| a == arch)
        && !without.caps.iter().any(|cap| caps.contains(cap))
        && !new(&without.min_kernel)?.unwrap_or(false))
}

fn version_of(text: &str) -> Result<(u32, u32), Refusal> {
    text.split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| {
            Refusal::Invalid(format!(
                "decoding seccomp profile failed: invalid kernel version: {text}"
            ))
        })
}
