//! `compose`: several containers as one project. What the files say and what
//! is to be done is `compose`'s (the crate); here it is asked of the engine,
//! by the same requests as those of the other words.
//!
//! - [`stage`]: the project that is meant, its containers, how it is told
//! - [`up`]: networks, volumes, images, containers, in that order;
//!   [`containers`] makes them, [`waiting`] waits for those one depends on
//! - [`down`], [`verbs`] (start, stop, …), [`ps`], [`follow`] (logs), [`run`],
//!   [`images`] (build, pull, push), [`config`], [`live`]

mod config;
mod containers;
mod down;
mod follow;
mod images;
mod live;
mod ps;
mod run;
mod stage;
mod up;
mod verbs;
mod waiting;

use crate::{
    client::Client,
    error::Outcome,
    words::{Compose, ComposeCommand},
};
use stage::Stage;

/// Carries out one command.
pub async fn run(client: &Client, words: Compose) -> Outcome {
    use ComposeCommand as C;
    let open = |services: &[String]| Stage::open(client, &words.project, services);
    // Of what is there already the containers tell enough.
    let found = |services: &[String]| Stage::find(client, &words.project, services.to_vec());
    match words.command {
        C::Up(up) => Box::pin(up::up(&open(&up.services)?, *up.0)).await,
        C::Create(up) => Box::pin(up::create(&open(&up.services)?, *up.0)).await,
        C::Run(run) => {
            let stage = open(std::slice::from_ref(&run.service))?;
            Box::pin(run::run(&stage, *run.0)).await
        }
        C::Config(config) => config::config(&words.project, &config.0),
        C::Build(build) => Box::pin(images::build(&open(&build.services)?, *build.0)).await,
        C::Pull(pull) => images::pull(&open(&pull.services)?, *pull.0).await,
        C::Push(push) => images::push(&open(&push.services)?, *push.0).await,
        C::Down(down) => down::down(&found(&down.services).await?, *down.0).await,
        C::Rm(rm) => down::remove(&found(&rm.services).await?, *rm.0).await,
        C::Ps(ps) => ps::list(&found(&ps.names).await?, *ps.0).await,
        C::Logs(logs) => follow::logs(&found(&logs.services).await?, *logs.0).await,
        C::Exec(exec) => verbs::exec(&found(&[]).await?, *exec.0).await,
        C::Start(start) => verbs::start(&found(&start.services).await?, *start.0).await,
        C::Stop(stop) => verbs::stop(&found(&stop.services).await?, *stop.0).await,
        C::Restart(restart) => verbs::restart(&found(&restart.services).await?, *restart.0).await,
        C::Kill(kill) => verbs::kill(&found(&kill.services).await?, *kill.0).await,
        C::Pause(pause) => {
            verbs::freeze(&found(&pause.services).await?, &pause.services, "pause", "Paused").await
        }
        C::Unpause(pause) => {
            let stage = found(&pause.services).await?;
            verbs::freeze(&stage, &pause.services, "unpause", "Unpaused").await
        }
        C::Events(events) => live::events(&found(&events.services).await?, *events.0).await,
        C::Top(top) => live::top(&found(&top.services).await?, &top.services).await,
        C::Stats(stats) => live::stats(&found(&stats.services).await?, *stats.0).await,
        C::Cp(cp) => live::copy(&found(&[]).await?, *cp.0).await,
        C::Port(port) => live::port(&found(&[]).await?, *port.0).await,
    }
}
