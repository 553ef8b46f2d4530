//! `build`, and the pruning of its cache.

use super::{filters, pruned, reclaimed, sure};
use crate::{
    client::{Client, query},
    context::{self, Context},
    credentials::Config,
    error::{Error, Outcome},
    progress::{self, To},
    request, show,
    words::{Build, BuilderPrune},
};
use base64::prelude::{BASE64_URL_SAFE, Engine as _};
use http_body_util::BodyExt as _;
use hyper::{Method, body::Incoming};
use serde_json::{Map, Value, json};
use spec::docker::HostConfig;
use std::{fs, path::Path};

fn host(doing: &'static str, what: &str) -> impl FnOnce(std::io::Error) -> Error {
    let what = what.to_owned();
    move |source| Error::Host { doing, what, source }
}

/// Where the files go instead of staying an image.
enum Output {
    Dir(String),
    Tar(String),
}

/// `build`
pub async fn build(client: &Client, words: Build) -> Outcome {
    if !matches!(words.progress.as_str(), "auto" | "plain" | "tty" | "quiet" | "") {
        let words = format!("--progress {} is not carried: auto or plain", words.progress);
        return Err(Error::Words(words));
    }
    let output = output(&words.output)?;
    let context = context::find(&words.context, words.file.as_deref())?;
    let asked = asked(&words, &context)?;
    let mut headers = vec![("X-Registry-Config", known()?)];
    if !words.secret.is_empty() {
        headers.push(("X-Cofferdam-Secrets", secrets(&words.secret)?));
    }
    let quiet = words.quiet || words.progress == "quiet";
    let answer = client
        .upload_with(Method::POST, &format!("/build{asked}"), context.body(), &headers)
        .await?;
    let id = follow(answer.into_body(), quiet).await?;
    if let Some(file) = &words.iidfile {
        fs::write(file, &id).map_err(host("write", file))?;
    }
    match output {
        None if quiet => show::print(&format!("{id}\n"))?,
        None => {}
        Some(output) => write_out(client, &id, output).await?,
    }
    Ok(0)
}

/// Shows how it goes; the image's identifier.
async fn follow(body: Incoming, quiet: bool) -> Outcome<String> {
    let mut board = progress::Board::on(To::Out);
    let mut id = String::new();
    progress::each(body, |message| {
        if let Some(error) = message["error"].as_str() {
            let code = message["errorDetail"]["code"].as_u64();
            let code = code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
            let message = error.to_owned();
            return Err(match code {
                Some(code) => Error::Start { message, code },
                None => Error::Engine { status: 500, message },
            });
        }
        if let Some(aux) = message["aux"]["ID"].as_str() {
            aux.clone_into(&mut id);
        }
        let text = board.text(&message);
        if !quiet {
            return show::print(&text);
        }
        // The last thing said is the identifier.
        if text.starts_with("sha256:") {
            text.trim().clone_into(&mut id);
        }
        Ok(())
    })
    .await?;
    if id.is_empty() {
        return Err(Error::Unfit(
            "the engine's answer broke off before the image was built".into(),
        ));
    }
    Ok(id)
}

fn asked(words: &Build, context: &Context) -> Outcome<String> {
    let mut args = Map::new();
    for arg in &words.build_arg {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), std::env::var(arg).ok()),
        };
        args.insert(name.to_owned(), json!(value));
    }
    let labels = request::labels(&[], &words.label)?;
    let hosts = request::hosts(&words.add_host)?;
    let mut limits = HostConfig::default();
    request::ulimits(&words.ulimit, &mut limits)?;
    let bytes = |text: &Option<String>| {
        text.as_deref()
            .map(request::bytes)
            .transpose()
            .map(|n| n.map_or(String::new(), |n| n.to_string()))
    };
    let number = |number: Option<i64>| number.map_or(String::new(), |n| n.to_string());
    let on = |flag| if flag { "1" } else { "" };
    let list =
        |list: &[String]| if list.is_empty() { String::new() } else { json!(list).to_string() };
    let map = |empty: bool, map: Value| if empty { String::new() } else { map.to_string() };
    let pairs = [
        ("dockerfile", context.dockerfile.clone()),
        ("remote", context.remote.clone()),
        ("buildargs", map(args.is_empty(), json!(args))),
        ("labels", map(labels.is_empty(), json!(labels))),
        ("target", words.target.clone()),
        ("nocache", on(words.no_cache).into()),
        ("pull", on(words.pull).into()),
        ("cachefrom", list(&words.cache_from)),
        ("networkmode", words.network.clone()),
        ("extrahosts", hosts.join(",")),
        ("platform", words.platform.clone()),
        ("q", on(words.quiet).into()),
        ("rm", if words.rm { "1" } else { "0" }.into()),
        ("forcerm", on(words.force_rm).into()),
        ("squash", on(words.squash).into()),
        ("memory", bytes(&words.memory)?),
        (
            "memswap",
            words.memory_swap.as_deref().map_or(Ok(String::new()), |text| match text {
                "-1" => Ok(text.to_owned()),
                text => request::bytes(text).map(|n| n.to_string()),
            })?,
        ),
        ("cpuperiod", number(words.cpu_period)),
        ("cpuquota", number(words.cpu_quota)),
        ("cpushares", number(words.cpu_shares)),
        ("cpusetcpus", words.cpuset_cpus.clone()),
        ("cpusetmems", words.cpuset_mems.clone()),
        ("cgroupparent", words.cgroup_parent.clone()),
        ("shmsize", bytes(&words.shm_size)?),
        ("ulimits", map(limits.ulimits.is_none(), json!(limits.ulimits))),
    ];
    let mut pairs: Vec<(&str, &str)> =
        pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    pairs.extend(words.tag.iter().map(|tag| ("t", tag.as_str())));
    Ok(query(&pairs))
}

