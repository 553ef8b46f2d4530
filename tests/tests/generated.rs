//! Requests that no client would make: whatever is asked, the answer is one
//! that the API knows, the daemon lives, and nothing is left.
//!
//! `COFFERDAM_SEED=N` makes other requests than every run does, and
//! `COFFERDAM_REQUESTS=N` more of them.

use promises::{
    Engine, PATIENCE,
    ask::{self, Request},
    contract::Contract,
    generate::Generator,
};
use std::collections::BTreeSet;

/// That of every run.
const SEED: u64 = 7;
/// As many as half a minute has room for.
const REQUESTS: usize = 2_500;
/// How many are made between two looks at what they are about.
const ROUND: usize = 50;

/// From the environment.
fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// What the requests are about is there, whatever was done to it.
fn prepare(engine: &Engine) {
    if engine.run(&["image", "inspect", "busybox"]).code != 0 {
        let tar = engine.scratch().join("busybox.tar").display().to_string();
        engine.says(&["import", "--change", "CMD [\"sh\"]", &tar, "busybox"]);
    }
    engine.run(&["network", "create", "--subnet", "10.88.0.0/24", "net"]);
    engine.run(&["volume", "create", "vol"]);
    let wait = "trap 'exit 0' TERM; while :; do sleep 1; done";
    engine.run(&[
        "run",
        "-d",
        "--name",
        "alive",
        "--stop-timeout",
        "1",
        "busybox",
        "sh",
        "-c",
        wait,
    ]);
    engine.run(&["start", "alive"]);
    engine.run(&["run", "--name", "ended", "busybox", "true"]);
    engine.run(&["create", "--name", "made", "busybox", "true"]);
}

/// Containers that requests made go; they would add up.
fn tidy(engine: &Engine) {
    let all = engine.says(&["ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]);
    for line in all.lines() {
        let (id, name) = line.split_once(' ').expect("two words");
        if !matches!(name, "alive" | "ended" | "made") {
            engine.run(&["rm", "--force", "--volumes", id]);
        }
    }
}

/// Names of what a request could have made on the machine itself.
fn machine() -> BTreeSet<String> {
    let names = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect::<Vec<_>>()
    };
    ["/", "."].iter().flat_map(|folder| names(folder)).collect()
}

/// Why an answer is amiss, if it is.
fn faults(contract: &Contract, engine: &Engine, version: u16, request: &Request) -> Vec<String> {
    let target = format!("/v1.{version}{}", request.target);
    let sent = Request { target, ..request.clone() };
    let open = match ask::open(&engine.socket(), &sent, PATIENCE) {
        Ok(open) => open,
        Err(error) => return vec![format!("no answer: {error}")],
    };
    let (answer, whole) = if open.streams() {
        (open.answer.clone(), false)
    } else {
        match open.finish() {
            Ok(answer) => (answer, true),
            Err(error) => return vec![format!("no end of the answer: {error}")],
        }
    };
    let path = request.target.split('?').next().unwrap_or_default();
    let ours = path.starts_with("/cofferdam")
        || ["/audit", "/why", "/filter"].iter().any(|end| path.ends_with(end))
        || (path.starts_with("/networks") && path.ends_with("/update"));
    if ours {
        let known = matches!(answer.status, 200 | 204 | 400 | 403 | 404 | 409);
        // Those that ask a registry, which is not there.
        let unreachable =
            path.starts_with("/cofferdam/manifest") || path.starts_with("/cofferdam/referrers");
        return if known || unreachable { Vec::new() } else { vec![format!("{answer:?}")] };
    }
    contract.judge(version, request, &answer, whole)
}

#[test]
fn nothing_that_is_asked_is_our_fault() {
    let seed = number("COFFERDAM_SEED", SEED);
    let requests = usize::try_from(number("COFFERDAM_REQUESTS", REQUESTS as u64)).expect("a usize");
    let engine = Engine::new();
    let daemon = engine.pid();
    let before = machine();
    let contract = Contract::with(&engine.socket());
    let mut generator = Generator::new(seed);
    let mut all = Vec::new();
    for number in 0..requests {
        if number % ROUND == 0 {
            tidy(&engine);
            prepare(&engine);
        }
        let (version, request) = generator.make();
        let faults = faults(&contract, &engine, version, &request);
        let logged = engine.logged();
        assert!(
            !logged.contains("panicked"),
            "seed {seed}, request {number}: {}\n{logged}",
            shown(version, &request)
        );
        if !faults.is_empty() {
            all.push(format!(
                "request {number}: {}\n    {}",
                shown(version, &request),
                faults.join("\n    ")
            ));
        }
    }
    assert!(all.is_empty(), "seed {seed}: {} of {requests}\n{}", all.len(), all.join("\n"));
    assert_eq!(engine.pid(), daemon);
    assert_eq!(machine(), before, "made on the machine itself");
    for network in engine.says(&["network", "ls", "--quiet", "--filter", "type=custom"]).lines() {
        tidy(&engine);
        engine.run(&["rm", "--force", "alive", "ended", "made"]);
        engine.says(&["network", "rm", network]);
    }
    engine.leaves_nothing();
}

/// A request as far as a person wants to see it.
fn shown(version: u16, request: &Request) -> String {
    let cut = |text: &str| text.chars().take(600).collect::<String>();
    let body = request.body.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    format!(
        "{} /v1.{version}{} {:?} {}",
        request.method,
        cut(&request.target),
        request.headers,
        cut(&body)
    )
}
