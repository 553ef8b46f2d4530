//! The engine's AppArmor profile: loaded once, when the engine opens.
//!
//! The kernel takes compiled policies, and the compiler is a program of the
//! AppArmor project that every distribution with AppArmor installs. Where it
//! is missing, containers run without a profile, and say so.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

const PROFILE: &str = include_str!("apparmor.profile");
/// Source: apparmor_parser(8).
const PARSERS: [&str; 2] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
/// One line for each loaded profile: `NAME (MODE)`.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";

/// Whether the machine enforces profiles.
pub(crate) fn is_enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text == "Y\n")
}

/// Loads the profile; whether the kernel enforces it afterwards.
pub(crate) fn load() -> bool {
    if !is_enabled() {
        return false;
    }
    let parser = PARSERS.iter().find(|path| Path::new(path).exists());
    match parser.ok_or_else(|| "there is no apparmor_parser".to_owned()).and_then(|p| compile(p)) {
        Ok(()) => return true,
        Err(why) => tracing::warn!(why, "cannot load the AppArmor profile"),
    }
    // One of an earlier start, or of the package, does as well.
    fs::read_to_string(LOADED).is_ok_and(|text| is_loaded(&text))
}

fn compile(parser: &str) -> Result<(), String> {
    let mut child = Command::new(parser)
        .args(["--replace", "--skip-cache"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{parser}: {error}"))?;
    // It reads all of it before it says anything.
    let written = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(PROFILE.as_bytes()));
    let out = child.wait_with_output().map_err(|error| format!("{parser}: {error}"))?;
    let said = String::from_utf8_lossy(&out.stderr);
    match written {
        Ok(()) if out.status.success() => Ok(()),
        Ok(()) => Err(format!("{parser}: {}: {}", out.status, said.trim())),
        Err(error) => Err(format!("{parser}: {error}: {}", said.trim())),
    }
}

fn is_loaded(profiles: &str) -> bool {
    let name = policy::labels::APPARMOR_PROFILE;
    // One that only complains confines nobody.
    profiles.lines().any(|line| line.strip_prefix(name) == Some(" (enforce)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_bears_the_name_that_policy_asks_for() {
        assert!(PROFILE.contains(&format!("\nprofile {} ", policy::labels::APPARMOR_PROFILE)));
    }

    #[test]
    fn an_enforced_profile_is_known_by_its_whole_name() {
        assert!(is_loaded("docker-default (enforce)\ncofferdam-default (enforce)\n"));
        assert!(!is_loaded("cofferdam-default-2 (enforce)\n"));
        assert!(!is_loaded("cofferdam-default (complain)\n"), "it confines nobody");
    }
}
