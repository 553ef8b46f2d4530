//! What was entered for one container of what names led to, and until when it
//! holds.
//!
//! A lesson comes to be known here when it is entered, so that nobody is told
//! an answer whose way is not open yet. What several names lead to holds as
//! long as the longest of them says. There is a bound: whoever answers for all
//! names below one could have the kernel's sets filled.

use crate::wire::{Learnt, Who};
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// What is asked again and again is entered again after so long: somebody may
/// have emptied the kernel's sets.
const AGAIN: Duration = Duration::from_secs(5);
/// Lessons that hold at once.
const MOST: usize = 4096;

/// Which policy's name led where.
type Lesson = (Who, IpAddr, Option<u16>);

/// The lessons of a container, each with when it was entered last and until
/// when it holds.
#[derive(Debug, Default)]
pub(crate) struct Taught(HashMap<Lesson, (Instant, Instant)>);

/// There would be more than may hold at once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Taught {
    /// Those that are to be entered, and for how long, so that none shortens
    /// what holds already.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn new_of(&mut self, lessons: Vec<Learnt>, now: Instant) -> Result<Vec<Learnt>, Full> {
        let new: Vec<Learnt> =
            lessons.into_iter().filter_map(|lesson| self.as_new(lesson, now)).collect();
        let more = |all: &Self| new.iter().filter(|one| !all.0.contains_key(&key(one))).count();
        if self.0.len() + more(self) > MOST {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() + more(self) > MOST { Err(Full) } else { Ok(new) }
    }

    fn as_new(&self, lesson: Learnt, now: Instant) -> Option<Learnt> {
        let Some((since, held)) = self.0.get(&key(&lesson)) else { return Some(lesson) };
        let until = end(&lesson, now);
        if now < *since + AGAIN && until <= *held + AGAIN {
            return None;
        }
        let left = held.saturating_duration_since(now).as_secs();
        let seconds = lesson.seconds.max(u32::try_from(left).unwrap_or(u32::MAX));
        Some(Learnt { seconds, ..lesson })
    }

    /// These are entered.
    pub fn entered(&mut self, lessons: &[Learnt], now: Instant) {
        for lesson in lessons {
            let until = end(lesson, now);
            let (since, held) = self.0.entry(key(lesson)).or_insert((now, until));
            (*since, *held) = (now, until.max(*held));
        }
    }

    /// Nothing is known to hold.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

fn key(lesson: &Learnt) -> Lesson {
    (lesson.who.clone(), lesson.address, lesson.port)
}

fn end(lesson: &Learnt, now: Instant) -> Instant {
    now + Duration::from_secs(lesson.seconds.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn lesson(to: u32, seconds: u32) -> Learnt {
        Learnt {
            who: Who::Bridge("br0".into()),
            address: Ipv4Addr::from(to).into(),
            port: None,
            name: "*.example".into(),
            seconds,
        }
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn a_lesson_is_known_when_it_is_entered_and_for_a_while() {
        let (mut taught, now) = (Taught::default(), Instant::now());
        let one = vec![lesson(1, 60)];
        assert_eq!(taught.new_of(one.clone(), now), Ok(one.clone()));
        assert_eq!(taught.new_of(one.clone(), now), Ok(one.clone()), "nobody has entered it");
        taught.entered(&one, now);
        assert_eq!(taught.new_of(one.clone(), after(now, 1)), Ok(vec![]));
        assert_eq!(taught.new_of(one.clone(), after(now, 6)), Ok(one.clone()), "sets are emptied");
        taught.forget();
        assert_eq!(taught.new_of(one.clone(), now), Ok(one));
    }

    #[test]
    fn one_lesson_shortens_no_other() {
        let (mut taught, now) = (Taught::default(), Instant::now());
        taught.entered(&[lesson(1, 3600)], now);
        let later = taught.new_of(vec![lesson(1, 30)], after(now, 10)).expect("room");
        assert_eq!(later, [lesson(1, 3590)], "another name, with less time");
        taught.entered(&later, after(now, 10));
        let longer = taught.new_of(vec![lesson(1, 7200)], after(now, 20)).expect("room");
        assert_eq!(longer, [lesson(1, 7200)]);
    }

    #[test]
    fn no_more_hold_at_once_than_there_is_room_for() {
        let (mut taught, now) = (Taught::default(), Instant::now());
        let most = u32::try_from(MOST).expect("a few thousand");
        let all: Vec<Learnt> = (0..most).map(|to| lesson(to, 60)).collect();
        taught.entered(&all, now);
        assert_eq!(taught.new_of(vec![lesson(most, 60)], now), Err(Full));
        let again = taught.new_of(vec![lesson(0, 90)], after(now, 6)).expect("it has its place");
        assert_eq!(again, [lesson(0, 90)]);
        assert!(taught.new_of(vec![lesson(most, 60)], after(now, 61)).is_ok(), "theirs is over");
    }
}
