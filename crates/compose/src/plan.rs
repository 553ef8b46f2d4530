//! What has to be done so that a service has the containers that it is to
//! have. Pure: from what is there to steps.

use std::collections::BTreeSet;

/// A container that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Found {
    pub id: String,
    pub name: String,
    pub number: i64,
    /// What its configuration came to when it was made.
    pub hash: String,
    /// The image that it was made of.
    pub image: String,
}

/// What is done to a container that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is made anew if its configuration or its image is another one.
    #[default]
    Changed,
    /// It is made anew.
    Always,
    /// It stays.
    Never,
}

/// What a service is to come to.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Wish<'a> {
    /// How many containers.
    pub count: usize,
    pub hash: &'a str,
    /// The identifier of its image, if it is here.
    pub image: Option<&'a str>,
    pub policy: Policy,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new container of this number.
    Create(i64),
    /// A new one in the place of this one.
    Recreate(Found),
    /// It is as it is to be.
    Keep(Found),
    /// It is one too many.
    Remove(Found),
}

/// The steps for one service, in the order of numbers; what is too much goes
/// first: those that are out of date, then those of high numbers.
pub fn plan(found: &[Found], wish: &Wish<'_>) -> Vec<Step> {
    let mut kept: Vec<&Found> = found.iter().collect();
    kept.sort_by_key(|container| (stale(container, wish), container.number));
    let surplus = kept.split_off(wish.count.min(kept.len()));
    let mut steps: Vec<Step> = surplus.into_iter().cloned().map(Step::Remove).collect();
    kept.sort_by_key(|container| container.number);
    for container in &kept {
        let anew = match wish.policy {
            Policy::Changed => stale(container, wish),
            Policy::Always => true,
            Policy::Never => false,
        };
        let container = (*container).clone();
        steps.push(if anew { Step::Recreate(container) } else { Step::Keep(container) });
    }
    let taken: BTreeSet<i64> = kept.iter().map(|container| container.number).collect();
    let next = taken.last().copied().unwrap_or(0) + 1;
    let missing = i64::try_from(wish.count - kept.len()).unwrap_or(0);
    steps.extend((next..next + missing).map(Step::Create));
    steps
}

fn stale(container: &Found, wish: &Wish<'_>) -> bool {
    container.hash != wish.hash || wish.image.is_some_and(|image| image != container.image)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(number: i64, hash: &str) -> Found {
        Found {
            id: format!("id{number}"),
            name: format!("p-a-{number}"),
            number,
            hash: hash.into(),
            image: "i".into(),
        }
    }

    fn steps(found: &[Found], count: usize, policy: Policy) -> Vec<String> {
        let wish = Wish { count, hash: "new", image: Some("i"), policy };
        let word = |step: Step| match step {
            Step::Create(number) => format!("create {number}"),
            Step::Recreate(container) => format!("recreate {}", container.number),
            Step::Keep(container) => format!("keep {}", container.number),
            Step::Remove(container) => format!("remove {}", container.number),
        };
        plan(found, &wish).into_iter().map(word).collect()
    }

    #[test]
    fn what_is_as_it_is_to_be_stays() {
        assert_eq!(steps(&[found(1, "new")], 1, Policy::Changed), ["keep 1"]);
        assert_eq!(steps(&[], 2, Policy::Changed), ["create 1", "create 2"]);
    }

    #[test]
    fn another_configuration_or_image_makes_it_anew() {
        assert_eq!(steps(&[found(1, "old")], 1, Policy::Changed), ["recreate 1"]);
        let other = Found { image: "j".into(), ..found(1, "new") };
        assert_eq!(steps(&[other], 1, Policy::Changed), ["recreate 1"]);
        assert_eq!(steps(&[found(1, "new")], 1, Policy::Always), ["recreate 1"]);
        assert_eq!(steps(&[found(1, "old")], 1, Policy::Never), ["keep 1"]);
    }

    #[test]
    fn what_is_too_much_goes_stale_ones_first_then_high_numbers() {
        let three = [found(1, "old"), found(2, "new"), found(3, "new")];
        assert_eq!(steps(&three, 2, Policy::Changed), ["remove 1", "keep 2", "keep 3"]);
        let three = [found(3, "new"), found(1, "new"), found(2, "new")];
        assert_eq!(steps(&three, 1, Policy::Changed), ["remove 2", "remove 3", "keep 1"]);
        assert_eq!(steps(&three, 0, Policy::Changed).len(), 3);
    }

    #[test]
    fn new_ones_are_numbered_behind_those_that_are_there() {
        let two = [found(2, "new"), found(4, "new")];
        assert_eq!(steps(&two, 3, Policy::Changed), ["keep 2", "keep 4", "create 5"]);
    }
}
