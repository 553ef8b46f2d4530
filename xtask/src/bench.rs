//! `cargo xtask bench`.

use anyhow::{Result, bail};

pub fn run(_rest: &[&str]) -> Result<()> {
    bail!("no benchmark yet")
}
