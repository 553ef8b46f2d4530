//! Volumes.

use crate::answer::{Answer, Outcome};
use crate::archive::{TAR, write};
use crate::call::Call;
use crate::error::Error;
use crate::filter::Filters;
use crate::pipe::{Inlet, Late, produce};
use crate::refused;
use crate::streams::blocking;
use crate::when;
use engine::{Volume, VolumeWish};
use serde::{Deserialize, Serialize};
use spec::docker::null_is_default;
use std::collections::BTreeMap;

/// A volume, as all answers have it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed<'a> {
    created_at: String,
    driver: &'a str,
    labels: Option<&'a BTreeMap<String, String>>,
    mountpoint: &'a str,
    name: &'a str,
    options: Option<&'a BTreeMap<String, String>>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_data: Option<Usage>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    ref_count: u64,
    size: u64,
}

impl<'a> Listed<'a> {
    /// Lays a volume out; with its bytes if they were counted.
    pub fn of(volume: &'a Volume, size: Option<u64>) -> Self {
        let unless_empty = |map: &'a BTreeMap<String, String>| (!map.is_empty()).then_some(map);
        Self {
            // Whole seconds, as Docker's are.
            created_at: when::rfc3339(when::seconds(volume.created) * 1_000_000_000),
            driver: &volume.driver,
            labels: unless_empty(&volume.labels),
            mountpoint: &volume.mountpoint,
            name: &volume.name,
            options: unless_empty(&volume.options),
            scope: "local",
            usage_data: size.map(|size| Usage { ref_count: volume.users, size }),
        }
    }
}

/// `GET /volumes`.
pub fn list(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        volumes: Vec<Listed<'a>>,
        warnings: Option<Vec<String>>,
    }
    let filters =
        Filters::parse(call.query.text("filters"), &["dangling", "driver", "label", "name"])?;
    let dangling = filters.boolean("dangling")?;
    let volumes = call.engine.volumes();
    let wanted = volumes.iter().filter(|volume| {
        dangling.is_none_or(|dangling| (volume.users == 0) == dangling)
            && filters.exactly("driver", &volume.driver)
            && filters.labels(&volume.labels)
            && filters.matches("name", &volume.name)
    });
    let volumes = wanted.map(|volume| Listed::of(volume, None)).collect();
    Ok(Answer::json(&Body { volumes, warnings: None }))
}

/// `POST /volumes/create`: the same answer for one that is there.
pub fn create(call: &Call) -> Outcome {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Body {
        #[serde(deserialize_with = "null_is_default")]
        name: String,
        #[serde(deserialize_with = "null_is_default")]
        driver: String,
        #[serde(deserialize_with = "null_is_default")]
        driver_opts: BTreeMap<String, String>,
        #[serde(deserialize_with = "null_is_default")]
        labels: BTreeMap<String, String>,
        cluster_volume_spec: Option<serde_json::Value>,
    }
    let body: Body = call.json()?.unwrap_or_default();
    if body.cluster_volume_spec.is_some() {
        return Err(refused::cluster_volume());
    }
    let wish = VolumeWish {
        name: body.name,
        driver: body.driver,
        labels: body.labels,
        options: body.driver_opts,
    };
    Ok(Answer::created(&Listed::of(&call.engine.create_volume(wish)?, None)))
}

/// `GET /cofferdam/volumes/{name}/export`: all that is in it, as a tar stream.
pub async fn export(call: Call) -> Outcome {
    let archive = blocking(move || Ok(call.engine.export_volume(call.name())?)).await?;
    produce(TAR, Late::Break, move |out| write(archive, out)).await
}

/// `POST /cofferdam/volumes/{name}/import`: fills it with what is in the body, a
/// tar stream, and makes it if there is none.
pub async fn import(mut call: Call) -> Outcome {
    let mut input = Inlet::of(call.upload()?);
    blocking(move || {
        let pairs = |name| -> Result<BTreeMap<String, String>, Error> {
            let text = call.query.text(name);
            let bad = |e| Error::bad(format!("{name} is to be a JSON object of strings: {e}"));
            if text.is_empty() {
                Ok(BTreeMap::new())
            } else {
                serde_json::from_str(text).map_err(bad)
            }
        };
        let result = (|| {
            let wish = VolumeWish {
                name: call.name().to_owned(),
                driver: call.query.text("driver").to_owned(),
                labels: pairs("labels")?,
                options: pairs("opts")?,
            };
            Ok(call.engine.import_volume(wish, call.query.flag("force"), &mut input)?)
        })();
        input.finish();
        result.map(|volume| Answer::json(&Listed::of(&volume, None)))
    })
    .await
}

/// `GET /volumes/{name}`.
pub fn inspect(call: &Call) -> Outcome {
    Ok(Answer::json(&Listed::of(&call.engine.volume(call.name())?, None)))
}

/// `DELETE /volumes/{name}`.
pub fn remove(call: &Call) -> Outcome {
    call.engine.remove_volume(call.name(), call.query.flag("force"))?;
    Ok(Answer::done())
}

/// `POST /volumes/prune`.
pub fn prune(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body {
        volumes_deleted: Vec<String>,
        space_reclaimed: u64,
    }
    let filters = Filters::parse(call.query.text("filters"), &["all", "label", "label!"])?;
    filters.boolean("all")?;
    let pruned = call.engine.prune_volumes(&filters.for_engine())?;
    Ok(Answer::json(&Body { volumes_deleted: pruned.removed, space_reclaimed: pruned.reclaimed }))
}
