//! One stage: a state that its instructions change, one after the other.

use super::{
    BuildManner, BuildSaid,
    error::BuildError,
    job::{Job, Stopped},
};
use crate::Error;
use build::{Base, Planned, Scope, config, key};
use dockerfile::{Command, Files, Instruction, Network, Security, Step, Words};
use image::{Draft, Layer, Making};
use spec::{
    docker::Config,
    image::{History, ImageConfig},
};

/// What a program finds its commands by where the base says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How far it has come.
pub(super) struct Stage<'j, 'a> {
    pub job: &'j Job<'a>,
    /// In the file.
    pub index: usize,
    /// In the plan, and of the step under way.
    pub at: (usize, usize),
    pub draft: Draft,
    /// What the next step's key begins with.
    pub key: String,
    /// Key of the step before; empty for the first.
    before: String,
    pub scope: Scope,
    has_cmd: bool,
    /// Nothing is taken from the cache any more.
    fresh: bool,
    /// The step under way may be one that another image lends.
    lends: bool,
}

/// Builds one stage.
pub(super) fn build(
    job: &Job<'_>,
    place: usize,
    planned: &Planned,
) -> Result<(Draft, Scope), Stopped> {
    let source = &job.file.stages[planned.index];
    let mut step = 0;
    let done = stage(job, place, planned, &mut step);
    if let Err(Stopped::Failed(error)) = &done {
        let message = error.message.clone();
        job.client.said(BuildSaid::Failed { stage: place, step, message });
    }
    let lines = match step {
        0 => source.lines,
        step => source.steps[step - 1].lines,
    };
    done.map_err(|stopped| if lines.first > 0 { stopped.at(lines.first) } else { stopped })
}

fn stage(
    job: &Job<'_>,
    place: usize,
    planned: &Planned,
    step: &mut usize,
) -> Result<(Draft, Scope), Stopped> {
    let source = &job.file.stages[planned.index];
    if let Base::Stage(earlier) = planned.base {
        // Nothing is told of a stage that only waits.
        job.result(earlier)?;
    }
    job.goes_on()?;
    job.client.said(BuildSaid::Began { stage: place, step: 0 });
    let mut stage = begin(job, place, planned)?;
    stage.ended();
    for (number, of) in source.steps.iter().enumerate() {
        *step = number + 1;
        job.goes_on()?;
        stage.at.1 = *step;
        job.client.said(BuildSaid::Began { stage: place, step: *step });
        stage.step(of)?;
        stage.ended();
    }
    Ok((stage.draft, stage.scope))
}

/// `FROM`, and what the base has for whoever builds on it.
fn begin<'j, 'a>(
    job: &'j Job<'a>,
    place: usize,
    planned: &Planned,
) -> Result<Stage<'j, 'a>, Stopped> {
    let mut scope = Scope::default();
    let draft = match &planned.base {
        Base::Scratch => scratch(job),
        Base::Stage(earlier) => {
            let (draft, of) = job.result(*earlier)?;
            if job.wish.manner == BuildManner::BuildKit {
                scope = of.handed_on();
            }
            draft
        }
        Base::Image(name) => match job.wish.contexts.get(name) {
            Some(super::BuildContext::Image(name)) => {
                job.image(name, &planned.platform, (place, 0))?
            }
            Some(super::BuildContext::Dir(_)) => {
                let words =
                    format!("the context {name:?} is a directory: no stage can begin with it");
                return Err(BuildError::invalid(words).into());
            }
            None => job.image(name, &planned.platform, (place, 0))?,
        },
    };
    job.begins(planned.index, &draft);
    let source = &job.file.stages[planned.index];
    let name = source.name.clone().unwrap_or_default();
    let filtered = job.wish.no_cache_filter.iter().any(|filter| filter.eq_ignore_ascii_case(&name));
    let mut stage = Stage {
        job,
        index: planned.index,
        at: (place, 0),
        key: begins(&draft, job.wish.manner),
        before: String::new(),
        draft,
        scope,
        has_cmd: false,
        fresh: job.wish.no_cache || (filtered && !name.is_empty()),
        lends: false,
    };
    let config = &mut stage.draft.config.config;
    let triggers = config.on_build.take().unwrap_or_default();
    if !config.env.iter().any(|pair| pair.starts_with("PATH=")) {
        config.env.push(PATH.into());
        // Of BuildKit's, it stays even if there is not one instruction more.
        if source.steps.is_empty() && job.wish.manner == BuildManner::BuildKit {
            let Draft { config, layers, .. } = stage.draft;
            stage.draft = job.making.draft(config, layers)?;
        }
    }
    if !triggers.is_empty() {
        job.client.said(BuildSaid::Triggers { stage: place, count: triggers.len() });
    }
    for trigger in triggers {
        let step = dockerfile::trigger(&trigger, job.file.directives.escape)?;
        stage.step(&step)?;
    }
    Ok(stage)
}

