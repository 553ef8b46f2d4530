//! Which of a container's networks leads out.

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub name: &'a str,
    /// `GwPriority`: the highest wins.
    pub priority: i64,
    /// Has a gateway, and leads somewhere?
    pub v4: bool,
    pub v6: bool,
}

/// The networks that lead out by IPv4 and by IPv6: of the highest priority,
/// before all one that leads out by both, else the first by name.
///
/// Source: Docker's documentation of `docker network connect`, and dockerd
/// 28.5 asked.
pub(crate) fn choose<'a>(candidates: &[Candidate<'a>]) -> (Option<&'a str>, Option<&'a str>) {
    let best = |leads: fn(&Candidate<'_>) -> bool| {
        let candidates = candidates.iter().filter(|c| leads(c));
        let rank = |c: &&Candidate<'a>| (-i128::from(c.priority), !(c.v4 && c.v6), c.name);
        candidates.min_by_key(rank).map(|c| c.name)
    };
    (best(|c| c.v4), best(|c| c.v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Candidate<'_> = Candidate { name: "zz", priority: 0, v4: true, v6: true };
    const FOUR: Candidate<'_> = Candidate { name: "aa", priority: 0, v4: true, v6: false };
    const INTERNAL: Candidate<'_> = Candidate { name: "a", priority: 0, v4: false, v6: false };

    #[test]
    fn the_first_by_name_leads_out_unless_another_has_both_families() {
        let later = Candidate { name: "bb", ..FOUR };
        assert_eq!(choose(&[later, FOUR]), (Some("aa"), None));
        assert_eq!(choose(&[FOUR, BOTH]), (Some("zz"), Some("zz")));
    }

    #[test]
    fn priority_outranks_all() {
        let wanted = Candidate { priority: 1, ..FOUR };
        assert_eq!(choose(&[BOTH, wanted]), (Some("aa"), Some("zz")));
        let unwanted = Candidate { priority: i64::MIN, ..BOTH };
        assert_eq!(choose(&[FOUR, unwanted]), (Some("aa"), Some("zz")));
    }

    #[test]
    fn an_internal_network_leads_nowhere() {
        assert_eq!(choose(&[INTERNAL]), (None, None));
        assert_eq!(choose(&[INTERNAL, FOUR]), (Some("aa"), None));
    }
}
