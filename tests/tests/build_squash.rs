//! BUILD: `--squash`, by Docker's classic builder and by our CLI: one layer
//! in place of all that the build made, over those of its base.

use promises::{Cli, Engine, kitchen::Context};
use serde_json::Value;

const DOCKERFILE: &str = "FROM busybox\nENV a=b\n\
    RUN echo one > /one && mkdir /d && echo x > /d/x && echo y > /gone\n\
    COPY f /f\n\
    RUN rm /gone /etc/passwd && rm -r /d && mkdir /d && echo z > /d/z\nCMD [\"cat\",\"/one\"]\n";

/// By both CLIs; Docker's asks the engine whether it may say the word.
fn each(what: impl Fn(&Context<'_>, Cli)) {
    let engine = Engine::with(&["--experimental"]);
    promises::busybox(&engine);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        let context = Context::new(&engine, &format!("context-{cli:?}"));
        context.file("f", "f\n").dockerfile(DOCKERFILE);
        what(&context, cli);
        engine.says(&["builder", "prune", "-a", "-f"]);
    }
    engine.leaves_nothing();
}

fn inspect(engine: &Engine, image: &str) -> Value {
    let said = engine.says(&["image", "inspect", image]);
    let all: Value = serde_json::from_str(&said).expect("json");
    all[0].clone()
}

fn layers(engine: &Engine, image: &str) -> Vec<Value> {
    inspect(engine, image)["RootFS"]["Layers"].as_array().expect("layers").clone()
}

/// History, newest first: the instruction, whether it has bytes, the comment.
fn history(engine: &Engine, image: &str) -> Vec<(String, bool, String)> {
    let format = "{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
    let said = engine.says_as(Cli::Docker, &["history", "--no-trunc", "--format", format, image]);
    let row = |line: &str| {
        let parts: Vec<&str> = line.split('\t').collect();
        (parts[0].to_owned(), parts[1] != "0B", parts[2].to_owned())
    };
    said.lines().map(row).collect()
}

#[test]
fn one_layer_stands_for_all_that_a_build_made() {
    each(|context, cli| {
        let engine = context.engine;
        let plain = format!("plain-{cli:?}").to_lowercase();
        let squashed = format!("squashed-{cli:?}").to_lowercase();
        context.builds(cli, &["-t", &plain]);
        let said = context.builds(cli, &["--squash", "-t", &squashed]);
        assert!(said.contains("Successfully built"), "{said}");
        let (base, own) = (layers(engine, "busybox"), layers(engine, &squashed));
        assert_eq!((own.len(), &own[..base.len()]), (base.len() + 1, &base[..]), "{cli:?}");
        let list = "cd / && ls /etc; cat one f d/*; ls d; test ! -e gone && echo $a";
        let seen = |image: &str| engine.says(&["run", "--rm", image, "sh", "-c", list]);
        assert_eq!(seen(&squashed), seen(&plain));
        assert_eq!(engine.says(&["run", "--rm", &squashed]), "one", "its command is kept");
        // History as Docker has it: every step, and one more with the layer.
        let (steps, told) = (history(engine, &plain), history(engine, &squashed));
        let before = inspect(engine, &plain)["Id"].clone();
        let of_base = inspect(engine, "busybox")["Id"].clone();
        let (before, of_base) = (before.as_str().expect("id"), of_base.as_str().expect("id"));
        let comment = format!("merge {before} to {of_base}");
        assert_eq!(told[0], (String::new(), true, comment.clone()), "{cli:?}");
        let words = |rows: &[(String, bool, String)]| -> Vec<String> {
            rows.iter().map(|row| row.0.clone()).collect()
        };
        assert_eq!(words(&told[1..]), words(&steps), "{cli:?}");
        let of_base = history(engine, "busybox").len();
        let made = &told[1..told.len() - of_base];
        assert!(made.iter().all(|row| !row.1), "{cli:?}: they have none any more: {told:?}");
        let inspected = inspect(engine, &squashed);
        assert_eq!((&inspected["Comment"], &inspected["Parent"]), (&comment.into(), &"".into()));
        // It is saved and loaded as any other.
        let file = engine.scratch().join(format!("{squashed}.tar")).display().to_string();
        engine.says(&["save", "-o", &file, &squashed]);
        let whole = seen(&squashed);
        engine.says(&["rmi", "-f", &squashed]);
        engine.says(&["load", "-i", &file]);
        assert_eq!(seen(&squashed), whole);
        let checked = engine.says(&["system", "check", "--content"]);
        assert!(checked.ends_with("nothing to mend"), "{checked}");
    });
}

#[test]
fn what_a_squash_begins_with_is_what_its_last_stage_does() {
    each(|context, cli| {
        let engine = context.engine;
        let name = |what: &str| format!("{what}-{cli:?}").to_lowercase();
        // Nothing at all.
        context.dockerfile("FROM scratch\nCOPY f /f\nCOPY f /g\nENV a=b\n");
        context.builds(cli, &["--squash", "-t", &name("scratch")]);
        assert_eq!(layers(engine, &name("scratch")).len(), 1);
        let told = history(engine, &name("scratch"));
        assert!(told[0].2.starts_with("create new from sha256:"), "{told:?}");
        // Another stage, whose layers stay.
        context.dockerfile(
            "FROM busybox AS one\nRUN echo a > /a\nRUN echo b > /b\n\
             FROM one\nRUN rm /a && echo c > /c\nRUN echo d > /d\n",
        );
        context.builds(cli, &["--squash", "-t", &name("stages")]);
        assert_eq!(layers(engine, &name("stages")).len(), layers(engine, "busybox").len() + 3);
        let seen = engine.says(&["run", "--rm", &name("stages"), "sh", "-c", "cat /[a-d]"]);
        assert_eq!(seen, "b\nc\nd");
        // A step's own trigger, and a build that adds no file: no layer.
        context.dockerfile("FROM busybox\nONBUILD RUN echo trig > /trig\nENV b=c\n");
        context.builds(cli, &["--squash", "-t", &name("none")]);
        assert_eq!(layers(engine, &name("none")), layers(engine, "busybox"));
        context.dockerfile(&format!("FROM {}\nRUN echo z > /z\n", name("none")));
        context.builds(cli, &["--squash", "-t", &name("child")]);
        assert_eq!(layers(engine, &name("child")).len(), layers(engine, "busybox").len() + 1);
        let seen = engine.says(&["run", "--rm", &name("child"), "cat", "/trig", "/z"]);
        assert_eq!(seen, "trig\nz");
    });
}

#[test]
fn dockers_cli_is_told_whether_it_may_squash() {
    let engine = Engine::new();
    let context = Context::new(&engine, "context");
    context.file("f", "f\n").dockerfile(DOCKERFILE);
    let refused = context.fails(Cli::Docker, &["--squash"]);
    assert!(refused.contains("experimental"), "{refused}");
    let told = |format: &str| engine.says_as(Cli::Docker, &["version", "--format", format]);
    assert_eq!(told("{{.Server.Experimental}}"), "false");
    context.builds(Cli::Cofferdam, &["--squash", "-t", "made"]);
    assert_eq!(layers(&engine, "made").len(), layers(&engine, "busybox").len() + 1);
    engine.leaves_nothing();
    let experimental = Engine::with(&["--experimental"]);
    let told = |words: &[&str]| experimental.says_as(Cli::Docker, words);
    assert_eq!(told(&["version", "--format", "{{.Server.Experimental}}"]), "true");
    assert_eq!(told(&["info", "--format", "{{.ExperimentalBuild}}"]), "true");
    experimental.leaves_nothing();
}
