//! Our own extension: does what is kept hold together, what may go when the
//! disk is full, what is to stay, and what another engine has. `POST
//! /cofferdam/check`, `/cofferdam/collect`, `/cofferdam/images/{name}/pin`,
//! `/cofferdam/migrate`.

use crate::answer::{Answer, Outcome};
use crate::call::Call;
use crate::images::{Listed, Removal};
use engine::{Check, Mend, MigrateWish, Outcome as Became};
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Checked {
    images: u64,
    layers: u64,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Finding {
    kind: &'static str,
    name: String,
    problem: String,
    /// `possible`, `done`, `impossible`.
    mending: &'static str,
    remedy: String,
}

/// `POST /cofferdam/check?repair=1&content=1`.
pub fn check(call: &Call) -> Outcome {
    let query = &call.query;
    let wish = Check { repair: query.flag("repair"), content: query.flag("content") };
    let checked = call.engine.check(wish)?;
    let finding = |finding: engine::Finding| {
        let (mending, remedy) = match finding.mend {
            Mend::Would(words) => ("possible", words.to_owned()),
            Mend::Done(words) => ("done", words.to_owned()),
            Mend::Cannot(words) => ("impossible", words),
        };
        let engine::Finding { kind, name, problem, .. } = finding;
        Finding { kind, name, problem, mending, remedy }
    };
    Ok(Answer::json(&Checked {
        images: checked.images,
        layers: checked.layers,
        findings: checked.findings.into_iter().map(finding).collect(),
    }))
}

/// `POST /cofferdam/collect?dry=1`.
pub fn collect(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Body<'a> {
        taken: u8,
        wanted: u8,
        images: Vec<Listed<'a>>,
        images_deleted: Vec<Removal>,
        build_cache: Vec<crate::build::Listed>,
        space_reclaimed: u64,
    }
    let collected = call.engine.collect(call.query.flag("dry"))?;
    Ok(Answer::json(&Body {
        taken: collected.taken,
        wanted: collected.wanted,
        images: collected.images.iter().map(|i| Listed::of(i, None, call.version)).collect(),
        images_deleted: collected.deleted.into_iter().map(Removal::from).collect(),
        build_cache: collected.cached.into_iter().map(Into::into).collect(),
        space_reclaimed: collected.reclaimed,
    }))
}

/// `POST /cofferdam/migrate?root=/var/lib/docker&dry=1&move=1`.
pub fn migrate(call: &Call) -> Outcome {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Row {
        kind: &'static str,
        name: String,
        /// `taken`, `here`, `possible`, `refused`.
        outcome: &'static str,
        words: String,
        /// The body of `POST /containers/create`, which is left to the client.
        #[serde(skip_serializing_if = "Option::is_none")]
        create: Option<serde_json::Value>,
    }
    let query = &call.query;
    let root = query.text("root").into();
    let wish = MigrateWish { root, dry: query.flag("dry"), moves: query.flag("move") };
    let rows = call.engine.migrate(&wish)?.into_iter().map(|done| Row {
        kind: done.kind,
        name: done.name,
        outcome: match done.outcome {
            Became::Taken => "taken",
            Became::Here => "here",
            Became::Possible => "possible",
            Became::Refused => "refused",
        },
        words: done.words,
        create: done.create,
    });
    Ok(Answer::json(&rows.collect::<Vec<_>>()))
}

/// `POST /cofferdam/images/{name}/pin`.
pub fn pin(call: &Call) -> Outcome {
    call.engine.pin(call.name(), true)?;
    Ok(Answer::done())
}

/// `POST /cofferdam/images/{name}/unpin`.
pub fn unpin(call: &Call) -> Outcome {
    call.engine.pin(call.name(), false)?;
    Ok(Answer::done())
}
