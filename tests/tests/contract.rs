//! Every answer to every operation is what Docker's API promises: status,
//! headers, media type, and every field of the body, in each version that it
//! differs in. The model is `promises::contract`.
//!
//! `COFFERDAM_CONTRACT_WITH=SOCKET` has another engine, with an image
//! `busybox` and no containers, answer in ours' place: that is how the model
//! was held against Docker's own.

use promises::{
    Engine,
    ask::{Answer, Request},
    contract::{Contract, NEWEST},
    tar, until,
};
use serde_json::{Value, json};
use std::path::PathBuf;

const JSON: &str = "application/json";

/// The oldest, the newest, and the last before something changed.
const VERSIONS: [u16; 12] = [24, 27, 29, 40, 41, 43, 44, 45, 46, 48, 49, 51];

fn value(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
}

fn id(answer: &Answer) -> String {
    value(answer)["Id"].as_str().unwrap_or_default().to_owned()
}

/// Asks with a status in mind.
fn expect(
    contract: &Contract,
    status: u16,
    method: &str,
    target: &str,
    body: Option<&Value>,
) -> Answer {
    let answer = match body {
        Some(body) => contract.tell(method, target, body),
        None => contract.say(method, target),
    };
    if answer.status != status {
        let text = answer.text();
        contract.fault(format!("{method} {target}: {}, not {status}: {text}", answer.status));
    }
    answer
}

/// A container that has something in every field of its record.
const EVERYTHING: &str = r#"{
    "Image": "busybox", "Hostname": "host", "Domainname": "example.org", "User": "0:0",
    "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "OpenStdin": true,
    "StdinOnce": true, "Env": ["A=1"], "Cmd": ["-c", "echo out; echo err >&2; trap 'exit 3' TERM; while :; do sleep 1; done"],
    "Entrypoint": ["sh"], "WorkingDir": "/tmp", "Labels": {"tier": "front"},
    "ExposedPorts": {"80/tcp": {}, "81/udp": {}}, "Volumes": {"/anonymous": {}},
    "StopSignal": "TERM", "StopTimeout": 3, "Shell": ["/bin/sh", "-c"],
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1000000000, "Timeout": 5000000000, "Retries": 2, "StartPeriod": 0},
    "HostConfig": {
        "Mounts": [{"Type": "volume", "Source": "named", "Target": "/named"}, {"Type": "tmpfs", "Target": "/memory", "TmpfsOptions": {"SizeBytes": 1048576, "Mode": 448}}],
        "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 1},
        "Annotations": {"note": "1"}, "CapAdd": ["NET_RAW"], "CapDrop": ["MKNOD"], "Dns": ["192.0.2.53"],
        "DnsOptions": ["ndots:1"], "DnsSearch": ["example.org"], "ExtraHosts": ["other:192.0.2.9"], "GroupAdd": ["50"],
        "IpcMode": "private", "OomScoreAdj": 100, "PidsLimit": 100, "SecurityOpt": ["no-new-privileges"],
        "Tmpfs": {"/more": "size=1m"}, "ShmSize": 1048576, "Sysctls": {"net.ipv4.ip_default_ttl": "63"},
        "CpuShares": 512, "Memory": 67108864, "MemorySwap": 67108864, "Ulimits": [{"Name": "nofile", "Soft": 64, "Hard": 128}],
        "Devices": [{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rwm"}],
        "DeviceCgroupRules": ["c 1:3 r"], "Init": true, "NetworkMode": "made"
    },
    "NetworkingConfig": {"EndpointsConfig": {"made": {"Aliases": ["front"], "IPAMConfig": {"IPv4Address": "10.77.0.9"}}}}
}"#;

fn everything() -> Value {
    serde_json::from_str(EVERYTHING).expect("it is JSON")
}

/// Since the epoch.
fn seconds() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("later than that").as_secs()
}

/// A container that does nothing until it is told to end.
fn waiting(contract: &Contract, name: &str) -> String {
    let body = json!({"Image": "busybox", "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 1; done"], "HostConfig": {"Binds": null}});
    id(&expect(contract, 201, "POST", &format!("/containers/create?name={name}"), Some(&body)))
}

