//! One build under way: its stages, each on a thread, and what they share.

use super::{
    BuildClient, BuildError, BuildManner, BuildRoom, BuildSaid, BuildWish, Built, Cancel,
    StagePlan, StepPlan, ends::Ends, stage,
};
use crate::{Engine, Error, error::Doing};
use build::{Globals, Known, Planned, Scope, Tree};
use dockerfile::{Dockerfile, Instruction, Pair, Step};
use image::{Draft, Given, Kept, Making};
use rustix::fs::{Mode, OFlags};
use spec::{Digest, Reference};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Most stages that a build needs.
const STAGES: usize = 200;
/// Most instructions of all of them.
const STEPS: usize = 1000;
/// Bytes of all configurations that a build comes to: each step writes one.
const CONFIGURATIONS: usize = 96 << 20;
/// Stages that are built at the same time.
const AT_A_TIME: usize = 16;

/// What all stages of a build share.
pub(super) struct Job<'a> {
    pub engine: &'a Engine,
    pub wish: &'a BuildWish,
    pub client: &'a dyn BuildClient,
    pub shared_client: Arc<dyn BuildClient>,
    pub cancel: &'a Cancel,
    pub room: &'a BuildRoom,
    pub file: Dockerfile,
    pub globals: Globals,
    pub plan: Vec<Planned>,
    pub making: Making<'a>,
    pub context: Option<Tree>,
    /// Images whose steps may be taken over.
    pub lenders: Vec<Draft>,
    ends: Ends<(Draft, Scope)>,
    notes: Mutex<Notes>,
}

/// What is to be written down.
#[derive(Default)]
struct Notes {
    made: Vec<(image::Step, Draft)>,
    used: Vec<String>,
    /// Each state of a stage, and the one before.
    states: Vec<(Draft, Option<Digest>)>,
    scopes: Vec<Scope>,
    /// What the stage that was asked for began with.
    base: Option<Draft>,
    failure: Option<BuildError>,
    /// Instructions that were begun, those of bases included.
    steps: usize,
    /// Bytes of the configurations in `made`.
    configurations: usize,
}

impl Job<'_> {
    /// Whether what is known from before may be taken for a step. Docker's
    /// classic builder, told of images that lend their steps, takes only what
    /// those were made of.
    pub fn may_take(&self, draft: &Draft) -> bool {
        let told = self.wish.manner == BuildManner::Classic && !self.wish.cache_from.is_empty();
        !told
            || self.lenders.iter().any(|lender| {
                lender.layers.starts_with(&draft.layers)
                    && lender.config.history.starts_with(&draft.config.history)
            })
    }
}

impl Engine {
    /// Builds an image.
    ///
    /// # Errors
    /// The Dockerfile is at fault, a program failed, or the build was called
    /// off.
    pub fn build(
        &self,
        wish: &BuildWish,
        room: &BuildRoom,
        client: &Arc<dyn BuildClient>,
        cancel: &Cancel,
    ) -> Result<Built, BuildError> {
        let names = names(&wish.tags)?;
        let mut file = dockerfile::parse(&wish.dockerfile)?;
        let own = image::host();
        let target = crate::registries::platform(&wish.platform)?.unwrap_or_else(|| own.clone());
        let mut globals = Globals::new(wish.args.clone(), &target, &own);
        if wish.manner == BuildManner::BuildKit {
            let stage = if wish.target.is_empty() { "default" } else { &wish.target };
            globals.platform.insert("TARGETSTAGE".into(), stage.into());
        }
        let plan = build::plan(&file, &wish.target, &mut globals)?;
        if plan.len() > STAGES {
            let words = format!("the build needs {} stages: {STAGES} are the most", plan.len());
            return Err(BuildError::invalid(words));
        }
        if wish.manner == BuildManner::Classic {
            unique_names(&file)?;
        }
        if let Some(last) = plan.last()
            && !wish.labels.is_empty()
        {
            let steps = &mut file.stages[last.index].steps;
            steps.push(labels(&wish.labels));
        }
        cancel.begin();
        let making = self.0.images.making();
        let mut lenders = Vec::new();
        let mut fetched = Fetched { engine: self, stay: &names, names: Vec::new() };
        for name in &wish.cache_from {
            // One that is not here lends nothing, as Docker has it; BuildKit
            // asks its registry.
            let here = self.0.images.lookup(name).ok();
            let id = match here {
                None if wish.manner == BuildManner::BuildKit => {
                    fetched.fetch(name, &**client, cancel)
                }
                here => here,
            };
            if let Some(id) = id {
                lenders.push(making.image(&id)?);
            }
        }
        let job = Job {
            engine: self,
            wish,
            client: &**client,
            shared_client: Arc::clone(client),
            cancel,
            room,
            globals,
            making,
            lenders,
            context: wish.context.as_deref().map(|dir| knowing(dir, room.known())).transpose()?,
            ends: Ends::default(),
            notes: Mutex::default(),
            file,
            plan,
        };
        job.run(&names)
    }
}

