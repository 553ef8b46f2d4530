//! One container and its owner.
//!
//! A [`Cell`] holds what is published of a container and what only the engine
//! needs of a live one. Three locks, taken in this order:
//!
//! 1. `verb`, for the length of a verb that changes the container: slow work
//!    is done under it, and only under it.
//! 2. `live`, for an instant: a change of state and of those who wait for one.
//! 3. `shown`, for an instant: readers take the last published container.

use crate::{
    Attach, Condition, Container, Error, Waited,
    state::{State, Step},
};
use spec::Id;
use std::{
    os::{fd::OwnedFd, unix::net::UnixStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) struct Cell {
    pub id: Id,
    /// Of the container's ids and for life.
    pub slot: u32,
    shown: RwLock<Arc<Container>>,
    /// False until a container of the records has been recovered.
    verb: Mutex<bool>,
    freed: Condvar,
    /// The same, for who must not wait for a verb.
    known: AtomicBool,
    live: Mutex<Live>,
}

/// What there is of a container only while this daemon lives.
#[derive(Default)]
pub(crate) struct Live {
    /// How its end will be heard of.
    pub link: Option<Link>,
    /// Init: signals go through it, so that they never hit a stranger.
    pub init: Option<Arc<OwnedFd>>,
    /// Clients that attached before the start.
    attaching: Vec<(Attach, Box<dyn Attaching>)>,
    /// Those who wait for something.
    waiting: Vec<(Condition, Answer)>,
    /// Those among them whose time has come.
    due: Vec<Answer>,
    /// Its restart policy is not to act on the next end.
    pub stopping: bool,
    /// Number of the health check that is being made; none while it rests.
    pub checking: Option<u64>,
    /// Failures in a row, for the back-off of its restart policy.
    pub in_a_row: u32,
    /// Variables (`NAME=value`) that its program gets and that are written
    /// down nowhere: secrets of a build's step.
    pub hidden: Vec<String>,
}

/// How the end of a container is heard of.
pub(crate) enum Link {
    /// Its monitor is a child of this daemon.
    Child(watch::Running),
    /// Its monitor was left by an earlier daemon.
    Adopted(watch::Receiver),
}

/// A client that is to be connected with a program. Dropped, it learns that it
/// never will be.
pub trait Attaching: Send {
    /// Gets the connection; must not block.
    fn deliver(self: Box<Self>, stream: UnixStream);

    /// Has it left?
    fn has_left(&self) -> bool;
}

pub(crate) type Answer = Box<dyn FnOnce(Waited) + Send>;

impl Cell {
    pub fn new(container: Container, slot: u32) -> Self {
        Self {
            id: container.id.clone(),
            slot,
            shown: RwLock::new(Arc::new(container)),
            verb: Mutex::new(true),
            freed: Condvar::new(),
            known: AtomicBool::new(true),
            live: Mutex::default(),
        }
    }

    /// One of the records: verbs wait until it is [set free](Cell::set_free).
    pub fn restored(container: Container, slot: u32) -> Self {
        let (verb, known) = (Mutex::new(false), AtomicBool::new(false));
        Self { verb, known, ..Self::new(container, slot) }
    }

    /// As last published.
    pub fn now(&self) -> Arc<Container> {
        Arc::clone(&self.shown.read().expect("a change does not panic"))
    }

    /// To be held for the length of a verb.
    pub fn own(&self) -> MutexGuard<'_, bool> {
        // A verb that panicked was one job of many; the next one goes on from
        // what was published.
        let mut own = self.own_first();
        while !*own {
            own = self.freed.wait(own).unwrap_or_else(PoisonError::into_inner);
        }
        own
    }

    /// Waits until it is known what became of one of the records, and for no
    /// verb: for who refuses what does not run. Not for the recovery itself.
    pub fn known(&self) -> &Self {
        if !self.known.load(Ordering::Acquire) {
            drop(self.own());
        }
        self
    }

    /// For the recovery alone: before any verb.
    pub fn own_first(&self) -> MutexGuard<'_, bool> {
        self.verb.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has been recovered: verbs may pass.
    pub fn set_free(&self, own: &mut MutexGuard<'_, bool>) {
        **own = true;
        self.known.store(true, Ordering::Release);
        self.freed.notify_all();
    }

    pub fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().expect("only short work is done under it")
    }

    /// Publishes a changed container; its state is left as it is.
    pub fn change(&self, change: impl FnOnce(&mut Container)) -> Arc<Container> {
        let live = self.live();
        self.publish(&live, change)
    }

    /// Publishes a changed container if what there is of it now allows it.
    pub fn change_if(
        &self,
        allowed: impl FnOnce(&Live) -> bool,
        change: impl FnOnce(&mut Container),
    ) -> Option<Arc<Container>> {
        let live = self.live();
        allowed(&live).then(|| self.publish(&live, change))
    }

    /// Answers those who waited for the end that has been published.
    pub fn tell(&self) {
        let due = std::mem::take(&mut self.live().due);
        tell(due, self.now().last.code);
    }

    /// Moves it on, and publishes it with what else changes. Those who waited
    /// for an end are [told](Cell::tell) when the caller says so.
    ///
    /// # Errors
    /// The step makes no sense now; nothing changes then.
    pub fn step(
        &self,
        step: Step,
        change: impl FnOnce(&mut Container),
    ) -> Result<Arc<Container>, Error> {
        let mut live = self.live();
        let state = self.now().state.after(step).map_err(|e| Error::Conflict(e.to_string()))?;
        let after = self.publish(&live, |container| {
            container.state = state;
            change(container);
        });
        if matches!(step, Step::Ended { .. } | Step::Pause) {
            live.checking = None;
        }
        if matches!(step, Step::Ended { .. }) {
            let due = |condition| matches!(condition, Condition::NotRunning | Condition::NextExit);
            let due = live.take_waiting(due);
            live.due.extend(due);
        }
        Ok(after)
    }

    fn publish(
        &self,
        _live: &MutexGuard<'_, Live>,
        change: impl FnOnce(&mut Container),
    ) -> Arc<Container> {
        let mut next = (*self.now()).clone();
        change(&mut next);
        let next = Arc::new(next);
        *self.shown.write().expect("a change does not panic") = Arc::clone(&next);
        next
    }

    /// Answers when the condition holds: perhaps at once.
    pub fn wait(&self, condition: Condition, answer: Answer) {
        let mut live = self.live();
        let now = self.now();
        let holds = condition == Condition::NotRunning
            && !now.state.is_running()
            && !matches!(now.state, State::Starting | State::Restarting { .. });
        if holds {
            drop(live);
            answer(Waited { code: now.last.code, error: None });
        } else {
            live.waiting.push((condition, answer));
        }
    }

    /// It is gone: answers all who still wait, and drops all who would attach.
    pub fn gone(&self) {
        let mut live = self.live();
        let mut answers = std::mem::take(&mut live.due);
        answers.extend(live.take_waiting(|_| true));
        let attaching = std::mem::take(&mut live.attaching);
        drop(live);
        drop(attaching);
        tell(answers, self.now().last.code);
    }
}

