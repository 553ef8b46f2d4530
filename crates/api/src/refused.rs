//! What this engine does not carry, each with the answer that its clients
//! understand best: Docker's own, as one answers that is no part of a swarm
//! and has no plugin. What is wrong with the request comes before.

use crate::answer::Outcome;
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use hyper::StatusCode;

const NO_MANAGER: &str = "This node is not a swarm manager. Use \"docker swarm init\" or \"docker \
                          swarm join\" to connect this node to swarm and try again.";

fn unavailable(words: &str) -> Error {
    Error::new(StatusCode::SERVICE_UNAVAILABLE, words)
}

/// A body is JSON, whatever it says.
fn read(call: &Call) -> Result<(), Error> {
    call.json::<serde_json::Value>().map(drop)
}

/// Anything that only a manager of a swarm can do.
pub fn no_manager(_: &Call) -> Outcome {
    Err(unavailable(NO_MANAGER))
}

/// The same with a body, which is JSON.
pub fn told_no_manager(call: &Call) -> Outcome {
    read(call)?;
    no_manager(call)
}

/// What only a member can do.
pub fn no_member(_: &Call) -> Outcome {
    Err(unavailable("This node is not part of a swarm"))
}

/// A list of a swarm's things. Docker looks at the filters' keys later.
pub fn list(call: &Call) -> Outcome {
    Filters::read(call.query.text("filters"))?;
    no_manager(call)
}

/// A change, which says of what version it is.
pub fn version(call: &Call, noun: &str) -> Outcome {
    read(call)?;
    let version = call.query.text("version");
    if version.parse::<u64>().is_err() {
        // Go's words, which Docker hands on.
        let why = format!("strconv.ParseUint: parsing {version:?}: invalid syntax");
        return Err(Error::bad(format!("invalid {noun} version '{version}': {why}")));
    }
    no_manager(call)
}

/// The same in fewer words.
pub fn bare_version(call: &Call, noun: &str) -> Outcome {
    read(call)?;
    if call.query.text("version").parse::<u64>().is_err() {
        return Err(Error::bad(format!("invalid {noun} version")));
    }
    no_manager(call)
}

/// `docker service inspect`.
pub fn service(call: &Call) -> Outcome {
    let defaults = call.query.text("insertDefaults");
    // What Go reads as a truth value.
    if !matches!(
        defaults,
        "" | "1"
            | "t"
            | "T"
            | "true"
            | "TRUE"
            | "True"
            | "0"
            | "f"
            | "F"
            | "false"
            | "FALSE"
            | "False"
    ) {
        let why = format!("strconv.ParseBool: parsing {defaults:?}: invalid syntax");
        return Err(Error::bad(format!("invalid value for insertDefaults: {defaults}: {why}")));
    }
    no_manager(call)
}

/// `docker service logs`.
pub fn logs(call: &Call) -> Outcome {
    if !call.query.flag("stdout") && !call.query.flag("stderr") {
        return Err(Error::bad("Bad parameters: you must choose at least one stream"));
    }
    no_manager(call)
}

/// Becoming part of a swarm.
pub fn swarm(call: &Call) -> Outcome {
    read(call)?;
    Err(Error::not_carried("swarm mode"))
}

/// `docker checkpoint`.
pub fn checkpoints(call: &Call) -> Outcome {
    if !call.engine.options().experimental {
        return Err(Error::new(
            StatusCode::NOT_IMPLEMENTED,
            "This experimental feature is disabled by default. Start the Docker daemon in \
             experimental mode in order to enable it.",
        ));
    }
    call.engine.container(call.name())?;
    Err(Error::not_carried("checkpointing containers"))
}

fn no_plugin(name: &str) -> Error {
    Error::missing(format!("plugin {name:?} not found"))
}

/// Something about one plugin: there is none.
pub fn plugin(call: &Call) -> Outcome {
    Err(no_plugin(call.name()))
}

/// The same with a body, which is JSON.
pub fn told_plugin(call: &Call) -> Outcome {
    read(call)?;
    plugin(call)
}

/// The same where Docker looks for it with its tag.
pub fn tagged_plugin(call: &Call) -> Outcome {
    read(call)?;
    let name = call.name();
    let last = name.rsplit('/').next().unwrap_or_default();
    Err(if last.contains([':', '@']) {
        no_plugin(name)
    } else {
        no_plugin(&format!("{name}:latest"))
    })
}

/// Taking plugins in.
pub fn plugins(_: &Call) -> Outcome {
    Err(Error::new(
        StatusCode::NOT_IMPLEMENTED,
        "plugins of the Docker Engine are not carried by this engine",
    ))
}

/// Making a volume of a cluster's.
pub fn cluster_volume() -> Error {
    unavailable(NO_MANAGER)
}

/// `docker volume update`.
pub fn cluster_volumes(_: &Call) -> Outcome {
    Err(unavailable("volume update only valid for cluster volumes, but swarm is unavailable"))
}
