//! What is done to keep an engine well: `system check`, `system gc`,
//! `image pin`.

use super::{each, images, pruned, reclaimed};
use crate::{
    client::{Client, escape, query},
    error::Outcome,
    show::{self, Listing, plain, total},
    words::{SystemCheck, SystemGc},
};
use hyper::Method;
use serde_json::{Value, json};

/// `system check`: 1 if something is still to be mended.
pub async fn check(client: &Client, words: SystemCheck) -> Outcome {
    let on = |flag| if flag { "1" } else { "" };
    let asked = query(&[("repair", on(words.repair)), ("content", on(words.content))]);
    let checked: Value = client.post(&format!("/cofferdam/check{asked}"), &json!({})).await?;
    let findings: Vec<&Value> = checked["Findings"].as_array().into_iter().flatten().collect();
    let open = findings.iter().filter(|finding| finding["Mending"] != "done").count();
    if words.format.is_some() {
        show::print(&show::document(&checked, words.format.as_deref())?)?;
        return Ok(u8::from(open > 0));
    }
    for finding in &findings {
        let word = match finding["Mending"].as_str() {
            Some("done") => "mended",
            Some("possible") => "with --repair",
            _ => "by hand",
        };
        show::print(&format!(
            "{} {}: {}\n  {word}: {}\n",
            plain(&finding["Kind"]),
            plain(&finding["Name"]),
            plain(&finding["Problem"]),
            plain(&finding["Remedy"]),
        ))?;
    }
    let (images, layers) = (plain(&checked["Images"]), plain(&checked["Layers"]));
    let end = match (findings.len(), open) {
        (0, _) => "nothing to mend".to_owned(),
        (_, 0) => "all is mended".to_owned(),
        (_, open) => format!("{open} to mend"),
    };
    show::print(&format!("{images} images, {layers} layers: {end}\n"))?;
    Ok(u8::from(open > 0))
}

/// `system gc`
pub async fn gc(client: &Client, words: SystemGc) -> Outcome {
    let asked = query(&[("dry", if words.dry_run { "1" } else { "" })]);
    let done: Value = client.post(&format!("/cofferdam/collect{asked}"), &json!({})).await?;
    if !words.dry_run {
        let space = &done["SpaceReclaimed"];
        pruned("Deleted Images", &done["ImagesDeleted"], space)?;
        let keys = |entry: &Value| entry["ID"].clone();
        let cached: Vec<Value> =
            done["BuildCache"].as_array().into_iter().flatten().map(keys).collect();
        return reclaimed(pruned("Deleted build cache objects", &json!(cached), space)?);
    }
    let (taken, wanted) = (plain(&done["Taken"]), plain(&done["Wanted"]));
    show::print(&format!("{taken}% of the disk are taken; it is to come down to {wanted}%\n"))?;
    let list = done["Images"].as_array().into_iter().flatten();
    let rows: Vec<Value> = list.flat_map(|image| images::rows(image, false)).collect();
    if !rows.is_empty() {
        let columns = [
            ("REPOSITORY", "Repository"),
            ("TAG", "Tag"),
            ("IMAGE ID", "ID"),
            ("CREATED", "CreatedSince"),
            ("SIZE", "Size"),
        ];
        show::print(&Listing { columns: &columns, more: &[], rows }.text(None)?)?;
    }
    for entry in done["BuildCache"].as_array().into_iter().flatten() {
        let size = total(entry["Size"].as_u64().unwrap_or(0));
        show::print(&format!("build cache: {size} {}\n", plain(&entry["Description"])))?;
    }
    let bytes = done["SpaceReclaimed"].as_u64().unwrap_or(0);
    show::print(&format!("Would reclaim: {}\n", total(bytes)))?;
    Ok(0)
}

/// `image pin` and `image unpin`
pub async fn pin(client: &Client, names: &[String], verb: &'static str) -> Outcome {
    each(names, |name| async move {
        let path = format!("/cofferdam/images/{}/{verb}", escape(&name));
        client.order(Method::POST, &path).await?;
        Ok(Some(name))
    })
    .await
}
