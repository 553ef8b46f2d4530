//! From one line to one typed instruction.

use crate::{
    Add, Arg, Command, Copy, Document, Files, Healthcheck, Instruction, MountText, Network, Pair,
    Run, Security, Step,
    document::here,
    duration,
    error::{Error, Why, near},
    flags::{Flags, Kind},
    json,
    lines::{Line, blank, one, split_word},
    mount,
};

/// Every instruction, for those who mistype one.
const WORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// The word of a line in capitals, if it is one of them.
pub(crate) fn word(line: &Line) -> Result<&'static str, Error> {
    let known = WORDS.iter().find(|word| line.word.eq_ignore_ascii_case(word));
    known.copied().ok_or_else(|| {
        let why = Why::Unknown { word: line.word.clone(), near: near(&line.word, &WORDS) };
        Error::instruction(why, line.lines)
    })
}

/// Everything but `FROM`.
pub(crate) fn step(line: &Line, escape: char) -> Result<Step, Error> {
    let word = word(line)?;
    let instruction = instruction(word, line, escape).map_err(|why| match why {
        // Found while words are told apart, where Docker's builder has no
        // line to name yet.
        why @ (Why::NoEquals(_) | Why::TwoArguments(_) | Why::NotStrings | Why::CopyFrom) => {
            Error::text(why, line.lines)
        }
        why => Error::instruction(why, line.lines),
    })?;
    Ok(Step { instruction, text: line.text.clone(), lines: line.lines })
}

fn instruction(word: &'static str, line: &Line, escape: char) -> Result<Instruction, Why> {
    let none = || Flags::read(&line.flags, &[]).map(|_| ());
    let rest = line.rest.as_str();
    Ok(match word {
        "ADD" => Instruction::Add(add(line)?),
        "ARG" => Instruction::Arg(args(rest, escape)?),
        "CMD" => {
            let command = command(line)?;
            none()?;
            Instruction::Cmd(command)
        }
        "COPY" => Instruction::Copy(copy(line)?),
        "ENTRYPOINT" => {
            let command = command(line)?;
            none()?;
            Instruction::Entrypoint(command)
        }
        "ENV" => {
            let pairs = pairs("ENV", rest, escape)?;
            none()?;
            Instruction::Env(pairs)
        }
        "EXPOSE" => {
            let mut ports = words(rest);
            if ports.is_empty() {
                return Err(Why::AtLeastOne("EXPOSE"));
            }
            none()?;
            ports.sort();
            Instruction::Expose(ports)
        }
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(line)?),
        "LABEL" => {
            let pairs = pairs("LABEL", rest, escape)?;
            none()?;
            Instruction::Label(pairs)
        }
        "MAINTAINER" => Instruction::Maintainer(single("MAINTAINER", line)?),
        "ONBUILD" => {
            none()?;
            Instruction::Onbuild(onbuild(line)?)
        }
        "RUN" => Instruction::Run(run(line)?),
        "SHELL" => {
            none()?;
            match json::strings(rest).transpose()? {
                _ if rest.is_empty() => return Err(Why::AtLeastOne("SHELL")),
                None => return Err(Why::NotJson("SHELL")),
                Some(shell) if shell.is_empty() => return Err(Why::AtLeastOne("SHELL")),
                Some(shell) => Instruction::Shell(shell),
            }
        }
        "STOPSIGNAL" => Instruction::Stopsignal(single("STOPSIGNAL", line)?),
        "USER" => Instruction::User(single("USER", line)?),
        "VOLUME" => {
            let volumes = list(rest)?;
            if volumes.is_empty() {
                return Err(Why::AtLeastOne("VOLUME"));
            }
            none()?;
            let volumes: Vec<String> =
                volumes.iter().map(|volume| volume.trim().to_owned()).collect();
            if volumes.iter().any(String::is_empty) {
                return Err(Why::EmptyVolume);
            }
            Instruction::Volume(volumes)
        }
        "WORKDIR" => Instruction::Workdir(single("WORKDIR", line)?),
        _ => return Err(Why::BeforeFrom),
    })
}

/// An instruction whose argument is the rest of the line.
fn single(word: &'static str, line: &Line) -> Result<String, Why> {
    if line.rest.is_empty() {
        return Err(Why::ExactlyOne(word));
    }
    Flags::read(&line.flags, &[])?;
    Ok(line.rest.clone())
}

