//! In which order services come and go: whom one waits for comes first.

use crate::{
    error::{Outcome, unfit},
    project::Project,
};
use std::collections::{BTreeMap, BTreeSet};

/// All services, each behind those that it depends on.
///
/// # Errors
/// Services that wait for one another.
pub fn order(project: &Project) -> Outcome<Vec<String>> {
    let mut order = Vec::new();
    let mut chain = Vec::new();
    for name in project.services.keys() {
        visit(project, name, &mut chain, &mut order)?;
    }
    Ok(order)
}

fn visit<'a>(
    project: &'a Project,
    name: &'a str,
    chain: &mut Vec<&'a str>,
    order: &mut Vec<String>,
) -> Outcome<()> {
    if order.iter().any(|known| known == name) {
        return Ok(());
    }
    if let Some(begin) = chain.iter().position(|known| *known == name) {
        let mut cycle: Vec<&str> = chain[begin..].to_vec();
        cycle.push(name);
        return Err(unfit(format!("dependency cycle detected: {}", cycle.join(" -> "))));
    }
    let Some(service) = project.services.get(name) else { return Ok(()) };
    chain.push(name);
    for dependency in service.depends_on.keys() {
        visit(project, dependency, chain, order)?;
    }
    chain.pop();
    order.push(name.to_owned());
    Ok(())
}

/// The services named, and those that they need; all of them if none is named.
///
/// # Errors
/// A name that no service has.
pub fn with_dependencies(project: &Project, names: &[String]) -> Outcome<BTreeSet<String>> {
    if names.is_empty() {
        return Ok(project.services.keys().cloned().collect());
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    for name in names {
        open.push(&project.service(name)?.name);
    }
    while let Some(name) = open.pop() {
        let Some(service) = project.services.get(name) else { continue };
        if found.insert(name.to_owned()) {
            open.extend(service.depends_on.keys().map(String::as_str));
        }
    }
    Ok(found)
}

/// For each service those that depend on it.
pub fn dependents(project: &Project) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in project.services.values() {
        for dependency in service.depends_on.keys() {
            found.entry(dependency).or_default().push(&service.name);
        }
    }
    found
}
