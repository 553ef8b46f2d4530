//! The request's words for mounts, read.

use super::{Below, Point, Relabel, Source, Volume, depth};
use crate::Refusal;
use spec::docker::{BindOptions, Config, HostConfig, Mount};

/// Lists what is to be mounted: `Binds`, `Mounts`, `Tmpfs` and `Volumes`,
/// outer destinations first.
///
/// # Errors
/// A [`Refusal`], in Docker's words, for words that make no sense and for two
/// mounts at one place.
pub fn points(config: &Config, host_config: &HostConfig) -> Result<Vec<Point>, Refusal> {
    let mut points: Vec<Point> = Vec::new();
    let mut add = |point: Point| {
        if points.iter().any(|other| other.destination == point.destination) {
            return Err(Refusal::invalid(format!("Duplicate mount point: {}", point.destination)));
        }
        points.push(point);
        Ok(())
    };
    for text in host_config.binds.iter().flatten() {
        add(bind(text, &host_config.volume_driver)?)?;
    }
    for mount in host_config.mounts.iter().flatten() {
        add(entry(mount)?)?;
    }
    for (path, options) in host_config.tmpfs.iter().flatten() {
        let options = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
        add(point(destination(path)?, Source::Tmpfs { options: tmpfs(options)? }))?;
    }
    // What the image or `-v /path` names yields to a mount that was spelt out.
    for path in config.volumes.iter().flatten().map(|(path, _)| path) {
        let destination = destination(path)?;
        if points.iter().all(|other| other.destination != destination) {
            let volume = Volume { driver: host_config.volume_driver.clone(), ..Volume::default() };
            points.push(point(destination, Source::Volume(volume)));
        }
    }
    points.sort_by_key(|point| depth(&point.destination));
    Ok(points)
}

fn point(destination: String, source: Source) -> Point {
    Point {
        destination,
        source,
        path: String::new(),
        read_only: false,
        below: Below::Along,
        propagation: String::new(),
        relabel: Relabel::Keep,
    }
}

/// Makes a path clean as Go's `filepath.Clean` does.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn destination(path: &str) -> Result<String, Refusal> {
    if path.contains('\0') {
        return Err(Refusal::invalid("invalid mount path: it holds a zero byte"));
    }
    if !path.starts_with('/') {
        return Err(Refusal::invalid(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    let path = clean(path);
    if path == "/" {
        return Err(Refusal::invalid("invalid specification: destination can't be '/'"));
    }
    Ok(path)
}

/// `[SOURCE:]DESTINATION[:MODE]`.
fn bind(text: &str, driver: &str) -> Result<Point, Refusal> {
    let wrong = || Refusal::invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts.as_slice() {
        [target] => ("", *target, ""),
        // `/a:ro` has no meaning: a mode needs a source.
        [_, mode] if is_mode(mode) => return Err(wrong()),
        [source, target] => (*source, *target, ""),
        [source, target, mode] => (*source, *target, *mode),
        _ => return Err(wrong()),
    };
    if target.is_empty() || (parts.len() > 1 && source.is_empty()) {
        return Err(wrong());
    }
    let kind = if source.starts_with('/') { "bind" } else { "volume" };
    let config = |why: &str| {
        Refusal::invalid(format!("{}: invalid mount config for type {kind:?}: {why}", wrong()))
    };
    let destination = destination(target).map_err(|refusal| config(&refusal.to_string()))?;
    let mut wish = if source.starts_with('/') {
        let mut wish = point(destination, Source::Bind { create: true });
        wish.path = clean(source);
        wish
    } else {
        let volume =
            Volume { name: volume_name(source)?, driver: driver.to_owned(), ..Volume::default() };
        point(destination, Source::Volume(volume))
    };
    if !is_mode(mode) {
        return Err(Refusal::invalid(format!("invalid mode: {mode}")));
    }
    apply_mode(&mut wish, mode)
        .map_err(|field| config(&format!("field {field} must not be specified")))?;
    if wish.read_only && source.is_empty() {
        return Err(config("must not set ReadOnly mode when using anonymous volumes"));
    }
    Ok(wish)
}

/// Words that may follow a destination, at most one of each kind.
fn is_mode(mode: &str) -> bool {
    let mut kinds: Vec<u8> = Vec::new();
    mode.is_empty()
        || mode.split(',').all(|word| {
            let kind = match word {
                "ro" | "rw" => 0,
                "z" | "Z" => 1,
                "nocopy" => 2,
                "consistent" | "cached" | "delegated" => 3,
                word if is_propagation(word) => 4,
                _ => return false,
            };
            let first = !kinds.contains(&kind);
            kinds.push(kind);
            first
        })
}

/// Applies a mode's words; an error names the field that has no place there.
fn apply_mode(wish: &mut Point, mode: &str) -> Result<(), &'static str> {
    for word in mode.split(',') {
        match word {
            "ro" => wish.read_only = true,
            "z" => wish.relabel = Relabel::Shared,
            "Z" => wish.relabel = Relabel::Private,
            "nocopy" => match &mut wish.source {
                Source::Volume(volume) => volume.no_copy = true,
                Source::Bind { .. } | Source::Tmpfs { .. } => return Err("VolumeOptions"),
            },
            word if is_propagation(word) => match wish.source {
                Source::Bind { .. } => word.clone_into(&mut wish.propagation),
                Source::Volume(_) | Source::Tmpfs { .. } => return Err("BindOptions"),
            },
            // "rw" is the default, the rest are hints for other systems.
            _ => {}
        }
    }
    Ok(())
}

fn is_propagation(word: &str) -> bool {
    matches!(word, "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave")
}

/// A name that may be a directory's, whatever it is joined to.
fn volume_name(name: &str) -> Result<String, Refusal> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_none_or(|byte| byte.is_ascii_alphanumeric());
    let rest = bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if first && rest && name.len() != 1 {
        return Ok(name.to_owned());
    }
    Err(Refusal::invalid(format!(
        "{name:?} includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use \
         absolute path"
    )))
}

