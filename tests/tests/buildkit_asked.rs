//! BUILD: what is asked of BuildKit's door beside a build: which targets there
//! are, which warnings count, several results at once, times, hosts, results of
//! other builds.

use promises::{Cli, Ran, finish, kitchen::Kitchen};
use serde_json::Value;
use std::{fs, process::Stdio};

/// Asks about a Dockerfile instead of building it, as `--call` does.
fn asks(kitchen: &Kitchen, dockerfile: &str, what: &str) -> Ran {
    kitchen.file("Dockerfile", dockerfile);
    let context = kitchen.context.display().to_string();
    let print = format!("--print={what}");
    let words = ["buildx", "build", "--progress=plain", &print, &context];
    let mut command = kitchen.engine.command(Cli::Docker, &words);
    // Of clients before 0.17, who hide the word otherwise.
    command.env("BUILDX_EXPERIMENTAL", "1").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().expect("docker starts"), "an answer")
}

#[test]
fn targets_are_told_and_nothing_is_built() {
    let kitchen = Kitchen::new();
    let dockerfile = "# tools has the tools\nFROM busybox AS tools\nRUN false\n\
                      FROM --platform=$BUILDPLATFORM tools AS out\nFROM out\n";
    let told = asks(&kitchen, dockerfile, "targets,format=json");
    assert_eq!(told.code, 0, "{told:?}");
    let json: Value = serde_json::from_str(&told.out).expect("json");
    let field = |at: usize, name: &str| json["targets"][at][name].clone();
    assert_eq!((field(0, "name"), field(0, "base")), ("tools".into(), "busybox".into()));
    assert_eq!(field(0, "description"), "has the tools");
    assert_eq!(field(1, "platform"), "$BUILDPLATFORM");
    assert_eq!((field(2, "name"), field(2, "default")), (Value::Null, true.into()));
    let table = asks(&kitchen, dockerfile, "targets");
    assert!(table.out.contains("has the tools"), "{table:?}");
    let known = asks(&kitchen, dockerfile, "subrequests.describe");
    assert!(known.code == 0 && known.out.contains("targets"), "{known:?}");
    for what in ["outline", "lint", "foo"] {
        let refused = asks(&kitchen, dockerfile, what);
        assert!(refused.code != 0 && refused.err.contains("is not carried"), "{refused:?}");
    }
    let wrong = asks(&kitchen, "FROM busybox\nFOO\n", "targets");
    assert!(wrong.code != 0 && wrong.err.contains("unknown instruction: FOO"), "{wrong:?}");
    kitchen.engine.leaves_nothing();
}

#[test]
fn warnings_are_shown_passed_over_or_the_end() {
    let kitchen = Kitchen::new();
    let text = |check: &str| format!("{check}FROM busybox as x\nENV a b\n");
    let rules = ["FromAsCasing", "LegacyKeyValueFormat"];
    let shown = |said: &str| rules.map(|rule| said.contains(rule));
    assert_eq!(shown(&kitchen.builds(&text(""), &[])), [true, true]);
    let one = kitchen.builds(&text("# check=skip=FromAsCasing\n"), &[]);
    assert_eq!(shown(&one), [false, true]);
    assert_eq!(shown(&kitchen.builds(&text("# check=skip=all;error=true\n"), &[])), [false; 2]);
    let ends = kitchen.fails(&text("# check=error=true\n"), &[]);
    let words = "lint violation found for rules: FromAsCasing, LegacyKeyValueFormat";
    assert!(ends.contains(words), "{ends}");
    let wrong = kitchen.fails(&text("# check=foo=1\n"), &[]);
    assert!(wrong.contains("invalid check option \"foo\""), "{wrong}");
    // The client's word outranks the author's.
    let said = "BUILDKIT_DOCKERFILE_CHECK=skip=FromAsCasing";
    let other = kitchen.builds(&text("# check=error=true\n"), &["--build-arg", said]);
    assert_eq!(shown(&other), [false, true]);
    kitchen.engine.leaves_nothing();
}

