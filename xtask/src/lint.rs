//! `cargo xtask lint`: what a reviewer should not have to look for.

use crate::{cargo, root, run};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// What a room or program must never link, however indirectly.
const APART: [(&str, &[&str]); 9] = [
    ("cofferdamd", &["runtime", "monitor"]),
    (
        "cofferdam-run",
        &["policy", "engine", "api", "network", "image", "resolver", "tokio", "rustls", "clap"],
    ),
    ("cli", &["engine", "runtime", "policy", "monitor", "network", "image", "registry", "rustls"]),
    ("registry", &["engine", "policy", "network", "api"]),
    ("buildkit", &["api"]),
    ("build", &["engine", "image", "policy", "network", "registry", "api"]),
    ("resolver", &["engine", "policy", "network", "tokio"]),
    ("scribe", &["engine", "policy", "image", "registry", "tokio"]),
    ("policy", &["rustix", "sys", "libc", "tokio"]),
];

/// How many packages may run as root before a container's program.
const RUNTIME_BUDGET: usize = 32;

pub fn lint() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    direction()?;
    fence()
}

/// The arrows of docs/ARCHITECTURE.md, from `cargo metadata`.
fn direction() -> Result<()> {
    let out = cargo(&["metadata", "--locked", "--format-version", "1"]).output()?;
    let metadata: Value = serde_json::from_slice(&out.stdout).context("cargo metadata")?;
    let graph = graph(&metadata).context("cargo metadata is not as expected")?;
    for (room, apart) in APART {
        let reached = reach(&graph, room);
        for other in apart {
            ensure!(!reached.contains(other), "{room} links {other}: see docs/ARCHITECTURE.md");
        }
    }
    let weight = reach(&graph, "cofferdam-run").len();
    ensure!(weight <= RUNTIME_BUDGET, "cofferdam-run links {weight} packages of {RUNTIME_BUDGET}");
    println!("cofferdam-run links {weight} packages");
    Ok(())
}

type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Package names and what each links; build and test dependencies apart.
fn graph(metadata: &Value) -> Option<Graph<'_>> {
    let mut names = BTreeMap::new();
    let mut macros = BTreeSet::new();
    for package in metadata["packages"].as_array()? {
        let (id, name) = (package["id"].as_str()?, package["name"].as_str()?);
        names.insert(id, name);
        if package["targets"][0]["kind"][0] == "proc-macro" {
            macros.insert(name);
        }
    }
    let mut graph = Graph::new();
    for node in metadata["resolve"]["nodes"].as_array()? {
        let links = graph.entry(names.get(node["id"].as_str()?)?).or_default();
        for dependency in node["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            let name = *names.get(dependency["pkg"].as_str()?)?;
            if kinds.iter().any(|kind| kind["kind"].is_null()) && !macros.contains(name) {
                links.insert(name);
            }
        }
    }
    Some(graph)
}

fn reach<'a>(graph: &Graph<'a>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        if seen.insert(name) {
            next.extend(graph.get(name).into_iter().flatten());
        }
    }
    seen
}

/// `unsafe` stands in `sys` alone. The compiler holds this for every crate
/// that takes the workspace's lints; this finds one that does not.
fn fence() -> Result<()> {
    let out = Command::new("git")
        .args(["grep", "-nE", r"\bunsafe (\{|fn|impl|extern)", "--", "*.rs", ":!crates/sys"])
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    let found = String::from_utf8_lossy(&out.stdout);
    ensure!(found.is_empty(), "unsafe outside crates/sys:\n{found}");
    Ok(())
}