/// One of `Mounts`.
fn entry(mount: &Mount) -> Result<Point, Refusal> {
    let wrong = |why: &str| {
        Refusal::invalid(format!("invalid mount config for type {:?}: {why}", mount.kind))
    };
    if mount.target.is_empty() {
        return Err(wrong("field Target must not be empty"));
    }
    let destination = destination(&mount.target).map_err(|refusal| wrong(&refusal.to_string()))?;
    let foreign = |kind: &str| -> Result<(), Refusal> {
        for (owner, given, field) in [
            ("bind", mount.bind_options.is_some(), "BindOptions"),
            ("volume", mount.volume_options.is_some(), "VolumeOptions"),
            ("tmpfs", mount.tmpfs_options.is_some(), "TmpfsOptions"),
        ] {
            if given && owner != kind {
                return Err(wrong(&format!("field {field} must not be specified")));
            }
        }
        Ok(())
    };
    let mut wish = match mount.kind.as_str() {
        "bind" => {
            foreign("bind")?;
            if mount.source.is_empty() {
                return Err(wrong("field Source must not be empty"));
            }
            if !mount.source.starts_with('/') {
                let path = &mount.source;
                return Err(wrong(&format!(
                    "invalid mount path: '{path}' mount path must be absolute"
                )));
            }
            let options = mount.bind_options.clone().unwrap_or_default();
            bind_options(mount, &options, destination, &wrong)?
        }
        "volume" => {
            foreign("volume")?;
            let options = mount.volume_options.clone().unwrap_or_default();
            let driver = options.driver_config.unwrap_or_default();
            if options.subpath.split('/').any(|part| part == "..")
                || options.subpath.starts_with('/')
            {
                return Err(wrong("subpath must be a relative path within the volume"));
            }
            if !options.subpath.is_empty() && mount.source.is_empty() {
                return Err(wrong("must not set Subpath when using anonymous volumes"));
            }
            if mount.read_only && mount.source.is_empty() {
                return Err(wrong("must not set ReadOnly mode when using anonymous volumes"));
            }
            let volume = Volume {
                name: volume_name(&mount.source)?,
                driver: driver.name,
                options: driver.options,
                labels: options.labels,
                no_copy: options.no_copy,
                subpath: options.subpath,
            };
            point(destination, Source::Volume(volume))
        }
        "tmpfs" => {
            foreign("tmpfs")?;
            if !mount.source.is_empty() {
                return Err(wrong("field Source must not be specified"));
            }
            let mut words = Vec::new();
            if let Some(options) = &mount.tmpfs_options {
                if options.size_bytes < 0 {
                    return Err(wrong("size must not be negative"));
                }
                if options.size_bytes > 0 {
                    words.push(format!("size={}", options.size_bytes));
                }
                if options.mode != 0 {
                    words.push(format!("mode={:o}", options.mode));
                }
                words.extend(options.options.iter().map(|option| option.join("=")));
            }
            point(destination, Source::Tmpfs { options: tmpfs(words)? })
        }
        "image" | "npipe" | "cluster" => {
            return Err(Refusal::unsupported(format!(
                "invalid mount config for type {:?}: mounts of this type are not supported: use a \
                 volume or a bind mount",
                mount.kind
            )));
        }
        _ => return Err(wrong("mount type unknown")),
    };
    wish.read_only = mount.read_only;
    Ok(wish)
}

fn bind_options(
    mount: &Mount,
    options: &BindOptions,
    destination: String,
    wrong: &dyn Fn(&str) -> Refusal,
) -> Result<Point, Refusal> {
    if !options.propagation.is_empty() && !is_propagation(&options.propagation) {
        return Err(wrong(&format!("invalid propagation mode: {}", options.propagation)));
    }
    if options.read_only_force_recursive {
        if !mount.read_only {
            return Err(wrong(
                "mount is set as recursive read-only but the mount itself is not read-only",
            ));
        }
        if options.read_only_non_recursive {
            return Err(wrong(
                "mount must not be both ReadOnlyNonRecursive and ReadOnlyForceRecursive",
            ));
        }
    }
    let mut wish = point(destination, Source::Bind { create: options.create_mountpoint });
    wish.path = clean(&mount.source);
    wish.propagation.clone_from(&options.propagation);
    wish.below = match (options.non_recursive, options.read_only_non_recursive) {
        (true, _) => Below::Out,
        (false, true) => Below::Writable,
        (false, false) => Below::Along,
    };
    Ok(wish)
}

/// Checks options of a `tmpfs`: those that mean nothing to it, or something
/// else to mount(2), are refused.
fn tmpfs(options: Vec<String>) -> Result<Vec<String>, Refusal> {
    for option in &options {
        let known = match option.split_once('=') {
            Some(("size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol", value)) => {
                !value.is_empty()
            }
            Some(_) => false,
            None => matches!(
                option.as_str(),
                "ro" | "rw"
                    | "suid"
                    | "nosuid"
                    | "dev"
                    | "nodev"
                    | "exec"
                    | "noexec"
                    | "sync"
                    | "async"
                    | "dirsync"
                    | "atime"
                    | "noatime"
                    | "diratime"
                    | "nodiratime"
                    | "relatime"
                    | "norelatime"
                    | "strictatime"
                    | "nostrictatime"
                    | "defaults"
            ),
        };
        if !known {
            return Err(Refusal::invalid(format!("invalid tmpfs option [{option:?}]")));
        }
    }
    Ok(options)
}