/// What the key of a stage's first step begins with. The two builders write
/// history and follow links in different ways.
fn begins(draft: &Draft, manner: BuildManner) -> String {
    let config = &draft.config;
    let variant = config.variant.as_deref().unwrap_or_default();
    let manner = match manner {
        BuildManner::Classic => "classic",
        BuildManner::BuildKit => "buildkit",
    };
    key(&["from", manner, draft.id.as_str(), &config.os, &config.architecture, variant])
}

/// Whether history tells all that an instruction takes in, so that one of
/// somebody else's that reads alike did alike.
fn tells_all(instruction: &Instruction, manner: BuildManner) -> bool {
    let whole = |files: &Files| {
        manner == BuildManner::Classic
            && files.chmod.is_none()
            && !files.link
            && files.exclude.is_empty()
    };
    match instruction {
        Instruction::Run(run) => {
            matches!(run.command, Command::Shell(_))
                && run.mounts.is_empty()
                && run.network == Network::Default
                && run.security == Security::Sandbox
        }
        Instruction::Copy(copy) => !copy.parents && whole(&copy.files),
        Instruction::Add(add) => add.unpack.is_none() && whole(&add.files),
        _ => true,
    }
}

/// Nothing at all.
fn scratch(job: &Job<'_>) -> Draft {
    let own = image::host();
    let wanted = crate::registries::platform(&job.wish.platform).ok().flatten().unwrap_or(own);
    let mut config = Config::default();
    if job.wish.manner == BuildManner::BuildKit {
        config.working_dir = "/".into();
    }
    let config = ImageConfig {
        config,
        architecture: wanted.architecture,
        variant: wanted.variant,
        os: wanted.os,
        ..ImageConfig::default()
    };
    Draft { id: Making::nothing(), config, layers: Vec::new() }
}

impl Stage<'_, '_> {
    fn ended(&self) {
        let (stage, step) = self.at;
        let nothing = self.draft.id == Making::nothing();
        let id = if nothing { String::new() } else { self.draft.id.to_string() };
        self.job.client.said(BuildSaid::Ended { stage, step, id });
    }

    /// The environment of its programs, arguments apart.
    pub fn env(&self) -> &[String] {
        &self.draft.config.config.env
    }

    /// Carries out an instruction.
    fn step(&mut self, step: &Step) -> Result<(), Stopped> {
        self.job.counts()?;
        let env = self.env().to_vec();
        let scope = self.scope.clone();
        let lookup = move |name: &str| scope.value(&env, name);
        let words = Words { escape: self.job.file.directives.escape, scope: &lookup };
        let instruction = step.expand(&words)?;
        self.lends = tells_all(&instruction, self.job.wish.manner);
        match &instruction {
            Instruction::Arg(args) => {
                let mut told = String::from("ARG");
                for arg in args {
                    let default = arg.value.clone();
                    told += " ";
                    told += &arg.name;
                    if let Some(value) = &default {
                        told += "=";
                        told += value;
                    }
                    let buildkit = self.job.wish.manner == BuildManner::BuildKit;
                    let globals = &self.job.globals;
                    let value = self.scope.declare(globals, &arg.name, default, buildkit);
                    if buildkit && value.is_some() {
                        self.scope.raise(&arg.name, true);
                    }
                }
                let config = self.draft.config.config.clone();
                self.configured(&told, config)
            }
            Instruction::Run(run) => {
                let mounts = step.mounts(&words)?;
                self.run(run, &mounts)
            }
            Instruction::Copy(copy) => self.copy(copy),
            Instruction::Add(add) => self.add(add),
            Instruction::Workdir(_) => {
                let mut config = self.draft.config.config.clone();
                let told = config::apply(&instruction, &mut config, &mut self.has_cmd)?;
                self.workdir(&told.unwrap_or_default(), config)
            }
            other => {
                if let Instruction::Env(pairs) = other {
                    for pair in pairs {
                        self.scope.raise(&pair.name, false);
                    }
                }
                let mut config = self.draft.config.config.clone();
                let told = config::apply(other, &mut config, &mut self.has_cmd)?;
                if let Instruction::Maintainer(who) = other {
                    self.draft.config.author = Some(who.clone());
                }
                check(&config, self.job.wish.manner)?;
                self.configured(&told.unwrap_or_default(), config)
            }
        }
    }

    /// A step that changes the configuration alone.
    fn configured(&mut self, told: &str, config: Config) -> Result<(), Stopped> {
        let history = self.told(told, &config);
        // All of what it comes to: words are told short (CVE-2024-24557).
        let whole = serde_json::to_string(&config).map_err(|e| Error::records(&e))?;
        let key = key(&[&self.key, "config", told, &whole]);
        self.settle(key, &history, config, |_| Ok(None))
    }

