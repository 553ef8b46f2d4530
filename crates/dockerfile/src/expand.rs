//! Which instructions expand variables, and in which of their words.
//!
//! Not in `RUN`, `CMD`, `ENTRYPOINT`, `SHELL` and `HEALTHCHECK` (a shell does
//! it there, or nobody), `ONBUILD` (when it is triggered) and `MAINTAINER`.

use crate::{
    Add, Arg, Copy, Document, Error, Files, Instruction, Mount, Pair, Step, error::Why,
    words::Words,
};

impl Step {
    /// The instruction with its variables put in.
    ///
    /// # Errors
    /// A word that cannot be expanded, with these lines.
    pub fn expand(&self, words: &Words) -> Result<Instruction, Error> {
        self.instruction.expand(words).map_err(|why| Error::text(why, self.lines))
    }

    /// The mounts of a `RUN`, variables put in; none for all else.
    ///
    /// # Errors
    /// A mount that cannot be read, with these lines.
    pub fn mounts(&self, words: &Words) -> Result<Vec<Mount>, Error> {
        let Instruction::Run(run) = &self.instruction else { return Ok(Vec::new()) };
        let mounts = run.mounts.iter().map(|mount| mount.read(words));
        mounts.collect::<Result<_, _>>().map_err(|why| Error::text(why, self.lines))
    }
}

impl Instruction {
    fn expand(&self, words: &Words) -> Result<Self, Why> {
        let word = |text: &str| word(words, text);
        let all = |texts: &[String]| -> Result<Vec<String>, Why> {
            texts.iter().map(|text| word(text)).collect()
        };
        let pairs = |pairs: &[Pair]| -> Result<Vec<Pair>, Why> {
            pairs
                .iter()
                .map(|pair| Ok(Pair { name: word(&pair.name)?, value: word(&pair.value)? }))
                .collect()
        };
        Ok(match self {
            Self::Add(add) => Self::Add(Add {
                files: files(&add.files, words)?,
                checksum: add.checksum.as_deref().map(word).transpose()?,
                ..add.clone()
            }),
            Self::Arg(args) => Self::Arg(
                args.iter()
                    .map(|arg| {
                        let value = arg.value.as_deref().map(word).transpose()?;
                        Ok(Arg { name: word(&arg.name)?, value })
                    })
                    .collect::<Result<_, Why>>()?,
            ),
            Self::Copy(copy) => {
                Self::Copy(Copy { files: files(&copy.files, words)?, ..copy.clone() })
            }
            Self::Env(env) => Self::Env(pairs(env)?),
            Self::Expose(ports) => {
                let split = ports.iter().map(|port| {
                    words.split(port).map_err(|why| Why::Word { word: port.clone(), why })
                });
                Self::Expose(split.collect::<Result<Vec<_>, _>>()?.concat())
            }
            Self::Label(labels) => Self::Label(pairs(labels)?),
            Self::Stopsignal(signal) => Self::Stopsignal(word(signal)?),
            Self::User(user) => Self::User(word(user)?),
            Self::Volume(volumes) => Self::Volume(all(volumes)?),
            Self::Workdir(path) => Self::Workdir(word(path)?),
            Self::Cmd(_)
            | Self::Entrypoint(_)
            | Self::Healthcheck(_)
            | Self::Maintainer(_)
            | Self::Onbuild(_)
            | Self::Run(_)
            | Self::Shell(_) => self.clone(),
        })
    }
}

fn word(words: &Words, text: &str) -> Result<String, Why> {
    words.word(text).map_err(|why| Why::Word { word: text.into(), why })
}

fn files(files: &Files, words: &Words) -> Result<Files, Why> {
    let all = |texts: &[String]| -> Result<Vec<String>, Why> {
        texts.iter().map(|text| word(words, text)).collect()
    };
    let maybe = |text: &Option<String>| text.as_deref().map(|text| word(words, text)).transpose();
    let documents = files.documents.iter().map(|document| {
        let data = if document.expand {
            let why = |why| Why::Word { word: document.data.clone(), why };
            words.document(&document.data).map_err(why)?
        } else {
            document.data.clone()
        };
        Ok(Document { data, ..document.clone() })
    });
    Ok(Files {
        sources: all(&files.sources)?,
        documents: documents.collect::<Result<_, Why>>()?,
        target: word(words, &files.target)?,
        chown: maybe(&files.chown)?,
        chmod: maybe(&files.chmod)?,
        link: files.link,
        exclude: all(&files.exclude)?,
    })
}
