//! Which files stay behind.

use dockerfile::Ignore;
use proptest::prelude::*;

#[track_caller]
fn matches(pattern: &str, path: &str, expected: bool) {
    let ignore = Ignore::new([pattern]).expect(pattern);
    assert_eq!(ignore.matches(path), expected, "{pattern} {path}");
}

#[test]
fn a_pattern_without_a_slash_matches_at_the_root_alone() {
    matches("a", "a", true);
    matches("a", "b/a", false);
    matches("a", "a/b/c", true);
    matches("*.o", "x.o", true);
    matches("*.o", "d/x.o", false);
    matches("*/x.o", "d/x.o", true);
    matches("*", "d/x.o", true);
    matches("a?c", "abc", true);
    matches("a?c", "a/c", false);
    matches("./a/", "a", true);
    matches("a/../b", "b/x", true);
}

#[test]
fn two_stars_are_any_number_of_directories() {
    matches("**", "a/b", true);
    matches("**/", "a", true);
    matches("**/*.o", "x.o", true);
    matches("**/*.o", "a/b/x.o", true);
    matches("**/b", "ab", false);
    matches("**/b", "a/b", true);
    matches("a/**", "a/b/c", true);
    matches("a/**", "a", false);
    matches("a/**/b", "a/b", true);
    matches("a/**/b", "a/x/y/b", true);
    matches("a/**/b", "a/xb", false);
    matches("*a**/b", "aab", true);
    matches("**file", "dir/a.file", true);
    matches("a**/b", "ax/b", true);
}

#[test]
fn classes_and_escapes() {
    matches("[a-c]x", "bx", true);
    matches("[^a-c]x", "bx", false);
    matches("[^a-c]x", "zx", true);
    matches("\\*", "*", true);
    matches("\\*", "a", false);
    matches("a{b,c}", "ab", false);
    matches("a{b,c}", "a{b,c}", true);
    for bad in ["[a", "[]", "[]a]", "[-x]", "[a-]", "a\\", "!"] {
        assert!(Ignore::new([bad]).is_err(), "{bad}");
    }
}

#[test]
fn the_last_pattern_that_matches_decides() {
    let ignore = Ignore::parse(
        "# comment\n\n*.md\n!README*.md\nREADME-secret.md\n /abs \nnode\n!node/keep\n",
    )
    .expect("patterns");
    for (path, ignored) in [
        ("x.md", true),
        ("README.md", false),
        ("README-secret.md", true),
        ("abs", true),
        ("# comment", false),
        ("node/x", true),
        ("node/keep", false),
        ("node/keep/deep", false),
        ("src", false),
    ] {
        assert_eq!(ignore.matches(path), ignored, "{path}");
    }
    assert!(ignore.may_come_back_below("node"));
    assert!(!ignore.may_come_back_below("abs"));
    assert!(!Ignore::parse("a\n").expect("one").may_come_back_below("a"));
    assert!(Ignore::parse("*\n!**/x\n").expect("two").may_come_back_below("a/b"));
    assert!(Ignore::parse("*\n!a/*/c\n").expect("two").may_come_back_below("a/b"));
    assert!(!Ignore::parse("*\n!a/*/c\n").expect("two").may_come_back_below("b"));
}

proptest! {
    #[test]
    fn no_pattern_breaks_it(pattern in "[ab*?/!\\[\\]^\\\\.-]{0,20}", path in "[ab/.-]{0,20}") {
        if let Ok(ignore) = Ignore::new([&pattern]) {
            let _ = ignore.matches(&path);
            let _ = ignore.may_come_back_below(&path);
        }
    }

    /// What can come back below a directory is seen before it is skipped.
    #[test]
    fn nothing_that_comes_back_is_skipped(
        back in "(([ab]|\\*|\\*\\*)/){0,3}[ab]",
        path in "([ab]/){1,3}[ab]",
    ) {
        let ignore = Ignore::new(["*", &format!("!{back}")]).expect("patterns");
        if !ignore.matches(&path) {
            let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
            for parent in parents.filter(|parent| ignore.matches(parent)) {
                prop_assert!(ignore.may_come_back_below(parent), "{back} {path} {parent}");
            }
        }
    }
}
