//! The engine as a whole: inspect, df, prune, info, version, audit.

use super::{containers, images, info, networks, reclaimed, sure, volumes};
use crate::{
    client::{Client, escape},
    error::{Error, Outcome},
    show::{self, Listing, plain},
    words::{Audit, Format, Inspect, Later, Network, Prune},
};
use serde_json::{Value, json};

/// Where each kind of object is asked for, in the order that Docker tries.
const KINDS: [(&str, &str, &str); 4] = [
    ("container", "/containers/", "/json"),
    ("image", "/images/", "/json"),
    ("network", "/networks/", ""),
    ("volume", "/volumes/", ""),
];

/// `inspect`
pub async fn inspect(client: &Client, words: Inspect) -> Outcome {
    let kind = words.kind.clone().unwrap_or_default();
    inspect_kind(client, words, &kind).await
}

/// `inspect` of one kind; of any for the empty word.
pub async fn inspect_kind(client: &Client, words: Inspect, kind: &str) -> Outcome {
    if !kind.is_empty() && !KINDS.iter().any(|(name, ..)| *name == kind) {
        let known = KINDS.map(|(name, ..)| format!("{name:?}")).join(", ");
        return Err(Error::Unfit(format!("unknown type: {kind:?}: must be one of {known}")));
    }
    let (mut found, mut missing): (Vec<String>, _) = (Vec::new(), Vec::new());
    for name in &words.names {
        match find(client, name, kind, words.size).await? {
            Some(value) => found.push(value),
            None if kind.is_empty() => missing.push(format!("No such object: {name}")),
            None => missing.push(format!("No such {kind}: {name}")),
        }
    }
    match words.format.as_deref() {
        None => show::print(&show::reindented(&format!("[{}]", found.join(","))))?,
        Some("json") => show::print(&format!("[{}]\n", found.join(",")))?,
        format => {
            for text in &found {
                let answer = |error| Error::Answer("inspect".into(), error);
                let value: Value = serde_json::from_str(text).map_err(answer)?;
                show::print(&show::document(&template::whole(&value), format)?)?;
            }
        }
    }
    if missing.is_empty() { Ok(0) } else { Err(Error::Several(missing)) }
}

