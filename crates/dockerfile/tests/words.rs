//! Words by Docker's rules.

use dockerfile::{WordError, Words};
use proptest::prelude::*;

fn value(name: &str) -> Option<String> {
    let value = match name {
        "KEY" => "value",
        "EMPTY" => "",
        "TWO" => "one two",
        "PATH" => "/usr/local/lib/x.tar.gz",
        "STAR" => "a*b",
        "UTF" => "äöü",
        _ => return None,
    };
    Some(value.into())
}

const WORDS: Words<'static> = Words { escape: '\\', scope: &value };

#[track_caller]
fn word(text: &str, expected: &str) {
    assert_eq!(WORDS.word(text).as_deref(), Ok(expected), "{text}");
}

#[test]
fn variables() {
    word("$KEY", "value");
    word("${KEY}", "value");
    word("a${KEY}b$KEY", "avaluebvalue");
    word("$KEY.x", "value.x");
    word("$KEYx", "");
    word("$", "$");
    word("a$ b", "a$ b");
    word("$$KEY", "KEY");
    word("$1x", "x");
    word("$UTF", "äöü");
}

#[test]
fn quotes_and_escapes() {
    word("'$KEY'", "$KEY");
    word("\"$KEY\"", "value");
    word("\\$KEY", "$KEY");
    word("\"\\$KEY\"", "$KEY");
    word("\"a\\b\"", "a\\b");
    word("\"a\\\"b\"", "a\"b");
    word("a\\ b", "a b");
    word("'a\\'", "a\\");
    word("a\\", "a");
    word("it\"'\"s", "it's");
}

#[test]
fn the_escape_may_be_a_backtick() {
    let words = Words { escape: '`', scope: &value };
    assert_eq!(words.word("c:\\x`$KEY").as_deref(), Ok("c:\\x$KEY"));
}

#[test]
fn defaults_and_alternatives() {
    word("${NO:-x}", "x");
    word("${NO-x}", "x");
    word("${EMPTY:-x}", "x");
    word("${EMPTY-x}", "");
    word("${KEY:-x}", "value");
    word("${KEY:+x}", "x");
    word("${EMPTY:+x}", "");
    word("${EMPTY+x}", "x");
    word("${NO+x}", "");
    word("${KEY:?no}", "value");
    word("${EMPTY?no}", "");
    word("${NO:-$KEY}", "value");
    word("${NO:-${EMPTY:-'a b'}}", "a b");
    assert_eq!(
        WORDS.word("${EMPTY:?}"),
        Err(WordError::Required {
            name: "EMPTY".into(),
            message: "is not allowed to be empty".into()
        })
    );
}

#[test]
fn prefixes_and_suffixes() {
    word("${PATH#*/}", "usr/local/lib/x.tar.gz");
    word("${PATH##*/}", "x.tar.gz");
    word("${PATH%.*}", "/usr/local/lib/x.tar");
    word("${PATH%%.*}", "/usr/local/lib/x");
    word("${PATH%/*}", "/usr/local/lib");
    word("${PATH#nope}", "/usr/local/lib/x.tar.gz");
    word("${PATH#/usr}", "/local/lib/x.tar.gz");
    word("${KEY#?}", "alue");
    word("${KEY##*}", "");
    word("${KEY%%*}", "");
    word("${KEY#*}", "value");
    word("${STAR#a\\*}", "b");
    word("${STAR%\\*b}", "a");
    word("${NO#x}", "");
}

#[test]
fn replacements() {
    word("${PATH/lib/LIB}", "/usr/local/LIB/x.tar.gz");
    word("${PATH//\\//_}", "_usr_local_lib_x.tar.gz");
    word("${PATH/l*b/-}", "/usr/-/x.tar.gz");
    word("${KEY//?/x}", "xxxxx");
    word("${KEY/nope/x}", "value");
    word("${KEY/value/}", "");
    word("${KEY/v/$EMPTY-$KEY}", "-valuealue");
    assert!(matches!(WORDS.word("${KEY/\\x/}"), Err(WordError::Pattern { .. })));
}

#[test]
fn long_patterns_on_long_values_are_refused_before_they_take_hours() {
    let long = |name: &str| {
        Some(match name {
            "p" => "*a".repeat(1000) + "b",
            "s" => "b".to_owned() + &"a*".repeat(1000),
            _ => "a".repeat(1 << 18),
        })
    };
    let words = Words { escape: '\\', scope: &long };
    for text in ["${v//$p/x}", "${v/$p/x}", "${v#$p}", "${v%%$s}"] {
        assert_eq!(words.word(text), Err(WordError::TooMuch), "{text}");
    }
    // Each word may be as much.
    for _ in 0..3 {
        assert!(words.word("${v//a/bc}").is_ok());
    }
}

#[test]
fn what_a_variable_holds_is_split_and_what_is_quoted_is_not() {
    let split = |text| WORDS.split(text).expect("words");
    assert_eq!(split("80 $TWO"), ["80", "one", "two"]);
    assert_eq!(split("\"$TWO\" x"), ["one two", "x"]);
    assert_eq!(split("a\\ b c"), ["a b", "c"]);
    assert_eq!(split("$EMPTY"), [""; 0]);
}

#[test]
fn a_word_that_grows_without_a_bound_is_refused() {
    let huge = |_: &str| Some("x".repeat(1 << 19));
    let words = Words { escape: '\\', scope: &huge };
    assert!(words.word("$a").is_ok());
    assert_eq!(words.word("$a$a$a"), Err(WordError::TooLong(1 << 20)));
    let deep = format!("{}x{}", "${a:-".repeat(100), "}".repeat(100));
    assert_eq!(WORDS.word(&deep), Err(WordError::TooDeep(64)));
}

proptest! {
    #[test]
    fn no_word_breaks_it(text in "[ -~äß\\n$\\\\{}'\":/#%?+-]{0,60}") {
        let _ = WORDS.word(&text);
        let _ = WORDS.split(&text);
        let _ = WORDS.document(&text);
    }

    #[test]
    fn plain_words_are_themselves(text in "[a-z/._=:, -]{0,40}") {
        prop_assert_eq!(WORDS.word(&text), Ok(text));
    }

    #[test]
    fn taking_a_prefix_of_letters_is_what_it_says(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
        let scope = |_: &str| Some(a.clone());
        let words = Words { escape: '\\', scope: &scope };
        let prefix = words.word(&format!("${{x#{b}}}")).expect("a pattern");
        prop_assert_eq!(prefix.as_str(), a.strip_prefix(b.as_str()).unwrap_or(&a));
        let suffix = words.word(&format!("${{x%{b}}}")).expect("a pattern");
        prop_assert_eq!(suffix.as_str(), a.strip_suffix(b.as_str()).unwrap_or(&a));
    }

    #[test]
    fn replacing_letters_is_what_it_says(a in "[a-b]{0,8}", b in "[a-b]{1,3}") {
        let scope = |_: &str| Some(a.clone());
        let words = Words { escape: '\\', scope: &scope };
        let all = words.word(&format!("${{x//{b}/-}}")).expect("a pattern");
        prop_assert_eq!(all, a.replace(b.as_str(), "-"));
        let first = words.word(&format!("${{x/{b}/-}}")).expect("a pattern");
        prop_assert_eq!(first, a.replacen(b.as_str(), "-", 1));
    }
}