#[test]
fn every_answer_keeps_the_contract() {
    let elsewhere = std::env::var_os("COFFERDAM_CONTRACT_WITH").map(PathBuf::from);
    let engine = if elsewhere.is_some() { None } else { Some(Engine::new()) };
    let socket = elsewhere.or_else(|| engine.as_ref().map(Engine::socket)).expect("one of them");
    let contract = Contract::with(&socket);
    the_engine(&contract);
    networks_and_volumes(&contract);
    a_life(&contract);
    what_is_in_it(&contract);
    programs(&contract);
    images(&contract);
    builds(&contract);
    in_every_version(&contract);
    in_old_words(&contract);
    what_is_wrong(&contract);
    what_is_not_carried(&contract);
    the_end(&contract);
    contract.holds();
    if let Some(engine) = engine {
        engine.leaves_nothing();
    }
}

#[test]
fn every_operation_has_a_row_in_the_page_of_the_api() {
    let page = include_str!("../../docs/API.md");
    let missing = |operation: &String| !page.contains(&format!("| `{operation}` |"));
    let missing: Vec<_> = promises::contract::operations().into_iter().filter(missing).collect();
    assert_eq!(missing, [""; 0]);
}

fn the_engine(contract: &Contract) {
    for method in ["GET", "HEAD"] {
        let ping = contract.say(method, "/_ping");
        for (name, wanted) in
            [("swarm", "inactive"), ("builder-version", "2"), ("pragma", "no-cache")]
        {
            if ping.header(name) != Some(wanted) {
                contract.fault(format!("{method} /_ping: header {name}: {:?}", ping.header(name)));
            }
        }
    }
    expect(contract, 200, "GET", "/version", None);
    expect(contract, 200, "GET", "/info", None);
    expect(contract, 200, "GET", "/plugins", None);
    for kind in ["container", "image", "volume", "build-cache"] {
        let df = expect(contract, 200, "GET", &format!("/system/df?type={kind}"), None);
        let df = value(&df);
        let lists = ["Containers", "Images", "Volumes", "BuildCache"];
        let given =
            lists.iter().filter(|list| df.get(**list).is_some_and(|v| !v.is_null())).count();
        if given > 1 {
            contract.fault(format!("GET /system/df?type={kind}: {df}"));
        }
    }
    expect(
        contract,
        500,
        "POST",
        "/auth",
        Some(&json!({"username": "a", "password": "b", "serveraddress": "127.0.0.1:1"})),
    );
    expect(contract, 500, "GET", "/distribution/127.0.0.1:1%2Fx/json", None);
}

fn networks_and_volumes(contract: &Contract) {
    let network = json!({"Name": "made", "Driver": "bridge", "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.77.0.0/24", "IPRange": "10.77.0.0/25", "Gateway": "10.77.0.1", "AuxiliaryAddresses": {"router": "10.77.0.3"}}]}, "Options": {"com.docker.network.bridge.enable_icc": "true"}, "Labels": {"tier": "back"}});
    expect(contract, 201, "POST", "/networks/create", Some(&network));
    expect(contract, 409, "POST", "/networks/create", Some(&network));
    expect(contract, 200, "GET", "/networks/made", None);
    expect(
        contract,
        200,
        "GET",
        "/networks?filters=%7B%22label%22%3A%5B%22tier%3Dback%22%5D%7D",
        None,
    );
    let volume = json!({"Name": "named", "Driver": "local", "Labels": {"tier": "back"}});
    expect(contract, 201, "POST", "/volumes/create", Some(&volume));
    expect(contract, 201, "POST", "/volumes/create", Some(&json!({})));
    expect(contract, 200, "GET", "/volumes", None);
    expect(contract, 200, "GET", "/volumes/named", None);
}

