//! Programs in C that tests run in containers: `tests/programs/*.c`.

use crate::{Cli, Engine};
use std::{
    collections::BTreeMap,
    fs,
    process::Stdio,
    sync::{Mutex, PoisonError},
};

/// Makes an image of the name, with Debian and the program at `/root/NAME`.
///
/// # Panics
/// If that fails.
pub fn compile(engine: &Engine, name: &str) {
    let tar = std::env::var("COFFERDAM_DEBIAN").expect("run `cargo xtask test`, which makes it");
    engine.says(&["import", &tar, "debian"]);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/programs:/programs:ro");
    let script = format!("tcc -o /root/{name} /programs/{name}.c");
    engine.says(&["run", "--name", "compiler", "-v", source, "debian", "sh", "-c", &script]);
    engine.says(&["commit", "compiler", name]);
    engine.says(&["rm", "compiler"]);
}

/// Makes an image of the name, with busybox, the program at `/root/NAME` and
/// what of Debian it runs on: small, and compiled once for all tests of a
/// file.
///
/// # Panics
/// If that fails, or the engine has no busybox.
pub fn beside_busybox(engine: &Engine, name: &str) {
    static COMPILED: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let program = compiled.entry(name.to_owned()).or_insert_with(|| taken_out(name));
    let (root, tar) = (engine.scratch().join(name), engine.scratch().join("program.tar"));
    fs::write(&tar, program).expect("scratch");
    let (root, tar) = (root.display().to_string(), tar.display().to_string());
    engine.host().says(&format!(
        "cp -a {}/busybox {root} && tar -C {root} -xf {tar} && tar -C {root} -cf {tar} .",
        engine.scratch().display()
    ));
    engine.says(&["import", &tar, name]);
}

/// The program and its libraries, as an archive.
fn taken_out(name: &str) -> Vec<u8> {
    let engine = Engine::with(&[]);
    compile(&engine, name);
    let program = format!("root/{name}");
    let words = ["run", "--rm", name, "tar", "-C", "/", "-chf", "-", &program];
    let libraries = ["lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6"];
    let mut command = engine.command(Cli::Cofferdam, &[&words[..], &libraries].concat());
    let out = command.stdin(Stdio::null()).output().expect("the CLI starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out.stdout
}
