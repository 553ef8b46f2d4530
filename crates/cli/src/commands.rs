//! What each word does. This file sends words to their rooms:
//!
//! - [`run`]: run, create, start, attach, exec
//! - [`containers`]: stop, rm, ps, logs, …
//! - [`files`]: cp, export, import, load, save
//! - [`compose`]: projects of several containers
//! - [`images`], [`volumes`], [`networks`], [`system`], [`live`] (stats, events)
//! - [`why`]: what was denied
//! - [`sockets`]: sockets for those who may do less
//! - [`upkeep`]: check, gc, pin; [`migrate`]: what a Docker has
//! - [`registries`]: pull, push, login, search, …

mod build;
mod compose;
mod containers;
mod df;
mod dial;
mod doctor;
mod exec;
mod files;
mod images;
mod info;
mod live;
mod migrate;
mod networks;
mod ports;
mod ps;
mod registries;
mod run;
mod sockets;
mod system;
mod upkeep;
mod volumes;
mod why;

use crate::{
    client::Client,
    complete,
    error::{Error, Outcome},
    man, show,
    words::{Builder, Command, Container, Image, System, Words},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Carries out one command line.
pub async fn run(words: Words) -> Outcome {
    let client = Client::new(words.host.as_deref(), words.context.as_deref(), &words.papers())?;
    command(&client, words.command).await
}

async fn command(client: &Client, command: Command) -> Outcome {
    use Command as C;
    match command {
        C::Run(flags) => run::run(client, *flags.0).await,
        C::Create(flags) => run::create(client, *flags.0).await,
        C::Start(words) => run::start(client, *words.0).await,
        C::Attach(words) => run::attach(client, *words.0).await,
        C::Exec(words) => exec::exec(client, *words.0).await,
        C::Logs(words) => containers::logs(client, *words.0).await,
        C::Stop(words) => containers::stop(client, *words.0, "stop").await,
        C::Restart(words) => containers::stop(client, *words.0, "restart").await,
        C::Kill(words) => containers::kill(client, *words.0).await,
        C::Rm(words) => containers::remove(client, *words.0).await,
        C::Wait(words) => containers::wait(client, *words.0).await,
        C::Ps(words) => ps::list(client, *words.0).await,
        C::Inspect(words) => system::inspect(client, *words.0).await,
        C::Rename(words) => containers::rename(client, *words.0).await,
        C::Top(words) => containers::top(client, *words.0).await,
        C::Cp(words) => files::copy(client, *words.0).await,
        C::Diff(words) => containers::diff(client, &words.name).await,
        C::Export(words) => files::export(client, *words.0).await,
        C::Port(words) => containers::port(client, *words.0).await,
        C::Pause(words) => containers::order_each(client, &words.names, "pause").await,
        C::Unpause(words) => containers::order_each(client, &words.names, "unpause").await,
        C::Update(words) => containers::update(client, *words.0).await,
        C::Stats(words) => live::stats(client, *words.0).await,
        C::Build(words) => Box::pin(build::build(client, *words.0)).await,
        C::Builder(words) => match *words.0 {
            Builder::Build(words) => Box::pin(build::build(client, *words.0)).await,
            Builder::Prune(words) => build::prune(client, words).await,
        },
        C::Commit(words) => images::commit(client, *words.0).await,
        C::Images(words) => images::list(client, *words.0).await,
        C::Import(words) => files::import(client, *words.0).await,
        C::Load(words) => files::load(client, *words.0).await,
        C::Save(words) => files::save(client, *words.0).await,
        C::Pull(words) => registries::pull(client, &words).await,
        C::Push(words) => registries::push(client, *words.0).await,
        C::Login(words) => registries::login(client, *words.0).await,
        C::Logout(words) => registries::logout(&words),
        C::Search(words) => registries::search(client, *words.0).await,
        C::Manifest(words) => registries::manifest(client, *words.0).await,
        C::Tag(words) => images::tag(client, *words.0).await,
        C::Rmi(words) => images::remove(client, *words.0).await,
        C::History(words) => images::history(client, *words.0).await,
        C::Compose(words) => Box::pin(compose::run(client, *words.0)).await,
        C::Volume(words) => volumes::run(client, *words.0).await,
        C::Network(words) => networks::run(client, *words.0).await,
        C::Socket(words) => sockets::run(client, *words.0).await,
        C::Image(words) => Box::pin(image(client, *words.0)).await,
        C::Container(words) => Box::pin(container(client, *words.0)).await,
        C::System(words) => match *words.0 {
            System::Df(words) => df::df(client, *words.0).await,
            System::Prune(words) => system::prune(client, *words.0).await,
            System::Info(words) => system::info(client, *words.0).await,
            System::Events(words) => live::events(client, *words.0).await,
            System::Check(words) => upkeep::check(client, *words.0).await,
            System::Gc(words) => upkeep::gc(client, *words.0).await,
            System::DialStdio => dial::stdio(client).await,
        },
        C::Info(words) => system::info(client, *words.0).await,
        C::Events(words) => live::events(client, *words.0).await,
        C::Version(words) => system::version(client, *words.0).await,
        C::Audit(words) => system::audit(client, *words.0).await,
        C::Why(words) => why::why(client, *words.0).await,
        C::Migrate(words) => migrate::run(client, *words.0).await,
        C::Doctor(words) => doctor::run(client, *words.0).await,
        C::Completion(words) => {
            show::print(complete::script(words.shell))?;
            Ok(0)
        }
        C::Man(words) => man::write(&words.directory),
    }
}

async fn image(client: &Client, words: Image) -> Outcome {
    let same = match words {
        Image::Build(words) => Command::Build(words),
        Image::Ls(words) => Command::Images(words),
        Image::Inspect(words) => return system::inspect_kind(client, *words.0, "image").await,
        Image::Rm(words) => Command::Rmi(words),
        Image::Prune(words) => {
            let freed = images::prune(client, *words.0).await?;
            return freed.map_or(Ok(0), reclaimed);
        }
        Image::Pin(words) => return upkeep::pin(client, &words.names, "pin").await,
        Image::Unpin(words) => return upkeep::pin(client, &words.names, "unpin").await,
        Image::Tag(words) => Command::Tag(words),
        Image::History(words) => Command::History(words),
        Image::Load(words) => Command::Load(words),
        Image::Save(words) => Command::Save(words),
        Image::Import(words) => Command::Import(words),
        Image::Pull(words) => Command::Pull(words),
        Image::Push(words) => Command::Push(words),
        Image::Referrers(words) => return registries::referrers(client, *words.0).await,
    };
    command(client, same).await
}

async fn container(client: &Client, words: Container) -> Outcome {
    use Container as W;
    let same = match words {
        W::Run(words) => Command::Run(words),
        W::Create(words) => Command::Create(words),
        W::Start(words) => Command::Start(words),
        W::Attach(words) => Command::Attach(words),
        W::Exec(words) => Command::Exec(words),
        W::Logs(words) => Command::Logs(words),
        W::Stop(words) => Command::Stop(words),
        W::Restart(words) => Command::Restart(words),
        W::Kill(words) => Command::Kill(words),
        W::Rm(words) => Command::Rm(words),
        W::Wait(words) => Command::Wait(words),
        W::Ls(words) => Command::Ps(words),
        W::Inspect(words) => return system::inspect_kind(client, *words.0, "container").await,
        W::Rename(words) => Command::Rename(words),
        W::Top(words) => Command::Top(words),
        W::Cp(words) => Command::Cp(words),
        W::Diff(words) => Command::Diff(words),
        W::Export(words) => Command::Export(words),
        W::Port(words) => Command::Port(words),
        W::Pause(words) => Command::Pause(words),
        W::Unpause(words) => Command::Unpause(words),
        W::Update(words) => Command::Update(words),
        W::Stats(words) => Command::Stats(words),
        W::Commit(words) => Command::Commit(words),
        W::Prune(words) => {
            let freed = containers::prune(client, *words.0).await?;
            return freed.map_or(Ok(0), reclaimed);
        }
    };
    command(client, same).await
}

/// `KEY=VALUE` filters as the API takes them.
fn filters(list: &[String]) -> Outcome<String> {
    let mut map: BTreeMap<&str, BTreeMap<&str, bool>> = BTreeMap::new();
    for filter in list {
        let Some((key, value)) = filter.split_once('=') else {
            return Err(Error::Words(format!("invalid filter {filter:?}: KEY=VALUE is wanted")));
        };
        map.entry(key.trim()).or_default().insert(value.trim(), true);
    }
    if map.is_empty() { Ok(String::new()) } else { Ok(json!(map).to_string()) }
}

/// Does one thing to each name, going on past failures; prints what was done.
async fn each<F>(names: &[String], mut act: impl FnMut(String) -> F) -> Outcome
where
    F: Future<Output = Outcome<Option<String>>>,
{
    let mut failed = Vec::new();
    for name in names {
        match act(name.clone()).await {
            Ok(Some(done)) => show::print(&format!("{done}\n"))?,
            Ok(None) => {}
            Err(error) => failed.push(error),
        }
    }
    match failed.len() {
        0 => Ok(0),
        1 => Err(failed.remove(0)),
        _ => Err(Error::Several(failed.iter().map(ToString::to_string).collect())),
    }
}

/// What `--force` makes of a thing that is not there: words, and no failure.
fn unless_missing<T>(done: Outcome<T>, force: bool) -> Outcome<Option<T>> {
    match done {
        Err(error @ Error::Engine { status: 404, .. }) if force => {
            eprintln!("error: {error}");
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Asks before something is lost, unless there is nobody to ask.
fn sure(force: bool, what: &str) -> Outcome<bool> {
    if force {
        return Ok(true);
    }
    eprint!("WARNING! This will remove {what}.\nAre you sure you want to continue? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|source| Error::Host {
        doing: "read",
        what: "the answer".into(),
        source,
    })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints the names of what a prune removed, and returns the bytes it freed.
fn pruned(title: &str, names: &Value, space: &Value) -> Outcome<u64> {
    let mut text = String::new();
    if let Some(names) = names.as_array().filter(|names| !names.is_empty()) {
        text.push_str(title);
        text.push_str(":\n");
        for name in names {
            let word = ["Deleted", "Untagged"].iter().find_map(|kind| {
                Some(format!("{}: {}", kind.to_lowercase(), name[*kind].as_str()?))
            });
            text.push_str(&word.unwrap_or_else(|| show::plain(name)));
            text.push('\n');
        }
        text.push('\n');
    }
    show::print(&text)?;
    Ok(space.as_u64().unwrap_or(0))
}

/// Prints how much was freed.
fn reclaimed(bytes: u64) -> Outcome {
    show::print(&format!("Total reclaimed space: {}\n", show::total(bytes)))?;
    Ok(0)
}