fn a_life(contract: &Contract) {
    let since = seconds();
    let full =
        id(&expect(contract, 201, "POST", "/containers/create?name=full", Some(&everything())));
    // Who waits is told at once that it will be told.
    let wait =
        contract.open(NEWEST, &Request::of("POST", "/containers/full/wait?condition=next-exit"));
    expect(contract, 204, "POST", "/containers/full/start", None);
    expect(contract, 304, "POST", "/containers/full/start", None);
    until("a health check", || {
        let seen = value(&contract.say("GET", "/containers/full/json"));
        seen["State"]["Health"]["Log"].as_array().is_some_and(|log| !log.is_empty())
    });
    expect(contract, 200, "GET", "/containers/full/json?size=1", None);
    expect(
        contract,
        200,
        "GET",
        &format!("/containers/{}/json", &full[..full.len().min(12)]),
        None,
    );
    expect(contract, 200, "GET", "/containers/json?all=1&size=1", None);
    expect(contract, 200, "GET", "/networks/made", None);
    expect(contract, 200, "GET", "/containers/full/stats?stream=0", None);
    expect(contract, 200, "GET", "/containers/full/stats?stream=0&one-shot=1", None);
    contract.ask_until(NEWEST, &Request::of("GET", "/containers/full/stats"), |body| {
        body.ends_with(b"\n")
    });
    expect(contract, 204, "POST", "/containers/full/pause", None);
    expect(contract, 409, "POST", "/containers/full/pause", None);
    expect(contract, 200, "GET", "/containers/json", None);
    expect(contract, 204, "POST", "/containers/full/unpause", None);
    let limits =
        json!({"Memory": 134_217_728, "MemorySwap": 134_217_728, "RestartPolicy": {"Name": "no"}});
    expect(contract, 200, "POST", "/containers/full/update", Some(&limits));
    expect(contract, 204, "POST", "/containers/full/rename?name=whole", None);
    expect(contract, 204, "POST", "/containers/whole/rename?name=full", None);
    expect(contract, 204, "POST", "/containers/full/restart?t=3", None);
    expect(contract, 204, "POST", "/containers/full/stop?t=3", None);
    expect(contract, 304, "POST", "/containers/full/stop", None);
    if wait.answer.status != 200 {
        contract.fault(format!("wait: {:?}", wait.answer));
    }
    match wait.finish() {
        Ok(answer) if value(&answer)["StatusCode"].is_u64() => {}
        other => contract.fault(format!("wait: {other:?}")),
    }
    for condition in ["", "?condition=not-running"] {
        expect(contract, 200, "POST", &format!("/containers/full/wait{condition}"), None);
    }
    expect(contract, 200, "GET", "/containers/full/stats?stream=0", None);
    expect(contract, 200, "GET", "/containers/json?all=1", None);
    expect(contract, 204, "POST", "/containers/full/start", None);
    expect(contract, 204, "POST", "/containers/full/kill?signal=KILL", None);
    expect(contract, 200, "POST", "/containers/full/wait", None);
    // As many as there are in whole seconds; those of this one are to come.
    let until = seconds() + 1;
    let list = format!("/events?since={since}&until={until}");
    let events = expect(contract, 200, "GET", &list, None);
    if events.body.is_empty() {
        contract.fault("GET /events: none of a whole life".into());
    }
}

