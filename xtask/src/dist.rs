//! `cargo xtask dist`: the release binaries and their archive.

use crate::{build, host, root, run};
use anyhow::{Context as _, Result, ensure};
use std::process::Command;

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
    Ok(())
}

/// An ELF file without a `PT_INTERP` segment.
fn is_static(path: &std::path::Path) -> Result<bool> {
    let out =
        Command::new("readelf").arg("-lW").arg(path).output().context("cannot start readelf")?;
    ensure!(out.status.success(), "readelf cannot read {}", path.display());
    Ok(!String::from_utf8_lossy(&out.stdout).contains("INTERP"))
}
