//! Whole Dockerfiles.

use dockerfile::{
    Arg, Command, Healthcheck, Instruction, Lines, Network, Pair, Step, Words, parse, trigger,
};
use proptest::prelude::*;
use std::time::Duration;

fn steps(text: &str) -> Vec<Step> {
    let mut file = parse(text).expect(text);
    file.stages.remove(0).steps
}

fn only(text: &str) -> Instruction {
    steps(&format!("FROM scratch\n{text}\n")).remove(0).instruction
}

fn pair(name: &str, value: &str) -> Pair {
    Pair { name: name.into(), value: value.into() }
}

#[test]
fn stages_have_names_and_lines() {
    let file = parse(
        "# syntax=docker/dockerfile:1\n# escape=`\n# a comment\nARG V=1\nFROM --platform=$BUILDPLATFORM rust:$V AS Build\n\nRUN a `\n  # no part of it\n  b\nFROM scratch\nCOPY --from=build /x /\n",
    )
    .expect("a file");
    assert_eq!(file.directives.syntax.as_deref(), Some("docker/dockerfile:1"));
    assert_eq!(file.directives.escape, '`');
    assert_eq!(
        file.args[0].instruction,
        Instruction::Arg(vec![Arg { name: "V".into(), value: Some("1".into()) }])
    );
    let [build, last] = file.stages.as_slice() else { panic!("two stages") };
    assert_eq!(build.name.as_deref(), Some("build"));
    assert_eq!(build.base, "rust:$V");
    assert_eq!(build.platform.as_deref(), Some("$BUILDPLATFORM"));
    assert_eq!(build.steps[0].text, "RUN a   b");
    assert_eq!(build.steps[0].lines, Lines { first: 7, last: 9 });
    assert_eq!(last.lines, Lines { first: 10, last: 10 });
    let Instruction::Copy(copy) = &last.steps[0].instruction else { panic!("a copy") };
    assert_eq!(copy.from.as_deref(), Some("build"));
}

