//! `cargo xtask lint`: what a reviewer should not have to look for.

use crate::{cargo, root, run};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

/// What a room or program must never link, however indirectly.
const APART: [(&str, &[&str]); 12] = [
    ("cofferdamd", &["runtime", "monitor"]),
    (
        "cofferdam-run",
        &[
            "policy", "engine", "api", "network", "image", "resolver", "courier", "tokio",
            "rustls", "clap",
        ],
    ),
    ("cli", &["engine", "runtime", "policy", "monitor", "network", "image", "registry", "reqwest"]),
    ("registry", &["engine", "policy", "network", "api"]),
    ("buildkit", &["api"]),
    ("build", &["engine", "image", "policy", "network", "registry", "api"]),
    ("resolver", &["engine", "policy", "network", "tokio"]),
    ("unpacker", &["engine", "image", "policy", "registry", "tokio", "rustls"]),
    ("confine", &["engine", "policy", "tokio"]),
    ("scribe", &["engine", "policy", "image", "registry", "tokio"]),
    ("courier", &["engine", "policy", "image", "network", "tokio"]),
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
    escapes()?;
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

/// Each test that docs/ESCAPES.md and docs/LIMITS.md name is there, and each
/// row of the first names one.
fn escapes() -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "--", "*.rs"])
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    let files: Vec<PathBuf> =
        String::from_utf8_lossy(&listed.stdout).lines().map(|line| root().join(line)).collect();
    for (page, each) in [("docs/ESCAPES.md", true), ("docs/LIMITS.md", false)] {
        let text = std::fs::read_to_string(root().join(page))
            .with_context(|| format!("cannot read {page}"))?;
        let mut wrong = Vec::new();
        for (row, tests) in rows(&text) {
            if tests.is_empty() && each {
                wrong.push(format!("{row}: no test"));
            }
            for test in tests {
                let there = files
                    .iter()
                    .filter(|path| path.file_stem().is_some_and(|stem| stem == test.0))
                    .any(|path| {
                        std::fs::read_to_string(path).is_ok_and(|text| has_test(&text, test.1))
                    });
                if !there {
                    wrong.push(format!("{row}: {}::{}", test.0, test.1));
                }
            }
        }
        ensure!(wrong.is_empty(), "{page} names what is not there:\n{}", wrong.join("\n"));
    }
    Ok(())
}

/// The first cell of each row of its tables, and the tests of the last: the
/// stem of a file, and a name.
fn rows(page: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = cells.filter(|row| !row.starts_with("Known as"));
    rows.map(|row| {
        let last = row.rsplit(" | ").next().unwrap_or_default();
        let quoted = last.split('`').skip(1).step_by(2);
        (
            row.split(" | ").next().unwrap_or_default(),
            quoted.filter_map(|t| t.split_once("::")).collect(),
        )
    })
    .collect()
}

/// A test of the name, not only a function.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = format!("fn {name}(");
    let at = lines.iter().position(|line| line.starts_with(&begins));
    // Other attributes and the runner's own may stand between.
    at.is_some_and(|at| lines[..at].iter().rev().take(4).any(|line| line.starts_with("#[test]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_its_tests_in_its_last_cell() {
        let page = "| Known as | Tests |\n|---|---|\n| A, `x::y` | said `z` | `f::g`, `h::i` |\n| B | none |\n";
        assert_eq!(rows(page), [("A, `x::y`", vec![("f", "g"), ("h", "i")]), ("B", vec![])]);
    }

    #[test]
    fn every_test_that_the_page_of_escapes_names_is_there() {
        escapes().expect("docs/ESCAPES.md");
    }

    #[test]
    fn a_function_is_no_test() {
        let text = "#[test]\n#[other]\nfn one() {\n}\n\n\n\nfn two() {}\n";
        assert!(has_test(text, "one") && !has_test(text, "two") && !has_test(text, "on"));
    }
}
