//! Lists of processors and memory nodes, such as `0-3,7`.

use crate::Refusal;

/// Beyond what any kernel counts.
const LARGEST: u32 = 8191;

/// Ranges of a list, or nothing if it is not one.
fn parse(list: &str) -> Option<Vec<(u32, u32)>> {
    let number = |word: &str| -> Option<u32> {
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        word.parse().ok().filter(|number| digits && *number <= LARGEST)
    };
    list.trim_end_matches('\n')
        .split(',')
        .map(|item| match item.split_once('-') {
            None => number(item).map(|number| (number, number)),
            Some((first, last)) => {
                Some((number(first)?, number(last)?)).filter(|(first, last)| first <= last)
            }
        })
        .collect()
}

/// Whether every number of `wanted` is in `there`.
fn covers(all: &[(u32, u32)], wanted: &[(u32, u32)]) -> bool {
    let has = |number| all.iter().any(|(first, last)| (*first..=*last).contains(&number));
    wanted.iter().all(|(first, last)| (*first..=*last).all(has))
}

/// # Errors
/// [`Refusal::Invalid`] in Docker's words.
pub fn check_cpus(wanted: &str, there: &str) -> Result<(), Refusal> {
    check(wanted, there, "cpuset cpus", "CPUs")
}

/// # Errors
/// [`Refusal::Invalid`] in Docker's words.
pub fn check_nodes(wanted: &str, there: &str) -> Result<(), Refusal> {
    check(wanted, there, "cpuset mems", "memory nodes")
}

fn check(wanted: &str, there: &str, field: &str, noun: &str) -> Result<(), Refusal> {
    if wanted.is_empty() {
        return Ok(());
    }
    let list = parse(wanted)
        .ok_or_else(|| Refusal::invalid(format!("Invalid value {wanted} for {field}")))?;
    // Where the host could not tell, the kernel will.
    match parse(there) {
        Some(all) if !covers(&all, &list) => Err(Refusal::invalid(format!(
            "Requested {noun} are not available - requested {wanted}, available: {}",
            there.trim_end()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_may_be_asked_for() {
        for list in ["", "0", "0-3", "1,3", "0,2-3"] {
            assert_eq!(check_cpus(list, "0-3\n"), Ok(()), "{list}");
        }
    }

    #[test]
    fn what_is_not_there_is_refused_in_dockers_words() {
        assert_eq!(
            check_cpus("2-8", "0-3\n").expect_err("only four").to_string(),
            "Requested CPUs are not available - requested 2-8, available: 0-3"
        );
        assert_eq!(
            check_nodes("1", "0").expect_err("only one").to_string(),
            "Requested memory nodes are not available - requested 1, available: 0"
        );
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for list in ["a", "1-", "-1", "3-1", "1,,2", "+1", "0-4294967295", " 1"] {
            assert_eq!(
                check_cpus(list, "0-3").expect_err("no list").to_string(),
                format!("Invalid value {list} for cpuset cpus")
            );
        }
    }
}
