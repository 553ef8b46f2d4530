//! `compose run`: a command, once, in a new container of a service.

use super::{
    containers::{Making, New},
    images,
    stage::Stage,
    up, waiting,
};
use crate::{
    commands::run as plain_run,
    error::{Error, Outcome},
    request, show, terminal,
    words::{ComposeRun, ComposeUp},
};
use compose::{Kind, Service};
use hyper::Method;
use spec::docker::{CreateBody, Words};
use std::collections::{BTreeMap, BTreeSet};

/// `run`
pub async fn run(stage: &Stage<'_>, words: ComposeRun) -> Outcome {
    let service = stage.project.service(&words.service)?.clone();
    let own = BTreeSet::from([service.name.clone()]);
    let others: Vec<String> = service.depends_on.keys().cloned().collect();
    if !words.no_deps && !others.is_empty() {
        let needed =
            ComposeUp { services: others, quiet_pull: words.quiet_pull, ..ComposeUp::default() };
        let wanted = up::converge(stage, &needed).await?;
        waiting::start(stage, &wanted, |_| async { Ok(()) }).await?;
    }
    let options = images::Wanted {
        build: words.build,
        no_build: false,
        pull: None,
        quiet: words.quiet_pull || stage.is_quiet(),
    };
    let images = images::ensure(stage, &own, &options).await?;
    up::networks(stage, &own).await?;
    up::volumes(stage, &own).await?;
    if words.remove_orphans {
        up::orphans(stage, true, None).await?;
    }
    if !words.no_deps {
        waiting::dependencies(stage, &service.name).await?;
    }
    let mut there: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for here in stage.containers().await?.into_iter().filter(|here| !here.once) {
        there.entry(here.service).or_default().push((here.id, here.name));
    }
    let making = Making { stage, there, images };
    let (id, body) = make(&making, &service, &words).await?;
    if words.detach {
        let path = format!("/containers/{id}/start");
        stage.client.order(Method::POST, &path).await.map_err(Error::starting)?;
        show::print(&format!("{id}\n"))?;
        return Ok(0);
    }
    plain_run::attached(stage.client, &id, &body.config, words.rm).await
}

/// Makes the container, as the words change the service.
async fn make(
    making: &Making<'_>,
    service: &Service,
    words: &ComposeRun,
) -> Outcome<(String, CreateBody)> {
    let mut service = service.clone();
    service.container_name = None;
    service.restart = String::new();
    service.deploy.restart_policy = None;
    service.healthcheck = service.healthcheck.filter(|_| words.detach);
    if !words.service_ports {
        service.ports.clear();
    }
    let name = if let Some(name) = &words.name {
        name.clone()
    } else {
        let digits = format!("{:016x}", u64::from_ne_bytes(random()?));
        format!("{}-{}-run-{}", making.stage.project.name, service.name, &digits[..12])
    };
    let new = New {
        service: &service,
        name: &name,
        first_name: &name,
        number: 1,
        kind: Kind::Once,
        aliases: words.use_aliases,
        inherited: Vec::new(),
    };
    let mut body = making.body(&new)?;
    change(&mut body, words)?;
    let id = making.make(&new, &body).await?;
    Ok((id, body))
}

/// Eight bytes that nobody else has.
fn random() -> Outcome<[u8; 8]> {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes));
    read.map_err(|source| Error::Host { doing: "read", what: "/dev/urandom".into(), source })?;
    Ok(bytes)
}

/// What the words say of the container.
fn change(body: &mut CreateBody, words: &ComposeRun) -> Outcome<()> {
    let tty = !words.no_tty && !words.detach && terminal::is_input();
    let input = words.interactive && !words.detach;
    let (config, host) = (&mut body.config, &mut body.host_config);
    config.tty = tty;
    (config.attach_stdin, config.open_stdin, config.stdin_once) = (input, input, input);
    if !words.command.is_empty() {
        config.cmd = Some(Words(words.command.clone()));
    }
    if let Some(entrypoint) = &words.entrypoint {
        let split = compose::split(entrypoint).ok_or_else(|| {
            Error::Words(format!("--entrypoint {entrypoint:?}: a quote is not closed"))
        })?;
        config.entrypoint = Some(Words(split));
        if words.command.is_empty() {
            config.cmd = Some(Words(Vec::new()));
        }
    }
    for variable in request::environment(&[], &words.env)? {
        let name = variable.split('=').next().unwrap_or_default().to_owned();
        config.env.retain(|other| other.split('=').next() != Some(&name));
        config.env.push(variable);
    }
    if let Some(user) = &words.user {
        config.user.clone_from(user);
    }
    if let Some(directory) = &words.workdir {
        config.working_dir.clone_from(directory);
    }
    config.labels.extend(request::labels(&[], &words.label)?);
    host.auto_remove = words.rm && words.detach;
    host.cap_add.get_or_insert_default().extend(words.cap_add.iter().cloned());
    host.cap_drop.get_or_insert_default().extend(words.cap_drop.iter().cloned());
    for (port, bindings) in request::published(&words.publish)? {
        config.exposed_ports.insert(&port);
        host.port_bindings.add(&port, bindings);
    }
    for volume in &words.volume {
        let (source, rest) = volume.split_once(':').ok_or_else(|| {
            Error::Words(format!("--volume {volume:?}: SOURCE:PATH[:OPTIONS] is wanted"))
        })?;
        let source = if source.starts_with('.') {
            let whole = std::path::absolute(source).map_err(|error| Error::Host {
                doing: "resolve",
                what: source.into(),
                source: error,
            })?;
            whole.display().to_string()
        } else {
            source.to_owned()
        };
        host.binds.get_or_insert_default().push(format!("{source}:{rest}"));
    }
    Ok(())
}
