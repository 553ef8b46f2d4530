//! Layers that are under way, so that each comes once however many want it,
//! and how many may be under way at a time.
//!
//! ```text
//!   board ─▶ Pilot ─ stages … ─ dropped ─┐   whether the layer arrived, the
//!   board ─▶ Passenger ─ sees them ──────┴▶  store says: look, or board again
//! ```

use crate::{Error, TRANSFERS};
use spec::Digest;
use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How often who waits looks whether its own client is still there.
const GLANCE: Duration = Duration::from_millis(200);

/// How far a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// For its turn.
    Waiting,
    /// So many bytes are here.
    Downloading(u64),
    /// No longer under way.
    Landed,
}

/// Where a layer comes from (`HOST[:PORT]`), and its diff id. What one
/// registry is slow to give, another may be about to.
type Route = (String, Digest);

/// What is under way.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Route, Arc<Flight>>>);

pub(crate) struct Flight {
    stage: Mutex<Stage>,
    changed: Condvar,
}

pub(crate) enum Seat<'a> {
    Pilot(Pilot<'a>),
    Passenger(Arc<Flight>),
}

/// Who brings a layer; it has landed when this is dropped.
pub(crate) struct Pilot<'a> {
    flights: &'a Flights,
    route: Route,
    flight: Arc<Flight>,
}

impl Flights {
    /// The first who wants a layer of a registry brings it.
    pub fn board(&self, registry: &str, diff_id: &Digest) -> Seat<'_> {
        let route = (registry.to_owned(), diff_id.clone());
        let mut flights = lock(&self.0);
        if let Some(flight) = flights.get(&route) {
            return Seat::Passenger(Arc::clone(flight));
        }
        let flight = Flight { stage: Mutex::new(Stage::Waiting), changed: Condvar::new() };
        let flight = Arc::new(flight);
        flights.insert(route.clone(), Arc::clone(&flight));
        Seat::Pilot(Pilot { flights: self, route, flight })
    }
}

impl Pilot<'_> {
    pub fn is_at(&self, stage: Stage) {
        *lock(&self.flight.stage) = stage;
        self.flight.changed.notify_all();
    }
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(&self.route);
        self.is_at(Stage::Landed);
    }
}

impl Flight {
    /// Waits until it has landed; `seen` learns each stage, and again and
    /// again the present one: an error from it ends the waiting.
    pub fn follow(&self, mut seen: impl FnMut(Stage) -> Result<(), Error>) -> Result<(), Error> {
        loop {
            let stage = *lock(&self.stage);
            if stage == Stage::Landed {
                return Ok(());
            }
            seen(stage)?;
            let now = lock(&self.stage);
            if *now == stage {
                drop(self.changed.wait_timeout(now, GLANCE));
            }
        }
    }
}

/// Works on all of them, several at a time; the first failure sets `stop`,
/// which is to end the others, and is the error.
pub(crate) fn some_at_a_time<T: Sync>(
    all: &[T],
    stop: &AtomicBool,
    work: impl Fn(&T) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..all.len().min(TRANSFERS) {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(one) {
                        // The first is the cause; the others were stopped.
                        lock(&failed).get_or_insert(error);
                        stop.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// How many may do something at a time.
pub(crate) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

pub(crate) struct Slot<'a>(&'a Slots);

impl Slots {
    pub fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    /// Waits for a turn; `waiting` is asked again and again meanwhile, and an
    /// error from it ends the waiting.
    pub fn take(&self, waiting: impl Fn() -> Result<(), Error>) -> Result<Slot<'_>, Error> {
        let mut free = lock(&self.free);
        while *free == 0 {
            waiting()?;
            let woken = self.freed.wait_timeout(free, GLANCE);
            free = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        *free -= 1;
        Ok(Slot(self))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}

/// Each holder makes one change that cannot fail half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Digest {
        Digest::from_sha256([7; 32])
    }

    #[test]
    fn the_second_waits_for_the_first_and_sees_its_stages() {
        let flights = Flights::default();
        let Seat::Pilot(pilot) = flights.board("a", &layer()) else {
            panic!("the first brings it")
        };
        let Seat::Passenger(flight) = flights.board("a", &layer()) else { panic!("one brings it") };
        let seen = std::thread::scope(|scope| {
            let (first, told) = std::sync::mpsc::channel();
            let waiting = scope.spawn(move || {
                let mut stages = Vec::new();
                let end = flight.follow(|stage| {
                    if stages.last() != Some(&stage) {
                        stages.push(stage);
                        first.send(()).expect("the test listens");
                    }
                    Ok(())
                });
                end.map(|()| stages)
            });
            told.recv().expect("waiting");
            pilot.is_at(Stage::Downloading(5));
            told.recv().expect("downloading");
            drop(pilot);
            waiting.join().expect("no panic").expect("landed")
        });
        assert_eq!(seen, [Stage::Waiting, Stage::Downloading(5)]);
        assert!(matches!(flights.board("a", &layer()), Seat::Pilot(_)), "it has landed");
    }

    #[test]
    fn who_need_not_wait_any_longer_does_not() {
        let flights = Flights::default();
        let _pilot = flights.board("a", &layer());
        let Seat::Passenger(flight) = flights.board("a", &layer()) else { panic!("one brings it") };
        assert!(flight.follow(|_| Err(Error::Left)).is_err());
        let slots = Slots::new(1);
        let _slot = slots.take(|| Err(Error::Left)).expect("free");
        assert!(slots.take(|| Err(Error::Left)).is_err());
    }
}
