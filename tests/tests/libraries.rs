//! What client libraries rely on beside the CLIs. Each promise is one that a
//! library's own tests found broken here and whole with dockerd 28.5.

use promises::{
    Cli, Engine, Registry, Wants,
    kitchen::{Context, id},
    until,
};
use serde_json::{Value, json};

/// Asks the API as a library does; the status, and the bytes as text.
fn ask(engine: &Engine, method: &str, path: &str, body: &Value) -> (u16, String) {
    let with = if body.is_null() {
        String::new()
    } else {
        format!("-H 'Content-Type: application/json' -d '{body}'")
    };
    sent(engine, &format!("-X {method} {with}"), path)
}

/// The same in curl's own words.
fn sent(engine: &Engine, how: &str, path: &str) -> (u16, String) {
    let socket = engine.socket();
    let curl = format!(
        "curl -sS -g -w '\\n%{{http_code}}' {how} --unix-socket {} 'http://x{path}'",
        socket.display()
    );
    let said = engine.host().says(&curl);
    let (body, status) = said.rsplit_once('\n').expect("a status");
    (status.parse().expect("a number"), body.trim_end().to_owned())
}

/// Asks what must be done, and reads the answer.
fn done(engine: &Engine, method: &str, path: &str, body: &Value) -> Value {
    let (status, text) = ask(engine, method, path, body);
    assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
    if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
}

#[test]
fn the_second_request_of_an_exec_says_how_its_output_is_written() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
    for (tty, expected) in [(true, "68 69 0d 0a"), (false, "01 00 00 00 00 00 00 04 68 69 0d 0a")] {
        let wish = json!({"Cmd": ["echo", "hi"], "AttachStdout": true, "Tty": true});
        let made = done(&engine, "POST", "/containers/c/exec", &wish);
        let id = made["Id"].as_str().expect("an id");
        let socket = engine.socket();
        let bytes = engine.host().says(&format!(
            "curl -sS -H 'Content-Type: application/json' -d '{{\"Tty\":{tty}}}' --unix-socket {} \
             http://x/exec/{id}/start | od -An -v -tx1",
            socket.display()
        ));
        let bytes = bytes.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(bytes, expected, "Tty: {tty}");
    }
    engine.leaves_nothing();
}

#[test]
fn a_failed_load_and_push_are_told_in_their_streams() {
    let engine = Engine::new();
    let (status, text) = sent(&engine, "-X POST --data-binary abc", "/images/load");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"errorDetail\":{\"message\":"), "{text}");
    let (status, text) = ask(&engine, "POST", "/images/none/push?tag=v1", &Value::Null);
    assert_eq!(status, 200, "{text}");
    let mut lines = text.lines();
    let first = lines.next().expect("a line");
    assert!(first.contains("The push refers to repository [docker.io/library/none]"), "{text}");
    let last = lines.next().expect("a second");
    assert!(last.contains("An image does not exist locally with the tag: none"), "{text}");
    engine.leaves_nothing();
}

#[test]
fn a_header_of_credentials_that_makes_no_sense_is_as_none() {
    let engine = Engine::new();
    let registry = Registry::start(&engine, "127.0.0.1", 5000, Wants::Nothing);
    let name = registry.name("b");
    engine.says(&["tag", "busybox", &format!("{name}:v1")]);
    let (status, text) =
        sent(&engine, "-X POST -H 'X-Registry-Auth: no?!'", &format!("/images/{name}/push?tag=v1"));
    assert!(status == 200 && text.contains("digest: sha256:"), "{status} {text}");
    drop(registry);
    engine.leaves_nothing();
}

#[test]
fn a_word_that_is_no_platform_is_the_clients_mistake() {
    let engine = Engine::new();
    let query = "/images/create?fromImage=127.0.0.1:1/x&tag=y&platform=foo";
    let (status, text) = ask(&engine, "POST", query, &Value::Null);
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("unknown operating system or architecture: invalid argument"), "{text}");
    engine.leaves_nothing();
}