#[test]
fn a_directive_after_a_comment_is_a_comment() {
    let file = parse("# hello\n# escape=`\nFROM scratch\n").expect("a file");
    assert_eq!(file.directives.escape, '\\');
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_nothing() {
    let file = parse("\u{feff}FROM scratch\r\nRUN a \\\r\n b\r\n").expect("a file");
    assert_eq!(file.stages[0].steps[0].text, "RUN a  b");
}

#[test]
fn an_escaped_escape_continues_nothing() {
    assert_eq!(steps("FROM scratch\nRUN a\\\\\nRUN b\n").len(), 2);
}

#[test]
fn both_forms_of_names_and_values() {
    assert_eq!(only("ENV a b  c"), Instruction::Env(vec![pair("a", "b  c")]));
    assert_eq!(
        only("ENV a=b c=\"d e\" f=g\\ h"),
        Instruction::Env(vec![pair("a", "b"), pair("c", "\"d e\""), pair("f", "g\\ h")])
    );
    assert_eq!(only("LABEL \"a b\"=c"), Instruction::Label(vec![pair("\"a b\"", "c")]));
}

#[test]
fn json_is_executed_and_all_else_is_for_a_shell() {
    let exec = |words: &[&str]| Command::Exec(words.iter().map(|w| (*w).to_owned()).collect());
    assert_eq!(only("CMD [\"a\", \"b c\"]"), Instruction::Cmd(exec(&["a", "b c"])));
    assert_eq!(only("CMD ['a']"), Instruction::Cmd(Command::Shell("['a']".into())));
    assert_eq!(only("CMD [\"a\"] b"), Instruction::Cmd(Command::Shell("[\"a\"] b".into())));
    assert_eq!(only("ENTRYPOINT []"), Instruction::Entrypoint(exec(&[])));
    assert_eq!(
        only("SHELL [\"/bin/bash\", \"-c\"]"),
        Instruction::Shell(vec!["/bin/bash".into(), "-c".into()])
    );
}

#[test]
fn a_run_says_its_network_and_mounts() {
    let Instruction::Run(run) = only(
        "RUN --mount=type=cache,target=/c --network=none --mount=from=base,target=/b make -- --x",
    ) else {
        panic!("a run")
    };
    assert_eq!(run.network, Network::None);
    assert_eq!(run.mounts.len(), 2);
    assert_eq!(run.mounts[1].from.as_deref(), Some("base"));
    assert_eq!(run.command, Command::Shell("make -- --x".into()));
}

#[test]
fn documents_are_scripts_programs_or_input() {
    let command = |text: &str| match only(text) {
        Instruction::Run(run) => run.command,
        other => panic!("{other:?}"),
    };
    assert_eq!(command("RUN <<EOF\na\n$b\nEOF"), Command::Shell("a\n$b\n".into()));
    assert_eq!(command("RUN <<-EOF\n\ta\n\t\tb\n\tEOF"), Command::Shell("a\nb\n".into()));
    assert_eq!(
        command("RUN <<PY\n#!/usr/bin/python3\nprint(1)\nPY"),
        Command::Script { name: "PY".into(), data: "#!/usr/bin/python3\nprint(1)\n".into() }
    );
    assert_eq!(
        command("RUN cat <<A 3<<B >/x\na\nA\nb\nB"),
        Command::Shell("cat <<A 3<<B >/x\na\nA\nb\nB".into())
    );
    assert_eq!(command("RUN [\"cat\", \"<<A\"]"), Command::Exec(vec!["cat".into(), "<<A".into()]));
    assert_eq!(command("RUN echo '<<A'"), Command::Shell("echo '<<A'".into()));
}

#[test]
fn documents_can_be_copied() {
    let Instruction::Copy(copy) = only("COPY <<a <<\"b\" c /d/\n$x\na\n$y\nb") else {
        panic!("a copy")
    };
    let documents: Vec<_> = copy
        .files
        .documents
        .iter()
        .map(|document| (document.name.as_str(), document.data.as_str(), document.expand))
        .collect();
    assert_eq!(documents, [("a", "$x\n", true), ("b", "$y\n", false)]);
    assert_eq!(copy.files.sources, ["c"]);
    assert_eq!(copy.files.target, "/d/");
}

#[test]
fn a_copy_says_all_it_can_say() {
    let Instruction::Copy(copy) = only(
        "COPY --chown=a:b --chmod=u+x --link --parents --exclude=*.o --exclude=**/y [\"a b\", \"c\"]",
    ) else {
        panic!("a copy")
    };
    assert!(copy.parents && copy.files.link);
    assert_eq!(copy.files.sources, ["a b"]);
    assert_eq!(copy.files.exclude, ["*.o", "**/y"]);
    assert_eq!(copy.files.chown.as_deref(), Some("a:b"));
    let Instruction::Add(add) =
        only("ADD --checksum=sha256:00 --keep-git-dir --unpack=false https://x/y /z")
    else {
        panic!("an add")
    };
    assert!(add.keep_git_dir && add.unpack == Some(false));
    assert_eq!(add.checksum.as_deref(), Some("sha256:00"));
}

#[test]
fn a_health_check_says_its_times() {
    assert_eq!(
        only("HEALTHCHECK --interval=5s --retries=2 --start-interval=1m CMD [\"a\"]"),
        Instruction::Healthcheck(Healthcheck::Cmd {
            test: Command::Exec(vec!["a".into()]),
            interval: Some(Duration::from_secs(5)),
            timeout: None,
            start_period: None,
            start_interval: Some(Duration::from_mins(1)),
            retries: Some(2),
        })
    );
    assert_eq!(only("HEALTHCHECK none"), Instruction::Healthcheck(Healthcheck::None));
}

#[test]
fn a_trigger_is_kept_as_it_stands_and_read_later() {
    let Instruction::Onbuild(text) = only("ONBUILD RUN <<A cat\nx\nA") else { panic!("one") };
    assert_eq!(text, "RUN <<A cat\nx\nA");
    let step = trigger(&text, '\\').expect("an instruction");
    assert_eq!(step.instruction.word(), "RUN");
    assert!(trigger("FROM x", '\\').is_err());
    assert!(trigger("RUN a\nRUN b", '\\').is_err());
}

#[test]
fn what_is_deprecated_is_told_with_its_line() {
    let file = parse("FROM scratch as a\nMAINTAINER x\nENV a b\nCMD x\nCMD [\"y\"]\n").expect("ok");
    let rules: Vec<_> =
        file.warnings.iter().map(|warning| (warning.rule, warning.lines.first)).collect();
    assert_eq!(
        rules,
        [
            ("FromAsCasing", 1),
            ("MaintainerDeprecated", 2),
            ("LegacyKeyValueFormat", 3),
            ("MultipleInstructionsDisallowed", 4),
            ("JSONArgsRecommended", 4),
        ]
    );
}

#[test]
fn instructions_expand_where_docker_expands() {
    let scope = |name: &str| (name == "X").then(|| "1 2".to_owned());
    let words = Words { escape: '\\', scope: &scope };
    let expand = |text: &str| {
        let step = steps(&format!("FROM scratch\n{text}\n")).remove(0);
        step.expand(&words).expect(text)
    };
    assert_eq!(expand("ENV a=$X"), Instruction::Env(vec![pair("a", "1 2")]));
    assert_eq!(expand("WORKDIR /$X"), Instruction::Workdir("/1 2".into()));
    assert_eq!(expand("EXPOSE $X"), Instruction::Expose(vec!["1".into(), "2".into()]));
    assert_eq!(expand("CMD $X"), Instruction::Cmd(Command::Shell("$X".into())));
    let Instruction::Copy(copy) = expand("COPY --chown=$X <<A <<'B' $X /\n\"$X\"\nA\n$X\nB") else {
        panic!("a copy")
    };
    assert_eq!(copy.files.documents[0].data, "\"1 2\"\n");
    assert_eq!(copy.files.documents[1].data, "$X\n");
    assert_eq!(copy.files.sources, ["1 2"]);
    assert_eq!(copy.files.chown.as_deref(), Some("1 2"));
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "(FROM|RUN|COPY|ENV|ARG|ONBUILD|HEALTHCHECK|[ -~äß\\n\\t\\\\<\"'$-]){0,40}") {
        let _ = parse(&text);
        let _ = parse(&format!("FROM a\n{text}"));
        let _ = trigger(&text, '\\');
    }

    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&String::from_utf8_lossy(&bytes));
    }

    /// Lines that are said lie in the file, in order.
    #[test]
    fn lines_are_those_of_the_file(steps in proptest::collection::vec("(RUN a|ENV b=c \\\\\n d=e|COPY <<E /\nx\nE)", 1..8)) {
        let text = format!("FROM scratch\n{}\n", steps.join("\n"));
        let file = parse(&text).expect("a file");
        let all: Vec<&str> = text.lines().collect();
        prop_assert_eq!(file.stages[0].steps.len(), steps.len());
        let mut last = 1;
        for step in &file.stages[0].steps {
            prop_assert_eq!(step.lines.first, last + 1);
            prop_assert!(all[step.lines.first - 1].starts_with(step.instruction.word()));
            last = step.lines.last;
        }
        prop_assert_eq!(last, all.len());
    }
}
