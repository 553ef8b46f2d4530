//! Compiles the crate `report` into `OUT_DIR/report`.
//!
//! Cargo has no stable way to depend on another crate's program, so this asks
//! cargo itself, in a target directory of its own so that the two never wait
//! for one another's lock.

use std::{env, fs, path::PathBuf, process::Command};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let root =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../..");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    for path in ["crates/report", "crates/sys/src", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    let cargo = env::var_os("CARGO").expect("cargo sets CARGO");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--release", "--package", "report"])
        .args(["--target", &target, "--target-dir"])
        .arg(out.join("target"))
        .current_dir(&root)
        .env_remove("CARGO_MAKEFLAGS")
        .status()
        .expect("cargo can be started: it started us");
    assert!(status.success(), "the crate `report` does not build: {status}");
    let program = out.join("target").join(target).join("release/report");
    fs::copy(&program, out.join("report")).expect("cargo has just written it");
}
