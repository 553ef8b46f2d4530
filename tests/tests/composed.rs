//! COMPOSE: `cofferdam compose` with real projects, each checked to come out
//! as with Docker's own Compose on the same engine.

use promises::{Cli, Engine, PATIENCE, Ran, compose, finish, until};
use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// A web server, something like a database, something that prepares it, and a
/// worker that is asked for.
const SHOP: &str = r#"
name: shop
x-patient: &patient {stop_grace_period: 0s, init: true}
services:
  web:
    <<: *patient
    image: busybox
    command: ["sh", "-c", "mkdir -p /www; echo ${GREETING:-hello} > /www/index.html; echo serving; exec httpd -f -h /www"]
    ports: ["8080:80"]
    environment: {OWN: "1"}
    env_file: web.env
    networks: {back: {aliases: [w], ipv4_address: 10.8.0.7}, front: }
    depends_on: {db: {condition: service_healthy}, prepare: {condition: service_completed_successfully}}
    secrets: [token, {source: spoken, target: word, mode: 0440}]
    configs: [settings]
    deploy: {resources: {limits: {memory: 64M, pids: 50}}}
  db:
    <<: *patient
    image: busybox
    command: ["sh", "-c", "touch /data/ready; exec sleep 1000"]
    healthcheck: {test: test -e /data/ready, interval: 1s, retries: 20}
    networks: [back]
    volumes: ["data:/data", "./seed:/seed:ro"]
  prepare:
    image: busybox
    command: echo prepared
    network_mode: none
  worker:
    <<: *patient
    image: busybox
    command: sleep 1000
    networks: [back]
    profiles: [work]
networks:
  back: {internal: true, ipam: {config: [{subnet: 10.8.0.0/24}]}}
  front: {driver_opts: {com.docker.network.driver.mtu: "1400"}}
volumes: {data: {labels: {kept: "yes"}}}
secrets: {token: {file: ./token}, spoken: {environment: SPOKEN}}
configs: {settings: {content: "spoken=${SPOKEN}\n"}}
"#;

struct Stage {
    engine: Engine,
    file: PathBuf,
}

impl Stage {
    fn new(text: &str) -> Self {
        let engine = Engine::new();
        let folder = engine.scratch().join("project");
        std::fs::create_dir_all(folder.join("seed")).expect("scratch");
        let file = folder.join("compose.yaml");
        std::fs::write(&file, text).expect("scratch");
        std::fs::write(folder.join("web.env"), "FILED='2'\n").expect("scratch");
        std::fs::write(folder.join("token"), "open sesame\n").expect("scratch");
        Self { engine, file }
    }

    fn started(mut command: Command, words: &[&str]) -> Ran {
        command.args(words).env("SPOKEN", "mellon");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("starts"), &format!("compose {words:?}"))
    }

    /// A command of `cofferdam compose`.
    fn ran(&self, words: &[&str]) -> Ran {
        let file = self.file.display().to_string();
        Self::started(self.engine.command(Cli::Cofferdam, &["compose", "--file", &file]), words)
    }

    fn says(&self, words: &[&str]) -> String {
        let ran = self.ran(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}\ndaemon: {}", self.engine.logged());
        ran.out
    }

    /// The same command of Docker's Compose.
    fn ran_by_compose(&self, words: &[&str]) -> Ran {
        let mut command = self.engine.host().command(compose());
        command.env("DOCKER_HOST", format!("unix://{}", self.engine.socket().display()));
        command.env("DOCKER_CONFIG", self.engine.client_config());
        command.arg("--file").arg(&self.file);
        Self::started(command, words)
    }

    fn compose_says(&self, words: &[&str]) -> String {
        let ran = self.ran_by_compose(words);
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}\ndaemon: {}", self.engine.logged());
        ran.out
    }

    /// Names and identifiers of all containers.
    fn containers(&self) -> Vec<(String, String)> {
        let all =
            self.engine.says(&["ps", "--all", "--no-trunc", "--format", "{{.Names}} {{.ID}}"]);
        let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut all: Vec<_> = all.lines().filter_map(pair).collect();
        all.sort();
        all
    }

    /// Everything of a container by which projects are told apart and
    /// containers up to date, in one text.
    fn traits(&self, name: &str) -> String {
        let labels = self.engine.inspect(name, "{{json .Config.Labels}}");
        let mut labels: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&labels).expect("JSON");
        // Each tells its own version, and Compose tells dependencies and variables in any order.
        labels.remove("com.docker.compose.version");
        let depends = labels.remove("com.docker.compose.depends_on").expect("there");
        let mut depends: Vec<&str> = depends.as_str().expect("text").split(',').collect();
        depends.sort_unstable();
        let host = "{{json .HostConfig.Binds}} {{json .HostConfig.Mounts}} {{json .HostConfig.PortBindings}} {{.HostConfig.NetworkMode}} {{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{json .Config.Cmd}} {{.Config.StopTimeout}} {{json .Config.Healthcheck}} {{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{json $v.Aliases}} {{end}}";
        let variables = self.engine.inspect(name, "{{range .Config.Env}}{{println .}}{{end}}");
        let mut variables: Vec<&str> = variables.lines().collect();
        variables.sort_unstable();
        let host = self.engine.inspect(name, host);
        format!("{labels:?}\n{depends:?}\n{variables:?}\n{host}")
    }
}

