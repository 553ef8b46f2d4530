//! What a container sees of volumes, directories, secrets and configs.

use super::Named;
use crate::{
    error::{Outcome, unfit},
    model::{FileObject, Grant, Mount as Wish, Service},
    project::Project,
};
use spec::docker::{BindOptions, HostConfig, ImageOptions, Mount, TmpfsOptions, VolumeOptions};

/// A secret or config that is written into the container, since it lies in
/// no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injected {
    /// Where, from the root.
    pub path: String,
    /// What.
    pub content: String,
    /// Whose.
    pub uid: u64,
    /// Whose.
    pub gid: u64,
    /// Rights.
    pub mode: u32,
}

/// Puts all mounts of a service into a request.
pub fn mounts(
    project: &Project,
    service: &Service,
    named: &Named<'_>,
    host: &mut HostConfig,
) -> Outcome<()> {
    let (mut binds, mut mounts) = (Vec::new(), Vec::new());
    for wish in &service.volumes {
        match as_bind(wish) {
            Some(bind) => binds.push(bind),
            None => mounts.push(mount(project, service, wish, named)),
        }
    }
    for (grants, kept, place) in [
        (&service.secrets, &project.secrets, "/run/secrets/"),
        (&service.configs, &project.configs, "/"),
    ] {
        for grant in grants {
            let Some(object) = kept.get(&grant.source) else { continue };
            if object.external {
                return Err(unfit(format!(
                    "service {:?}: {} is external, and only swarm mode keeps secrets and configs: use file or environment",
                    service.name, grant.source
                )));
            }
            if let Some(file) = &object.file {
                mounts.push(Mount {
                    kind: "bind".into(),
                    source: file.clone(),
                    target: target(grant, place),
                    read_only: true,
                    ..Mount::default()
                });
            }
        }
    }
    // What an image's own volumes held before.
    for (target, name) in named.inherited {
        let taken = service.volumes.iter().any(|wish| wish.target == *target);
        if !taken {
            mounts.push(Mount {
                kind: "volume".into(),
                source: name.clone(),
                target: target.clone(),
                ..Mount::default()
            });
        }
    }
    host.binds = (!binds.is_empty()).then_some(binds);
    host.mounts = (!mounts.is_empty()).then_some(mounts);
    Ok(())
}

/// Secrets and configs of a service that are no files.
///
/// # Errors
/// A variable that is not set.
pub fn injected(project: &Project, service: &Service) -> Outcome<Vec<Injected>> {
    let mut all = Vec::new();
    for (grants, kept, place) in [
        (&service.secrets, &project.secrets, "/run/secrets/"),
        (&service.configs, &project.configs, "/"),
    ] {
        for grant in grants {
            let Some(object) = kept.get(&grant.source) else { continue };
            let Some(content) = content(project, object, &grant.source)? else { continue };
            let id = |id: &Option<String>| {
                let id = id.as_deref().unwrap_or("0");
                id.parse().map_err(|_| {
                    unfit(format!(
                        "service {:?}: {}: {id:?} is no number of a user or group",
                        service.name, grant.source
                    ))
                })
            };
            all.push(Injected {
                path: target(grant, place),
                content,
                uid: id(&grant.uid)?,
                gid: id(&grant.gid)?,
                mode: grant.mode.unwrap_or(0o444),
            });
        }
    }
    Ok(all)
}

fn content(project: &Project, object: &FileObject, name: &str) -> Outcome<Option<String>> {
    if let Some(content) = &object.content {
        return Ok(Some(content.clone()));
    }
    let Some(variable) = &object.environment else { return Ok(None) };
    let value = project.variables.get(variable);
    value.cloned().map(Some).ok_or_else(|| {
        unfit(format!("environment variable {variable:?} required by {name:?} is not set"))
    })
}

fn target(grant: &Grant, place: &str) -> String {
    match grant.target.as_deref() {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(name) => format!("{place}{name}"),
        None => format!("{place}{}", grant.source),
    }
}

/// What the older way of the API can say; it makes missing directories.
fn as_bind(wish: &Wish) -> Option<String> {
    let bind = wish.bind.as_ref().filter(|_| wish.kind == "bind")?;
    if !bind.create_host_path || !bind.recursive.is_empty() {
        return None;
    }
    let mut options = vec![if wish.read_only { "ro" } else { "rw" }];
    options.extend([&*bind.selinux, &*bind.propagation].iter().filter(|word| !word.is_empty()));
    Some(format!("{}:{}:{}", wish.source, wish.target, options.join(",")))
}

fn mount(project: &Project, service: &Service, wish: &Wish, named: &Named<'_>) -> Mount {
    let mut source = match project.volumes.get(&wish.source) {
        Some(volume) if wish.kind == "volume" => volume.name.clone(),
        _ => wish.source.clone(),
    };
    if wish.kind == "volume" && source.is_empty() {
        let before = named.inherited.iter().find(|(target, _)| *target == wish.target);
        source = before.map(|(_, name)| name.clone()).unwrap_or_default();
    }
    let bind = wish.bind.as_ref().map(|bind| BindOptions {
        propagation: bind.propagation.clone(),
        create_mountpoint: bind.create_host_path,
        non_recursive: bind.recursive == "disabled",
        read_only_non_recursive: bind.recursive == "writable",
        read_only_force_recursive: bind.recursive == "readonly",
    });
    let labels = |own: &crate::model::Pairs| {
        let mut labels = own.clone();
        if !source.is_empty() || own.is_empty() {
            return labels;
        }
        labels.insert(super::label("project"), project.name.clone());
        labels.insert(super::label("service"), service.name.clone());
        labels
    };
    let volume = wish.volume.as_ref().map(|volume| VolumeOptions {
        no_copy: volume.nocopy,
        labels: labels(&volume.labels),
        subpath: volume.subpath.clone(),
        ..VolumeOptions::default()
    });
    let tmpfs = wish.tmpfs.as_ref().map(|tmpfs| TmpfsOptions {
        size_bytes: tmpfs.size.0,
        mode: tmpfs.mode,
        ..TmpfsOptions::default()
    });
    let image = wish.image.as_ref().map(|image| ImageOptions { subpath: image.subpath.clone() });
    Mount {
        kind: wish.kind.clone(),
        target: wish.target.clone(),
        read_only: wish.read_only,
        consistency: wish.consistency.clone(),
        bind_options: bind,
        volume_options: volume,
        tmpfs_options: tmpfs,
        image_options: image,
        source,
    }
}