fn tell(answers: Vec<Answer>, code: u8) {
    for answer in answers {
        answer(Waited { code, error: None });
    }
}

impl Live {
    /// A client waits for the start; those who have left wait no more.
    pub fn attach_later(&mut self, wish: Attach, client: Box<dyn Attaching>) {
        self.attaching.retain(|(_, client)| !client.has_left());
        self.attaching.push((wish, client));
    }

    /// Those who still wait for the start.
    pub fn take_attaching(&mut self) -> Vec<(Attach, Box<dyn Attaching>)> {
        let mut attaching = std::mem::take(&mut self.attaching);
        attaching.retain(|(_, client)| !client.has_left());
        attaching
    }

    fn take_waiting(&mut self, due: impl Fn(Condition) -> bool) -> Vec<Answer> {
        let (due, later) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(condition, _)| due(*condition));
        self.waiting = later;
        let due: Vec<(Condition, Answer)> = due;
        due.into_iter().map(|(_, answer)| answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn cell() -> Cell {
        Cell::new(Container::blank(Id::from_random([7; 32]), "one"), 0)
    }

    fn told(cell: &Cell, condition: Condition) -> mpsc::Receiver<Waited> {
        let (tell, told) = mpsc::channel();
        cell.wait(condition, Box::new(move |waited| tell.send(waited).expect("the test listens")));
        told
    }

    fn run(cell: &Cell) {
        cell.step(Step::Start, |_| {}).expect("can be started");
        cell.step(Step::Began { pid: 7 }, |_| {}).expect("can begin");
    }

    #[test]
    fn waiting_for_one_that_does_not_run_ends_at_once() {
        assert_eq!(told(&cell(), Condition::NotRunning).try_recv().map(|w| w.code), Ok(0));
    }

    #[test]
    fn who_must_know_whether_it_runs_waits_for_the_recovery_and_for_no_verb() {
        let container = (*cell().now()).clone();
        let cell = Arc::new(Cell::restored(container, 0));
        let (say, said) = mpsc::channel();
        let reader = std::thread::spawn({
            let cell = Arc::clone(&cell);
            move || {
                say.send(None).expect("heard");
                say.send(Some(cell.known().now().state.clone())).expect("heard");
            }
        });
        assert_eq!(said.recv(), Ok(None));
        let mut own = cell.own_first();
        run(&cell);
        let there = cell.now().state.clone();
        assert!(said.try_recv().is_err(), "nothing is known yet");
        cell.set_free(&mut own);
        drop(own);
        assert_eq!(said.recv(), Ok(Some(there.clone())));
        reader.join().expect("it is told");
        let verb = cell.own();
        assert_eq!(cell.known().now().state, there, "though a verb is under way");
        drop(verb);
    }

    #[test]
    fn an_end_answers_those_who_waited_for_it_with_its_code() {
        let cell = cell();
        let next = told(&cell, Condition::NextExit);
        run(&cell);
        let stopped = told(&cell, Condition::NotRunning);
        let removed = told(&cell, Condition::Removed);
        assert!(next.try_recv().is_err() && stopped.try_recv().is_err());
        cell.step(Step::Ended { again: None }, |c| c.last.code = 3).expect("it ran");
        cell.tell();
        assert_eq!(next.try_recv().map(|w| w.code), Ok(3));
        assert_eq!(stopped.try_recv().map(|w| w.code), Ok(3));
        assert!(removed.try_recv().is_err(), "it is still there");
        cell.gone();
        assert_eq!(removed.try_recv().map(|w| w.code), Ok(3));
    }

    #[test]
    fn an_end_that_is_followed_by_a_restart_is_an_end_too() {
        let cell = cell();
        run(&cell);
        let next = told(&cell, Condition::NextExit);
        cell.step(Step::Ended { again: Some(5) }, |_| {}).expect("it ran");
        cell.tell();
        assert!(next.try_recv().is_ok());
        assert!(told(&cell, Condition::NotRunning).try_recv().is_err(), "it will run again");
    }

    /// It is here as long as somebody else than itself holds the other part.
    struct Client(Arc<()>);

    impl Attaching for Client {
        fn deliver(self: Box<Self>, _: UnixStream) {}

        fn has_left(&self) -> bool {
            Arc::strong_count(&self.0) == 1
        }
    }

    fn client() -> (Box<dyn Attaching>, Arc<()>) {
        let here = Arc::new(());
        (Box::new(Client(Arc::clone(&here))), here)
    }

    #[test]
    fn a_client_that_waits_to_attach_learns_of_the_removal() {
        let cell = cell();
        let (client, here) = client();
        cell.live().attach_later(Attach::default(), client);
        cell.gone();
        assert_eq!(Arc::strong_count(&here), 1, "it is dropped");
    }

    #[test]
    fn a_client_that_leaves_before_the_start_is_forgotten() {
        let cell = cell();
        let kept = |cell: &Cell| cell.live().attaching.len();
        let mut last = None;
        for _ in 0..100 {
            // The one before leaves as this one comes.
            let (client, here) = client();
            last.replace(here);
            cell.live().attach_later(Attach::default(), client);
        }
        assert_eq!(kept(&cell), 1);
        let (client, here) = client();
        cell.live().attach_later(Attach::default(), client);
        drop(last);
        assert_eq!(kept(&cell), 2, "nobody has come since");
        let waiting = cell.live().take_attaching();
        assert_eq!(waiting.len(), 1, "nor is who has left connected");
        assert_eq!(Arc::strong_count(&here), 2);
    }

    #[test]
    fn readers_do_not_wait_for_a_verb() {
        let cell = cell();
        let _verb = cell.own();
        assert_eq!(cell.now().name, "one");
    }

    #[test]
    fn verbs_wait_for_the_recovery_of_their_container() {
        let container = Container::blank(Id::from_random([7; 32]), "one");
        let cell = Cell::restored(container, 0);
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut first = cell.own_first();
            scope.spawn(|| {
                let _own = cell.own();
                tell.send("a verb").expect("the test listens");
            });
            tell.send("the recovery").expect("the test listens");
            cell.set_free(&mut first);
        });
        assert_eq!(told.try_iter().collect::<Vec<_>>(), ["the recovery", "a verb"]);
    }

    #[test]
    fn a_refused_step_changes_nothing() {
        let cell = cell();
        let refused = cell.step(Step::Pause, |c| c.name = "two".into());
        assert!(refused.is_err());
        assert_eq!((cell.now().name.as_str(), &cell.now().state), ("one", &State::Created));
    }
}
