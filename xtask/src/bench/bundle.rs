//! Low-level runtimes on a `config.json` as Docker makes it.
//!
//! `bench/docker-config.json` was written by dockerd 28.5.2 for
//! `docker run busybox true`; its hook, which needs that daemon, is left out,
//! and its paths are made relative to the bundle.

use super::{
    agent::Agent,
    host::{Host, Scratch},
    meter::Meter,
    rows::{ROUNDS, shuffled},
    statistics::{Samples, Target, Verdicts, print},
};
use crate::root;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A runtime, and a bundle for it.
pub struct Runtime {
    name: &'static str,
    words: Vec<String>,
    agent: Agent,
    meter: Meter,
}

impl Runtime {
    /// `binary` as it is seen on `host`, which sees `scratch` in its place.
    pub fn new(name: &'static str, binary: &Path, host: &Host, scratch: &Scratch) -> Result<Self> {
        let meter = Meter::new(name)?;
        let bundle = bundle(name, &meter, scratch)?;
        let state = scratch.folder(&format!("state-{name}"))?;
        let words = [
            binary.display().to_string(),
            "--root".into(),
            state.display().to_string(),
            "run".into(),
            "--bundle".into(),
            bundle.display().to_string(),
            "one".into(),
        ];
        let agent = host.agent(&meter.group)?;
        Ok(Self { name, words: words.into(), agent, meter })
    }
}

fn bundle(name: &str, meter: &Meter, scratch: &Scratch) -> Result<PathBuf> {
    let bundle = scratch.folder(&format!("bundle-{name}"))?;
    let made_by_docker = root().join("bench/docker-config.json");
    let text = fs::read_to_string(&made_by_docker)
        .with_context(|| format!("cannot read {}", made_by_docker.display()))?;
    let mut config: Value = serde_json::from_str(&text).context("docker-config.json")?;
    config["root"]["path"] = scratch.0.join("rootfs").display().to_string().into();
    config["linux"]["cgroupsPath"] = format!("{}/one", meter.name).into();
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        let source = mount["source"].as_str().unwrap_or_default();
        if ["hosts", "hostname", "resolv.conf"].contains(&source) {
            let file = bundle.join(source);
            fs::write(&file, "").with_context(|| format!("cannot make {}", file.display()))?;
            mount["source"] = file.display().to_string().into();
        }
    }
    fs::write(bundle.join("config.json"), config.to_string()).context("cannot write a bundle")?;
    Ok(bundle)
}

/// Measures them, interleaved.
pub fn measure(all: &[Runtime], verdicts: &mut Verdicts) -> Result<()> {
    let mut samples: Vec<Samples> = all.iter().map(|r| Samples::of(r.name)).collect();
    for round in 0..=ROUNDS {
        for at in shuffled(all.len()) {
            let runtime = &all[at];
            let used = runtime.meter.settled()?;
            let wall = runtime.agent.say(&runtime.words)?;
            let cpu = runtime.meter.settled()?.saturating_sub(used);
            if round > 0 {
                samples[at].wall.push(wall);
                samples[at].cpu.push(cpu);
            }
        }
    }
    let target = Target::Ratio { who: "crun", wall: Some(0.6), cpu: Some(0.6) };
    print("run of Docker's config.json", &samples, &[target], verdicts);
    Ok(())
}
