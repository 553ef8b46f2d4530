//! Which stages are built, and what each waits for.

use crate::{Error, Globals};
use dockerfile::{Dockerfile, Instruction, Words};
use std::collections::BTreeSet;

/// What a stage begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// What an earlier stage came to.
    Stage(usize),
    /// An image, by its name; or a context that the client named so.
    Image(String),
}

/// One stage that is to be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Its place in the file.
    pub index: usize,
    /// What it begins with.
    pub base: Base,
    /// `--platform`, variables put in; empty if none.
    pub platform: String,
    /// Stages that it waits for.
    pub needs: BTreeSet<usize>,
}

/// Finds the stage that a name or number means, among those before `index`.
pub fn stage_named(file: &Dockerfile, index: usize, name: &str) -> Option<usize> {
    let lower = name.to_lowercase();
    let named = file.stages[..index]
        .iter()
        .rposition(|stage| stage.name.as_deref() == Some(lower.as_str()));
    named.or_else(|| name.parse().ok().filter(|number| *number < index))
}

/// The stages that the target needs, in the order of the file, itself last.
/// Takes the `ARG`s before the first `FROM` into `globals`.
///
/// # Errors
/// No such target; a base that is empty or cannot be expanded.
pub fn plan(file: &Dockerfile, target: &str, globals: &mut Globals) -> Result<Vec<Planned>, Error> {
    let escape = file.directives.escape;
    let invalid = |e: dockerfile::Error| Error::Invalid(e.to_string());
    for step in &file.args {
        let scope = |name: &str| globals.in_from(name);
        let expanded = step.expand(&Words { escape, scope: &scope }).map_err(invalid)?;
        if let Instruction::Arg(args) = expanded {
            for arg in args {
                globals.declare(&arg.name, arg.value);
            }
        }
    }
    let last = file.stages.len() - 1;
    let target = match target {
        "" => last,
        name => stage_named(file, file.stages.len(), name)
            .ok_or_else(|| Error::Invalid(format!("target stage {name:?} could not be found")))?,
    };
    let mut stages = Vec::new();
    for index in 0..=target {
        stages.push(planned(file, index, globals)?);
    }
    let mut needed = BTreeSet::from([target]);
    for index in (0..=target).rev() {
        if needed.contains(&index) {
            needed.extend(stages[index].needs.iter().copied());
        }
    }
    Ok(stages.into_iter().filter(|stage| needed.contains(&stage.index)).collect())
}

fn planned(file: &Dockerfile, index: usize, globals: &Globals) -> Result<Planned, Error> {
    let stage = &file.stages[index];
    let scope = |name: &str| globals.in_from(name);
    let words = Words { escape: file.directives.escape, scope: &scope };
    let expand = |text: &str| {
        words.word(text).map_err(|e| {
            let line = stage.lines.first;
            Error::Invalid(format!("failed to process {text:?} on line {line}: {e}"))
        })
    };
    let base = expand(&stage.base)?;
    if base.is_empty() {
        return Err(Error::Invalid(format!(
            "base name ({}) should not be blank (line {})",
            stage.base, stage.lines.first
        )));
    }
    let platform = stage.platform.as_deref().map(expand).transpose()?.unwrap_or_default();
    let base = match stage_named(file, index, &base) {
        // A number is a stage for `--from` alone.
        Some(earlier) if base.parse::<usize>().is_err() => Base::Stage(earlier),
        _ if base == "scratch" => Base::Scratch,
        _ => Base::Image(base),
    };
    let mut needs = BTreeSet::new();
    if let Base::Stage(earlier) = base {
        needs.insert(earlier);
    }
    for step in &stage.steps {
        let from = |from: Option<&String>| from.and_then(|name| stage_named(file, index, name));
        match &step.instruction {
            Instruction::Copy(copy) => needs.extend(from(copy.from.as_ref())),
            Instruction::Run(run) => {
                needs.extend(run.mounts.iter().filter_map(|mount| from(mount.from.as_ref())));
            }
            _ => {}
        }
    }
    Ok(Planned { index, base, platform, needs })
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::image::Platform;
    use std::collections::BTreeMap;

    fn planned(text: &str, target: &str) -> Result<Vec<Planned>, String> {
        let file = dockerfile::parse(text).expect(text);
        let mut globals = Globals::new(BTreeMap::new(), &Platform::default(), &Platform::default());
        plan(&file, target, &mut globals).map_err(|e| e.to_string())
    }

    fn indices(text: &str, target: &str) -> Vec<usize> {
        planned(text, target).expect(text).iter().map(|stage| stage.index).collect()
    }

    const FILE: &str = "ARG V=12
FROM debian:$V AS base
FROM base AS unused
FROM scratch AS tools
FROM base AS out
COPY --from=tools /x /x
COPY --from=0 /y /y
FROM busybox
COPY --from=out /x /
";

    #[test]
    fn what_nothing_needs_is_not_built() {
        assert_eq!(indices(FILE, ""), [0, 2, 3, 4]);
        assert_eq!(indices(FILE, "OUT"), [0, 2, 3]);
        assert_eq!(indices(FILE, "unused"), [0, 1]);
        assert_eq!(indices(FILE, "2"), [2]);
    }

    #[test]
    fn bases_are_stages_images_or_nothing() {
        let stages = planned(FILE, "").expect("good");
        assert_eq!(stages[0].base, Base::Image("debian:12".into()));
        assert_eq!(stages[1].base, Base::Scratch);
        assert_eq!(stages[2].base, Base::Stage(0));
        assert_eq!(stages[2].needs, BTreeSet::from([0, 2]));
    }

    #[test]
    fn a_target_or_base_that_is_not_there_is_told() {
        let target = planned(FILE, "nope").expect_err("none such");
        assert_eq!(target, "target stage \"nope\" could not be found");
        assert!(planned("FROM $NONE\n", "").expect_err("blank").contains("should not be blank"));
    }

    #[test]
    fn a_mount_needs_its_stage() {
        let text = "FROM a AS x\nFROM b\nRUN --mount=from=x,target=/m true\n";
        assert_eq!(indices(text, ""), [0, 1]);
    }
}