#[test]
fn files_go_into_a_volume_before_the_first_start() {
    let engine = Engine::new();
    let host = engine.scratch().join("file");
    std::fs::write(&host, "of the host").expect("scratch");
    let bind = format!("{}:/deep/er/file", host.display());
    engine.says(&[
        "create",
        "--name",
        "c",
        "-v",
        "/vol/new",
        "-v",
        &bind,
        "busybox",
        "cat",
        "/vol/new/f",
    ]);
    std::fs::write(engine.scratch().join("f"), "carried").expect("scratch");
    let from = engine.scratch().join("f").display().to_string();
    engine.says_as(Cli::Docker, &["cp", &from, "c:/vol/new/f"]);
    let out = engine.scratch().join("out").display().to_string();
    engine.says_as(Cli::Docker, &["cp", "c:/deep/er/file", &out]);
    assert_eq!(std::fs::read_to_string(&out).expect("copied"), "of the host");
    assert_eq!(engine.says(&["start", "-a", "c"]), "carried");
    let owner = engine.says(&[
        "run",
        "--rm",
        "--volumes-from",
        "c",
        "busybox",
        "stat",
        "-c",
        "%u:%a",
        "/vol/new",
    ]);
    assert_eq!(owner, "0:755");
    engine.leaves_nothing();
}

#[test]
fn a_link_can_be_taken_away() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "db", "busybox", "sleep", "1000"]);
    engine.says(&["run", "-d", "--name", "web", "--link", "db:store", "busybox", "sleep", "1000"]);
    let hosts = || engine.says(&["exec", "web", "cat", "/etc/hosts"]);
    assert!(hosts().contains("store"), "{}", hosts());
    let refused = |link: &str| engine.run_as(Cli::Docker, &["rm", "--link", link]).err;
    assert!(refused("web/none").contains("No such container: web/none"));
    assert!(refused("web").contains("cannot remove the default link name"));
    engine.says_as(Cli::Docker, &["rm", "--link", "web/store"]);
    assert!(!hosts().contains("store"), "{}", hosts());
    assert_eq!(engine.inspect("web", "{{.HostConfig.Links}} {{.State.Running}}"), "[] true");
    assert!(refused("/web/store").contains("No such container: web/store"));
    engine.leaves_nothing();
}

#[test]
fn every_image_that_is_listed_is_counted() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile("FROM busybox\nRUN true\nENV A=1\n");
    context.builds(Cli::Docker, &["-t", "made"]);
    let listed = done(&engine, "GET", "/images/json?all=1", &Value::Null);
    let listed = listed.as_array().expect("a list").len();
    let info = done(&engine, "GET", "/info", &Value::Null);
    assert!(listed > 2, "a step between is listed: {listed}");
    assert_eq!(info["Images"], listed);
    engine.leaves_nothing();
}

#[test]
fn a_build_that_names_its_lenders_takes_from_nothing_else() {
    let engine = Engine::new();
    let context = Context::new(&engine, "c");
    context.dockerfile("FROM busybox\nENV A=1\nRUN echo $A > /a\nRUN [\"/bin/touch\", \"/b\"]\n");
    context.builds(Cli::Docker, &["-t", "lender"]);
    let lent =
        |words: &[&str]| context.builds(Cli::Docker, words).matches("---> Using cache").count();
    assert_eq!(lent(&["--cache-from", "lender"]), 3);
    assert_eq!(lent(&["--cache-from", "none"]), 0);
    assert_eq!(lent(&[]), 3, "and without such words from all that is there");
    engine.leaves_nothing();
}

#[test]
fn what_concerns_no_driver_of_an_endpoint_is_kept_and_shown() {
    let engine = Engine::new();
    let pools = json!({"Config": [{"Subnet": "2001:db8:9::/64"}]});
    done(&engine, "POST", "/networks/create", &json!({"Name": "n", "IPAM": pools}));
    let endpoint = json!({
        "DriverOpts": {"com.example.setting": "on"},
        "IPAMConfig": {"IPv6Address": "2001:db8:9::d"},
    });
    let mut wish = json!({
        "Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": {"NetworkMode": "n"},
        "NetworkingConfig": {"EndpointsConfig": {"n": endpoint}},
    });
    done(&engine, "POST", "/containers/create?name=one", &wish);
    done(&engine, "POST", "/containers/one/start", &Value::Null);
    let shown = done(&engine, "GET", "/containers/one/json", &Value::Null);
    let place = &shown["NetworkSettings"]["Networks"]["n"];
    assert_eq!(place["DriverOpts"], endpoint["DriverOpts"]);
    assert_eq!(place["IPAMConfig"]["IPv6Address"], "2001:db8:9::d");
    assert_eq!(place["GlobalIPv6Address"], "", "the network speaks no IPv6");
    // What would do something, and is not carried, is refused still.
    let options = json!({"com.docker.network.endpoint.other": "1"});
    wish["NetworkingConfig"]["EndpointsConfig"]["n"]["DriverOpts"] = options;
    let (status, text) = ask(&engine, "POST", "/containers/create", &wish);
    assert!(status == 400 && text.contains("is not carried"), "{status} {text}");
    engine.leaves_nothing();
}