/// Words apart by white space, quotes left alone.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.split(blank).filter(|word| !word.is_empty()).map(Into::into).collect()
}

/// A JSON array, or words.
fn list(text: &str) -> Result<Vec<String>, Why> {
    json::strings(text).unwrap_or_else(|| Ok(words(text)))
}

/// A JSON array to execute, or a line for a shell.
fn command(line: &Line) -> Result<Command, Why> {
    Ok(match json::strings(&line.rest).transpose()? {
        Some(words) => Command::Exec(words),
        None => Command::Shell(line.rest.clone()),
    })
}

const COPY: [(&str, Kind); 6] = [
    ("from", Kind::One),
    ("chown", Kind::One),
    ("chmod", Kind::One),
    ("link", Kind::Switch),
    ("parents", Kind::Switch),
    ("exclude", Kind::Many),
];

fn copy(line: &Line) -> Result<Copy, Why> {
    let words = list(&line.rest)?;
    if words.len() < 2 {
        return Err(Why::NoTarget("COPY"));
    }
    let flags = Flags::read(&line.flags, &COPY)?;
    let from = flags.one("from");
    if from.as_ref().is_some_and(|from| from.contains('$')) {
        return Err(Why::CopyFrom);
    }
    let files = files("COPY", words, line, &flags)?;
    Ok(Copy { from, files, parents: flags.switch("parents").unwrap_or_default() })
}

const ADD: [(&str, Kind); 7] = [
    ("checksum", Kind::One),
    ("chown", Kind::One),
    ("chmod", Kind::One),
    ("link", Kind::Switch),
    ("keep-git-dir", Kind::Switch),
    ("unpack", Kind::Switch),
    ("exclude", Kind::Many),
];

fn add(line: &Line) -> Result<Add, Why> {
    let words = list(&line.rest)?;
    if words.len() < 2 {
        return Err(Why::NoTarget("ADD"));
    }
    let flags = Flags::read(&line.flags, &ADD)?;
    Ok(Add {
        files: files("ADD", words, line, &flags)?,
        checksum: flags.one("checksum"),
        keep_git_dir: flags.switch("keep-git-dir").unwrap_or_default(),
        unpack: flags.switch("unpack"),
    })
}

