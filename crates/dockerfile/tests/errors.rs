//! What is wrong with a Dockerfile is said in the words of Docker's builder:
//! every text here was heard from dockerd 28.5.

use dockerfile::{Words, parse};

/// The error of a file, if it cannot be read.
fn read(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// The error of its first stage's words and mounts.
fn expand(text: &str) -> String {
    let file = parse(text).expect(text);
    let words = Words { escape: file.directives.escape, scope: &|_| None };
    let mut errors = file.stages[0]
        .steps
        .iter()
        .filter_map(|step| step.expand(&words).err().or(step.mounts(&words).err()));
    errors.next().expect(text).to_string()
}

#[test]
fn instructions_that_are_none() {
    assert_eq!(
        read("FROM scratch\nFOO bar\n"),
        "dockerfile parse error on line 2: unknown instruction: FOO (did you mean FROM?)"
    );
    assert_eq!(
        read("FROM scratch\nRUNN bar\n"),
        "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)"
    );
    assert_eq!(
        read("FROM scratch\nrunn x\n"),
        "dockerfile parse error on line 2: unknown instruction: runn (did you mean run?)"
    );
    assert_eq!(read("# c\n"), "file with no instructions");
    assert_eq!(read(""), "file with no instructions");
    assert_eq!(read("RUN x\nFROM scratch\n"), "no build stage in current context");
}

#[test]
fn from() {
    let words = "dockerfile parse error on line 1: FROM requires either one or three arguments";
    assert_eq!(read("FROM\n"), words);
    assert_eq!(read("FROM a b\n"), words);
    assert_eq!(
        read("FROM scratch AS 1a\n"),
        "dockerfile parse error on line 1: invalid name for build stage: \"1a\", name can't start with a number or contain symbols"
    );
}

#[test]
fn names_and_values() {
    assert_eq!(read("FROM scratch\nENV a\n"), "ENV must have two arguments");
    assert_eq!(
        read("FROM scratch\nENV a=b c\n"),
        "Syntax error - can't find = in \"c\". Must be of the form: name=value"
    );
    assert_eq!(
        read("FROM scratch\nENV\n"),
        "dockerfile parse error on line 2: ENV requires at least one argument"
    );
    assert_eq!(
        read("FROM scratch\nENV =b\n"),
        "dockerfile parse error on line 2: ENV names can not be blank"
    );
    assert_eq!(
        read("FROM scratch\nARG =x\n"),
        "dockerfile parse error on line 2: ARG names can not be blank"
    );
    assert_eq!(
        read("FROM scratch\nARG\n"),
        "dockerfile parse error on line 2: ARG requires at least one argument"
    );
}

#[test]
fn flags() {
    let said = |flag: &str| {
        let text = read(&format!("FROM scratch\nCOPY {flag} a b\n"));
        text.strip_prefix("dockerfile parse error on line 2: ").expect("a line").to_owned()
    };
    assert_eq!(said("--foo=x"), "unknown flag: --foo (did you mean from?)");
    assert_eq!(said("--chwn=x"), "unknown flag: --chwn (did you mean chown?)");
    assert_eq!(said("--chown"), "missing a value on flag: --chown");
    assert_eq!(said("--link=x"), "expecting boolean value for flag --link, not: x");
    assert_eq!(said("--link --link"), "duplicate flag specified: --link");
    assert_eq!(said("--link="), "missing a value on flag: --link");
    assert_eq!(
        read("FROM scratch\nCOPY --from=$x a b\n"),
        "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
    );
    assert_eq!(
        read("FROM scratch\nRUN --network=foo x\n"),
        "dockerfile parse error on line 2: invalid network mode \"foo\""
    );
    assert_eq!(
        read("FROM scratch\nCOPY a\n"),
        "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination could not be determined"
    );
}

#[test]
fn json_forms() {
    assert_eq!(
        read("FROM scratch\nSHELL a b\n"),
        "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form"
    );
    assert_eq!(
        read("FROM scratch\nSHELL\n"),
        "dockerfile parse error on line 2: SHELL requires at least one argument"
    );
    assert_eq!(
        read("FROM scratch\nRUN [1]\n"),
        "when using JSON array syntax, arrays must be comprised of strings only"
    );
    assert_eq!(
        read("FROM scratch\nVOLUME [\"\"]\n"),
        "dockerfile parse error on line 2: VOLUME specified can not be an empty string"
    );
}

#[test]
fn documents() {
    assert_eq!(read("FROM scratch\nRUN <<EOF\nx\n"), "unterminated heredoc");
    assert_eq!(
        read("FROM scratch\nCOPY a <<EOF\nx\nEOF\n"),
        "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination"
    );
}

#[test]
fn triggers() {
    assert_eq!(
        read("FROM scratch\nONBUILD ONBUILD RUN x\n"),
        "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"
    );
    assert_eq!(
        read("FROM scratch\nONBUILD FROM x\n"),
        "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger"
    );
    assert_eq!(
        read("FROM scratch\nONBUILD\n"),
        "dockerfile parse error on line 2: ONBUILD requires at least one argument"
    );
}

#[test]
fn health() {
    let said = |rest: &str| {
        let text = read(&format!("FROM scratch\nHEALTHCHECK {rest}\n"));
        text.strip_prefix("dockerfile parse error on line 2: ").expect("a line").to_owned()
    };
    assert_eq!(said(""), "HEALTHCHECK requires at least one argument");
    assert_eq!(said("NONE x"), "HEALTHCHECK NONE takes no arguments");
    assert_eq!(said("CMD"), "Missing command after HEALTHCHECK CMD");
    assert_eq!(said("FOO"), "Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
    assert_eq!(said("--interval=x CMD y"), "time: invalid duration \"x\"");
    assert_eq!(said("--interval=1us CMD y"), "Interval \"interval\" cannot be less than 1ms");
    assert_eq!(said("--retries=x CMD y"), "strconv.ParseInt: parsing \"x\": invalid syntax");
    assert_eq!(said("--retries=-1 CMD y"), "--retries cannot be negative (-1)");
}

#[test]
fn directives() {
    assert_eq!(
        read("# escape=x\nFROM scratch\n"),
        "invalid escape token 'x' does not match ` or \\"
    );
    assert_eq!(
        read("# escape=`\n# escape=`\nFROM scratch\n"),
        "only one escape parser directive can be used"
    );
}

#[test]
fn words() {
    let said = |word: &str| expand(&format!("FROM scratch\nENV a={word}\n"));
    assert_eq!(
        said("\"$b"),
        "failed to process \"\\\"$b\": unexpected end of statement while looking for matching double-quote"
    );
    assert_eq!(
        said("'$b"),
        "failed to process \"'$b\": unexpected end of statement while looking for matching single-quote"
    );
    assert_eq!(said("${}"), "failed to process \"${}\": syntax error: bad substitution");
    assert_eq!(
        said("${b!c}"),
        "failed to process \"${b!c}\": unsupported modifier (!) in substitution"
    );
    assert_eq!(said("${b:?}"), "failed to process \"${b:?}\": b: is not allowed to be unset");
    assert_eq!(said("${b?nope}"), "failed to process \"${b?nope}\": b: nope");
    assert_eq!(said("${b/x}"), "failed to process \"${b/x}\": syntax error: missing '/' in ${}");
    assert_eq!(said("${b/x/y"), "failed to process \"${b/x/y\": syntax error: missing '}'");
}

#[test]
fn mounts() {
    let said = |mount: &str| expand(&format!("FROM scratch\nRUN --mount={mount} x\n"));
    assert_eq!(said("type=foo"), "unsupported mount type \"foo\"");
    assert_eq!(said("type=cache"), "invalid mount target \"/\"");
    assert_eq!(said("type=ssh,ro=x"), "invalid value for ro: x");
    assert_eq!(
        read("FROM scratch\nRUN --mount=foo x\n"),
        "dockerfile parse error on line 2: invalid field 'foo' must be a key=value pair"
    );
    assert_eq!(
        read("FROM scratch\nRUN --mount=from=$x,target=/x x\n"),
        "dockerfile parse error on line 2: 'from' doesn't support variable expansion, define alias stage instead"
    );
}
