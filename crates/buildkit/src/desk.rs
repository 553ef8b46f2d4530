//! What all connections share: the engine, sessions, builds under way.

use crate::grpc::{Code, Status};
use crate::journal::Journal;
use crate::proto::SolveRequest;
use crate::session::Sessions;
use engine::{Cancel, Engine};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
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
    builds: Builds,
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
    /// Who waits for it to be asked for; changed under the lock of all builds.
    followers: AtomicUsize,
}

impl Desk {
    /// A door to an engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine, sessions: Sessions::default(), builds: Builds::default() }
    }

    /// The build of a reference, for who follows it, before or after it is
    /// asked for.
    pub(crate) fn follow(&self, reference: &str) -> Result<Follower<'_>, Status> {
        self.builds.follow(reference)
    }

    /// The build of a reference, which was asked for or will be in a moment.
    pub(crate) async fn build(&self, reference: &str) -> Result<Arc<Build>, Status> {
        self.builds.opened(reference, PATIENCE).await
    }

    /// Begins a build.
    pub(crate) fn begin(
        self: &Arc<Self>,
        request: SolveRequest,
    ) -> Result<(Arc<Build>, Ending), Status> {
        // Until it is asked for it may not be forgotten.
        let follower = self.builds.follow(&request.reference)?;
        let build = Arc::clone(&follower.build);
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

/// Builds under way or about to be, by the reference that clients chose.
#[derive(Default)]
pub(crate) struct Builds {
    known: Mutex<HashMap<String, Arc<Build>>>,
    /// Another one is known.
    came: Notify,
}

impl Builds {
    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Build>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The build of a reference, which may be about to be asked for: it is
    /// forgotten with its last follower if it was not.
    fn follow(&self, reference: &str) -> Result<Follower<'_>, Status> {
        let mut builds = self.known();
        let follower = |build: &Arc<Build>| {
            build.followers.fetch_add(1, Ordering::SeqCst);
            Follower { builds: self, build: Arc::clone(build) }
        };
        if let Some(build) = builds.get(reference) {
            return Ok(follower(build));
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
            followers: AtomicUsize::new(0),
        });
        let follower = follower(&build);
        builds.insert(reference.to_owned(), build);
        drop(builds);
        self.came.notify_waiters();
        Ok(follower)
    }

    /// The build of a reference that somebody else opens, within `patience`.
    async fn opened(&self, reference: &str, patience: Duration) -> Result<Arc<Build>, Status> {
        let find = async {
            loop {
                let came = self.came.notified();
                // From here on nothing that comes is missed.
                let mut came = std::pin::pin!(came);
                came.as_mut().enable();
                let found = self.known().get(reference).cloned();
                match found {
                    Some(build) => return build,
                    None => came.await,
                }
            }
        };
        timeout(patience, find).await.map_err(|_| no_such_job(reference))
    }

    /// Forgets this very build.
    fn forget(&self, build: &Arc<Build>) {
        Self::remove(&mut self.known(), build);
    }

    /// One follower less; the last forgets what was never asked for.
    fn give_up(&self, build: &Arc<Build>) {
        let mut builds = self.known();
        let last = build.followers.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && build.request.borrow().is_none() {
            Self::remove(&mut builds, build);
        }
    }

    fn remove(builds: &mut HashMap<String, Arc<Build>>, build: &Arc<Build>) {
        if builds.get(&build.reference).is_some_and(|known| Arc::ptr_eq(known, build)) {
            builds.remove(&build.reference);
        }
    }
}

fn no_such_job(reference: &str) -> Status {
    Status::new(Code::NotFound, format!("no such job {reference}"))
}

/// Somebody who waits for a build to be asked for.
pub(crate) struct Follower<'a> {
    builds: &'a Builds,
    pub build: Arc<Build>,
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.builds.give_up(&self.build);
    }
}

impl Build {
    /// What was asked for, when it is.
    pub async fn asked(&self) -> Result<Arc<SolveRequest>, Status> {
        let mut request = self.request.subscribe();
        let asked = timeout(PATIENCE, request.wait_for(Option::is_some)).await;
        let request = asked.ok().and_then(Result::ok).and_then(|request| request.clone());
        request.ok_or_else(|| no_such_job(&self.reference))
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
            desk.builds.forget(&build);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asking_for_builds_that_are_not_there_shuts_nobody_out() {
        let builds = Builds::default();
        for n in 0..2 * MOST {
            let asked = builds.opened(&format!("none-{n}"), Duration::ZERO).await;
            assert!(asked.is_err_and(|status| status.code == Code::NotFound as i32));
            // And one who follows what never comes.
            let name = format!("never-{n}");
            let follower = builds.follow(&name).expect("there is room");
            let second = builds.follow(&name).expect("the same");
            // Whoever feeds the build has it, too, and longer.
            let feeder = builds.opened(&name, Duration::ZERO).await.expect("there");
            drop((follower, second));
            drop(feeder);
        }
        assert_eq!(builds.known().len(), 0);
        let follower = builds.follow("one").expect("there is room");
        let found = builds.opened("one", Duration::ZERO).await.expect("there");
        assert!(Arc::ptr_eq(&found, &follower.build));
    }

    #[tokio::test]
    async fn a_build_is_waited_for() {
        let builds = Builds::default();
        let (found, opened) =
            tokio::join!(builds.opened("one", PATIENCE), async { builds.follow("one") });
        let opened = opened.expect("there is room");
        assert!(Arc::ptr_eq(&found.expect("it came"), &opened.build));
    }
}
