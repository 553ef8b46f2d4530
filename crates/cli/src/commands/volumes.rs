//! `volume …`

use super::{each, files, filters, pruned, reclaimed, sure, system};
use crate::{
    client::{Client, escape, query},
    error::{Error, Outcome},
    request, show,
    show::{Listing, plain},
    words::{List, Prune, Volume, VolumeCreate, VolumeExport, VolumeImport},
};
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};

/// Any word about volumes.
pub async fn run(client: &Client, words: Volume) -> Outcome {
    match words {
        Volume::Create(words) => create(client, *words.0).await,
        Volume::Ls(words) => list(client, *words.0).await,
        Volume::Inspect(words) => system::inspect_kind(client, *words.0, "volume").await,
        Volume::Rm(words) => {
            let force = if words.force { "?force=1" } else { "" };
            each(&words.names, |name| async move {
                client.order(Method::DELETE, &format!("/volumes/{}{force}", escape(&name))).await?;
                Ok(Some(name))
            })
            .await
        }
        Volume::Export(words) => export(client, *words.0).await,
        Volume::Import(words) => import(client, *words.0).await,
        Volume::Prune(words) => prune(client, *words.0).await?.map_or(Ok(0), reclaimed),
    }
}

/// `volume prune`: the bytes it freed, if it was wanted.
pub async fn prune(client: &Client, words: Prune) -> Outcome<Option<u64>> {
    let what = if words.all {
        "all local volumes not used by at least one container"
    } else {
        "anonymous local volumes not used by at least one container"
    };
    if !sure(words.force, what)? {
        return Ok(None);
    }
    let mut asked = words.filter.clone();
    asked.extend(words.all.then(|| "all=1".to_owned()));
    let asked = query(&[("filters", &filters(&asked)?)]);
    let done: Value = client.post(&format!("/volumes/prune{asked}"), &json!({})).await?;
    pruned("Deleted Volumes", &done["VolumesDeleted"], &done["SpaceReclaimed"]).map(Some)
}

async fn create(client: &Client, words: VolumeCreate) -> Outcome {
    let body = json!({
        "Name": words.name.unwrap_or_default(),
        "Driver": words.driver,
        "DriverOpts": request::pairs(&words.opt)?,
        "Labels": request::pairs(&words.label)?,
    });
    let made: Value = client.post("/volumes/create", &body).await?;
    show::print(&format!("{}\n", plain(&made["Name"])))?;
    Ok(0)
}

async fn export(client: &Client, words: VolumeExport) -> Outcome {
    let path = format!("/cofferdam/volumes/{}/export", escape(&words.name));
    let answer = client.open(Method::GET, &path, "").await?;
    let file = words.output.as_deref().filter(|file| *file != "-");
    files::output(answer.into_body(), file).await
}

async fn import(client: &Client, words: VolumeImport) -> Outcome {
    let from = files::piped(&words.file).await?;
    let json = |pairs: &[String]| Ok::<_, Error>(json!(request::pairs(pairs)?).to_string());
    let asked = query(&[
        ("driver", &words.driver),
        ("labels", &json(&words.label)?),
        ("opts", &json(&words.opt)?),
        ("force", if words.force { "1" } else { "" }),
    ]);
    let path = format!("/cofferdam/volumes/{}/import{asked}", escape(&words.name));
    let answer = client.upload(Method::POST, &path, from).await?;
    let text = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
    let volume: Value = serde_json::from_slice(&text).map_err(|e| Error::Answer(path, e))?;
    show::print(&format!("{}\n", plain(&volume["Name"])))?;
    Ok(0)
}

async fn list(client: &Client, words: List) -> Outcome {
    let asked = query(&[("filters", &filters(&words.filter)?)]);
    let listed: Value = client.get(&format!("/volumes{asked}")).await?;
    let rows: Vec<Value> = listed["Volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|volume| {
            let labels = volume["Labels"].as_object().into_iter().flatten();
            let labels: Vec<String> =
                labels.map(|(key, value)| format!("{key}={}", plain(value))).collect();
            json!({
                "Name": volume["Name"],
                "Driver": volume["Driver"],
                "Mountpoint": volume["Mountpoint"],
                "Scope": volume["Scope"],
                "Labels": labels.join(","),
                "Availability": "N/A",
                "Group": "N/A",
                "Links": "N/A",
                "Size": "N/A",
                "Status": "N/A",
                (template::LABELS): volume["Labels"],
            })
        })
        .collect();
    if words.quiet {
        let names: String = rows.iter().map(|row| plain(&row["Name"]) + "\n").collect();
        show::print(&names)?;
        return Ok(0);
    }
    let more = [
        ("SCOPE", "Scope"),
        ("MOUNTPOINT", "Mountpoint"),
        ("LABELS", "Labels"),
        ("AVAILABILITY", "Availability"),
        ("GROUP", "Group"),
        ("LINKS", "Links"),
        ("SIZE", "Size"),
        ("STATUS", "Status"),
    ];
    let listing =
        Listing { columns: &[("DRIVER", "Driver"), ("VOLUME NAME", "Name")], more: &more, rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}
