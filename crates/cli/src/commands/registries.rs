//! Words about registries.

use super::{
    filters,
    images::{latest, repository},
};
use crate::{
    client::{Client, escape, query},
    credentials::{Config, Credentials, key, registry_of},
    error::{Error, Outcome},
    progress::{To, draw},
    show::{self, Listing, plain},
    terminal,
    words::{Login, Logout, Manifest, Pull, Push, Referrers, Search},
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::Method;
use serde_json::{Value, json};
use std::io::Read as _;

/// What the person is to the registry of an image.
fn known(image: &str) -> Outcome<String> {
    Ok(Config::read()?.known(&registry_of(image))?.header())
}

/// `pull`
pub async fn pull(client: &Client, words: &Pull) -> Outcome {
    let image = &words.image;
    let tagged = image.contains('@') || !repository(image).1.is_empty();
    if words.all_tags && tagged {
        return Err(Error::Words("tag can't be used with --all-tags/-a".into()));
    }
    if !tagged && !words.all_tags && !words.quiet {
        show::print("Using default tag: latest\n")?;
    }
    let image = if words.all_tags { image.clone() } else { latest(image) };
    let to = if words.quiet { To::Nowhere } else { To::Out };
    let code = order(client, &image, &words.platform, to).await?;
    show::print(&format!("{}\n", whole(&image)))?;
    Ok(code)
}

/// Fetches an image that is to be run: the output is the program's.
pub async fn fetch(client: &Client, image: &str, platform: &str, quiet: bool) -> Outcome<()> {
    let image = latest(image);
    let to = if quiet { To::Nowhere } else { To::Err };
    order(client, &image, platform, to).await.map(drop)
}

/// Orders a pull by tag or digest; without either, of all tags.
async fn order(client: &Client, image: &str, platform: &str, to: To) -> Outcome {
    let (name, tag) = if image.contains('@') { (image, "") } else { repository(image) };
    let asked = query(&[("fromImage", name), ("tag", tag), ("platform", platform)]);
    let path = format!("/images/create{asked}");
    let answer = client.open_known(&path, &known(image)?).await?;
    draw(answer.into_body(), to).await
}

/// A name in full.
fn whole(image: &str) -> String {
    if !registry_of(image).contains("://") {
        return image.to_owned();
    }
    let bare = image.strip_prefix("docker.io/").unwrap_or(image);
    let library = if bare.contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{bare}")
}

/// `push`
pub async fn push(client: &Client, words: Push) -> Outcome {
    let (name, tag) = repository(&words.image);
    if words.all_tags && !tag.is_empty() {
        return Err(Error::Words("tag can't be used with --all-tags/-a".into()));
    }
    let latest = tag.is_empty() && !words.all_tags;
    let tag = if latest { "latest" } else { tag };
    if latest && !words.quiet {
        show::print(&format!("Using default tag: {tag}\n"))?;
    }
    let path = format!("/images/{}/push{}", escape(name), query(&[("tag", tag)]));
    let answer = client.open_known(&path, &known(name)?).await?;
    let to = if words.quiet { To::Nowhere } else { To::Out };
    let code = draw(answer.into_body(), to).await?;
    if words.quiet {
        show::print(&format!("{}\n", words.image))?;
    }
    Ok(code)
}

/// `login`
pub async fn login(client: &Client, words: Login) -> Outcome {
    let registry = key(&words.server).to_owned();
    let password = match words.password {
        Some(_) if words.password_stdin => {
            return Err(Error::Words(
                "--password and --password-stdin are mutually exclusive".into(),
            ));
        }
        Some(password) => {
            eprintln!("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
            Some(password)
        }
        None if words.password_stdin => Some(input()?),
        None => None,
    };
    let mut config = Config::read()?;
    let kept = config.known(&registry)?;
    let known = introduced(&registry, kept, words.username, password)?;
    let done: Value = client.post("/auth", &known).await?;
    if config.keep(&registry, &known)? {
        eprintln!("WARNING! Your credentials are stored unencrypted in config.json.");
    }
    show::print(&format!("{}\n", plain(&done["Status"])))?;
    Ok(0)
}

/// Who the person says to be: nobody new, if nothing was said.
fn introduced(
    registry: &str,
    kept: Credentials,
    username: Option<String>,
    password: Option<String>,
) -> Outcome<Credentials> {
    if username.is_none() && password.is_none() && !kept.username.is_empty() {
        return Ok(kept);
    }
    let username = username.map_or_else(|| ask("Username: ", false), Ok)?;
    let password = password.map_or_else(|| ask("Password: ", true), Ok)?;
    // Whatever else was kept is another's.
    Ok(Credentials {
        username,
        password,
        serveraddress: registry.into(),
        identitytoken: String::new(),
    })
}

/// `logout`
pub fn logout(words: &Logout) -> Outcome {
    let registry = key(&words.server);
    if Config::read()?.forget(registry)? {
        show::print(&format!("Removing login credentials for {registry}\n"))?;
    } else {
        show::print(&format!("Not logged in to {registry}\n"))?;
    }
    Ok(0)
}

/// All of the input, without the end of its line.
fn input() -> Outcome<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// One line from the person, unseen if it is a secret.
fn ask(prompt: &str, secret: bool) -> Outcome<String> {
    if !terminal::is_input() {
        return Err(Error::Words(
            "cannot ask for name and password: the input is no terminal; use --username and \
             --password-stdin"
                .into(),
        ));
    }
    show::print(prompt)?;
    let quiet = if secret { terminal::Quiet::on() } else { None };
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(unreadable)?;
    if quiet.is_some() {
        show::print("\n")?;
    }
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    if line.is_empty() { Err(Error::Words("nothing was given".into())) } else { Ok(line) }
}

fn unreadable(source: std::io::Error) -> Error {
    Error::Host { doing: "read", what: "the input".into(), source }
}

/// `search`
pub async fn search(client: &Client, words: Search) -> Outcome {
    let limit = words.limit.to_string();
    let asked =
        query(&[("term", &words.term), ("limit", &limit), ("filters", &filters(&words.filter)?)]);
    let hits: Vec<Value> = client.get(&format!("/images/search{asked}")).await?;
    let rows = hits.iter().map(|hit| {
        let text = plain(&hit["description"]).replace(['\n', '\r'], " ");
        let cut = if words.no_trunc || text.chars().count() <= 45 {
            text
        } else {
            text.chars().take(44).chain(['…']).collect()
        };
        let official = if hit["is_official"] == true { "[OK]" } else { "" };
        json!({
            "Name": hit["name"], "Description": cut, "StarCount": hit["star_count"],
            "IsOfficial": official,
        })
    });
    let columns = [
        ("NAME", "Name"),
        ("DESCRIPTION", "Description"),
        ("STARS", "StarCount"),
        ("OFFICIAL", "IsOfficial"),
    ];
    let listing = Listing { columns: &columns, more: &[], rows: rows.collect() };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

/// `image referrers`
pub async fn referrers(client: &Client, words: Referrers) -> Outcome {
    let asked = query(&[("artifactType", words.artifact_type.as_str())]);
    let path = format!("/cofferdam/referrers/{}{asked}", escape(&words.image));
    let known = known(&words.image)?;
    let answer = client.open_with(Method::GET, &path, Bytes::new(), Some(&known)).await?;
    let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
    let index: Value = serde_json::from_slice(&bytes).map_err(|e| Error::Answer(path, e))?;
    let rows = index["manifests"].as_array().into_iter().flatten().map(|entry| {
        json!({
            "Digest": entry["digest"],
            "ArtifactType": plain(&entry["artifactType"]),
            "MediaType": entry["mediaType"],
            "Size": show::size(entry["size"].as_u64().unwrap_or_default()),
            "Annotations": entry.get("annotations").cloned().unwrap_or_else(|| json!({})),
        })
    });
    let columns = [("DIGEST", "Digest"), ("ARTIFACT TYPE", "ArtifactType"), ("SIZE", "Size")];
    let more = [("MEDIA TYPE", "MediaType"), ("ANNOTATIONS", "Annotations")];
    let listing = Listing { columns: &columns, more: &more, rows: rows.collect() };
    show::print(&listing.text(words.format.as_deref())?)?;
    Ok(0)
}

/// `manifest inspect`
pub async fn manifest(client: &Client, words: Manifest) -> Outcome {
    let Manifest::Inspect { image } = words;
    let path = format!("/cofferdam/manifest/{}", escape(&image));
    let answer = client.open_with(Method::GET, &path, Bytes::new(), Some(&known(&image)?)).await?;
    let bytes = answer.into_body().collect().await.map_err(Error::Broken)?.to_bytes();
    let document: Value = serde_json::from_slice(&bytes).map_err(|e| Error::Answer(path, e))?;
    show::print(&show::indented(&document))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_tried_and_not_the_token_of_before() {
        let kept = Credentials {
            username: "a".into(),
            identitytoken: "sesame".into(),
            ..Credentials::default()
        };
        let same = introduced("quay.io", kept.clone(), None, None).expect("known");
        assert_eq!(same, kept);
        let new = introduced("quay.io", kept, Some("a".into()), Some("wrong".into()));
        let new = new.expect("given");
        assert_eq!((&*new.password, &*new.identitytoken), ("wrong", ""));
    }
}