fn what_is_in_it(contract: &Contract) {
    waiting(contract, "still");
    expect(contract, 204, "POST", "/containers/still/start", None);
    expect(contract, 200, "GET", "/containers/still/top", None);
    expect(contract, 200, "GET", "/containers/still/top?ps_args=aux", None);
    expect(contract, 200, "GET", "/containers/still/changes", None);
    let files = tar::of(&[("note", "one\n"), ("other", "two\n")]);
    let put =
        Request::of("PUT", "/containers/still/archive?path=/root").with("application/x-tar", files);
    contract.ask(NEWEST, &put);
    expect(contract, 200, "GET", "/containers/still/changes", None);
    let stat = expect(contract, 200, "HEAD", "/containers/still/archive?path=/root/note", None);
    let got = expect(contract, 200, "GET", "/containers/still/archive?path=/root/note", None);
    for answer in [stat, got] {
        if answer.header("x-docker-container-path-stat").is_none_or(str::is_empty) {
            contract.fault("archive: no stat in the head".into());
        }
    }
    expect(contract, 200, "GET", "/containers/still/export", None);
    for version in [41, 42, NEWEST] {
        for query in [
            "stdout=1",
            "stdout=1&stderr=1&timestamps=1&tail=1",
            "stdout=1&details=1&since=1&until=9999999999",
        ] {
            contract.ask(version, &Request::of("GET", &format!("/containers/full/logs?{query}")));
        }
    }
    for (version, upgrade) in [(41, true), (NEWEST, true), (41, false), (NEWEST, false)] {
        let attach = "/containers/still/attach?stream=1&stdout=1&stderr=1";
        let mut request = Request::of("POST", attach);
        if upgrade {
            request = request.header("Connection", "Upgrade").header("Upgrade", "tcp");
        }
        contract.ask_until(version, &request, |_| true);
    }
    let framed = Request::of("GET", "/containers/still/attach/ws?stream=1&stdout=1")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==");
    contract.ask_until(NEWEST, &framed, |_| true);
    expect(
        contract,
        200,
        "POST",
        "/networks/made/connect",
        Some(&json!({"Container": "still", "EndpointConfig": {"Aliases": ["calm"]}})),
    );
    expect(contract, 200, "GET", "/containers/still/json", None);
    expect(
        contract,
        200,
        "POST",
        "/networks/made/disconnect",
        Some(&json!({"Container": "still"})),
    );
}

fn programs(contract: &Contract) {
    let exec = |body: &Value| {
        let made = expect(contract, 201, "POST", "/containers/still/exec", Some(body));
        id(&made)
    };
    let plain = exec(
        &json!({"Cmd": ["sh", "-c", "echo hi; exit 3"], "AttachStdout": true, "AttachStderr": true, "Env": ["A=1"], "User": "0"}),
    );
    expect(contract, 200, "GET", &format!("/exec/{plain}/json"), None);
    let start = |id: &str, body: &Value, upgrade: bool| {
        let mut request =
            Request::of("POST", &format!("/exec/{id}/start")).with(JSON, body.to_string());
        if upgrade {
            request = request.header("Connection", "Upgrade").header("Upgrade", "tcp");
        }
        contract.ask(NEWEST, &request)
    };
    start(&plain, &json!({}), false);
    until("its end", || {
        let seen = value(&contract.say("GET", &format!("/exec/{plain}/json")));
        seen["ExitCode"] == 3
    });
    expect(contract, 200, "GET", &format!("/exec/{plain}/json"), None);
    let typed = exec(
        &json!({"Cmd": ["sh", "-c", "echo hi"], "AttachStdout": true, "Tty": true, "ConsoleSize": [20, 80]}),
    );
    start(&typed, &json!({"Tty": true, "ConsoleSize": [20, 80]}), true);
    let long = exec(&json!({"Cmd": ["sleep", "1000"], "Tty": true}));
    let body = json!({"Detach": true, "Tty": true});
    let detached = Request::of("POST", &format!("/exec/{long}/start")).with(JSON, body.to_string());
    let answer = promises::ask::ask(contract.socket(), &versioned(&detached), promises::PATIENCE);
    if !answer.as_ref().is_ok_and(|answer| answer.status == 200 && answer.body.is_empty()) {
        contract.fault(format!("a detached exec: {answer:?}"));
    }
    expect(contract, 200, "POST", &format!("/exec/{long}/resize?h=10&w=20"), None);
    expect(contract, 200, "GET", &format!("/exec/{long}/json"), None);
    expect(contract, 200, "GET", "/containers/still/json", None);
    let terminal =
        json!({"Image": "busybox", "Cmd": ["sleep", "1000"], "Tty": true, "StopSignal": "KILL"});
    expect(contract, 201, "POST", "/containers/create?name=typed", Some(&terminal));
    expect(contract, 204, "POST", "/containers/typed/start", None);
    expect(contract, 200, "POST", "/containers/typed/resize?h=10&w=20", None);
    expect(contract, 200, "GET", "/containers/typed/logs?stdout=1", None);
}