/// The first object of that name, as the engine wrote it.
async fn find(client: &Client, name: &str, kind: &str, size: bool) -> Outcome<Option<String>> {
    for (_, before, after) in KINDS.iter().filter(|(known, ..)| kind.is_empty() || *known == kind) {
        let size = if size && *before == "/containers/" { "?size=1" } else { "" };
        match client.text(&format!("{before}{}{after}{size}", escape(name))).await {
            Ok(text) => return Ok(Some(text.trim().to_owned())),
            Err(Error::Engine { status: 404, .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// `version`
pub async fn version(client: &Client, words: Format) -> Outcome {
    let own = json!({
        "Platform": {"Name": "Cofferdam"},
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": "1.51",
        "DefaultAPIVersion": "1.51",
        "GitCommit": "",
        "GoVersion": "",
        "BuildTime": "",
        "Context": "default",
        "Os": std::env::consts::OS,
        "Arch": architecture(),
    });
    let server: Value = client.get("/version").await?;
    if let Some(format) = words.format.as_deref() {
        let mut both = json!({"Client": own, "Server": server});
        if format != "json" {
            // Templates know it by the name of Go's field, too.
            for side in ["Client", "Server"] {
                both[side]["APIVersion"] = both[side]["ApiVersion"].clone();
            }
        }
        show::print(&show::document(&both, Some(format))?)?;
        return Ok(0);
    }
    let mut text = String::new();
    for (title, of) in [("Client: Cofferdam", &own), ("\nServer: Cofferdam", &server)] {
        text.push_str(&format!("{title}\n"));
        for (label, key) in [
            ("Version:", "Version"),
            ("API version:", "ApiVersion"),
            ("Minimum API version:", "MinAPIVersion"),
            ("Kernel version:", "KernelVersion"),
            ("OS/Arch:", "Os"),
        ] {
            let value = plain(&of[key]);
            let value = if key == "Os" { format!("{value}/{}", plain(&of["Arch"])) } else { value };
            if !value.is_empty() {
                text.push_str(&format!(" {label:21} {value}\n"));
            }
        }
    }
    show::print(&text)?;
    Ok(0)
}

/// As images and the API spell it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `info`
pub async fn info(client: &Client, words: Format) -> Outcome {
    let mut info: Value = client.get("/info").await?;
    if let Some(format) = words.format.as_deref() {
        if format != "json" {
            // Templates know them by the names of Go's fields, too.
            for (field, name) in [
                ("HTTPProxy", "HttpProxy"),
                ("HTTPSProxy", "HttpsProxy"),
                ("CPUCfsPeriod", "CpuCfsPeriod"),
                ("CPUCfsQuota", "CpuCfsQuota"),
            ] {
                info[field] = info[name].clone();
            }
        }
        show::print(&show::document(&info, Some(format))?)?;
        return Ok(0);
    }
    show::print(&info::text(&info))?;
    Ok(0)
}

/// `system prune`
pub async fn prune(client: &Client, words: Prune) -> Outcome {
    let volumes_too = if words.volumes { ", all unused anonymous volumes" } else { "" };
    let cache = if words.all { "all build cache" } else { "unused build cache" };
    let what = format!(
        "all stopped containers, all networks not used by at least one container, all dangling images{volumes_too}, {cache}"
    );
    if !sure(words.force, &what)? {
        return Ok(0);
    }
    let each = || Prune { force: true, all: false, volumes: false, filter: words.filter.clone() };
    let mut freed = containers::prune(client, each()).await?.unwrap_or(0);
    networks::run(client, Network::Prune(Later(Box::new(each())))).await?;
    if words.volumes {
        freed += volumes::prune(client, each()).await?.unwrap_or(0);
    }
    freed += images::prune(client, Prune { all: words.all, ..each() }).await?.unwrap_or(0);
    // It has no labels: whoever asks for some means something else.
    if !words.filter.iter().any(|filter| filter.trim().starts_with("label")) {
        freed += super::build::prune_cache(client, words.all, &words.filter, None).await?;
    }
    reclaimed(freed)
}

/// `audit`
pub async fn audit(client: &Client, words: Audit) -> Outcome {
    let path = match &words.container {
        Some(name) => format!("/containers/{}/audit", escape(name)),
        None => "/cofferdam/audit".to_owned(),
    };
    let audits: Value = client.get(&path).await?;
    if words.format.is_some() {
        show::print(&show::document(&audits, words.format.as_deref())?)?;
        return Ok(0);
    }
    let audits = if let Value::Array(list) = audits { list } else { vec![audits] };
    let mut open = 0;
    for audit in &audits {
        show::print(&format!(
            "{} ({})\n",
            plain(&audit["Name"]).trim_start_matches('/'),
            show::short(&plain(&audit["Id"]))
        ))?;
        let rows: Vec<Value> = audit["Rows"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| {
                json!({"Layer": row["Layer"], "Expected": row["Expected"], "Found": row["Found"],
                "Held": if row["Ok"] == true { "yes" } else { "NO" }})
            })
            .collect();
        open += rows.iter().filter(|row| row["Held"] == "NO").count();
        let columns =
            [("LAYER", "Layer"), ("HELD", "Held"), ("EXPECTED", "Expected"), ("FOUND", "Found")];
        show::print(&Listing { columns: &columns, more: &[], rows }.text(None)?)?;
        let weakened: Vec<String> =
            audit["Weakened"].as_array().into_iter().flatten().map(plain).collect();
        if weakened.is_empty() {
            show::print("weakened in no way\n\n")?;
        } else {
            show::print(&format!(
                "weakened in {}:\n",
                if weakened.len() == 1 {
                    "one way".to_owned()
                } else {
                    format!("{} ways", weakened.len())
                }
            ))?;
            for way in weakened {
                show::print(&format!("  - {way}\n"))?;
            }
            show::print("\n")?;
        }
    }
    Ok(u8::from(open > 0))
}