fn files(
    word: &'static str,
    mut words: Vec<String>,
    line: &Line,
    flags: &Flags,
) -> Result<Files, Why> {
    let target = words.pop().ok_or(Why::NoTarget(word))?;
    if here(&target).is_some() {
        return Err(Why::DocumentTarget { word });
    }
    let mut sources = Vec::new();
    let mut documents = Vec::new();
    for source in words {
        let read = here(&source)
            .and_then(|here| line.documents.iter().find(|read| read.name == here.name));
        match read {
            Some(read) => documents.push(Document {
                name: read.name.clone(),
                data: read.chomped(),
                expand: read.expand,
            }),
            None => sources.push(source),
        }
    }
    Ok(Files {
        sources,
        documents,
        target,
        chown: flags.one("chown"),
        chmod: flags.one("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        exclude: flags.many("exclude"),
    })
}

fn run(line: &Line) -> Result<Run, Why> {
    let known = [("mount", Kind::Many), ("network", Kind::One), ("security", Kind::One)];
    let flags = Flags::read(&line.flags, &known)?;
    let network = match flags.one("network").as_deref() {
        None | Some("default") => Network::Default,
        Some("none") => Network::None,
        Some("host") => Network::Host,
        Some(other) => return Err(Why::Network(other.into())),
    };
    let security = match flags.one("security").as_deref() {
        None | Some("sandbox") => Security::Sandbox,
        Some("insecure") => Security::Insecure,
        Some(other) => return Err(Why::Security(other.into())),
    };
    let mounts = flags.many("mount").into_iter().map(mount::text);
    let mounts = mounts.collect::<Result<Vec<MountText>, Why>>()?;
    let command = match (command(line)?, line.documents.as_slice()) {
        (command, []) | (command @ (Command::Exec(_) | Command::Script { .. }), _) => command,
        // One document and nothing else: it is the program.
        (Command::Shell(text), [only]) if here(&text).is_some() => {
            let data = only.chomped();
            if data.starts_with("#!") {
                Command::Script { name: only.name.clone(), data }
            } else {
                Command::Shell(data)
            }
        }
        // Otherwise the shell is given line and documents as they stand.
        (Command::Shell(mut text), documents) => {
            for document in documents {
                text.push_str(&format!("\n{}{}", document.data, document.name));
            }
            Command::Shell(text)
        }
    };
    Ok(Run { command, mounts, network, security })
}

fn onbuild(line: &Line) -> Result<String, Why> {
    let trigger = one(&line.rest, line.lines);
    match trigger.word.to_ascii_uppercase().as_str() {
        "" => return Err(Why::AtLeastOne("ONBUILD")),
        "ONBUILD" => return Err(Why::OnbuildTwice),
        word @ ("MAINTAINER" | "FROM") => return Err(Why::Trigger(word.into())),
        _ => {}
    }
    let mut text = line.rest.clone();
    for document in &line.documents {
        text.push_str(&format!("\n{}{}", document.data, document.name));
    }
    Ok(text)
}

fn healthcheck(line: &Line) -> Result<Healthcheck, Why> {
    let (kind, rest) = split_word(&line.rest);
    let kind = kind.to_ascii_uppercase();
    if kind.is_empty() {
        return Err(Why::AtLeastOne("HEALTHCHECK"));
    }
    if kind == "NONE" {
        return if rest.is_empty() { Ok(Healthcheck::None) } else { Err(Why::NoneTakes) };
    }
    let known = [
        ("interval", Kind::One),
        ("timeout", Kind::One),
        ("start-period", Kind::One),
        ("start-interval", Kind::One),
        ("retries", Kind::One),
    ];
    let flags = Flags::read(&line.flags, &known)?;
    if kind != "CMD" {
        return Err(Why::CheckType(kind));
    }
    let test = match json::strings(rest).transpose()? {
        Some(words) => Command::Exec(words),
        None => Command::Shell(rest.into()),
    };
    if matches!(&test, Command::Exec(words) if words.is_empty())
        || matches!(&test, Command::Shell(text) if text.is_empty())
    {
        return Err(Why::NoCheck);
    }
    let time = |name| duration::at_least_1ms(name, flags.one(name));
    let retries = match flags.one("retries") {
        None => None,
        Some(text) => match text.parse::<i32>() {
            Err(_) => return Err(Why::Retries(text)),
            Ok(0) => None,
            Ok(n) => Some(u32::try_from(n).map_err(|_| Why::RetriesBelow(i64::from(n)))?),
        },
    };
    Ok(Healthcheck::Cmd {
        test,
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start-period")?,
        start_interval: time("start-interval")?,
        retries,
    })
}

fn args(rest: &str, escape: char) -> Result<Vec<Arg>, Why> {
    let args: Vec<Arg> = whole_words(rest, escape)
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some(("", _)) => Err(Why::Blank("ARG")),
            Some((name, value)) => Ok(Arg { name: name.into(), value: Some(value.into()) }),
            None => Ok(Arg { name: word, value: None }),
        })
        .collect::<Result<_, _>>()?;
    if args.is_empty() { Err(Why::AtLeastOne("ARG")) } else { Ok(args) }
}

/// `name=value …`, or the older `name value`.
fn pairs(word: &'static str, rest: &str, escape: char) -> Result<Vec<Pair>, Why> {
    let words = whole_words(rest, escape);
    let Some(first) = words.first() else { return Err(Why::AtLeastOne(word)) };
    if !first.contains('=') {
        let (name, value) = split_word(rest);
        if value.is_empty() {
            return Err(Why::TwoArguments(word));
        }
        return Ok(vec![Pair { name: name.into(), value: value.into() }]);
    }
    words
        .into_iter()
        .map(|text| match text.split_once('=') {
            None => Err(Why::NoEquals(text)),
            Some(("", _)) => Err(Why::Blank(word)),
            Some((name, value)) => Ok(Pair { name: name.into(), value: value.into() }),
        })
        .collect()
}

/// Words apart by white space that is neither quoted nor escaped; quotes and
/// escapes stay, for they mean something when the word is expanded.
fn whole_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, quoted) if c == escape && quoted != Some('\'') => {
                // An escape at the very end is nothing.
                if let Some(next) = letters.next() {
                    word.extend([c, next]);
                }
            }
            (c, Some(open)) => {
                if c == open {
                    quote = None;
                }
                word.push(c);
            }
            (c, None) => {
                if matches!(c, '\'' | '"') {
                    quote = Some(c);
                }
                word.push(c);
            }
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