    /// How history tells of an instruction that started no program.
    pub fn told(&self, told: &str, config: &Config) -> String {
        match self.job.wish.manner {
            BuildManner::Classic => {
                // With one space where a directory was made, as Docker has it.
                let gap = if told.starts_with("WORKDIR") { "" } else { " " };
                let shell = config::shell(config).join(" ");
                format!("{shell} #(nop) {gap}{told}")
            }
            BuildManner::BuildKit => told.to_owned(),
        }
    }

    /// What a key came to before, if it may be used.
    pub fn recall(&self, key: &str) -> Result<Option<Draft>, Stopped> {
        if self.fresh {
            return Ok(None);
        }
        Ok(self.job.making.recall(key)?.filter(|draft| self.job.may_take(draft)))
    }

    /// Goes on to what a key stands for: known from before, or made now. The
    /// step leaves `config`, and what `make` says it has changed.
    pub fn settle(
        &mut self,
        key: String,
        history: &str,
        config: Config,
        make: impl FnOnce(&mut Self) -> Result<Option<Layer>, Stopped>,
    ) -> Result<(), Stopped> {
        let (stage, step) = self.at;
        if let Some(draft) = self.recall(&key)? {
            self.job.client.said(BuildSaid::Cached { stage, step });
            self.job.used(&key);
            self.go_on(draft, key);
            return Ok(());
        }
        let mut image = self.draft.config.clone();
        let (entry, layer) = if let Some(lent) = self.lent(history) {
            self.job.client.said(BuildSaid::Cached { stage, step });
            lent
        } else {
            let layer = make(self)?;
            let classic = self.job.wish.manner == BuildManner::Classic;
            let entry = History {
                created: Some(image::timestamp()),
                created_by: Some(history.to_owned()),
                author: if classic { image.author.clone() } else { None },
                comment: (!classic).then(|| "buildkit.dockerfile.v0".to_owned()),
                empty_layer: layer.is_none(),
            };
            (entry, layer)
        };
        image.created.clone_from(&entry.created);
        image.history.push(entry);
        image.config = config;
        image.comment = None;
        image.container = None;
        let size = layer.as_ref().map_or(0, Layer::size);
        let mut layers = self.draft.layers.clone();
        layers.extend(layer);
        let draft = self.job.making.draft(image, layers)?;
        let now = crate::clock::now();
        let step = image::Step {
            key: key.clone(),
            parent: self.before.clone(),
            id: draft.id.clone(),
            what: history.to_owned(),
            size,
            created: image::nanos(draft.config.created.as_deref()),
            used: now,
            uses: 0,
        };
        self.job.made(step, &draft)?;
        self.go_on(draft, key);
        Ok(())
    }

    /// The same step of an image that may serve as a cache: one whose history
    /// is this one's so far, on the same layers, and goes on with this step.
    fn lent(&self, told: &str) -> Option<(History, Option<Layer>)> {
        if self.fresh || !self.lends {
            return None;
        }
        let own = &self.draft.config.history;
        self.job.lenders.iter().find_map(|lender| {
            let theirs = &lender.config.history;
            let same = |(a, b): (&History, &History)| a.created_by == b.created_by;
            let entry = theirs.get(own.len()).filter(|e| e.created_by.as_deref() == Some(told))?;
            let layers = lender.layers.get(..self.draft.layers.len())?;
            if layers != self.draft.layers || !own.iter().zip(theirs).all(same) {
                return None;
            }
            let layer = if entry.empty_layer {
                None
            } else {
                Some(lender.layers.get(layers.len())?.clone())
            };
            Some((entry.clone(), layer))
        })
    }

    /// What was come to is known by one more key.
    pub fn also(&self, key: String) -> Result<(), Stopped> {
        let step = image::Step {
            key,
            parent: self.before.clone(),
            id: self.draft.id.clone(),
            what: self
                .draft
                .config
                .history
                .last()
                .and_then(|h| h.created_by.clone())
                .unwrap_or_default(),
            size: 0,
            created: image::nanos(self.draft.config.created.as_deref()),
            used: crate::clock::now(),
            uses: 0,
        };
        self.job.made(step, &self.draft)
    }

    pub fn go_on(&mut self, draft: Draft, key: String) {
        let before = Some(&self.draft.id).filter(|id| **id != Making::nothing());
        self.job.state(&draft, before);
        // By whichever key it was found: what comes next begins here.
        self.key = draft.id.to_string();
        self.draft = draft;
        self.before = key;
    }
}

/// What would be noticed only when a container is made.
fn check(config: &Config, manner: BuildManner) -> Result<(), BuildError> {
    match config.stop_signal.as_deref().filter(|signal| !signal.is_empty()) {
        Some(signal) if crate::signals::parse(signal).is_none() => {
            let word = if manner == BuildManner::Classic { "Invalid" } else { "invalid" };
            Err(BuildError::invalid(format!("{word} signal: {signal}")))
        }
        _ => Ok(()),
    }
}
