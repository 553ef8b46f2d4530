//! Threads for work that nobody waits for: endings, removals, restarts.
//!
//! A thread is made when there is work and none is idle, up to a limit, and
//! goes after a while without: an idle engine has none.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

type Job = Box<dyn FnOnce() + Send>;

/// More than there are processors, for most of the work is waiting.
const MOST: usize = 16;
const IDLE: Duration = Duration::from_secs(1);
const STACK: usize = 512 << 10;

/// The threads, and what they have to do.
#[derive(Default)]
pub(crate) struct Workers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
    rest: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Workers {
    /// Has it done soon, after what was asked for before.
    pub fn give(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.state.lock().expect("jobs run without the lock");
        state.queue.push_back(Box::new(job));
        if state.idle >= state.queue.len() || state.threads >= MOST {
            self.shared.work.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        let made = std::thread::Builder::new()
            .name("worker".into())
            .stack_size(STACK)
            .spawn(move || shared.run());
        match made {
            Ok(_) => state.threads += 1,
            // The others will come to it.
            Err(error) if state.threads > 0 => tracing::warn!(%error, "cannot make a thread"),
            Err(error) => {
                tracing::warn!(%error, "cannot make a thread: the work is done at once");
                let job = state.queue.pop_back();
                drop(state);
                if let Some(job) = job {
                    job();
                }
            }
        }
    }

    /// Waits until there is nothing to do any more; false if there still is.
    pub fn rest(&self, patience: Duration) -> bool {
        let state = self.shared.state.lock().expect("jobs run without the lock");
        let busy = |state: &mut State| !state.queue.is_empty() || state.idle < state.threads;
        let waited = self.shared.rest.wait_timeout_while(state, patience, busy);
        !waited.expect("jobs run without the lock").1.timed_out()
    }
}

impl Shared {
    fn run(&self) {
        let mut state = self.state.lock().expect("jobs run without the lock");
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                if outcome.is_err() {
                    tracing::error!("a worker's job panicked");
                }
                state = self.state.lock().expect("jobs run without the lock");
                continue;
            }
            state.idle += 1;
            self.rest.notify_all();
            let (again, waited) =
                self.work.wait_timeout(state, IDLE).expect("jobs run without the lock");
            state = again;
            state.idle -= 1;
            if waited.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn all_work_is_done_by_few_threads() {
        let workers = Workers::default();
        let (done, finished) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            workers.give(move || done.send(number).expect("the test listens"));
        }
        drop(done);
        let mut numbers: Vec<i32> = finished.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
        assert!(workers.shared.state.lock().expect("no panic").threads <= MOST);
    }

    #[test]
    fn a_job_that_blocks_does_not_hold_up_the_next() {
        let workers = Workers::default();
        let (release, held) = mpsc::channel::<()>();
        let (done, finished) = mpsc::channel();
        workers.give(move || assert!(held.recv().is_err(), "released by a close"));
        workers.give(move || done.send(()).expect("the test listens"));
        finished.recv_timeout(Duration::from_secs(20)).expect("done beside the blocked one");
        drop(release);
    }

    #[test]
    fn resting_waits_for_what_is_being_done() {
        let workers = Workers::default();
        let (release, held) = mpsc::channel::<()>();
        workers.give(move || assert!(held.recv().is_err(), "released by a close"));
        assert!(!workers.rest(Duration::from_millis(1)), "it is still being done");
        drop(release);
        assert!(workers.rest(Duration::from_secs(20)));
    }

    #[test]
    fn a_job_that_panics_takes_no_other_along() {
        let workers = Workers::default();
        let (done, finished) = mpsc::channel();
        workers.give(|| panic!("as asked"));
        workers.give(move || done.send(()).expect("the test listens"));
        finished.recv_timeout(Duration::from_secs(20)).expect("done all the same");
    }
}
