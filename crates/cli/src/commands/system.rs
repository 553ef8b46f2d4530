//! The engine as a whole: inspect, df, prune, info, version, audit.

use super::{containers, images, networks, pruned, sure, volumes};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    show::{self, Listing, plain, size},
    words::{Audit, Format, Inspect, Network, Prune, SystemDf, Volume},
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
        return Err(Error::Words(format!("{kind:?} is not a valid value for --type")));
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in &words.names {
        match find(client, name, kind, words.size).await? {
            Some(value) => found.push(value),
            None if kind.is_empty() => missing.push(format!("No such object: {name}")),
            None => missing.push(format!("No such {kind}: {name}")),
        }
    }
    match words.format.as_deref() {
        None => show::print(&show::indented(&Value::Array(found)))?,
        Some("json") => show::print(&format!("{}\n", Value::Array(found)))?,
        format => {
            for value in &found {
                show::print(&show::document(value, format)?)?;
            }
        }
    }
    if missing.is_empty() { Ok(0) } else { Err(Error::Several(missing)) }
}

async fn find(client: &Client, name: &str, kind: &str, size: bool) -> Outcome<Option<Value>> {
    for (_, before, after) in KINDS.iter().filter(|(known, ..)| kind.is_empty() || *known == kind) {
        let size = if size && *before == "/containers/" { "?size=1" } else { "" };
        match client.get::<Value>(&format!("{before}{}{after}{size}", escape(name))).await {
            Ok(value) => return Ok(Some(value)),
            Err(Error::Engine { status: 404, .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(None)
}

/// `version`
pub async fn version(client: &Client, words: Format) -> Outcome {
    let own = json!({
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": "1.51",
        "Os": std::env::consts::OS,
        "Arch": std::env::consts::ARCH,
    });
    let server: Value = client.get("/version").await?;
    if let Some(format) = &words.format {
        show::print(&show::document(&json!({"Client": own, "Server": server}), Some(format))?)?;
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

/// `info`
pub async fn info(client: &Client, words: Format) -> Outcome {
    let info: Value = client.get("/info").await?;
    if let Some(format) = &words.format {
        show::print(&show::document(&info, Some(format))?)?;
        return Ok(0);
    }
    let mut text = String::new();
    for (label, key) in [
        ("Containers", "Containers"),
        (" Running", "ContainersRunning"),
        (" Paused", "ContainersPaused"),
        (" Stopped", "ContainersStopped"),
        ("Images", "Images"),
        ("Server Version", "ServerVersion"),
        ("Storage Driver", "Driver"),
        ("Logging Driver", "LoggingDriver"),
        ("Cgroup Driver", "CgroupDriver"),
        ("Cgroup Version", "CgroupVersion"),
        ("Security Options", "SecurityOptions"),
        ("Kernel Version", "KernelVersion"),
        ("Operating System", "OperatingSystem"),
        ("OSType", "OSType"),
        ("Architecture", "Architecture"),
        ("CPUs", "NCPU"),
        ("Total Memory", "MemTotal"),
        ("Name", "Name"),
        ("ID", "ID"),
        ("Data Root", "DockerRootDir"),
    ] {
        let value = match (&info[key], key) {
            (value, "MemTotal") => show::binary_size(value.as_u64().unwrap_or(0)),
            (Value::Array(list), _) => list.iter().map(plain).collect::<Vec<_>>().join(" "),
            (value, _) => plain(value),
        };
        text.push_str(&format!("{label}: {value}\n"));
    }
    for warning in info["Warnings"].as_array().into_iter().flatten() {
        text.push_str(&format!("WARNING: {}\n", plain(warning)));
    }
    show::print(&text)?;
    Ok(0)
}

/// `system df`
pub async fn df(client: &Client, words: SystemDf) -> Outcome {
    let df: Value = client.get("/system/df").await?;
    if words.verbose {
        show::print(&show::document(&df, words.format.as_deref())?)?;
        return Ok(0);
    }
    let list = |key: &str| df[key].as_array().cloned().unwrap_or_default();
    let sum = |rows: &[Value], of: &dyn Fn(&Value) -> i64| {
        rows.iter().map(of).filter(|n| *n > 0).sum::<i64>()
    };
    let row = |kind: &str, total: usize, active: usize, bytes: i64, free: i64| {
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let free = u64::try_from(free).unwrap_or(0);
        let part = (free * 100)
            .checked_div(bytes)
            .map(|percent| format!(" ({percent}%)"))
            .unwrap_or_default();
        json!({"Type": kind, "TotalCount": total.to_string(), "Active": active.to_string(),
            "Size": size(bytes), "Reclaimable": size(free) + &part})
    };
    let (images, containers, volumes) = (list("Images"), list("Containers"), list("Volumes"));
    let used = images.iter().filter(|image| image["Containers"].as_i64().unwrap_or(0) > 0).count();
    let idle: Vec<Value> = images
        .iter()
        .filter(|image| image["Containers"].as_i64().unwrap_or(0) <= 0)
        .cloned()
        .collect();
    let own = |image: &Value| {
        image["Size"].as_i64().unwrap_or(0) - image["SharedSize"].as_i64().unwrap_or(0).max(0)
    };
    let running = |container: &&Value| {
        matches!(container["State"].as_str(), Some("running" | "paused" | "restarting"))
    };
    let written = |container: &Value| container["SizeRw"].as_i64().unwrap_or(0);
    let stopped: Vec<Value> = containers.iter().filter(|c| !running(c)).cloned().collect();
    let refs = |volume: &Value| volume["UsageData"]["RefCount"].as_i64().unwrap_or(0);
    let bytes = |volume: &Value| volume["UsageData"]["Size"].as_i64().unwrap_or(0);
    let unused: Vec<Value> = volumes.iter().filter(|volume| refs(volume) <= 0).cloned().collect();
    let rows = vec![
        row("Images", images.len(), used, df["LayersSize"].as_i64().unwrap_or(0), sum(&idle, &own)),
        row(
            "Containers",
            containers.len(),
            containers.iter().filter(running).count(),
            sum(&containers, &written),
            sum(&stopped, &written),
        ),
        row(
            "Local Volumes",
            volumes.len(),
            volumes.iter().filter(|v| refs(v) > 0).count(),
            sum(&volumes, &bytes),
            sum(&unused, &bytes),
        ),
        row(
            "Build Cache",
            list("BuildCache").len(),
            0,
            df["BuilderSize"].as_i64().unwrap_or(0),
            df["BuilderSize"].as_i64().unwrap_or(0),
        ),
    ];
    let columns = [
        ("TYPE", "Type"),
        ("TOTAL", "TotalCount"),
        ("ACTIVE", "Active"),
        ("SIZE", "Size"),
        ("RECLAIMABLE", "Reclaimable"),
    ];
    let listing = Listing { columns: &columns, more: &[], rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

/// `system prune`
pub async fn prune(client: &Client, words: Prune) -> Outcome {
    let volumes_too = if words.volumes { ", all unused anonymous volumes" } else { "" };
    let what = format!(
        "all stopped containers, all networks not used by at least one container, all dangling images{volumes_too}"
    );
    if !sure(words.force, &what)? {
        return Ok(0);
    }
    let each = || Prune { force: true, all: false, volumes: false, filter: words.filter.clone() };
    containers::prune(client, each()).await?;
    networks::run(client, Network::Prune(each())).await?;
    if words.volumes {
        volumes::run(client, Volume::Prune(each())).await?;
    }
    images::prune(client, Prune { all: words.all, ..each() }).await?;
    let cache: Value = client.post(&format!("/build/prune{}", query(&[])), &json!({})).await?;
    pruned("Deleted build cache objects", &cache["CachesDeleted"], &Value::Null)?;
    Ok(0)
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
