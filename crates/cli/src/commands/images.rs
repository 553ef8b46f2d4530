//! Words about images.

use super::{each, filters, pruned, sure, unless_missing};
use crate::{
    client::{Client, escape, query},
    error::Outcome,
    show::{self, Listing, ago, plain, short, since, size, total},
    words::{Commit, History, Images, Prune, Rmi, Tag},
};
use hyper::Method;
use serde_json::{Value, json};

/// A repository and its tag, split at the last colon after the last slash.
pub fn repository(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, ""),
    }
}

/// A reference with the tag that it has when none is given.
pub fn latest(image: &str) -> String {
    if image.contains('@') || !repository(image).1.is_empty() {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

/// `tag`
pub async fn tag(client: &Client, words: Tag) -> Outcome {
    let (repo, tag) = repository(&words.target);
    let asked = query(&[("repo", repo), ("tag", tag)]);
    client.order(Method::POST, &format!("/images/{}/tag{asked}", escape(&words.source))).await?;
    Ok(0)
}

/// `rmi`
pub async fn remove(client: &Client, words: Rmi) -> Outcome {
    let on = |flag| if flag { "1" } else { "" };
    let asked = query(&[("force", on(words.force)), ("noprune", on(words.no_prune))]);
    let (asked, force) = (&asked, words.force);
    each(&words.images, |name| async move {
        let path = format!("/images/{}{asked}", escape(&name));
        let gone = client.json(Method::DELETE, &path, bytes::Bytes::new()).await;
        let Some(gone) = unless_missing::<Vec<Value>>(gone, force)? else { return Ok(None) };
        let lines = gone.iter().flat_map(|row| {
            let line = |kind: &str| Some(format!("{kind}: {}", row[kind].as_str()?));
            [line("Untagged"), line("Deleted")].into_iter().flatten()
        });
        Ok(Some(lines.collect::<Vec<_>>().join("\n")))
    })
    .await
}

/// `commit`
pub async fn commit(client: &Client, words: Commit) -> Outcome {
    let (repo, tag) = repository(&words.image);
    let pause = if words.pause { "1" } else { "0" };
    let asked = query(&[
        ("container", &words.name),
        ("repo", repo),
        ("tag", tag),
        ("comment", &words.message),
        ("author", &words.author),
        ("pause", pause),
    ]);
    let changes: String =
        words.change.iter().map(|change| format!("&changes={}", escape(change))).collect();
    let made: Value = client.post(&format!("/commit{asked}{changes}"), &json!({})).await?;
    show::print(&format!("{}\n", plain(&made["Id"])))?;
    Ok(0)
}

/// `image prune`: the bytes it freed, if it was wanted.
pub async fn prune(client: &Client, words: Prune) -> Outcome<Option<u64>> {
    let what = if words.all {
        "all images without at least one container associated to them"
    } else {
        "all dangling images"
    };
    if !sure(words.force, what)? {
        return Ok(None);
    }
    let mut asked = words.filter.clone();
    asked.push(format!("dangling={}", !words.all));
    let asked = query(&[("filters", &filters(&asked)?)]);
    let done: Value = client.post(&format!("/images/prune{asked}"), &json!({})).await?;
    pruned("Deleted Images", &done["ImagesDeleted"], &done["SpaceReclaimed"]).map(Some)
}

/// `images`
pub async fn list(client: &Client, words: Images) -> Outcome {
    let mut wanted = words.filter.clone();
    wanted.extend(words.reference.iter().map(|reference| format!("reference={reference}")));
    let all = if words.all { "1" } else { "" };
    let asked = query(&[("all", all), ("filters", &filters(&wanted)?)]);
    let images: Vec<Value> = client.get(&format!("/images/json{asked}")).await?;
    let rows: Vec<Value> = images.iter().flat_map(|image| rows(image, words.no_trunc)).collect();
    if words.quiet {
        let mut ids: Vec<String> = rows.iter().map(|row| plain(&row["ID"]) + "\n").collect();
        ids.dedup();
        show::print(&ids.concat())?;
        return Ok(0);
    }
    let mut columns = vec![("REPOSITORY", "Repository"), ("TAG", "Tag")];
    if words.digests {
        columns.push(("DIGEST", "Digest"));
    }
    columns.extend([("IMAGE ID", "ID"), ("CREATED", "CreatedSince"), ("SIZE", "Size")]);
    let more = [
        ("DIGEST", "Digest"),
        ("CREATED AT", "CreatedAt"),
        ("CONTAINERS", "Containers"),
        ("SHARED SIZE", "SharedSize"),
        ("UNIQUE SIZE", "UniqueSize"),
        ("SIZE", "VirtualSize"),
    ];
    let listing = Listing { columns: &columns, more: &more, rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

/// One row for each name of an image.
pub fn rows(image: &Value, whole: bool) -> Vec<Value> {
    let id = plain(&image["Id"]);
    let created = image["Created"].as_i64().unwrap_or(0);
    let users = image["Containers"].as_i64().unwrap_or(-1);
    let row = |repository: &str, tag: &str| {
        let mut digests = image["RepoDigests"].as_array().into_iter().flatten().map(plain);
        let digest =
            digests.find_map(|d| Some(d.strip_prefix(repository)?.strip_prefix('@')?.to_owned()));
        json!({
            "Repository": repository,
            "Tag": tag,
            "Digest": digest.unwrap_or_else(|| "<none>".into()),
            "ID": if whole { &id } else { short(&id) },
            "CreatedSince": ago(since(created)),
            "CreatedAt": show::day(created),
            "Size": size(image["Size"].as_u64().unwrap_or(0)),
            "VirtualSize": total(image["Size"].as_u64().unwrap_or(0)),
            "Containers": if users < 0 { "N/A".into() } else { users.to_string() },
            "SharedSize": "N/A",
            "UniqueSize": "N/A",
        })
    };
    let tags: Vec<String> = image["RepoTags"].as_array().into_iter().flatten().map(plain).collect();
    if tags.is_empty() {
        return vec![row("<none>", "<none>")];
    }
    tags.iter().map(|tag| repository(tag)).map(|(repository, tag)| row(repository, tag)).collect()
}

/// `history`
pub async fn history(client: &Client, words: History) -> Outcome {
    let history: Vec<Value> =
        client.get(&format!("/images/{}/history", escape(&words.image))).await?;
    let rows: Vec<Value> = history
        .iter()
        .map(|step| {
            let (id, created) = (plain(&step["Id"]), step["Created"].as_i64().unwrap_or(0));
            let by = plain(&step["CreatedBy"]).replace('\t', " ");
            let cut = !words.no_trunc && by.chars().count() > 45;
            let bytes = step["Size"].as_u64().unwrap_or(0);
            let at =
                jiff::Timestamp::from_second(created).map(|t| t.to_string()).unwrap_or_default();
            json!({
                "ID": if words.no_trunc { id.as_str() } else { short(&id) },
                "CreatedSince": if words.human { ago(since(created)) } else { at.clone() },
                "CreatedAt": at,
                "CreatedBy": if cut { by.chars().take(44).chain(['…']).collect() } else { by },
                "Size": if words.human { size(bytes) } else { bytes.to_string() },
                "Comment": plain(&step["Comment"]),
            })
        })
        .collect();
    if words.quiet {
        let ids: String = rows.iter().map(|row| plain(&row["ID"]) + "\n").collect();
        show::print(&ids)?;
        return Ok(0);
    }
    let columns = [
        ("IMAGE", "ID"),
        ("CREATED", "CreatedSince"),
        ("CREATED BY", "CreatedBy"),
        ("SIZE", "Size"),
        ("COMMENT", "Comment"),
    ];
    let listing = Listing { columns: &columns, more: &[("CREATED AT", "CreatedAt")], rows };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(repository("localhost:5000/a"), ("localhost:5000/a", ""));
        assert_eq!(repository("localhost:5000/a:1"), ("localhost:5000/a", "1"));
        assert_eq!(repository("busybox"), ("busybox", ""));
    }

    #[test]
    fn an_image_without_names_has_one_row() {
        assert_eq!(
            rows(&json!({"Id": "sha256:ab", "RepoTags": []}), true)[0]["Repository"],
            "<none>"
        );
    }
}
