//! The small languages that flags are written in.

use crate::error::{Error, Outcome};
use spec::docker::{BindOptions, DriverConfig, ImageOptions, Mount, TmpfsOptions, VolumeOptions};
use std::{collections::BTreeMap, fs};

fn wrong(text: String) -> Error {
    Error::Words(text)
}

/// `KEY=VALUE`; a missing value is empty.
pub fn pair(text: &str) -> (&str, &str) {
    text.split_once('=').unwrap_or((text, ""))
}

/// Several pairs; a key is needed.
pub fn pairs(list: &[String]) -> Outcome<BTreeMap<String, String>> {
    let parse = |text: &String| match pair(text) {
        ("", _) => Err(wrong(format!("{text:?} has no key before its '='"))),
        (key, value) => Ok((key.to_owned(), value.to_owned())),
    };
    list.iter().map(parse).collect()
}

/// Bytes as in `512m`: b, k, m, g, t, p; powers of 1024; `-1` passes.
pub fn bytes(text: &str) -> Outcome<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.trim().to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, power) = match lower.strip_suffix(['k', 'm', 'g', 't', 'p']) {
        Some(digits) => (digits, "kmgtp".find(&lower[digits.len()..]).unwrap_or(0) + 1),
        None => (lower, 0),
    };
    let bad = || wrong(format!("invalid size: {text:?}"));
    let number: f64 = digits.trim().parse().map_err(|_| bad())?;
    let size = number * f64::from(1 << 10).powi(i32::try_from(power).unwrap_or(0));
    if !(0.0..9.2e18).contains(&size) {
        return Err(bad());
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    Ok(size as i64)
}

/// Go's durations, e.g. `1m30s` or `500ms`, in nanoseconds.
pub fn duration(text: &str) -> Outcome<i64> {
    spec::duration::nanoseconds(text)
        .ok_or_else(|| wrong(format!("invalid duration {text:?}: e.g. 1m30s is wanted")))
}

fn lines(path: &str) -> Outcome<Vec<String>> {
    let text = fs::read_to_string(path).map_err(|source| Error::Host {
        doing: "read",
        what: path.into(),
        source,
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let kept =
        text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(kept.map(str::to_owned).collect())
}

/// `NAME=VALUE`, or a bare `NAME` that is taken from our own environment and
/// left out where it is not set.
pub fn environment(files: &[String], given: &[String]) -> Outcome<Vec<String>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines(file)?);
    }
    all.extend(given.iter().cloned());
    let mut env = Vec::new();
    for variable in all {
        if pair(&variable).0.is_empty() {
            return Err(wrong(format!("invalid environment variable: {variable:?}")));
        }
        if variable.contains('=') {
            env.push(variable);
        } else if let Ok(value) = std::env::var(&variable) {
            env.push(format!("{variable}={value}"));
        }
    }
    Ok(env)
}

/// Labels from files and flags; flags win.
pub fn labels(files: &[String], given: &[String]) -> Outcome<BTreeMap<String, String>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(lines(file)?);
    }
    all.extend(given.iter().cloned());
    pairs(&all)
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; `[::1]` loses its brackets.
pub fn hosts(list: &[String]) -> Outcome<Vec<String>> {
    let parse = |text: &String| {
        let split = text.split_once('=').or_else(|| text.split_once(':'));
        let Some((name, address)) = split.filter(|(name, _)| !name.is_empty()) else {
            return Err(wrong(format!("bad format for add-host: {text:?}")));
        };
        let address =
            address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
            return Err(wrong(format!("invalid IP address in add-host: {address:?}")));
        }
        Ok(format!("{name}:{address}"))
    };
    list.iter().map(parse).collect()
}

/// A seccomp profile is read here: the engine may be elsewhere.
pub fn security_option(option: &str) -> Outcome<String> {
    let Some((key, value)) = option.split_once('=').or_else(|| option.split_once(':')) else {
        return Ok(option.to_owned());
    };
    if key != "seccomp" || matches!(value, "unconfined" | "builtin") {
        return Ok(option.to_owned());
    }
    let text = fs::read_to_string(value).map_err(|source| Error::Host {
        doing: "read the seccomp profile",
        what: value.into(),
        source,
    })?;
    let profile: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| wrong(format!("the seccomp profile {value} is not JSON: {error}")))?;
    Ok(format!("seccomp={profile}"))
}

/// `PATH[:OPTIONS]`.
pub fn tmpfs(list: &[String]) -> Option<BTreeMap<String, String>> {
    let split = |text: &String| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), options.to_owned())
    };
    (!list.is_empty()).then(|| list.iter().map(split).collect())
}

