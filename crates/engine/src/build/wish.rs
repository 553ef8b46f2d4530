//! What a client asks of the builder, and what it is told.

use crate::{Engine, Said};
use registry::Credentials;
use spec::{Id, docker::HostConfig};
use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// In whose words history speaks, and which habits are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildManner {
    /// `POST /build`: every step is an image, whose parent is the step before.
    #[default]
    Classic,
    /// BuildKit's.
    BuildKit,
}

/// `--build-context name=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildContext {
    /// A directory of the engine's own.
    Dir(PathBuf),
    /// An image.
    Image(String),
}

/// One build.
#[derive(Clone, Debug, Default)]
pub struct BuildWish {
    /// The Dockerfile's text.
    pub dockerfile: String,
    /// The directory that holds the context; none if there is none.
    pub context: Option<PathBuf>,
    /// Further contexts, by name.
    pub contexts: BTreeMap<String, BuildContext>,
    /// The stage that is wanted; the last if empty.
    pub target: String,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `repository[:tag]`, any number of them.
    pub tags: Vec<String>,
    /// Nothing is taken from the cache.
    pub no_cache: bool,
    /// Nothing of these stages is.
    pub no_cache_filter: Vec<String>,
    /// Images are asked of their registries anew.
    pub pull: bool,
    /// Images whose own steps may serve as a cache.
    pub cache_from: Vec<String>,
    /// `linux/arm64`; the host's if empty.
    pub platform: String,
    /// One layer above the base.
    pub squash: bool,
    /// Limits, network, further hosts and security of every `RUN`.
    pub limits: Box<HostConfig>,
    /// `RUN --security=insecure` may be carried out.
    pub allow_insecure: bool,
    /// `RUN --network=host` may be.
    pub allow_host_network: bool,
    /// Containers of steps stay behind (`--rm=false`).
    pub keep_containers: bool,
    /// That of a step that failed goes, too.
    pub force_rm: bool,
    /// Whose habits.
    pub manner: BuildManner,
}

/// What a client keeps by a name, if it has it; or why that cannot be had.
pub type SecretOf<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<u8>>, String>;

/// What only the client has. Called by the builder's threads; may block.
pub trait BuildClient: Send + Sync {
    /// Something happened: for each stage in its order.
    fn said(&self, said: BuildSaid);

    /// Who it is to a registry.
    fn credentials(&self, _registry: &str) -> Credentials {
        Credentials::default()
    }

    /// A secret, if it has one of that name.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, String>;

    /// A new connection to its ssh agent, if it has one of that name.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn ssh(&self, id: &str) -> Result<Option<UnixStream>, String>;
}

/// One instruction of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepPlan {
    /// As written.
    pub text: String,
    /// Where it stands, from 1.
    pub line: usize,
}

/// One stage of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePlan {
    /// Its place in the file.
    pub index: usize,
    /// `AS name`.
    pub name: Option<String>,
    /// `FROM` first.
    pub steps: Vec<StepPlan>,
    /// Indices of stages that it waits for.
    pub needs: Vec<usize>,
}

/// What happened. `stage` is a place in the plan, `step` one in the stage.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum BuildSaid {
    /// Once, before all else: the `ARG`s before the first `FROM`, and the
    /// stages that will be built.
    Plan {
        args: Vec<StepPlan>,
        stages: Vec<StagePlan>,
    },
    Began {
        stage: usize,
        step: usize,
    },
    /// Its result was known.
    Cached {
        stage: usize,
        step: usize,
    },
    /// The base has instructions for whoever builds on it.
    Triggers {
        stage: usize,
        count: usize,
    },
    /// The base is being fetched.
    Pull {
        stage: usize,
        step: usize,
        said: Said,
    },
    Running {
        stage: usize,
        step: usize,
        container: Id,
    },
    Output {
        stage: usize,
        step: usize,
        stderr: bool,
        bytes: Vec<u8>,
    },
    /// The step's container is gone.
    Removed {
        stage: usize,
        step: usize,
        container: Id,
    },
    /// What the stage has come to; empty for nothing at all.
    Ended {
        stage: usize,
        step: usize,
        id: String,
    },
    /// All of the stage is done.
    StageEnded {
        stage: usize,
    },
    Failed {
        stage: usize,
        step: usize,
        message: String,
    },
    Warning {
        text: String,
    },
    /// Done; the image has this name now.
    Tagged {
        name: String,
    },
}

/// What a build came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// `sha256:…`.
    pub id: String,
}

/// Ends a build from another thread. Clones are the same.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Cancelling>);

#[derive(Default)]
struct Cancelling {
    off: AtomicBool,
    /// A stage has failed: nobody wants what the others come to.
    failed: AtomicBool,
    /// Containers that run for the build, and whose they are.
    running: Mutex<(Option<Engine>, BTreeSet<Id>)>,
}

impl Cancel {
    /// Kills what runs for the build; [`Engine::build`] then fails.
    pub fn cancel(&self) {
        self.0.off.store(true, Ordering::SeqCst);
        self.kill();
    }

    /// A build begins: another one of the same client may have failed.
    pub(super) fn begin(&self) {
        self.0.failed.store(false, Ordering::SeqCst);
    }

    /// Kills what runs for the build, which has failed elsewhere.
    pub(super) fn fail(&self) {
        self.0.failed.store(true, Ordering::SeqCst);
        self.kill();
    }

    /// Kills what runs for the build.
    pub(super) fn kill(&self) {
        let (engine, running) = {
            let running = self.running();
            (running.0.clone(), running.1.clone())
        };
        for (engine, id) in engine.iter().flat_map(|e| running.iter().map(move |id| (e, id))) {
            // One that has ended meanwhile needs no killing.
            let _ = engine.kill(id.as_str(), Some("KILL"));
        }
    }

    /// Whether it was called off.
    pub fn is_cancelled(&self) -> bool {
        self.0.off.load(Ordering::SeqCst)
    }

    /// Whether nothing more is wanted: it was called off, or a stage failed.
    pub fn is_over(&self) -> bool {
        self.is_cancelled() || self.0.failed.load(Ordering::SeqCst)
    }

    /// Notes that a container runs for the build; killed at once if that was
    /// over before.
    pub(super) fn runs(&self, engine: &Engine, id: &Id) {
        let mut running = self.running();
        running.0.get_or_insert_with(|| engine.clone());
        running.1.insert(id.clone());
        drop(running);
        if self.is_over() {
            self.kill();
        }
    }

    pub(super) fn ended(&self, id: &Id) {
        let mut running = self.running();
        running.1.remove(id);
        if running.1.is_empty() {
            running.0 = None;
        }
    }

    fn running(&self) -> std::sync::MutexGuard<'_, (Option<Engine>, BTreeSet<Id>)> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_fails_ends_its_build_and_not_the_next_of_its_client() {
        let cancel = Cancel::default();
        let client = cancel.clone();
        assert!(!client.is_over());
        cancel.fail();
        assert!(client.is_over() && !client.is_cancelled());
        cancel.begin();
        assert!(!client.is_over());
        cancel.cancel();
        cancel.begin();
        assert!(client.is_over(), "who has called it off has called all of it off");
    }
}