#[test]
fn one_build_has_several_results() {
    let kitchen = Kitchen::new();
    let (dir, tar) = (kitchen.out("dir"), kitchen.out("result.tar"));
    let outputs = [
        "--output",
        &format!("type=local,dest={dir}"),
        "--output",
        &format!("type=tar,dest={tar}"),
        "--output",
        "type=image,name=several",
    ];
    kitchen.file("f", "content\n");
    kitchen.builds("FROM scratch\nCOPY f /f\nCMD [\"x\"]\n", &outputs);
    assert_eq!(fs::read_to_string(format!("{dir}/f")).expect("written"), "content\n");
    assert_eq!(kitchen.engine.host().says(&format!("tar -xOf {tar} f")), "content");
    kitchen.engine.says(&["image", "inspect", "several"]);
    kitchen.engine.leaves_nothing();
}

#[test]
fn an_image_has_the_time_that_its_client_says() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM busybox\nENV a=b\nRUN echo x > /x\n";
    let before = kitchen.engine.says(&["history", "-q", "busybox"]).lines().count();
    // What is known from a build of now has the time all the same.
    kitchen.builds(dockerfile, &[]);
    let epoch = ["-t", "made", "--build-arg", "SOURCE_DATE_EPOCH=1000"];
    let said = kitchen.builds(dockerfile, &epoch);
    assert!(!said.contains("not consumed"), "{said}");
    assert_eq!(kitchen.engine.inspect("made", "{{.Created}}"), "1970-01-01T00:16:40Z");
    let format = ["history", "--human=false", "--format", "{{.CreatedAt}}", "made"];
    let times = kitchen.engine.says_as(Cli::Docker, &format);
    let old = times.lines().filter(|time| time.starts_with("1970-01-01T00:16:40")).count();
    assert_eq!((old, times.lines().count()), (2, 2 + before), "the base keeps its own: {times}");
    let id = kitchen.engine.inspect("made", "{{.Id}}");
    kitchen.builds(dockerfile, &epoch);
    assert_eq!(kitchen.engine.inspect("made", "{{.Id}}"), id, "made again it is the same");
    let wrong = kitchen.fails(dockerfile, &["--build-arg", "SOURCE_DATE_EPOCH=soon"]);
    assert!(wrong.contains("invalid SOURCE_DATE_EPOCH: soon"), "{wrong}");
    kitchen.engine.leaves_nothing();
}

#[test]
fn the_gateway_of_the_host_has_an_address_for_steps() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM busybox\nRUN grep -w gw /etc/hosts > /gw; cat /gw\n";
    kitchen.builds(dockerfile, &["-t", "made", "--add-host", "gw:host-gateway"]);
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = kitchen.engine.says(&["network", "inspect", "--format", format, "bridge"]);
    assert!(kitchen.holds("made", "/gw").starts_with(&gateway), "{gateway}");
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_checksum_that_is_none_is_refused_before_anything_is_fetched() {
    let kitchen = Kitchen::new();
    let dockerfile = "FROM scratch\nADD --checksum=sha256:0000 http://127.0.0.1:9/x /x\n";
    let refused = kitchen.fails(dockerfile, &[]);
    assert!(refused.contains("invalid checksum \"sha256:0000\""), "{refused}");
    kitchen.engine.leaves_nothing();
}

#[test]
fn a_build_begins_with_what_another_came_to() {
    let kitchen = Kitchen::new();
    let context = kitchen.context.display().to_string();
    kitchen.file("Base", "FROM busybox\nENV FROM=base\nRUN echo base > /base\n");
    kitchen.file("Child", "FROM base\nRUN cat /base > /child; echo $FROM >> /child\n");
    kitchen.file("Copy", "FROM busybox\nCOPY --from=base /base /copied\n");
    let targets = format!(
        "target \"base\" {{\n context = \"{context}\"\n dockerfile = \"Base\"\n}}\n\
         target \"child\" {{\n context = \"{context}\"\n dockerfile = \"Child\"\n \
         contexts = {{ base = \"target:base\" }}\n tags = [\"child\"]\n}}\n\
         target \"copy\" {{\n context = \"{context}\"\n dockerfile = \"Copy\"\n \
         contexts = {{ base = \"target:base\" }}\n tags = [\"copy\"]\n}}\n"
    );
    kitchen.file("docker-bake.hcl", &targets);
    let file = kitchen.context.join("docker-bake.hcl").display().to_string();
    let words = ["buildx", "bake", "--progress=plain", "-f", &file, "child", "copy"];
    kitchen.engine.says_as(Cli::Docker, &words);
    assert_eq!(kitchen.holds("child", "/child"), "base\nbase");
    assert_eq!(kitchen.holds("copy", "/copied"), "base");
    kitchen.engine.leaves_nothing();
}
