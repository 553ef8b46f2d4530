//! What all connections share: the engine, sessions, builds under way.

use crate::grpc::{Code, Status};
use crate::journal::Journal;
use crate::proto::SolveRequest;
use crate::session::Sessions;
use engine::{Cancel, Engine};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a build is waited for by those who follow or feed it: a client
/// asks on several streams at the same time.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long an ended build is remembered, for who asks how it went.
const MEMORY: Duration = Duration::from_secs(10);
/// Builds at one time, ended ones included.
const MOST: usize = 512;

/// BuildKit's door.
pub struct Desk {
    pub(crate) engine: Engine,
    pub(crate) sessions: Sessions,
    builds: Mutex<HashMap<String, Arc<Build>>>,
}

/// One build, known by the reference that its client chose.
pub(crate) struct Build {
    reference: String,
    /// What it says.
    pub journal: Arc<Journal>,
    /// Calls it off.
    pub cancel: Cancel,
    /// What was asked for.
    request: watch::Sender<Option<Arc<SolveRequest>>>,
    /// What the client's own frontend came to: a result or nothing.
    pub returned: watch::Sender<Option<Result<Option<String>, Status>>>,
    /// Images that the build made, by the name a result has.
    results: Mutex<HashMap<String, String>>,
}

impl Desk {
    /// A door to an engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine, sessions: Sessions::default(), builds: Mutex::default() }
    }

    fn builds(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Build>>> {
        self.builds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The build of a reference, which may be about to be asked for.
    pub(crate) fn build(&self, reference: &str) -> Result<Arc<Build>, Status> {
        let mut builds = self.builds();
        if let Some(build) = builds.get(reference) {
            return Ok(Arc::clone(build));
        }
        if builds.len() >= MOST {
            return Err(Status::new(Code::ResourceExhausted, "too many builds"));
        }
        let build = Arc::new(Build {
            reference: reference.to_owned(),
            journal: Arc::default(),
            cancel: Cancel::default(),
            request: watch::Sender::new(None),
            returned: watch::Sender::new(None),
            results: Mutex::default(),
        });
        builds.insert(reference.to_owned(), Arc::clone(&build));
        Ok(build)
    }

    /// Forgets a build that was never asked for, or has ended.
    pub(crate) fn forget(&self, build: &Build) {
        self.builds().remove(&build.reference);
    }

    /// Begins a build.
    pub(crate) fn begin(
        self: &Arc<Self>,
        request: SolveRequest,
    ) -> Result<(Arc<Build>, Ending), Status> {
        let build = self.build(&request.reference)?;
        let mut fresh = false;
        build.request.send_modify(|known| {
            fresh = known.is_none();
            known.get_or_insert_with(|| Arc::new(request));
        });
        if !fresh {
            let words = format!("there is a build {} already", build.reference);
            return Err(Status::new(Code::InvalidArgument, words));
        }
        Ok((Arc::clone(&build), Ending { desk: Arc::clone(self), build }))
    }
}

impl Build {
    /// What was asked for, when it is.
    pub async fn asked(&self) -> Result<Arc<SolveRequest>, Status> {
        let mut request = self.request.subscribe();
        let asked = timeout(PATIENCE, request.wait_for(Option::is_some)).await;
        let request = asked.ok().and_then(Result::ok).and_then(|request| request.clone());
        request
            .ok_or_else(|| Status::new(Code::NotFound, format!("no such job {}", self.reference)))
    }

    /// Remembers an image under a name that only this build knows.
    pub fn keep(&self, id: &str) -> String {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{}-{}", self.reference, results.len());
        results.insert(name.clone(), id.to_owned());
        name
    }

    /// The image of such a name.
    pub fn result(&self, name: &str) -> Result<String, Status> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let found = results.get(name).cloned();
        found.ok_or_else(|| Status::new(Code::NotFound, format!("no result {name}")))
    }
}

/// Ends a build when its call ends, in whatever way.
pub(crate) struct Ending {
    desk: Arc<Desk>,
    build: Arc<Build>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.build.journal.close();
        let cancel = self.build.cancel.clone();
        // Killing waits for containers.
        tokio::task::spawn_blocking(move || cancel.cancel());
        let (desk, build) = (Arc::clone(&self.desk), Arc::clone(&self.build));
        tokio::spawn(async move {
            sleep(MEMORY).await;
            desk.forget(&build);
        });
    }
}