/// One `--mount`: comma-separated fields.
pub fn mount(text: &str) -> Outcome<Mount> {
    let mut mount = Mount { kind: "volume".into(), ..Mount::default() };
    let mut bind = BindOptions::default();
    let (mut volume, mut tmpfs) = (VolumeOptions::default(), TmpfsOptions::default());
    let mut image = ImageOptions::default();
    for field in text.split(',') {
        let (key, value) =
            field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
        let flag = || match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(value) => Err(wrong(format!("invalid value for {key}: {value}"))),
        };
        let word = || {
            value
                .map(str::to_owned)
                .ok_or_else(|| wrong(format!("invalid field {field:?} must be a key=value pair")))
        };
        match key.to_ascii_lowercase().as_str() {
            "type" => mount.kind = word()?.to_ascii_lowercase(),
            "source" | "src" => mount.source = absolute(word()?)?,
            "target" | "dst" | "destination" => mount.target = word()?,
            "readonly" | "ro" => mount.read_only = flag()?,
            "consistency" => mount.consistency = word()?,
            "bind-propagation" => bind.propagation = word()?,
            "bind-create-src" => bind.create_mountpoint = flag()?,
            "bind-nonrecursive" => bind.non_recursive = flag()?,
            "bind-recursive" => match word()?.as_str() {
                "enabled" => {}
                "disabled" => bind.non_recursive = true,
                "writable" => bind.read_only_non_recursive = true,
                "readonly" => bind.read_only_force_recursive = true,
                other => return Err(wrong(format!("invalid value for {key}: {other}"))),
            },
            "volume-nocopy" => volume.no_copy = flag()?,
            "volume-subpath" => volume.subpath = word()?,
            "volume-label" => {
                let word = word()?;
                let (label, value) = pair(&word);
                volume.labels.insert(label.to_owned(), value.to_owned());
            }
            "volume-driver" => {
                volume.driver_config.get_or_insert_with(DriverConfig::default).name = word()?;
            }
            "volume-opt" => {
                let word = word()?;
                let (option, value) = pair(&word);
                let driver = volume.driver_config.get_or_insert_with(DriverConfig::default);
                driver.options.insert(option.to_owned(), value.to_owned());
            }
            "tmpfs-size" => tmpfs.size_bytes = bytes(&word()?)?,
            "tmpfs-mode" => {
                let word = word()?;
                let bad = |_| wrong(format!("invalid value for tmpfs-mode: {word}"));
                tmpfs.mode = u32::from_str_radix(&word, 8).map_err(bad)?;
            }
            "image-subpath" => image.subpath = word()?,
            _ => return Err(wrong(format!("unknown mount option {key:?}"))),
        }
    }
    if mount.target.is_empty() {
        return Err(wrong(format!("the mount {text:?} needs a target")));
    }
    if mount.kind != "bind"
        && mount.kind != "volume"
        && !mount.source.is_empty()
        && mount.kind != "image"
    {
        return Err(wrong(format!("a mount of type {} has no source", mount.kind)));
    }
    mount.bind_options = (bind != BindOptions::default()).then_some(bind);
    mount.volume_options = (volume != VolumeOptions::default()).then_some(volume);
    mount.tmpfs_options = (tmpfs != TmpfsOptions::default()).then_some(tmpfs);
    mount.image_options = (image != ImageOptions::default()).then_some(image);
    Ok(mount)
}

/// A relative path is relative to where the words were typed.
fn absolute(path: String) -> Outcome<String> {
    if !path.starts_with('.') {
        return Ok(path);
    }
    let whole = std::path::absolute(&path);
    let whole = whole.map_err(|source| Error::Host { doing: "resolve", what: path, source })?;
    Ok(whole.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("512m").expect("valid"), 512 << 20);
        assert_eq!(bytes("1.5GiB").expect("valid"), 3 << 29);
        assert_eq!(bytes("10").expect("valid"), 10);
        assert!(bytes("many").is_err() && bytes("-5m").is_err());
    }

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("1m30s").expect("valid"), 90_000_000_000);
        assert_eq!(duration("500ms").expect("valid"), 500_000_000);
        assert!(duration("5").is_err() && duration("").is_err() && duration("5y").is_err());
    }

    #[test]
    fn a_mount_says_what_it_does_not_know() {
        let mounted = mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave").expect("valid");
        assert!(mounted.read_only);
        assert_eq!(mounted.bind_options.expect("one").propagation, "rslave");
        assert!(mount("type=bind,src=/a").is_err(), "no target");
        assert!(mount("type=bind,what=/a,dst=/b").is_err());
    }

    #[test]
    fn a_host_needs_an_address() {
        assert_eq!(hosts(&["a:[::1]".into()]).expect("valid"), ["a:::1"]);
        assert!(hosts(&["a:b".into()]).is_err());
    }
}
