//! Making a service's containers, and making them anew.

use super::stage::{Here, Stage};
use crate::{
    client::{escape, query},
    error::{Error, Outcome},
    show::{plain, short},
};
use compose::{Injected, Kind, Named, Service};
use hyper::Method;
use serde_json::Value;
use std::collections::BTreeMap;

/// What is known while containers are made.
pub struct Making<'a> {
    pub stage: &'a Stage<'a>,
    /// The containers that are there, by service: identifier and name.
    pub there: BTreeMap<String, Vec<(String, String)>>,
    /// Images' identifiers by their names.
    pub images: BTreeMap<String, String>,
}

/// A container that is to be made.
pub struct New<'a> {
    pub service: &'a Service,
    /// What it is to be called in the end.
    pub name: &'a str,
    /// What it is called until then.
    pub first_name: &'a str,
    pub number: i64,
    pub kind: Kind,
    pub aliases: bool,
    /// Anonymous volumes that it takes over: target and name.
    pub inherited: Vec<(String, String)>,
}

impl Making<'_> {
    /// What a container is called if its service does not say it.
    pub fn name(&self, service: &Service, number: i64) -> String {
        let usual = || format!("{}-{}-{number}", self.stage.project.name, service.name);
        service.container_name.clone().unwrap_or_else(usual)
    }

    /// The body of the request for a container.
    pub fn body(&self, new: &New<'_>) -> Outcome<spec::docker::CreateBody> {
        let project = &self.stage.project;
        let image = compose::image(project, new.service);
        let containers = |service: &str| self.there.get(service).cloned().unwrap_or_default();
        let named = Named {
            name: new.name,
            number: new.number,
            kind: new.kind,
            image_id: self.images.get(&image).map(String::as_str),
            aliases: new.aliases,
            containers: &containers,
            inherited: &new.inherited,
        };
        Ok(compose::create_body(project, new.service, &named)?)
    }

    /// Makes one, with what is to lie in it; its identifier.
    pub async fn make(&self, new: &New<'_>, body: &spec::docker::CreateBody) -> Outcome<String> {
        let client = self.stage.client;
        let asked = query(&[("name", new.first_name), ("platform", &new.service.platform)]);
        let made: Value = client.post(&format!("/containers/create{asked}"), body).await?;
        for warning in made["Warnings"].as_array().into_iter().flatten() {
            eprintln!("WARNING: {}", plain(warning));
        }
        let id = plain(&made["Id"]);
        for file in compose::injected(&self.stage.project, new.service)? {
            self.put(&id, &file).await?;
        }
        Ok(id)
    }

    /// Writes a secret or config into a container.
    async fn put(&self, id: &str, file: &Injected) -> Outcome<()> {
        let archive = archive(file).map_err(|source| Error::Host {
            doing: "pack",
            what: file.path.clone(),
            source,
        })?;
        let path = format!("/containers/{id}/archive?path=/&copyUIDGID=1");
        let body = std::io::Cursor::new(archive);
        self.stage.client.upload(Method::PUT, &path, body).await.map(drop)
    }

    /// Makes a service's container of a number.
    pub async fn create(&mut self, service: &Service, number: i64) -> Outcome<()> {
        let name = self.name(service, number);
        self.stage.tell("Container", &name, "Creating");
        let new = New {
            service,
            name: &name,
            first_name: &name,
            number,
            kind: Kind::Service,
            aliases: true,
            inherited: Vec::new(),
        };
        let id = self.make(&new, &self.body(&new)?).await?;
        self.there.entry(service.name.clone()).or_default().push((id, name.clone()));
        self.stage.tell("Container", &name, "Created");
        Ok(())
    }

    /// Makes a container anew: the new one first, so that the old one stays
    /// if there is no way to it.
    pub async fn recreate(
        &mut self,
        service: &Service,
        old: &Here,
        timeout: Option<i64>,
        renew: bool,
    ) -> Outcome<()> {
        let client = self.stage.client;
        let name = self.name(service, old.number);
        self.stage.tell("Container", &old.name, "Recreate");
        let inherited = if renew { Vec::new() } else { anonymous(self.stage, &old.id).await? };
        let first_name = format!("{}_{name}", short(&old.id));
        let new = New {
            service,
            name: &name,
            first_name: &first_name,
            number: old.number,
            kind: Kind::Service,
            aliases: true,
            inherited,
        };
        let mut body = self.body(&new)?;
        body.config.labels.insert(compose::label("replace"), old.id.clone());
        let id = self.make(&new, &body).await?;
        stop(self.stage, &old.id, timeout).await?;
        let gone =
            format!("/containers/{}{}", old.id, query(&[("v", if renew { "1" } else { "" })]));
        client.order(Method::DELETE, &gone).await?;
        let rename = format!("/containers/{id}/rename?name={}", escape(&name));
        client.order(Method::POST, &rename).await?;
        let there = self.there.entry(service.name.clone()).or_default();
        there.retain(|(other, _)| *other != old.id);
        there.push((id, name.clone()));
        self.stage.tell("Container", &old.name, "Recreated");
        Ok(())
    }
}

/// Stops a container; the engine kills it once the time is over.
pub async fn stop(stage: &Stage<'_>, id: &str, timeout: Option<i64>) -> Outcome<()> {
    let time = timeout.map(|seconds| seconds.to_string()).unwrap_or_default();
    let path = format!("/containers/{id}/stop{}", query(&[("t", &time)]));
    stage.client.order(Method::POST, &path).await
}

/// The volumes without a name of a container: target and name.
async fn anonymous(stage: &Stage<'_>, id: &str) -> Outcome<Vec<(String, String)>> {
    let container: Value = stage.client.get(&format!("/containers/{id}/json")).await?;
    let nameless = |name: &str| name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
    let mounts = container["Mounts"].as_array().into_iter().flatten();
    let volumes = mounts.filter(|mount| mount["Type"] == "volume");
    Ok(volumes
        .map(|mount| (plain(&mount["Destination"]), plain(&mount["Name"])))
        .filter(|(_, name)| nameless(name))
        .collect())
}

/// An archive of one file, seen from the root.
fn archive(file: &Injected) -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(file.content.len() as u64);
    header.set_mode(file.mode);
    header.set_uid(file.uid);
    header.set_gid(file.gid);
    header.set_entry_type(tar::EntryType::Regular);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, file.path.trim_start_matches('/'), file.content.as_bytes())?;
    builder.into_inner()
}
