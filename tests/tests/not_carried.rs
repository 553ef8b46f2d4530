//! What is not carried is refused as Docker refuses it where there is no swarm
//! and no plugin: Docker 28.5.2 was asked each of these.

use promises::{
    Engine, PATIENCE,
    ask::{Request, ask},
};
use serde_json::Value;

const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                          swarm join\" to connect this node to swarm and try again.";
const NO_CLUSTER: &str = "volume update only valid for cluster volumes, but swarm is unavailable";
const NO_EXPERIMENTS: &str = "This experimental feature is disabled by default. Start the Docker \
                              daemon in experimental mode in order to enable it.";

/// Status and words for each of some requests: method, path, and a body if
/// there is one.
type Answers = (u16, &'static str, &'static [&'static str]);

/// As Docker answers.
const DOCKERS: &[Answers] = &[
    (
        503,
        NO_MANAGER,
        &[
            "GET /swarm",
            "POST /swarm/update?version=1",
            "POST /swarm/update?version=1 {}",
            "GET /swarm/unlockkey",
            "POST /swarm/unlock",
            r#"POST /swarm/unlock {"UnlockKey":"x"}"#,
            "GET /nodes",
            r#"GET /nodes?filters={"zzz":["1"]}"#,
            "GET /nodes/x",
            "DELETE /nodes/x",
            "POST /nodes/x/update?version=1",
            "POST /nodes/x/update?version=1 {}",
            "GET /services",
            r#"GET /services?filters={"zzz":["1"]}"#,
            "GET /services?status=1",
            "POST /services/create",
            "POST /services/create {}",
            r#"POST /services/create {"Name":"x"}"#,
            "GET /services/x",
            "GET /services/x?insertDefaults=1",
            "DELETE /services/x",
            "POST /services/x/update?version=1 {}",
            "GET /services/x/logs?stdout=1",
            "GET /tasks",
            "GET /tasks/x",
            "GET /tasks/x/logs?stdout=1",
            "GET /secrets",
            "POST /secrets/create",
            "POST /secrets/create {}",
            r#"POST /secrets/create {"Name":"x"}"#,
            "GET /secrets/x",
            "DELETE /secrets/x",
            "POST /secrets/x/update?version=1 {}",
            "GET /configs",
            "POST /configs/create",
            "POST /configs/create {}",
            "GET /configs/x",
            "DELETE /configs/x",
            "POST /configs/x/update?version=1 {}",
            r#"POST /volumes/create {"Name":"x1","ClusterVolumeSpec":{}}"#,
        ],
    ),
    (503, "This node is not part of a swarm", &["POST /swarm/leave", "POST /swarm/leave?force=1"]),
    (
        400,
        "invalid swarm version '': strconv.ParseUint: parsing \"\": invalid syntax",
        &["POST /swarm/update"],
    ),
    (
        400,
        "invalid swarm version 'x': strconv.ParseUint: parsing \"x\": invalid syntax",
        &["POST /swarm/update?version=x {}"],
    ),
    (
        404,
        "page not found",
        &[
            "GET /swarm/nonesuch",
            "POST /swarm/nonesuch",
            "POST /nodes/x",
            "POST /plugins/x/nonesuch",
            "GET /plugins/x",
        ],
    ),
    (
        400,
        "invalid filter",
        &[
            "GET /nodes?filters=x",
            "GET /services?filters=x",
            "GET /tasks?filters=x",
            "GET /secrets?filters=x",
            "GET /configs?filters=x",
            "GET /plugins?filters=x",
        ],
    ),
    (
        400,
        "invalid node version '': strconv.ParseUint: parsing \"\": invalid syntax",
        &["POST /nodes/x/update", "POST /nodes/x/update {}"],
    ),
    (
        400,
        "invalid value for insertDefaults: x: strconv.ParseBool: parsing \"x\": invalid syntax",
        &["GET /services/x?insertDefaults=x"],
    ),
    (
        400,
        "invalid service version '': strconv.ParseUint: parsing \"\": invalid syntax",
        &["POST /services/x/update", "POST /services/x/update {}"],
    ),
    (400, "invalid secret version", &["POST /secrets/x/update", "POST /secrets/x/update {}"]),
    (400, "invalid config version", &["POST /configs/x/update", "POST /configs/x/update {}"]),
    (400, "invalid filter 'zzz'", &[r#"GET /plugins?filters={"zzz":["1"]}"#]),
    (400, "invalid filter 'enabled=[x]'", &[r#"GET /plugins?filters={"enabled":["x"]}"#]),
    (
        404,
        "plugin \"x\" not found",
        &[
            "GET /plugins/x/json",
            "DELETE /plugins/x",
            "DELETE /plugins/x?force=1",
            "POST /plugins/x/enable?timeout=1",
            "POST /plugins/x/disable",
            "POST /plugins/x/push",
            "POST /plugins/x/set",
            "POST /plugins/x/set []",
            r#"POST /plugins/x/set ["a=b"]"#,
        ],
    ),
    (404, "plugin \"a/b\" not found", &["GET /plugins/a/b/json"]),
    (404, "plugin \"x:latest\" not found", &["POST /plugins/x/upgrade?remote=127.0.0.1:1/x []"]),
    (
        503,
        NO_CLUSTER,
        &[
            "PUT /volumes/x",
            "PUT /volumes/x {}",
            "PUT /volumes/x?version=1 {}",
            r#"PUT /volumes/x?version=1 {"Spec":null}"#,
        ],
    ),
    (
        501,
        NO_EXPERIMENTS,
        &[
            "GET /containers/nonesuch/checkpoints",
            r#"POST /containers/nonesuch/checkpoints {"CheckpointID":"x"}"#,
            "DELETE /containers/nonesuch/checkpoints/x",
        ],
    ),
];

/// Where Docker would do it, or falls over itself.
const OURS: &[Answers] = &[
    (
        501,
        "swarm mode is not carried by this engine",
        &[r#"POST /swarm/init {"ListenAddr":"127.0.0.1"}"#, "POST /swarm/join {}"],
    ),
    (400, "invalid JSON: unexpected EOF", &["POST /swarm/init [", "POST /services/create {"]),
    (
        501,
        "plugins of the Docker Engine are not carried by this engine",
        &["GET /plugins/privileges", "POST /plugins/pull?remote=x", "POST /plugins/create?name=x"],
    ),
    (404, "plugin \"x\" not found", &["POST /plugins/x/enable"]),
    (
        400,
        "Bad parameters: you must choose at least one stream",
        &["GET /services/x/logs", "GET /tasks/x/logs"],
    ),
];

fn asked(engine: &Engine, line: &str) -> (u16, String) {
    let mut words = line.splitn(3, ' ');
    let mut next = || words.next().unwrap_or_default();
    let (method, target, body) = (next(), next(), next());
    let mut request = Request::of(method, &target.replace('"', "%22"));
    if !body.is_empty() {
        request = request.with("application/json", body);
    }
    let answer = ask(&engine.socket(), &request, PATIENCE).expect("an answer");
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, value["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_swarm_and_plugins_are_refused_in_dockers_words() {
    let engine = Engine::with(&[]);
    for (status, words, requests) in DOCKERS.iter().chain(OURS) {
        for request in *requests {
            assert_eq!(asked(&engine, request), (*status, (*words).to_owned()), "{request}");
        }
    }
}