fn versioned(request: &Request) -> Request {
    Request { target: format!("/v1.{NEWEST}{}", request.target), ..request.clone() }
}

fn images(contract: &Contract) {
    let made = expect(
        contract,
        201,
        "POST",
        "/commit?container=still&repo=made&tag=1&comment=c&author=a&changes=ENV%20A%3D1",
        Some(&json!({"Labels": {"tier": "back"}})),
    );
    let image = id(&made);
    expect(contract, 200, "GET", "/images/made:1/json", None);
    expect(contract, 200, "GET", &format!("/images/{image}/json"), None);
    expect(contract, 200, "GET", "/images/json?all=1&shared-size=1", None);
    expect(contract, 200, "GET", "/images/made:1/history", None);
    expect(contract, 201, "POST", "/images/made:1/tag?repo=example.org%2Fdeep%2Fname&tag=2", None);
    expect(contract, 200, "GET", "/images/example.org/deep/name:2/json", None);
    let saved = expect(contract, 200, "GET", "/images/made:1/get", None);
    expect(contract, 200, "GET", "/images/get?names=made:1&names=busybox", None);
    expect(contract, 200, "DELETE", "/images/example.org/deep/name:2", None);
    expect(contract, 200, "DELETE", "/images/made:1", None);
    let load = Request::of("POST", "/images/load").with("application/x-tar", saved.body);
    contract.ask(NEWEST, &load);
    expect(contract, 200, "DELETE", "/images/made:1", None);
    let root = tar::of(&[("note", "one\n")]);
    let import = Request::of("POST", "/images/create?fromSrc=-&repo=imported&message=m")
        .with("application/x-tar", root);
    contract.ask(NEWEST, &import);
    expect(contract, 200, "GET", "/images/imported/json", None);
    expect(contract, 200, "DELETE", "/images/imported", None);
    expect(contract, 500, "POST", "/images/create?fromImage=127.0.0.1%3A1%2Fnonesuch&tag=1", None);
    expect(contract, 201, "POST", "/images/busybox/tag?repo=127.0.0.1%3A1%2Fbusybox&tag=1", None);
    let push = Request::of("POST", "/images/127.0.0.1:1/busybox/push?tag=1")
        .header("X-Registry-Auth", "e30=");
    contract.ask(NEWEST, &push);
    expect(contract, 200, "DELETE", "/images/127.0.0.1:1/busybox:1", None);
    expect(contract, 200, "POST", "/images/prune", None);
}

fn builds(contract: &Contract) {
    let build = |query: &str, file: &str| {
        let context = tar::of(&[("Dockerfile", file), ("note", "one\n")]);
        contract.ask(
            NEWEST,
            &Request::of("POST", &format!("/build?{query}")).with("application/x-tar", context),
        );
    };
    build(
        "t=built&rm=1&labels=%7B%22a%22%3A%22b%22%7D",
        "FROM busybox\nCOPY note /note\nRUN true\nENV A=1\n",
    );
    build("t=broken", "FROM busybox\nRUN exit 3\n");
    expect(contract, 200, "GET", "/images/built/json", None);
    expect(contract, 200, "GET", "/images/built/history", None);
    expect(contract, 200, "GET", "/system/df", None);
    expect(contract, 200, "DELETE", "/images/built", None);
    expect(contract, 200, "POST", "/build/prune?all=1", None);
    expect(contract, 200, "POST", "/build/cancel?id=nonesuch", None);
    for door in ["/grpc", "/session"] {
        let request = Request::of("POST", door)
            .header("Connection", "Upgrade")
            .header("Upgrade", "h2c")
            .header("X-Docker-Expose-Session-Uuid", "contract");
        contract.ask_until(NEWEST, &request, |_| true);
    }
}

