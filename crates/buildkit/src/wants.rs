//! Which files of the context a Dockerfile can ask for, so that the client
//! need not send all the others.

use dockerfile::{Dockerfile, Instruction, Words};
use std::collections::BTreeSet;

/// What is asked of the client's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// All that is not ignored.
    All,
    /// These, and what they link to; patterns as in `COPY`.
    Some(BTreeSet<String>),
}

impl Wants {
    /// Nothing at all.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Some(paths) if paths.is_empty())
    }

    fn add(&mut self, source: &str) {
        let Self::Some(paths) = self else { return };
        // What a variable holds is known later.
        let path = source.trim_start_matches(['/', '.']).trim_end_matches('/');
        let plain = !source.contains(['$', '\'', '"', '\\', '`']) && !source.contains("..");
        if !plain || path.is_empty() || source.starts_with('.') && !source.starts_with("./") {
            *self = Self::All;
        } else {
            paths.insert(path.to_owned());
        }
    }
}

/// What a Dockerfile asks of the main context. `triggers` says whether a base
/// image has instructions of its own, or may have.
pub fn wants(file: &Dockerfile, triggers: &dyn Fn(&str) -> bool) -> Wants {
    let mut wants = Wants::Some(BTreeSet::new());
    let words = Words { escape: file.directives.escape, scope: &|_| None };
    let names: Vec<&str> = file.stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
    for stage in &file.stages {
        let earlier = names.contains(&stage.base.to_lowercase().as_str());
        let leaves = |other: &&dockerfile::Stage| {
            other.name.as_deref() == Some(stage.base.to_lowercase().as_str())
                && other.steps.iter().any(|s| matches!(s.instruction, Instruction::Onbuild(_)))
        };
        if earlier && file.stages.iter().any(|other| leaves(&other)) {
            return Wants::All;
        }
        if stage.base != "scratch" && !earlier && triggers(&stage.base) {
            return Wants::All;
        }
        for step in &stage.steps {
            match &step.instruction {
                Instruction::Add(add) => {
                    let local =
                        |source: &&String| !source.contains("://") && !source.starts_with("git@");
                    add.files.sources.iter().filter(local).for_each(|source| wants.add(source));
                }
                Instruction::Copy(copy) if copy.from.is_none() => {
                    copy.files.sources.iter().for_each(|source| wants.add(source));
                }
                Instruction::Run(run) => {
                    for mount in run.mounts.iter().filter(|mount| mount.from.is_none()) {
                        // One that cannot be read yet may ask for anything.
                        let kind = mount.read(&words).map(|mount| mount.kind);
                        match kind {
                            Ok(dockerfile::MountKind::Bind { source: Some(source), .. })
                                if !mount.text.contains('$') =>
                            {
                                wants.add(&source);
                            }
                            Ok(dockerfile::MountKind::Bind { .. }) | Err(_) => return Wants::All,
                            Ok(_) => {}
                        }
                    }
                }
                // A trigger is for other builds.
                _ => {}
            }
        }
    }
    wants
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(steps: &str) -> Wants {
        let file = dockerfile::parse(&format!("FROM scratch AS a\n{steps}\n")).expect(steps);
        wants(&file, &|_| false)
    }

    fn some(paths: &[&str]) -> Wants {
        Wants::Some(paths.iter().map(|path| (*path).to_owned()).collect())
    }

    #[test]
    fn only_what_is_copied_is_asked_for() {
        assert_eq!(of("COPY a ./b/ /c\nADD /d https://x/y /e"), some(&["a", "b", "d"]));
        assert_eq!(of("COPY --from=a x /\nRUN y"), some(&[]));
        assert_eq!(of("COPY *.rs /"), some(&["*.rs"]));
        assert_eq!(of("RUN --mount=source=s,target=/s x"), some(&["s"]));
        assert_eq!(of("RUN --mount=type=cache,target=/s x"), some(&[]));
    }

    #[test]
    fn what_cannot_be_known_is_everything() {
        for steps in [
            "COPY . /",
            "COPY / /",
            "COPY $x /",
            "COPY ../a /",
            "COPY .env /",
            "RUN --mount=target=/s x",
            "RUN --mount=source=$x,target=/s x",
        ] {
            assert_eq!(of(steps), Wants::All, "{steps}");
        }
        let file = dockerfile::parse("FROM base\n").expect("a file");
        assert_eq!(wants(&file, &|_| true), Wants::All);
    }
}
