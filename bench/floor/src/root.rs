//! The container's root: an overlay, and the mounts in it.

use crate::{BASE, directory};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
};
use std::{
    fs, io,
    os::{fd::OwnedFd, unix::fs as unix},
    path::Path,
};

/// Makes the layer, once.
pub fn prepare(dir: &Path, program: &Path) -> io::Result<()> {
    for folder in ["lower/bin", "lower/proc", "lower/sys", "lower/dev", "upper", "work", "root"] {
        fs::create_dir_all(dir.join(folder))?;
    }
    fs::copy(program, dir.join("lower/bin/busybox"))?;
    unix::chown(dir.join("upper"), Some(BASE), Some(BASE))
}

/// The overlay, mounted nowhere yet.
pub fn overlay(dir: &Path) -> io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, folder) in [("lowerdir+", "lower"), ("upperdir", "upper"), ("workdir", "work")] {
        fsconfig_set_string(&context, key, dir.join(folder))?;
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?)
}

/// Puts it in place in the caller's own mount namespace.
pub fn attach(root: &OwnedFd, dir: &Path) -> io::Result<()> {
    rustix::mount::mount_change(
        "/",
        rustix::mount::MountPropagationFlags::DOWNSTREAM
            | rustix::mount::MountPropagationFlags::REC,
    )?;
    let place = directory(&dir.join("root"))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(root, "", &place, "", flags)?)
}

/// From inside: the new root, and what belongs to the own namespaces.
pub fn enter(dir: &Path) -> io::Result<()> {
    let root = dir.join("root");
    // What was copied into the user namespace is locked in its place; a bind
    // of it made here is not, and can become the root.
    rustix::mount::mount_bind_recursive(&root, &root)?;
    rustix::process::chdir(&root)?;
    // proc and sysfs want to see the host's, so they come before the pivot.
    let safe = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    mount("proc", "proc", "proc", safe, None)?;
    mount("tmpfs", "dev", "tmpfs", MountFlags::NOSUID, Some(c"mode=755"))?;
    for folder in ["dev/pts", "dev/shm", "dev/mqueue"] {
        fs::create_dir(folder)?;
    }
    mount(
        "devpts",
        "dev/pts",
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        Some(c"newinstance,ptmxmode=0666"),
    )?;
    mount("shm", "dev/shm", "tmpfs", safe, Some(c"size=64m"))?;
    mount("mqueue", "dev/mqueue", "mqueue", safe, None)?;
    mount("sysfs", "sys", "sysfs", safe | MountFlags::RDONLY, None)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}
