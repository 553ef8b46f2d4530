//! Volumes.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::filter::Filters;
use crate::refused;
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