/// Images that were fetched to lend their steps: the names that they were
/// given by this go with the build.
struct Fetched<'a> {
    engine: &'a Engine,
    /// Names that the build itself gives.
    stay: &'a [Reference],
    names: Vec<Given>,
}

impl Fetched<'_> {
    /// Fetches one, if it is to be had.
    fn fetch(&mut self, name: &str, client: &dyn BuildClient, cancel: &Cancel) -> Option<Digest> {
        let reference = name.parse::<Reference>().ok()?.or_latest();
        let credentials = client.credentials(reference.domain());
        let stays = self.stay.contains(&reference);
        let pulled = self.engine.pull_for_a_time(reference, &credentials, &mut |_| {
            if cancel.is_cancelled() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        });
        match pulled {
            Ok((id, given)) => {
                self.names.extend(given.filter(|_| !stays));
                Some(id)
            }
            Err(error) => {
                let error = crate::error::chain(&error);
                tracing::info!(name, error, "an image cannot lend its steps");
                None
            }
        }
    }
}

impl Drop for Fetched<'_> {
    fn drop(&mut self) {
        let house = &self.engine.0;
        for given in &self.names {
            match house.images.take_back(given, &|id| house.users(id)) {
                Ok(deleted) => drop(house.deleted(deleted)),
                Err(error) => {
                    tracing::warn!(?given, %error, "what was fetched for its steps stays");
                }
            }
        }
    }
}

/// Docker's classic builder has no two stages of one name.
fn unique_names(file: &Dockerfile) -> Result<(), BuildError> {
    let mut seen = std::collections::BTreeSet::new();
    for stage in &file.stages {
        if let Some(name) = &stage.name
            && !seen.insert(name)
        {
            let words = format!("{name} stage name already used");
            return Err(BuildError::invalid(words).at(stage.lines.first));
        }
    }
    Ok(())
}

/// A directory of the engine's own, to copy from.
pub(super) fn tree(path: &Path) -> Result<Tree, Error> {
    knowing(path, Arc::default())
}

fn knowing(path: &Path, known: Arc<Known>) -> Result<Tree, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Tree::knowing(rustix::fs::open(path, flags, Mode::empty()).doing("open", path)?, known))
}

/// The names that the image is to have.
fn names(tags: &[String]) -> Result<Vec<Reference>, BuildError> {
    let mut names = Vec::new();
    for tag in tags {
        let name = crate::images::new_name(Some(tag))?;
        names.extend(name);
    }
    names.dedup();
    Ok(names)
}

/// `--label`, as one more instruction.
fn labels(labels: &BTreeMap<String, String>) -> Step {
    let pair =
        |(name, value): (&String, &String)| Pair { name: name.clone(), value: value.clone() };
    let pairs: Vec<Pair> = labels.iter().map(pair).collect();
    let words = pairs.iter().map(|pair| format!(" {}={}", pair.name, pair.value));
    let text = format!("LABEL{}", words.collect::<String>());
    let quoted = |pair: &Pair| Pair { name: quote(&pair.name), value: quote(&pair.value) };
    let pairs = pairs.iter().map(quoted).collect();
    Step { instruction: Instruction::Label(pairs), text, lines: dockerfile::Lines::default() }
}

