//! Images in and out: `load`, `save`, `import`.

use crate::answer::Outcome;
use crate::archive::write;
use crate::call::Call;
use crate::error::Error;
use crate::images::{changes, reference};
use crate::pipe::{Inlet, Late, produce};
use crate::registries::pull;
use crate::streams::blocking;
use engine::ImportWish;
use serde::Serialize;

const JSON: &str = "application/json";
const TAR: &str = "application/x-tar";

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'a str,
}

/// `GET /images/get?names=…`.
pub async fn save_many(call: Call) -> Outcome {
    let names: Vec<String> = call
        .query
        .all("names")
        .iter()
        .flat_map(|names| names.split(','))
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        return Err(Error::bad("no images to save: give their names"));
    }
    save(call, names).await
}

/// `GET /images/{name}/get`.
pub async fn save_one(call: Call) -> Outcome {
    let names = vec![call.name().to_owned()];
    save(call, names).await
}

async fn save(call: Call, names: Vec<String>) -> Outcome {
    let archive = blocking(move || Ok(call.engine.save(&names)?)).await?;
    produce(TAR, Late::Break, move |out| write(archive, out)).await
}

/// `GET /cofferdam/root/{name}`: the files of an image, for `build --output`.
pub async fn root(call: Call) -> Outcome {
    let name = call.name().to_owned();
    let archive = blocking(move || Ok(call.engine.image_root(&name)?)).await?;
    produce(TAR, Late::Break, move |out| write(archive, out)).await
}

/// `POST /images/load`.
pub async fn load(mut call: Call) -> Outcome {
    let mut input = Inlet::of(call.upload()?);
    produce(JSON, Late::Json, move |out| {
        // Clients look for a failure in the stream, as Docker tells of it.
        out.begin();
        let mut gone = None;
        let result = call.engine.load(&mut input, &mut |line| {
            if gone.is_none() {
                gone = out.say(&Line { stream: &format!("{line}\n") }).err();
            }
        });
        input.finish();
        Ok(result?)
    })
    .await
}

/// `POST /images/create`: a pull, or the import of a root file system.
pub async fn create(call: Call) -> Outcome {
    match (call.query.get("fromImage"), call.query.get("fromSrc")) {
        (Some(_), _) => pull(call).await,
        (None, Some("-")) => import(call).await,
        (None, Some(_)) => Err(Error::not_carried("importing from a URL")),
        (None, None) => Err(Error::bad("one of fromImage and fromSrc is wanted")),
    }
}

async fn import(mut call: Call) -> Outcome {
    let mut input = Inlet::of(call.upload()?);
    produce(JSON, Late::Json, move |out| {
        let query = &call.query;
        let wish = ImportWish {
            reference: reference(query.text("repo"), query.text("tag")),
            message: query.text("message").to_owned(),
            changes: changes(&call),
            platform: query.text("platform").to_owned(),
        };
        let result = call.engine.import(&wish, &mut input);
        input.finish();
        let id = result?;
        let _ = out.say(&Status { status: &id });
        Ok(())
    })
    .await
}
