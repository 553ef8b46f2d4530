//! The project's chores: `cargo xtask demo | test | fuzz | vm | lint | bench | dist`.
//!
//! Each is a file; this one sorts the words and holds what they share.

mod bench;
mod demo;
mod dist;
mod fuzz;
mod left;
mod lint;
mod test;
mod vm;

use anyhow::{Context as _, Result, bail, ensure};
use std::{env, path::PathBuf, process::Command};

const USAGE: &str = "usage: cargo xtask demo | test [--vm] [NAME] | fuzz [TARGET…] | vm [OPTION…] -- COMMAND | lint | bench [--peers] [ROW…] | dist

  demo   build, start an engine on a private data root, print the isolation report
  test   install what the tests need, build, run every test (as root)
           --vm          a choice of them, in guests with cgroup v2 alone and systemd
           --vm --profile NAME  in that guest alone
  fuzz   give hostile input to the parsers, the same each time
           --for SECONDS  go on for so long, from other dice and what was found before
  vm     run a command in a fresh Debian guest (as root)
           --files DIR[:PLACE]  a directory that the guest gets a copy of
           --profile plain|apparmor|selinux  which security module its kernel has, if any
           --timeout SECONDS    600 if nothing is said
  lint   formatting, clippy, the direction between the rooms, the fence
  bench  measure ratios of interleaved runs (as root); ROW is a part of a row's title
           --peers       beside Docker, Podman, crun and runc, unpacked from Debian
           --before DIR  beside another build of the three programs
           --binaries DIR  of that build (with the floor) instead of one that is made now
  dist   release binaries and their archive in target/dist";

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["demo"] => demo::run(),
        ["test", "--vm", ref rest @ ..] => vm::test(rest),
        ["test", ref rest @ ..] => test::test(rest),
        ["fuzz", ref rest @ ..] => fuzz::fuzz(rest),
        ["vm", ref rest @ ..] => vm::run(rest),
        ["lint"] => lint::lint(),
        ["bench", ref rest @ ..] => bench::run(rest),
        ["bench-agent", group] => bench::agent(group.as_ref()),
        ["dist"] => dist::dist(),
        _ => bail!("{USAGE}"),
    }
}

/// The workspace's directory.
fn root() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("xtask is a directory of the workspace").to_owned()
}

/// Cargo, as it called us, in the workspace's directory.
fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end; anything but success is an error that names it.
fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// What a command says; its failure is an error that names it.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let error = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.success(), "{command:?}: {}: {error}", out.status);
    Ok(out.stdout)
}

/// Builds the three programs and says where they are.
fn build(profile: &str) -> Result<PathBuf> {
    let packages = ["--package", "cofferdamd", "--package", "cofferdam-run", "--package", "cli"];
    run(cargo(&["build", "--locked", "--profile", profile]).args(packages))?;
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target.join(host()?).join(folder))
}

/// This machine's target triple, which `.cargo/config.toml` builds for.
fn host() -> Result<String> {
    let out = Command::new("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8(out.stdout).context("rustc -vV is not text")?;
    let line = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("rustc -vV names no host")?.to_owned())
}

/// Fails early, and says why, where only root will do.
fn as_root() -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc")?;
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    ensure!(root, "containers are made by root: run this as root");
    Ok(())
}
