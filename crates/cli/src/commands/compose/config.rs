//! `compose config`: the files as they are understood.

use super::stage;
use crate::{
    error::{Error, Outcome},
    show,
    words::{ComposeConfig, ProjectFlags},
};
use compose::{Form, Project, image, with_dependencies};
use std::collections::BTreeSet;

/// `config`
pub fn config(flags: &ProjectFlags, words: &ComposeConfig) -> Outcome {
    let project = stage::read(flags, &words.names, words.no_interpolate)?;
    for warning in &project.warnings {
        eprintln!("WARNING: {warning}");
    }
    let wanted = with_dependencies(&project, &words.names)?;
    let lines = |lines: Vec<String>| lines.into_iter().map(|line| line + "\n").collect::<String>();
    let text = if words.quiet {
        String::new()
    } else if words.services {
        lines(wanted.iter().cloned().collect())
    } else if words.volumes {
        lines(project.volumes.keys().cloned().collect())
    } else if words.profiles {
        let all = project.services.values().flat_map(|service| service.profiles.iter().cloned());
        lines(all.collect::<BTreeSet<_>>().into_iter().collect())
    } else if words.images {
        let images = wanted.iter().filter_map(|name| project.services.get(name));
        lines(images.map(|service| image(&project, service)).collect())
    } else if let Some(names) = &words.hash {
        lines(hashes(&project, names)?)
    } else {
        whole(&project, words, &wanted)?
    };
    match &words.output {
        None => show::print(&text)?,
        Some(path) => std::fs::write(path, text).map_err(|source| Error::Host {
            doing: "write",
            what: path.clone(),
            source,
        })?,
    }
    Ok(0)
}

fn whole(project: &Project, words: &ComposeConfig, wanted: &BTreeSet<String>) -> Outcome<String> {
    let form = match &*words.format {
        "yaml" => Form::Yaml,
        "json" => Form::Json,
        other => return Err(Error::Words(format!("unsupported format {other:?}: yaml or json"))),
    };
    let text = project.config(form, wanted);
    // What comes out can go in again.
    Ok(if words.no_interpolate { text } else { text.replace('$', "$$") })
}

fn hashes(project: &Project, names: &str) -> Outcome<Vec<String>> {
    let names: Vec<String> = match names {
        "*" => project.services.keys().cloned().collect(),
        names => names.split(',').map(str::to_owned).collect(),
    };
    let hash = |name: &String| Ok(format!("{name} {}", project.hash(&project.service(name)?.name)));
    names.iter().map(hash).collect()
}
