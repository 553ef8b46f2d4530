//! Programs in C that tests run in containers: `tests/programs/*.c`.

use crate::Engine;

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