const NAMES: [&str; 3] = ["shop-db-1", "shop-prepare-1", "shop-web-1"];

fn names(all: &[(String, String)]) -> Vec<&str> {
    all.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_project_comes_up_as_composes_own_and_each_finds_the_other_up_to_date() {
    let stage = Stage::new(SHOP);
    stage.compose_says(&["up", "--detach"]);
    let theirs: Vec<String> = NAMES.iter().map(|name| stage.traits(name)).collect();
    let before = stage.containers();
    assert_eq!(names(&before), NAMES);
    // What Compose made is up to date to us.
    stage.says(&["up", "--detach"]);
    assert_eq!(stage.containers(), before);
    stage.says(&["down", "--volumes"]);
    assert_eq!(stage.containers(), []);
    assert_eq!(stage.engine.says(&["network", "ls", "-q", "-f", "type=custom"]), "");
    assert_eq!(stage.engine.says(&["volume", "ls", "-q"]), "");
    // And ours to Compose, for it is the same in everything.
    stage.says(&["up", "--detach"]);
    let ours: Vec<String> = NAMES.iter().map(|name| stage.traits(name)).collect();
    assert_eq!(ours, theirs);
    let before = stage.containers();
    stage.compose_says(&["up", "--detach"]);
    assert_eq!(stage.containers(), before);
    assert_eq!(stage.compose_says(&["ps", "--services"]), stage.says(&["ps", "--services"]));
    let back = stage.engine.inspect("shop_back", "{{json .Labels}} {{.Internal}}");
    assert!(
        back.contains("\"com.docker.compose.network\":\"back\"") && back.ends_with("true"),
        "{back}"
    );
    stage.compose_says(&["down", "--volumes", "--timeout", "0"]);
    assert_eq!(stage.containers(), []);
    stage.engine.leaves_nothing();
}

#[test]
fn what_the_files_say_is_what_services_have() {
    let stage = Stage::new(SHOP);
    let up = stage.ran(&["up", "--detach"]);
    assert_eq!(up.code, 0, "{up:?}");
    let at = |words: &str| up.err.find(words).unwrap_or_else(|| panic!("{words:?} in {}", up.err));
    assert!(at("shop-db-1  Healthy") < at("shop-web-1  Starting"));
    assert!(at("shop-prepare-1  Exited") < at("shop-web-1  Starting"));
    until("the server", || {
        stage.engine.host().sh("curl -sf -m 2 http://127.0.0.1:8080/").stdout == b"hello\n"
    });
    let inside = |script: &str| stage.says(&["exec", "-T", "web", "sh", "-c", script]);
    assert_eq!(
        inside("cat /run/secrets/token /run/secrets/word /settings"),
        "open sesame\nmellonspoken=mellon"
    );
    assert_eq!(inside("stat -c '%a %u' /run/secrets/word"), "440 0");
    assert_eq!(inside("echo $OWN $FILED"), "1 2");
    assert_eq!(inside("wget -qO- http://w/; ip -4 addr | grep -o 10.8.0.7"), "hello\n10.8.0.7");
    assert_eq!(stage.ran(&["exec", "-T", "web", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(stage.says(&["port", "web", "80"]), "0.0.0.0:8080");
    assert_eq!(stage.says(&["logs", "--no-log-prefix", "prepare"]), "prepared");
    let logs = stage.says(&["logs"]);
    assert!(
        logs.contains("web-1      | serving") && logs.contains("prepare-1  | prepared"),
        "{logs}"
    );
    assert!(stage.says(&["top", "web"]).contains("httpd"));
    let stats = stage.says(&["stats", "--no-stream", "--format", "{{.Name}}"]);
    assert_eq!(stats, "shop-db-1\nshop-web-1");
    let copy = stage.engine.scratch().join("copy");
    stage.says(&["cp", "web:/www/index.html", &copy.display().to_string()]);
    assert_eq!(std::fs::read_to_string(copy).expect("copied"), "hello\n");
    let mut rows =
        stage.says(&["ps", "--all", "--format", "{{.Service}} {{.State}} {{.ExitCode}}"]);
    assert_eq!(rows, "db running 0\nprepare exited 0\nweb running 0");
    stage.says(&["stop", "web"]);
    rows = stage.says(&["ps", "--format", "{{.Name}}"]);
    assert_eq!(rows, "shop-db-1");
    stage.says(&["start", "web"]);
    let begun = stage.engine.inspect("shop-web-1", "{{.State.StartedAt}}");
    stage.says(&["restart", "web"]);
    assert_ne!(stage.engine.inspect("shop-web-1", "{{.State.StartedAt}}"), begun);
    let events = stage.says(&["events", "--since", "0", "--until", "0s", "web"]);
    assert!(events.contains("container start") && events.contains("name=shop-web-1"), "{events}");
    assert!(!events.contains("shop-db-1"), "{events}");
    stage.says(&["down", "--volumes"]);
    stage.engine.leaves_nothing();
}

#[test]
fn only_what_has_changed_is_made_anew_and_keeps_its_nameless_volumes() {
    let text = |label: &str| {
        format!(
            "name: shop\nservices:\n  a: {{image: busybox, command: sleep 1000, init: true, labels: {{v: \"{label}\"}}, volumes: [/kept], stop_grace_period: 0s}}\n  b: {{image: busybox, command: sleep 1000, init: true, depends_on: [a], stop_grace_period: 0s}}\n  c: {{image: busybox, command: sleep 1000, init: true, network_mode: \"service:a\", stop_grace_period: 0s}}\n"
        )
    };
    let stage = Stage::new(&text("1"));
    stage.says(&["up", "--detach"]);
    stage.says(&["exec", "-T", "a", "touch", "/kept/mark"]);
    let before = stage.containers();
    std::fs::write(&stage.file, text("2")).expect("scratch");
    stage.says(&["up", "--detach"]);
    let after = stage.containers();
    assert_eq!(names(&after), ["shop-a-1", "shop-b-1", "shop-c-1"]);
    let same: Vec<bool> = before.iter().zip(&after).map(|(old, new)| old == new).collect();
    // c lives in a's network, which is another one now.
    assert_eq!(same, [false, true, false]);
    stage.says(&["exec", "-T", "a", "test", "-e", "/kept/mark"]);
    stage.says(&["up", "--detach", "--scale", "b=3"]);
    assert_eq!(names(&stage.containers()).len(), 5);
    stage.says(&["up", "--detach"]);
    assert_eq!(stage.containers(), after);
    stage.says(&["up", "--detach", "--force-recreate", "b"]);
    let again = stage.containers();
    assert!(again[0] == after[0] && again[1] != after[1], "{again:?}");
    // A service that the files have no more is told of, and goes if wanted.
    std::fs::write(
        &stage.file,
        "name: shop\nservices: {a: {image: busybox, command: sleep 1000}}\n",
    )
    .expect("scratch");
    let told = stage.ran(&["up", "--detach", "--no-recreate"]).err;
    assert!(told.contains("Found orphan containers ([shop-b-1 shop-c-1])"), "{told}");
    stage.says(&["up", "--detach", "--no-recreate", "--remove-orphans"]);
    assert_eq!(names(&stage.containers()), ["shop-a-1"]);
    stage.says(&["down", "--volumes"]);
    stage.engine.leaves_nothing();
}

#[test]
fn profiles_and_commands_that_run_once() {
    let stage = Stage::new(SHOP);
    stage.says(&["up", "--detach", "worker"]);
    assert_eq!(names(&stage.containers()), ["shop-worker-1"]);
    // What it depends on comes up first; its code is ours.
    let ran = stage.ran(&[
        "run",
        "--rm",
        "-T",
        "-e",
        "MORE=3",
        "worker",
        "sh",
        "-c",
        "echo $MORE; exit 4",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (4, "3"), "{ran:?}");
    assert_eq!(names(&stage.containers()), ["shop-worker-1"]);
    let id = stage.says(&["run", "--detach", "--name", "once", "worker", "sleep", "1000"]);
    let label = |kind: &str| {
        stage
            .engine
            .inspect(&id, &format!("{{{{index .Config.Labels \"com.docker.compose.{kind}\"}}}}"))
    };
    assert_eq!((label("oneoff"), label("service")), ("True".into(), "worker".into()));
    stage.says(&["--profile", "work", "down", "--remove-orphans", "--volumes"]);
    assert_eq!(stage.containers(), []);
    stage.engine.leaves_nothing();
}

#[test]
fn a_dependency_that_fails_and_files_that_are_wrong_end_as_composes_do() {
    let text = "name: shop\nservices:\n  a: {image: busybox, command: sleep 1000, depends_on: {b: {condition: service_completed_successfully}}}\n  b: {image: busybox, command: \"sh -c 'exit 3'\", network_mode: none}\n";
    let stage = Stage::new(text);
    let both = |words: &[&str]| {
        let (theirs, ours) = (stage.ran_by_compose(words), stage.ran(words));
        assert_eq!(ours.code, theirs.code, "{words:?}: {ours:?} {theirs:?}");
        ours
    };
    let up = both(&["up", "--detach"]);
    assert!(
        up.code == 1 && up.err.contains("service \"b\" didn't complete successfully: exit 3"),
        "{up:?}"
    );
    assert_eq!(both(&["up", "--detach", "nobody"]).err, "error: no such service: nobody");
    both(&["exec", "-T", "a", "true"]);
    both(&["logs", "nobody"]);
    both(&["down"]);
    both(&["start"]);
    let ended = both(&["up", "--abort-on-container-exit", "b"]);
    assert!(ended.code == 3 && ended.out.contains("b-1 exited with code 3"), "{ended:?}");
    both(&["down"]);
    std::fs::write(&stage.file, "services:\n  a: {image: busybox, comand: x}\n").expect("scratch");
    let wrong = both(&["config"]);
    assert!(
        wrong.code == 15
            && wrong.err.ends_with(
                "compose.yaml:2:23: unknown attribute services.a.comand: did you mean command?"
            ),
        "{wrong:?}"
    );
    std::fs::remove_file(&stage.file).expect("scratch");
    assert_eq!(both(&["config"]).code, 14);
    stage.engine.leaves_nothing();
}

#[test]
fn up_in_the_foreground_shows_lines_until_somebody_interrupts_it() {
    let text = "name: shop\nservices:\n  a: {image: busybox, command: \"sh -c 'echo from a; echo error >&2; exec sleep 1000'\", init: true, network_mode: none, stop_grace_period: 0s}\n";
    let stage = Stage::new(text);
    let file = stage.file.display().to_string();
    let mut command = stage.engine.command(Cli::Cofferdam, &["compose", "--file", &file, "up"]);
    let seen = stage.engine.scratch().join("seen");
    command.stdin(Stdio::null()).stdout(std::fs::File::create(&seen).expect("scratch"));
    let child = command.stderr(Stdio::piped()).spawn().expect("the CLI starts");
    until("the line", || {
        std::fs::read_to_string(&seen).is_ok_and(|text| text.contains("a-1  | from a\n"))
    });
    let pid =
        rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("not 0");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("ours");
    let ran = finish(child, "up");
    assert_eq!(ran.code, 130, "{ran:?} within {PATIENCE:?}");
    assert!(ran.err.contains("a-1  | error") && ran.err.contains("Gracefully stopping"), "{ran:?}");
    assert_eq!(stage.says(&["ps", "--all", "--format", "{{.State}}"]), "exited");
    stage.says(&["down"]);
    stage.engine.leaves_nothing();
}

#[test]
fn images_are_built_where_they_are_missing_and_anew_when_wanted() {
    let text = |word: &str| {
        format!(
            "name: shop\nservices:\n  a:\n    build: {{context: ., args: {{WORD: {word}}}, dockerfile_inline: \"FROM busybox\\nARG WORD\\nRUN echo $$WORD > /word\\n\"}}\n    command: cat /word\n    network_mode: none\n"
        )
    };
    let stage = Stage::new(&text("one"));
    let up = |more: &[&str]| {
        stage.says(&[&["up", "--no-log-prefix"], more].concat()).lines().any(|line| line == "two")
    };
    assert!(!up(&[]));
    std::fs::write(&stage.file, text("two")).expect("scratch");
    assert!(!up(&[]), "what is there is not built again");
    assert!(up(&["--build"]), "another image makes the container anew");
    assert_eq!(stage.says(&["config", "--images"]), "shop-a");
    stage.says(&["down", "--rmi", "local"]);
    assert!(!stage.engine.says(&["images", "--format", "{{.Repository}}"]).contains("shop-a"));
    stage.engine.leaves_nothing();
}