/// So that expansion gives back the very text.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

impl Job<'_> {
    fn run(&self, names: &[Reference]) -> Result<Built, BuildError> {
        self.tell_plan();
        // Taken in the order of the plan: whichever a stage waits for has
        // somebody who builds it, or is done.
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(planned) = self.plan.get(place) else { return };
                self.stage(place, planned);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.plan.len().min(AT_A_TIME) {
                let thread = std::thread::Builder::new().name("build".into());
                // With fewer it takes longer.
                if let Err(error) = thread.spawn_scoped(scope, work) {
                    tracing::warn!(%error, "no thread for a stage of a build");
                    break;
                }
            }
            work();
        });
        let mut notes = std::mem::take(&mut *self.notes());
        if self.cancel.is_cancelled() {
            notes.failure = Some(BuildError::cancelled());
        }
        let last = self.plan.last().map(|planned| planned.index);
        let draft = last.and_then(|index| self.ends.of(index)).map(|(draft, _)| draft);
        if let Some(failure) = notes.failure {
            // What came before the failure is worth keeping, and the next
            // build begins there.
            let states = if self.cancel.is_cancelled() { &[][..] } else { &notes.states };
            if let Err(error) = self.keep(&notes.made, &notes.used, states, None, &[]) {
                // Why the build failed is what its author wants to know.
                tracing::warn!(%error, "what a failed build came to is not kept");
            }
            return Err(failure);
        }
        let draft = draft.ok_or_else(|| BuildError::invalid("no stage was built"))?;
        let classic = self.wish.manner == BuildManner::Classic;
        if draft.layers.is_empty() && draft.config.history.is_empty() && classic {
            return Err(BuildError::invalid("No image was generated. Is your Dockerfile empty?"));
        }
        let unused = build::unused(&self.globals, &notes.scopes);
        if classic && !unused.is_empty() {
            let words = format!("[Warning] One or more build-args {unused:?} were not consumed");
            self.client
                .said(BuildSaid::Warning { text: words.replace("\", \"", " ").replace('"', "") });
        }
        let draft = match notes.base {
            Some(base) if self.wish.squash => super::squash::squashed(&self.making, &base, &draft)?,
            Some(base) => self.dated(&base, draft)?,
            None => draft,
        };
        self.keep(&notes.made, &notes.used, &notes.states, Some(&draft), names)?;
        for name in names {
            let name = name.familiar();
            self.engine.0.image_event("tag", draft.id.as_str(), &name);
            self.client.said(BuildSaid::Tagged { name });
        }
        Ok(Built { id: draft.id.to_string() })
    }

    /// The same image of another time, if the client says which
    /// (`SOURCE_DATE_EPOCH`): one that is made again is then the same.
    fn dated(&self, base: &Draft, draft: Draft) -> Result<Draft, BuildError> {
        let said = self.wish.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty());
        let Some(text) = said.filter(|_| self.wish.manner == BuildManner::BuildKit) else {
            return Ok(draft);
        };
        let time = text.parse().ok().and_then(image::timestamp_of);
        let wrong = || format!("invalid SOURCE_DATE_EPOCH: {text}: seconds since 1970 are wanted");
        let time = Some(time.ok_or_else(|| BuildError::invalid(wrong()))?);
        let Draft { mut config, layers, .. } = draft;
        for entry in config.history.iter_mut().skip(base.config.history.len()) {
            entry.created.clone_from(&time);
        }
        config.created = time;
        Ok(self.making.draft(config, layers)?)
    }

    fn keep(
        &self,
        made: &[(image::Step, Draft)],
        used: &[String],
        states: &[(Draft, Option<Digest>)],
        last: Option<&Draft>,
        names: &[Reference],
    ) -> Result<(), BuildError> {
        let mut images = Vec::new();
        for (draft, parent) in states {
            images.push(Kept { draft, parent: parent.clone(), names: &[] });
        }
        if let Some(draft) = last {
            images.push(Kept { draft, parent: None, names });
        }
        self.making.keep(made, used, &images)?;
        self.engine.cache_has_grown();
        Ok(())
    }

    fn tell_plan(&self) {
        let step = |step: &Step| StepPlan { text: step.text.clone(), line: step.lines.first };
        let stages = self.plan.iter().map(|planned| {
            let stage = &self.file.stages[planned.index];
            let from = StepPlan { text: stage.text.clone(), line: stage.lines.first };
            StagePlan {
                index: planned.index,
                name: stage.name.clone(),
                steps: std::iter::once(from).chain(stage.steps.iter().map(step)).collect(),
                needs: planned.needs.iter().copied().collect(),
            }
        });
        let args = self.file.args.iter().map(step).collect();
        self.client.said(BuildSaid::Plan { args, stages: stages.collect() });
    }

    /// The life of a stage's thread.
    fn stage(&self, place: usize, planned: &Planned) {
        let turn = self.ends.turn(planned.index);
        match stage::build(self, place, planned) {
            Ok((draft, scope)) => {
                self.notes().scopes.push(scope.clone());
                self.client.said(BuildSaid::StageEnded { stage: place });
                turn.came_to((draft, scope));
            }
            Err(Stopped::Failed(error)) => {
                self.notes().failure.get_or_insert(error);
                // Nobody will want what other stages come to.
                self.cancel.fail();
            }
            Err(Stopped::Elsewhere) => {}
        }
    }

    /// What an earlier stage came to, and its arguments; waits for it.
    pub fn result(&self, index: usize) -> Result<(Draft, Scope), Stopped> {
        if !self.plan.iter().any(|planned| planned.index == index) {
            let words = format!("stage {index} is not built for this target");
            return Err(BuildError::invalid(words).into());
        }
        self.ends.wait(index).ok_or(Stopped::Elsewhere)
    }

    /// Whether something else has put an end to the build.
    pub fn goes_on(&self) -> Result<(), Stopped> {
        if self.cancel.is_over() || self.notes().failure.is_some() {
            return Err(Stopped::Elsewhere);
        }
        Ok(())
    }

    /// An instruction begins.
    pub fn counts(&self) -> Result<(), Stopped> {
        let mut notes = self.notes();
        notes.steps += 1;
        if notes.steps > STEPS {
            let words = format!("the build has too many instructions: {STEPS} are the most");
            return Err(BuildError::invalid(words).into());
        }
        Ok(())
    }

    /// A step has come to something new.
    pub fn made(&self, step: image::Step, draft: &Draft) -> Result<(), Stopped> {
        let size = serde_json::to_vec(&draft.config).map_err(|e| Error::records(&e))?.len();
        let mut notes = self.notes();
        notes.configurations += size;
        if notes.configurations > CONFIGURATIONS {
            let words = format!(
                "the configurations of the build's steps take more than {} MiB together: \
                 have fewer instructions, or a base with less in its configuration",
                CONFIGURATIONS >> 20
            );
            return Err(BuildError::invalid(words).into());
        }
        notes.made.push((step, draft.clone()));
        Ok(())
    }

    /// A step's result was known.
    pub fn used(&self, key: &str) {
        self.notes().used.push(key.to_owned());
    }

    /// A stage begins.
    pub fn begins(&self, index: usize, base: &Draft) {
        if self.plan.last().is_some_and(|last| last.index == index) {
            self.notes().base = Some(base.clone());
        }
    }

    /// A stage has gone on from one state to the next.
    /// Only Docker's classic builder has images of them.
    pub fn state(&self, draft: &Draft, before: Option<&Digest>) {
        if self.wish.manner == BuildManner::Classic {
            self.notes().states.push((draft.clone(), before.cloned()));
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a stage came to nothing.
#[derive(Debug)]
pub(super) enum Stopped {
    /// For a reason of its own.
    Failed(BuildError),
    /// Another stage failed, or the build was called off.
    Elsewhere,
}

impl<E: Into<BuildError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Stopped {
    /// Names the line of the Dockerfile.
    pub fn at(self, line: usize) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(error.at(line)),
            Self::Elsewhere => Self::Elsewhere,
        }
    }
}
