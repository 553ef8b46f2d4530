//! `cargo xtask dist`: the release binaries, their archive, and a package for
//! Debian and what comes of it.

use crate::{build, host, output, root, run};
use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAMS: [&str; 3] = ["cofferdam", "cofferdamd", "cofferdam-run"];

pub fn dist() -> Result<()> {
    let binaries = build("release")?;
    let name = format!("cofferdam-{}-{}", env!("CARGO_PKG_VERSION"), host()?);
    let folder = root().join("target/dist").join(&name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    for program in PROGRAMS {
        let from = binaries.join(program);
        ensure!(is_static(&from)?, "{} needs a dynamic linker", from.display());
        std::fs::copy(&from, folder.join(program))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    for page in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "CHANGELOG.md"] {
        std::fs::copy(root().join(page), folder.join(page))
            .with_context(|| format!("cannot copy {page}"))?;
    }
    let packaging = folder.join("packaging");
    run(Command::new("cp").args(["-rT"]).arg(root().join("packaging")).arg(packaging))?;
    let archive = format!("{name}.tar.gz");
    let tar = ["--owner=0", "--group=0", "--sort=name", "-czf", &archive, &name];
    run(Command::new("tar").args(tar).current_dir(root().join("target/dist")))?;
    println!("target/dist/{archive}");
    let package = deb(&binaries, &root().join("target/dist"))?;
    println!("target/dist/{}", package.file_name().unwrap_or_default().display());
    Ok(())
}

/// What of `packaging` goes where, as it is.
const FILES: [(&str, &str); 5] = [
    ("systemd/cofferdam.service", "usr/lib/systemd/system/cofferdam.service"),
    ("systemd/cofferdam.socket", "usr/lib/systemd/system/cofferdam.socket"),
    ("apparmor/cofferdam", "etc/apparmor.d/cofferdam"),
    ("selinux/cofferdam.cil", "usr/share/cofferdam/selinux/cofferdam.cil"),
    ("selinux/cofferdam_types.cil", "usr/share/cofferdam/selinux/cofferdam_types.cil"),
];

/// Where each shell looks for what completes words.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/cofferdam"),
    ("zsh", "usr/share/zsh/vendor-completions/_cofferdam"),
    ("fish", "usr/share/fish/vendor_completions.d/cofferdam.fish"),
];

/// A package of the three programs, which are built already, in `folder`.
pub fn deb(binaries: &Path, folder: &Path) -> Result<PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => anyhow::bail!("Debian's name for {other} is not known here"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let tree = folder.join("deb");
    clear(&tree)?;
    for program in PROGRAMS {
        let to = tree.join("usr/bin").join(program);
        put(&binaries.join(program), &to, 0o755)?;
        // What is left of it is for debuggers, and ten times as large.
        run(Command::new("strip").arg("--strip-unneeded").arg(&to))?;
    }
    let packaging = root().join("packaging");
    for (from, to) in FILES {
        put(&packaging.join(from), &tree.join(to), 0o644)?;
    }
    let cofferdam = tree.join("usr/bin/cofferdam");
    for (shell, to) in COMPLETIONS {
        let script = output(Command::new(&cofferdam).args(["completion", shell]))?;
        write(&tree.join(to), &script)?;
    }
    let pages = tree.join("usr/share/man/man1");
    run(Command::new(&cofferdam).arg("man").arg(&pages))?;
    run(Command::new("sh").arg("-c").arg("exec gzip -9n ./*").current_dir(&pages))?;
    let papers = tree.join("usr/share/doc/cofferdam");
    for page in ["README.md", "CHANGELOG.md", "SECURITY.md"] {
        put(&root().join(page), &papers.join(page), 0o644)?;
    }
    let licence = format!(
        "Apache-2.0 or MIT, as you choose.\n\n{}\n\n{}",
        read(&root().join("LICENSE-MIT"))?,
        read(&root().join("LICENSE-APACHE"))?
    );
    write(&papers.join("copyright"), licence.as_bytes())?;
    let size = output(Command::new("du").args(["-sk"]).arg(&tree))?;
    let size = String::from_utf8_lossy(&size);
    let control = read(&packaging.join("deb/control"))?
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@SIZE@", size.split_whitespace().next().unwrap_or("0"));
    let debian = tree.join("DEBIAN");
    write(&debian.join("control"), control.as_bytes())?;
    write(&debian.join("conffiles"), b"/etc/apparmor.d/cofferdam\n")?;
    for script in ["postinst", "prerm", "postrm"] {
        put(&packaging.join("deb").join(script), &debian.join(script), 0o755)?;
    }
    let package = folder.join(format!("cofferdam_{version}_{architecture}.deb"));
    let build = ["--root-owner-group", "-Zxz", "--build"];
    run(Command::new("dpkg-deb").args(build).arg(&tree).arg(&package))?;
    clear(&tree)?;
    Ok(package)
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", to.display()))
}

fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let parent = to.parent().context("a file is in a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn clear(tree: &Path) -> Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot clear {}", tree.display()))
        }
        _ => Ok(()),
    }
}

/// An ELF file without a `PT_INTERP` segment.
fn is_static(path: &std::path::Path) -> Result<bool> {
    let out =
        Command::new("readelf").arg("-lW").arg(path).output().context("cannot start readelf")?;
    ensure!(out.status.success(), "readelf cannot read {}", path.display());
    Ok(!String::from_utf8_lossy(&out.stdout).contains("INTERP"))
}
