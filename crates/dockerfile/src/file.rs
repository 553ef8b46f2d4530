//! From lines to stages.

use crate::{
    Dockerfile, Instruction, Lines, Stage, Step, Warning,
    error::{Error, Why},
    flags::{Flags, Kind},
    lines::{self, Line},
    read,
};

/// Reads a whole Dockerfile.
///
/// # Errors
/// The first instruction that is wrong, with its lines, in the words of
/// Docker's builder.
pub fn parse(text: &str) -> Result<Dockerfile, Error> {
    let text = lines::read(text)?;
    let escape = text.directives.escape;
    let mut file = Dockerfile {
        directives: text.directives,
        args: Vec::new(),
        stages: Vec::new(),
        warnings: text.warnings,
    };
    for line in &text.lines {
        if read::word(line)? == "FROM" {
            let stage = from(line).map_err(|why| Error::instruction(why, line.lines))?;
            file.stages.push(stage);
            continue;
        }
        let step = read::step(line, escape)?;
        match (file.stages.last_mut(), &step.instruction) {
            (Some(stage), _) => stage.steps.push(step),
            (None, Instruction::Arg(_)) => file.args.push(step),
            (None, _) => return Err(Error::text(Why::BeforeFrom, line.lines)),
        }
    }
    if file.stages.is_empty() {
        let last = text.lines.last().map(|line| line.lines).unwrap_or_default();
        return Err(Error::text(Why::NoStage, last));
    }
    warn(&text.lines, &mut file);
    Ok(file)
}

/// Reads one trigger of an image that was built with `ONBUILD`.
///
/// # Errors
/// As [`parse`]; also `FROM`, `ONBUILD` and `MAINTAINER`.
pub fn trigger(text: &str, escape: char) -> Result<Step, Error> {
    let text = lines::read_with(text, escape)?;
    let [line] = text.lines.as_slice() else {
        let lines = text.lines.last().map(|line| line.lines).unwrap_or_default();
        return Err(Error::text(Why::Trigger("more than one instruction".into()), lines));
    };
    match read::word(line)? {
        "ONBUILD" => Err(Error::instruction(Why::OnbuildTwice, line.lines)),
        word @ ("FROM" | "MAINTAINER") => {
            Err(Error::instruction(Why::Trigger(word.into()), line.lines))
        }
        _ => read::step(line, escape),
    }
}

fn from(line: &Line) -> Result<Stage, Why> {
    let words = read::words(&line.rest);
    let name = match words.as_slice() {
        [_] => None,
        [_, word, name] if word.eq_ignore_ascii_case("as") => Some(stage_name(name)?),
        _ => return Err(Why::From),
    };
    let flags = Flags::read(&line.flags, &[("platform", Kind::One)])?;
    Ok(Stage {
        base: words[0].clone(),
        platform: flags.one("platform"),
        name,
        text: line.text.clone(),
        lines: line.lines,
        steps: Vec::new(),
    })
}

fn stage_name(name: &str) -> Result<String, Why> {
    let lower = name.to_lowercase();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if lower.starts_with(|c: char| c.is_ascii_lowercase()) && lower.chars().all(plain) {
        return Ok(lower);
    }
    Err(Why::StageName(name.into()))
}

/// What BuildKit's linter says of every file, as far as it can be seen without
/// building.
fn warn(lines: &[Line], file: &mut Dockerfile) {
    let mut add = |rule, text: String, lines: Lines| {
        file.warnings.push(Warning { rule, text, lines });
    };
    let mut names: Vec<&str> = Vec::new();
    for stage in &file.stages {
        if let Some(name) = stage.name.as_deref() {
            if names.contains(&name) {
                let text = format!("Duplicate stage name {name:?}, stage names should be unique");
                add("DuplicateStageName", text, stage.lines);
            }
            if matches!(name, "context" | "scratch") {
                let text =
                    format!("Stage name should not use the same name as reserved stage {name:?}");
                add("ReservedStageName", text, stage.lines);
            }
            names.push(name);
        }
        for (word, steps) in [("CMD", of(stage, "CMD")), ("ENTRYPOINT", of(stage, "ENTRYPOINT"))] {
            for step in steps.iter().rev().skip(1).rev() {
                let text = format!(
                    "Multiple {word} instructions should not be used in the same stage because only the last one will be used"
                );
                add("MultipleInstructionsDisallowed", text, step.lines);
            }
            for step in steps {
                // Who names a shell means it.
                if of(stage, "SHELL").is_empty()
                    && let Instruction::Cmd(crate::Command::Shell(_))
                    | Instruction::Entrypoint(crate::Command::Shell(_)) = &step.instruction
                {
                    let text = format!(
                        "JSON arguments recommended for {word} to prevent unintended behavior related to OS signals"
                    );
                    add("JSONArgsRecommended", text, step.lines);
                }
            }
        }
        for step in of(stage, "MAINTAINER") {
            let text = "Maintainer instruction is deprecated in favor of using label";
            add("MaintainerDeprecated", text.into(), step.lines);
        }
    }
    for line in lines {
        let word = line.word.to_ascii_uppercase();
        let first = line.rest.split(lines::blank).next().unwrap_or_default();
        if matches!(word.as_str(), "ENV" | "LABEL") && !first.contains('=') {
            let text = format!(
                "\"{word} key=value\" should be used instead of legacy \"{word} key value\" format"
            );
            add("LegacyKeyValueFormat", text, line.lines);
        }
        let said = line.rest.split(lines::blank).filter(|word| !word.is_empty()).nth(1);
        if word == "FROM"
            && let Some(said) = said
            && upper(said) != upper(&line.word)
        {
            let text = format!("'{said}' and '{}' keywords' casing do not match", line.word);
            add("FromAsCasing", text, line.lines);
        }
    }
    file.warnings.sort_by_key(|warning| warning.lines);
}

fn upper(word: &str) -> bool {
    word.chars().any(char::is_uppercase)
}

fn of<'a>(stage: &'a Stage, word: &str) -> Vec<&'a Step> {
    stage.steps.iter().filter(|step| step.instruction.word() == word).collect()
}
