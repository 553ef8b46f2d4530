//! The peers: Docker, Podman, crun and runc as Debian's newest suite has them.
//!
//! They are unpacked, not installed: a root file system in `target/peers` that
//! becomes the root of a mount and network namespace of its own, so that they
//! find their own C library and touch nothing of the machine's. There dockerd
//! and containerd run with overlay2, nftables and a bridge, as they are when
//! they come from the package. The tests of `cofferdam-run` under Podman and
//! containerd use the same root.

use super::{
    contender::{Contender, Kind, Parts, await_socket, words},
    host::{Host, Scratch},
    meter::Meter,
};
use crate::{root, run};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PACKAGES: &str = "docker.io,docker-cli,podman,crun,runc,netavark,conmon,iptables,nftables,\
                        catatonit,containernetworking-plugins,iproute2,busybox-static,ca-certificates,procps";
const SUITE: &str = "sid";
const MIRROR: &str = "http://deb.debian.org/debian";
/// This program, in the peers' root.
const OWN: &str = "/usr/local/bin/xtask";

/// What the package's maintainer scripts would have done, and what a base
/// system would have had.
const FINISH: &str = "
    for d in bin sbin lib lib64; do [ -e usr/$d ] && ln -sfn usr/$d $d; done
    mkdir -p proc sys run root host var/tmp usr/local/bin bench
    for t in iptables ip6tables; do
        for s in '' -save -restore; do ln -sf $t-nft$s usr/sbin/$t$s; done
    done
    echo root:x:0:0:root:/root:/bin/sh > etc/passwd
    echo root:x:0: > etc/group
    echo 127.0.0.1 localhost > etc/hosts
    touch etc/resolv.conf";

/// Unpacks them, once; gives the root.
pub fn install() -> Result<PathBuf> {
    let place = root().join("target/peers");
    let done = place.join("complete");
    let files = place.join("root");
    // Another list makes another root.
    if fs::read_to_string(&done).ok().as_deref() != Some(PACKAGES) {
        println!("unpacking the peers from Debian {SUITE} into {}", place.display());
        fs::create_dir_all(&place).context("cannot make target/peers")?;
        let _ = fs::remove_file(&done);
        let _ = fs::remove_dir_all(&files);
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=extract", "--mode=root", "--components=main"]);
        make.args(["--aptopt=Acquire::Check-Valid-Until \"false\""]);
        make.args(["--aptopt=Apt::Install-Recommends \"false\""]);
        make.args(["--dpkgopt=path-exclude=/usr/share/doc/*"]);
        make.args(["--dpkgopt=path-exclude=/usr/share/man/*"]);
        make.arg(format!("--include={PACKAGES}")).arg(SUITE).arg(&files).arg(MIRROR);
        run(&mut make)?;
        run(Command::new("sh").args(["-ec", FINISH]).current_dir(&files))?;
        fs::write(&done, PACKAGES).context("cannot mark the peers as unpacked")?;
    }
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    fs::copy(own, files.join(OWN.trim_start_matches('/'))).context("cannot copy this program")?;
    Ok(files)
}

/// A host with their root, where `scratch` is in its place and the version 1
/// hierarchies alone are seen: crun refuses to work where both versions are.
pub fn host(files: &Path, scratch: &Scratch) -> Result<Host> {
    let (files, scratch) = (files.display(), scratch.0.display());
    let script = format!(
        "R={files}
         ip link set lo up
         mount --bind $R $R
         mount -t sysfs sysfs $R/sys
         if [ -d /sys/fs/cgroup/unified ]; then
             mount -t tmpfs cgroup $R/sys/fs/cgroup
             for c in /sys/fs/cgroup/*; do
                 [ $c = /sys/fs/cgroup/unified ] && continue
                 mkdir $R$c; mount --bind $c $R$c
             done
         else
             mount --rbind /sys/fs/cgroup $R/sys/fs/cgroup
         fi
         mount --rbind /dev $R/dev
         mount -t proc proc $R/proc
         mount -t tmpfs tmpfs $R/run
         mount -t tmpfs tmpfs $R/tmp
         mkdir -p $R{scratch} && mount --bind {scratch} $R{scratch}
         cd $R && pivot_root . host && cd /
         exec busybox sh -ec 'umount -l /host; echo up; exec cat'"
    );
    Host::rooted(&script, OWN)
}

/// dockerd, which starts its containerd.
pub fn docker(host: &Host, scratch: &Scratch) -> Result<Contender> {
    let place = scratch.folder("docker")?;
    let meter = Meter::new("docker")?;
    let agent = host.agent(&meter.group)?;
    let socket = place.join("docker.sock");
    let address = format!("unix://{}", socket.display());
    let daemon = [
        "dockerd",
        "--host",
        &address,
        "--data-root",
        &place.join("data").display().to_string(),
        "--storage-driver",
        "overlay2",
        "--cgroup-parent",
        &meter.name,
    ];
    let daemon = agent.keep(&words(&daemon), &place.join("log"))?;
    await_socket(&socket)?;
    let docker = Contender::new(Parts {
        name: "docker",
        kind: Kind::Peer,
        client: words(&["docker", "--host", &address]),
        run_words: Vec::new(),
        agent,
        daemon: Some(daemon),
        meter: meter.into(),
    });
    docker.import(&scratch.0.join("busybox.tar"))?;
    Ok(docker)
}

/// Podman, with crun.
pub fn podman(host: &Host, scratch: &Scratch) -> Result<Contender> {
    let place = scratch.folder("podman")?;
    let meter = Meter::new("podman")?;
    let podman = Contender::new(Parts {
        name: "podman",
        kind: Kind::Peer,
        client: words(&["podman", "--root", &place.join("data").display().to_string()]),
        run_words: words(&["--cgroup-parent", &meter.name]),
        agent: host.agent(&meter.group)?,
        daemon: None,
        meter: meter.into(),
    });
    podman.import(&scratch.0.join("busybox.tar"))?;
    Ok(podman)
}

/// Their versions, as they say them.
pub fn versions(host: &Host) -> Result<()> {
    for program in ["dockerd", "podman", "crun", "runc"] {
        let out = host.command(program).arg("--version").output().context("cannot ask a peer")?;
        ensure!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
        println!("  {}", String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default());
    }
    Ok(())
}
