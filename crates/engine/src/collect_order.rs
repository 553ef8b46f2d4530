//! In which order images and the build cache make way when the disk is full.
//!
//! What was not used for longest goes first, whichever it is. A step of the
//! cache is as young as the steps that came after it, and as the image of the
//! same digest: the topmost layer goes before those that it lies on, and an
//! image before the step by which it could be made again.

use crate::{CacheEntry, Nanos};
use image::Candidate;
use spec::Digest;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

/// Something that may go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Goes {
    Image(Candidate),
    Cached(CacheEntry),
}

/// Puts them in order. `images` come with children before parents, `made` says
/// what the steps came to, by their keys. What of the cache was used later
/// than `before` stays, and what it lies on.
pub(crate) fn order(
    images: Vec<Candidate>,
    cache: Vec<CacheEntry>,
    made: &HashMap<String, Digest>,
    before: Nanos,
) -> Vec<Goes> {
    let mut all = Vec::new();
    let mut of_image = HashMap::new();
    // A parent waits for its children, which come before it.
    let mut last = 0;
    for image in images {
        last = image.used.max(last);
        of_image.insert(image.image.id.clone(), last);
        all.push(((last, 0, Reverse(0)), Goes::Image(image)));
    }
    let ages = ages(&cache, |key| made.get(key).and_then(|id| of_image.get(id)).copied());
    for entry in cache {
        let (used, height) = ages.get(&entry.id).copied().unwrap_or((entry.used, 0));
        if used <= before && !entry.in_use {
            all.push(((used, 1, Reverse(height)), Goes::Cached(entry)));
        }
    }
    all.sort_by_key(|(key, _)| *key);
    all.into_iter().map(|(_, goes)| goes).collect()
}

/// When each step, or one that came after it, was used last; and how many
/// steps it lies on.
fn ages(
    cache: &[CacheEntry],
    of_image: impl Fn(&str) -> Option<Nanos>,
) -> HashMap<String, (Nanos, usize)> {
    let steps: HashMap<&str, &CacheEntry> =
        cache.iter().filter(|entry| entry.is_step()).map(|e| (&*e.id, e)).collect();
    let mut by_height: BTreeMap<usize, Vec<&CacheEntry>> = BTreeMap::new();
    for step in steps.values() {
        let mut height = 0;
        let mut at = *step;
        // No chain is longer than all steps are many, whatever the records say.
        while let Some(parent) = steps.get(at.parent.as_str()).filter(|_| height < steps.len()) {
            height += 1;
            at = parent;
        }
        by_height.entry(height).or_default().push(step);
    }
    let mut ages: HashMap<String, (Nanos, usize)> = HashMap::new();
    for (height, steps) in by_height.iter().rev() {
        for step in steps {
            let own = step.used.max(of_image(&step.id).unwrap_or(0));
            let after = ages.get(&step.id).map_or(0, |(used, _)| *used);
            let used = own.max(after);
            ages.insert(step.id.clone(), (used, *height));
            let parent = ages.entry(step.parent.clone()).or_default();
            parent.0 = parent.0.max(used);
        }
    }
    ages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, parent: &str, used: Nanos) -> CacheEntry {
        CacheEntry {
            id: id.into(),
            parent: parent.into(),
            kind: "regular",
            description: String::new(),
            size: 1,
            shared: false,
            in_use: false,
            created: used,
            used,
            uses: 0,
        }
    }

    fn image(number: u8, used: Nanos) -> Candidate {
        let image = image::Summary {
            id: Digest::from_sha256([number; 32]),
            repo_tags: Vec::new(),
            repo_digests: Vec::new(),
            parent: None,
            created: 0,
            tagged: used,
            size: 1,
            labels: std::collections::BTreeMap::new(),
        };
        Candidate { image, used }
    }

    fn names(images: Vec<Candidate>, cache: Vec<CacheEntry>, made: &[(&str, u8)]) -> String {
        let digest =
            |(key, number): &(&str, u8)| ((*key).to_owned(), Digest::from_sha256([*number; 32]));
        let made = made.iter().map(digest).collect();
        let name = |goes: Goes| match goes {
            Goes::Image(candidate) => candidate.image.id.hex()[..2].to_owned(),
            Goes::Cached(entry) => entry.id,
        };
        let names: Vec<String> = order(images, cache, &made, 100).into_iter().map(name).collect();
        names.join(" ")
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = vec![step("a", "", 5), step("b", "", 1), step("m", "", 9)];
        assert_eq!(names(vec![image(7, 3), image(8, 7)], cache, &[]), "b 07 a 08 m");
    }

    #[test]
    fn a_step_stays_as_long_as_those_that_lie_on_it() {
        let cache = vec![step("a", "", 1), step("b", "a", 2), step("c", "b", 3), step("x", "", 2)];
        assert_eq!(names(Vec::new(), cache, &[]), "x c b a");
        let cache = vec![step("a", "", 1), step("b", "a", 101), step("d", "a", 3)];
        assert_eq!(names(Vec::new(), cache, &[]), "d", "a young one keeps those below");
        let circle = vec![step("a", "b", 1), step("b", "a", 2)];
        assert_eq!(names(Vec::new(), circle, &[]).len(), 3);
    }

    #[test]
    fn an_image_goes_before_the_step_that_it_is() {
        let cache = vec![step("a", "", 1), step("b", "a", 2)];
        assert_eq!(names(vec![image(7, 5)], cache, &[("a", 6), ("b", 7)]), "07 b a");
    }

    #[test]
    fn what_a_build_works_in_stays() {
        let mut entry = step("a", "", 1);
        entry.in_use = true;
        assert_eq!(names(Vec::new(), vec![entry], &[]), "");
    }
}