#[test]
fn odd_ways_of_asking_are_answered_as_dockers() {
    let engine = Engine::new();
    let of = |method: &str, path: &str| ask(&engine, method, path, &Value::Null);
    assert_eq!(of("OPTIONS", "/v1.51/anything"), (200, String::new()));
    assert_eq!(of("GET", "/networks/").0, 200);
    assert_eq!(of("GET", "/containers/json?filters=null"), (200, "[]".into()));
    let (status, text) = of("GET", "/networks/bridge?scope=swarm");
    assert!(status == 404 && text.contains("network bridge not found"), "{status} {text}");
    let (status, text) = of("GET", "/containers/none/attach/ws");
    assert!(status == 404 && text.contains("No such container: none"), "{status} {text}");
    let (status, text) = of("DELETE", "/containers/none/x");
    assert!(status == 404 && text.contains("No such container: none/x"), "{status} {text}");
    for (wish, words) in [
        (json!({"Env": ["=x"]}), "invalid environment variable: =x"),
        (json!({"HostConfig": {"ExtraHosts": ["x"]}}), "bad format for add-host"),
        (json!({"HostConfig": {"Annotations": {"": "x"}}}), "invalid Annotations"),
    ] {
        let mut wish = wish;
        wish["Image"] = "busybox".into();
        let (status, text) = ask(&engine, "POST", "/containers/create", &wish);
        assert!(status == 400 && text.contains(words), "{status} {text}");
    }
    assert!(!id(&engine, "busybox").is_empty(), "and it lives");
    engine.leaves_nothing();
}

#[test]
fn old_clients_name_images_in_a_parameter_of_their_own() {
    let engine = Engine::new();
    engine.says(&["tag", "busybox", "other:v1"]);
    let tags = |version: &str| -> Vec<String> {
        let path = format!("/{version}/images/json?filter=other");
        let rows = done(&engine, "GET", &path, &Value::Null);
        let tags = rows.as_array().expect("a list").iter().flat_map(|row| {
            row["RepoTags"].as_array().expect("a list").iter().filter_map(Value::as_str)
        });
        tags.map(str::to_owned).collect()
    };
    assert_eq!(tags("v1.40"), ["other:v1"]);
    assert!(tags("v1.41").contains(&"busybox:latest".to_owned()), "it has gone from the API");
    engine.leaves_nothing();
}

#[test]
fn who_looks_into_a_container_is_told_of_in_the_events() {
    let engine = Engine::new();
    engine.says(&["run", "-d", "--name", "c", "busybox", "sleep", "1000"]);
    engine.says_as(Cli::Docker, &["top", "c"]);
    let out = engine.scratch().join("out").display().to_string();
    engine.says_as(Cli::Docker, &["cp", "c:/etc/hostname", &out]);
    let words = ["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"];
    // The client asks up to the second that has begun.
    until("both events", || {
        let events = engine.says_as(Cli::Docker, &words);
        events.ends_with("top\narchive-path")
    });
    engine.leaves_nothing();
}

#[test]
fn a_container_that_changed_nothing_has_no_list_of_changes() {
    let engine = Engine::new();
    engine.says(&["create", "--name", "c", "busybox", "true"]);
    assert_eq!(done(&engine, "GET", "/v1.51/containers/c/changes", &Value::Null), Value::Null);
    for cli in [Cli::Docker, Cli::Cofferdam] {
        assert_eq!(engine.says_as(cli, &["diff", "c"]), "");
    }
    engine.leaves_nothing();
}