/// Who the person is to every registry, as Docker's CLI says it: which of them
/// a build asks is known to the engine alone, for variables, triggers of bases
/// and Dockerfiles that are elsewhere name some.
fn known() -> Outcome<String> {
    let (known, failures) = Config::read()?.all();
    for failure in failures {
        eprint!("WARNING! What is kept for a registry is not sent along:\n{}", failure.report());
    }
    Ok(BASE64_URL_SAFE.encode(json!(known).to_string()))
}

/// `--secret`, as our own engine takes them.
fn secrets(list: &[String]) -> Outcome<String> {
    let mut secrets = Map::new();
    for words in list {
        let (mut id, mut file, mut variable) = (None, None, None);
        for word in words.split(',') {
            match word.split_once('=') {
                Some(("id", value)) => id = Some(value),
                Some(("src" | "source", value)) => file = Some(value),
                Some(("env", value)) => variable = Some(value),
                Some(("type", "file" | "env")) => {}
                _ => {
                    let words =
                        format!("--secret {words:?}: id=NAME[,src=FILE|,env=VARIABLE] is wanted");
                    return Err(Error::Words(words));
                }
            }
        }
        let Some(id) = id else {
            return Err(Error::Words(format!("--secret {words:?} has no id")));
        };
        let bytes = match (file, variable) {
            (Some(file), _) => fs::read(file).map_err(host("read", file))?,
            (None, Some(name)) => std::env::var(name)
                .map_err(|_| Error::Words(format!("--secret: ${name} is not set")))?
                .into_bytes(),
            (None, None) => match std::env::var(id) {
                Ok(value) => value.into_bytes(),
                Err(_) => fs::read(id).map_err(host("read", id))?,
            },
        };
        secrets.insert(id.to_owned(), json!(BASE64_URL_SAFE.encode(bytes)));
    }
    Ok(BASE64_URL_SAFE.encode(Value::Object(secrets).to_string()))
}

/// `--output`.
fn output(words: &[String]) -> Outcome<Option<Output>> {
    let [words] = words else {
        return if words.is_empty() {
            Ok(None)
        } else {
            Err(Error::Words("one --output is carried, not several".into()))
        };
    };
    if !words.contains('=') {
        let tar = || Output::Tar("-".into());
        return Ok(Some(if words == "-" { tar() } else { Output::Dir(words.clone()) }));
    }
    let (mut kind, mut dest) = ("", None);
    for word in words.split(',') {
        match word.split_once('=') {
            Some(("type", value)) => kind = value,
            Some(("dest", value)) => dest = Some(value.to_owned()),
            _ => {
                return Err(Error::Words(format!(
                    "--output {word:?} is not carried: type=, dest="
                )));
            }
        }
    }
    match (kind, dest) {
        ("docker" | "image", None) => Ok(None),
        ("local", Some(dest)) => Ok(Some(Output::Dir(dest))),
        ("tar", dest) => Ok(Some(Output::Tar(dest.unwrap_or_else(|| "-".into())))),
        ("local", None) => Err(Error::Words("--output type=local wants dest=DIRECTORY".into())),
        (kind, _) => Err(Error::Words(format!(
            "--output type={kind} is not carried: local, tar, or docker (the default)"
        ))),
    }
}

/// The files of an image.
async fn write_out(client: &Client, id: &str, output: Output) -> Outcome<()> {
    let answer = client.open(Method::GET, &format!("/cofferdam/root/{id}"), "").await?;
    match output {
        Output::Tar(path) => {
            super::files::output(answer.into_body(), (path != "-").then_some(&*path))
                .await
                .map(drop)
        }
        Output::Dir(dir) => {
            let mut body = answer.into_body();
            let mut spool = tempfile::tempfile().map_err(host("make", "a temporary file"))?;
            while let Some(frame) = body.frame().await {
                if let Some(bytes) = frame.map_err(Error::Broken)?.data_ref() {
                    std::io::Write::write_all(&mut spool, bytes)
                        .map_err(host("write", "a temporary file"))?;
                }
            }
            std::io::Seek::rewind(&mut spool).map_err(host("read", "a temporary file"))?;
            fs::create_dir_all(&dir).map_err(host("create", &dir))?;
            context::unpack(spool, Path::new(&dir))
        }
    }
}

/// `builder prune`
pub async fn prune(client: &Client, words: BuilderPrune) -> Outcome {
    let what = if words.all { "all build cache" } else { "all dangling build cache" };
    if !sure(words.force, what)? {
        return Ok(0);
    }
    let keep = words.reserved_space.as_deref().map(request::bytes).transpose()?;
    reclaimed(prune_cache(client, words.all, &words.filter, keep).await?)
}

/// Has the cache pruned, and shows what went; how many bytes that freed.
pub async fn prune_cache(
    client: &Client,
    all: bool,
    filter: &[String],
    keep: Option<i64>,
) -> Outcome<u64> {
    let asked = query(&[
        ("filters", &filters(filter)?),
        ("all", if all { "1" } else { "" }),
        ("reserved-space", &keep.map_or(String::new(), |n| n.to_string())),
    ]);
    let gone: Value = client.post(&format!("/build/prune{asked}"), &json!({})).await?;
    pruned("Deleted build cache objects", &gone["CachesDeleted"], &gone["SpaceReclaimed"])
}