fn in_every_version(contract: &Contract) {
    expect(contract, 204, "POST", "/containers/full/start", None);
    let lists = [
        "/_ping",
        "/version",
        "/info",
        "/system/df",
        "/containers/json?all=1&size=1",
        "/containers/full/json?size=1",
        "/containers/still/json",
        "/containers/still/top",
        "/containers/still/changes",
        "/images/json?all=1",
        "/images/busybox/json",
        "/images/busybox/history",
        "/volumes",
        "/volumes/named",
        "/networks",
        "/networks/made",
        "/events?since=1&until=2",
        "/containers/still/stats?stream=0&one-shot=1",
        "/plugins",
    ];
    for version in VERSIONS {
        for list in lists {
            let answer = contract.ask(version, &Request::of("GET", list));
            if answer.status != 200 {
                contract.fault(format!("GET {list} (1.{version}): {}", answer.text()));
            }
        }
    }
    expect(contract, 204, "POST", "/containers/full/kill", None);
}

/// What older versions say in words of their own.
fn in_old_words(contract: &Contract) {
    let made = id(&expect(contract, 201, "POST", "/commit?container=still", None));
    let listed = |version, list: &str| {
        let rows = value(&contract.ask(version, &Request::of("GET", list)));
        rows.as_array().cloned().unwrap_or_default()
    };
    for (version, tags) in [(42, json!(["<none>:<none>"])), (43, json!([]))] {
        let rows = listed(version, "/images/json?all=1");
        let row = rows.iter().find(|row| row["Id"] == *made).cloned().unwrap_or_default();
        if row["RepoTags"] != tags {
            contract.fault(format!("GET /images/json (1.{version}): {row}"));
        }
    }
    expect(contract, 200, "DELETE", &format!("/images/{made}"), None);
    for (version, has) in [(45, false), (46, true)] {
        let rows = listed(version, "/containers/json?all=1");
        let row = rows.iter().find(|row| row["Names"][0] == "/full").cloned().unwrap_or_default();
        if row["HostConfig"].get("Annotations").is_some() != has {
            contract.fault(format!("GET /containers/json (1.{version}): {row}"));
        }
    }
    for (version, by_id) in [(44, true), (45, false)] {
        let request = Request::of("GET", "/containers/full/json");
        let seen = value(&contract.ask(version, &request));
        let short = seen["Id"].as_str().and_then(|id| id.get(..12)).unwrap_or_default();
        let aliases = &seen["NetworkSettings"]["Networks"]["made"]["Aliases"];
        let called = |name: &str| aliases.as_array().is_some_and(|all| all.contains(&name.into()));
        if called(short) != by_id || called("host") != by_id || !called("front") {
            contract.fault(format!("GET /containers/full/json (1.{version}): {aliases}"));
        }
    }
}

