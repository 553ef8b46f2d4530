//! What this engine does not carry, each with the answer that its clients
//! understand best.

use crate::answer::Outcome;
use crate::call::Call;
use crate::error::Error;
use hyper::StatusCode;

/// Anything that only a manager of a swarm can do.
pub fn no_manager(_: &Call) -> Outcome {
    Err(Error::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
         connect this node to swarm and try again.",
    ))
}

/// Becoming part of a swarm.
pub fn swarm(_: &Call) -> Outcome {
    Err(Error::not_carried("swarm mode"))
}

/// `docker checkpoint`.
pub fn checkpoints(call: &Call) -> Outcome {
    call.engine.container(call.name())?;
    Err(Error::not_carried("checkpointing containers"))
}

/// `docker plugin inspect`: there are none.
pub fn plugin(call: &Call) -> Outcome {
    Err(Error::missing(format!("plugin {:?} not found", call.name())))
}

/// Everything else about plugins.
pub fn plugins(_: &Call) -> Outcome {
    Err(Error::not_carried("plugins of the Docker Engine"))
}

/// `docker volume update`.
pub fn cluster_volumes(_: &Call) -> Outcome {
    Err(Error::not_carried("changing a cluster volume"))
}