fn what_is_wrong(contract: &Contract) {
    for (status, method, target) in [
        (404, "GET", "/containers/nonesuch/json"),
        (404, "GET", "/containers/nonesuch/top"),
        (404, "GET", "/containers/nonesuch/logs?stdout=1"),
        (400, "GET", "/containers/full/logs"),
        (404, "GET", "/containers/nonesuch/changes"),
        (404, "GET", "/containers/nonesuch/export"),
        (404, "GET", "/containers/nonesuch/stats"),
        (404, "POST", "/containers/nonesuch/start"),
        (404, "POST", "/containers/nonesuch/stop"),
        (404, "POST", "/containers/nonesuch/restart"),
        (404, "POST", "/containers/nonesuch/kill"),
        (400, "POST", "/containers/still/kill?signal=NOPE"),
        (409, "POST", "/containers/full/kill"),
        (404, "POST", "/containers/nonesuch/pause"),
        (409, "POST", "/containers/full/pause"),
        (409, "POST", "/containers/still/unpause"),
        (404, "POST", "/containers/nonesuch/wait"),
        (400, "POST", "/containers/full/wait?condition=nonesuch"),
        (409, "DELETE", "/containers/still"),
        (404, "DELETE", "/containers/nonesuch"),
        (404, "POST", "/containers/nonesuch/rename?name=some"),
        (400, "POST", "/containers/full/rename"),
        (409, "POST", "/containers/full/rename?name=still"),
        (400, "POST", "/containers/full/rename?name=a%2Fb"),
        (404, "POST", "/containers/nonesuch/attach"),
        (404, "GET", "/containers/still/archive?path=/nonesuch"),
        (400, "GET", "/containers/still/archive"),
        (400, "POST", "/containers/still/resize?h=x&w=1"),
        (409, "POST", "/containers/full/resize?h=1&w=1"),
        (404, "GET", "/exec/nonesuch/json"),
        (404, "POST", "/exec/nonesuch/start"),
        (404, "POST", "/exec/nonesuch/resize?h=1&w=1"),
        (404, "GET", "/images/nonesuch/json"),
        (404, "GET", "/images/nonesuch/history"),
        (404, "GET", "/images/nonesuch/get"),
        (404, "DELETE", "/images/nonesuch"),
        (404, "POST", "/images/nonesuch/tag?repo=some"),
        (400, "POST", "/images/busybox/tag?repo=UPPER"),
        (404, "GET", "/networks/nonesuch"),
        (404, "DELETE", "/networks/nonesuch"),
        (403, "DELETE", "/networks/bridge"),
        (404, "GET", "/volumes/nonesuch"),
        (404, "DELETE", "/volumes/nonesuch"),
        (409, "DELETE", "/volumes/named"),
        (400, "GET", "/containers/json?filters=x"),
        (400, "GET", "/containers/json?filters=%7B%22zzz%22%3A%5B%22a%22%5D%7D"),
        (400, "GET", "/images/json?filters=%7B%22zzz%22%3A%5B%22a%22%5D%7D"),
        (400, "GET", "/networks?filters=%7B%22zzz%22%3A%5B%22a%22%5D%7D"),
        (400, "GET", "/volumes?filters=%7B%22zzz%22%3A%5B%22a%22%5D%7D"),
        (400, "GET", "/events?filters=%7B%22zzz%22%3A%5B%22a%22%5D%7D"),
        (400, "GET", "/system/df?type=nonesuch"),
        (404, "POST", "/commit?container=nonesuch"),
        (400, "GET", "/images/search?term=x&limit=200"),
    ] {
        expect(contract, status, method, target, None);
    }
    for (status, target, body) in [
        (404, "/containers/create", json!({"Image": "nonesuch"})),
        (400, "/containers/create", json!({})),
        (409, "/containers/create?name=full", json!({"Image": "busybox"})),
        (400, "/containers/create?name=a%2Fb", json!({"Image": "busybox"})),
        (400, "/containers/still/exec", json!({})),
        (404, "/containers/nonesuch/exec", json!({"Cmd": ["true"]})),
        (409, "/containers/full/exec", json!({"Cmd": ["true"]})),
        (400, "/networks/create", json!({"Name": ""})),
        (403, "/networks/create", json!({"Name": "bridge"})),
        (404, "/networks/nonesuch/connect", json!({"Container": "still"})),
        (404, "/networks/made/connect", json!({"Container": "nonesuch"})),
        (404, "/containers/nonesuch/update", json!({})),
        (400, "/volumes/create", json!({"Name": "a/b"})),
    ] {
        expect(contract, status, "POST", target, Some(&body));
    }
}

fn what_is_not_carried(contract: &Contract) {
    for operation in promises::contract::refused() {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let path = path
            .replace("{id}", "full")
            .replace("{name}", "nonesuch")
            .replace("{checkpoint}", "one");
        let body = json!({"Name": "x"});
        let body = (method == "POST").then_some(&body);
        let request = match body {
            Some(body) => Request::of(method, &path).with(JSON, body.to_string()),
            None => Request::of(method, &path),
        };
        contract.ask(NEWEST, &request);
    }
}

fn the_end(contract: &Contract) {
    for name in ["full", "still", "typed"] {
        expect(contract, 204, "DELETE", &format!("/containers/{name}?force=1&v=1"), None);
    }
    waiting(contract, "last");
    expect(contract, 200, "POST", "/containers/prune", None);
    expect(contract, 200, "POST", "/volumes/prune", None);
    expect(contract, 204, "DELETE", "/volumes/named", None);
    expect(contract, 204, "DELETE", "/networks/made", None);
    expect(contract, 200, "POST", "/networks/prune", None);
}
