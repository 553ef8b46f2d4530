//! What a client asks of the frontend `dockerfile.v0`: names and values.
//!
//! Every name is known here, or the build is refused: a wish that is not
//! understood must not be lost.

use crate::grpc::{Code, Status};
use crate::proto::SolveRequest;
use crate::requests::Request;
use serde::Deserialize;
use spec::docker::Ulimit;
use std::collections::HashMap;

/// A build's options, read.
#[derive(Debug, Default)]
pub struct Options {
    /// The Dockerfile's name in its directory.
    pub filename: String,
    /// The directory of the session that holds the context.
    pub context_key: String,
    /// That of the Dockerfile.
    pub dockerfile_key: String,
    /// The context, if it is not the client's directory.
    pub remote: Option<String>,
    /// `--build-context`.
    pub contexts: Vec<(String, String)>,
    /// Sessions of directories that are not this one's, by the directory.
    pub sessions: HashMap<String, String>,
    /// What is asked about the Dockerfile, if it is not to be built.
    pub request: Option<Request>,
    /// What is said of its warnings in place of its own `# check=`.
    pub check: Option<String>,
    /// What the engine is asked, files apart.
    pub wish: engine::BuildWish,
}

/// One entry of `cache-imports`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Import {
    #[serde(rename = "Type")]
    kind: String,
    attrs: HashMap<String, String>,
}

impl Options {
    /// Reads what was asked.
    ///
    /// # Errors
    /// What is not carried, in words.
    pub fn read(asked: &SolveRequest, attrs: &HashMap<String, String>) -> Result<Self, Status> {
        let mut options = Self {
            filename: "Dockerfile".into(),
            context_key: "context".into(),
            dockerfile_key: "dockerfile".into(),
            ..Self::default()
        };
        options.wish.manner = engine::BuildManner::BuildKit;
        for (name, value) in attrs {
            options.attr(name, value)?;
        }
        for entitlement in &asked.entitlements {
            match entitlement.as_str() {
                "network.host" => options.wish.allow_host_network = true,
                "security.insecure" => options.wish.allow_insecure = true,
                other => return Err(refused(&format!("entitlement {other}"))),
            }
        }
        let cache = asked.cache.clone().unwrap_or_default();
        for export in &cache.exports {
            // An image's own history is its inline cache: nothing to add.
            if export.kind != "inline" {
                return Err(refused(&format!("exporting the cache as {}", export.kind)));
            }
        }
        for import in cache.imports {
            options.import(&import.kind, &import.attrs)?;
        }
        for exporter in asked.wanted() {
            if matches!(exporter.kind.as_str(), "moby" | "image") {
                let names = exporter.attrs.get("name").map(String::as_str).unwrap_or_default();
                let names = names.split(',').filter(|name| !name.is_empty());
                options.wish.tags.extend(names.map(Into::into));
            }
        }
        Ok(options)
    }

    fn attr(&mut self, name: &str, value: &str) -> Result<(), Status> {
        let wish = &mut self.wish;
        let text = || value.to_owned();
        match name {
            "filename" => self.filename = text(),
            "contextkey" => self.context_key = text(),
            "dockerfilekey" => self.dockerfile_key = text(),
            "context" => self.remote = Some(text()),
            "target" => wish.target = text(),
            "no-cache" if value.is_empty() => wish.no_cache = true,
            "no-cache" => {
                wish.no_cache_filter = value.split(',').map(|name| name.trim().into()).collect();
            }
            "image-resolve-mode" => wish.pull = value == "pull",
            "platform" if value.contains(',') => return Err(refused("several platforms at once")),
            "platform" => wish.platform = text(),
            "multi-platform" if truth(value) => {
                return Err(refused("an index of several platforms"));
            }
            "force-network-mode" => wish.limits.network_mode = network(value),
            "add-hosts" => wish.limits.extra_hosts = Some(hosts(value)),
            "shm-size" => {
                wish.limits.shm_size = value.parse().map_err(|_| wrong(name, value))?;
            }
            "ulimit" => wish.limits.ulimits = Some(ulimits(value)?),
            "cgroup-parent" => wish.limits.cgroup_parent = text(),
            "cache-imports" => {
                let imports: Vec<Import> =
                    serde_json::from_str(value).map_err(|_| wrong(name, value))?;
                for import in imports {
                    self.import(&import.kind, &import.attrs)?;
                }
            }
            "cache-from" => {
                let refs = value.split(',').filter(|name| !name.is_empty());
                wish.cache_from.extend(refs.map(Into::into));
            }
            "requestid" => self.request = Some(Request::parse(value)?),
            "multi-platform" | "cmdline" | "frontend.caps" | "hostname" => {}
            "source" => return syntax(value),
            _ => return self.prefixed(name, value),
        }
        Ok(())
    }

    fn prefixed(&mut self, name: &str, value: &str) -> Result<(), Status> {
        if let Some(name) = name.strip_prefix("build-arg:") {
            if name == "BUILDKIT_SYNTAX" {
                return syntax(value);
            }
            if name == "BUILDKIT_DOCKERFILE_CHECK" {
                self.check = Some(value.into());
                return Ok(());
            }
            self.wish.args.insert(name.into(), value.into());
        } else if let Some(name) = name.strip_prefix("label:") {
            self.wish.labels.insert(name.into(), value.into());
        } else if let Some(name) = name.strip_prefix("context:") {
            // `name::platform` is for builds of several platforms.
            let name = name.split("::").next().unwrap_or(name);
            self.contexts.push((name.into(), value.into()));
        } else if name.starts_with("input-metadata:") {
            // What is handed in is an image here, with its configuration.
        } else if let Some(key) = name.strip_prefix("local-sessionid:") {
            self.sessions.insert(key.into(), value.into());
        } else if let Some(kind) = name.strip_prefix("attest:") {
            let off =
                value.split(',').any(|part| matches!(part, "disabled=true" | "inline-only=true"));
            if !off {
                return Err(refused(&format!("attestations ({kind}); say --{kind}=false")));
            }
        } else {
            return Err(refused(&format!("the build option {name}={value}")));
        }
        Ok(())
    }

    fn import(&mut self, kind: &str, attrs: &HashMap<String, String>) -> Result<(), Status> {
        match (kind, attrs.get("ref")) {
            ("registry", Some(reference)) => {
                if !self.wish.cache_from.contains(reference) {
                    self.wish.cache_from.push(reference.clone());
                }
                Ok(())
            }
            _ => Err(refused(&format!("importing a cache of type {kind}"))),
        }
    }
}

/// Whether a Dockerfile asks for a language that is not the one built in.
///
/// # Errors
/// It does.
pub fn syntax(wanted: &str) -> Result<(), Status> {
    let name = wanted.split_whitespace().next().unwrap_or_default();
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let repository = name.split(['@', ':']).next().unwrap_or_default();
    if matches!(repository, "docker/dockerfile" | "docker/dockerfile-upstream") {
        return Ok(());
    }
    Err(refused(&format!("the frontend {wanted}, which is not docker/dockerfile")))
}

fn refused(what: &str) -> Status {
    Status::new(Code::Unimplemented, format!("{what} is not carried by this engine"))
}

fn wrong(name: &str, value: &str) -> Status {
    Status::new(Code::InvalidArgument, format!("invalid value for {name}: {value}"))
}

fn truth(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

fn network(value: &str) -> String {
    match value {
        "sandbox" | "default" => String::new(),
        other => other.into(),
    }
}

/// `name=address,…` into `name:address`.
fn hosts(value: &str) -> Vec<String> {
    let hosts = value.split(',').filter(|host| !host.is_empty());
    hosts.map(|host| host.trim().replacen('=', ":", 1)).collect()
}

/// `nofile=10:20,…`.
fn ulimits(value: &str) -> Result<Vec<Ulimit>, Status> {
    value
        .split(',')
        .filter(|limit| !limit.is_empty())
        .map(|limit| {
            let read = || {
                let (name, values) = limit.split_once('=')?;
                let (soft, hard) = values.split_once(':').unwrap_or((values, values));
                Some(Ulimit {
                    name: name.into(),
                    soft: soft.parse().ok()?,
                    hard: hard.parse().ok()?,
                })
            };
            read().ok_or_else(|| wrong("ulimit", limit))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{CacheEntry, CacheOptions, Exporter};

    fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Options, Status> {
        Options::read(&SolveRequest::default(), &map(pairs))
    }

    #[test]
    fn what_is_asked_is_what_is_built() {
        let options = read(&[
            ("filename", "D"),
            ("target", "t"),
            ("build-arg:A", "B"),
            ("label:l", "m"),
            ("no-cache", "a, b"),
            ("image-resolve-mode", "pull"),
            ("add-hosts", "h=1.2.3.4,six=::1"),
            ("force-network-mode", "none"),
            ("shm-size", "65536"),
            ("ulimit", "nofile=10:20"),
            ("context:n::linux/amd64", "local:n"),
            ("local-sessionid:context", "s"),
            ("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"r"}}]"#),
        ])
        .expect("all carried");
        let wish = &options.wish;
        assert_eq!((options.filename.as_str(), wish.target.as_str()), ("D", "t"));
        assert_eq!((wish.args["A"].as_str(), wish.labels["l"].as_str()), ("B", "m"));
        assert_eq!(wish.no_cache_filter, ["a", "b"]);
        assert!(wish.pull && !wish.no_cache);
        let hosts = wish.limits.extra_hosts.as_deref();
        assert_eq!(hosts, Some(["h:1.2.3.4".to_owned(), "six:::1".to_owned()].as_slice()));
        assert_eq!((wish.limits.network_mode.as_str(), wish.limits.shm_size), ("none", 65536));
        assert_eq!(wish.limits.ulimits.as_ref().expect("one")[0].hard, 20);
        assert_eq!(options.contexts, [("n".to_owned(), "local:n".to_owned())]);
        assert_eq!(options.sessions["context"], "s");
        assert_eq!(wish.cache_from, ["r"]);
    }

    #[test]
    fn names_and_entitlements_stand_beside() {
        let asked = SolveRequest {
            entitlements: vec!["network.host".into()],
            exporters: vec![Exporter { kind: "moby".into(), attrs: map(&[("name", "a,b:1")]) }],
            ..SolveRequest::default()
        };
        let options = Options::read(&asked, &HashMap::new()).expect("carried");
        assert!(options.wish.allow_host_network && !options.wish.allow_insecure);
        assert_eq!(options.wish.tags, ["a", "b:1"]);
        // As clients before BuildKit 0.13 say it.
        let asked = SolveRequest {
            exporter: "moby".into(),
            exporter_attrs: map(&[("name", "c:2")]),
            ..SolveRequest::default()
        };
        let options = Options::read(&asked, &HashMap::new()).expect("carried");
        assert_eq!(options.wish.tags, ["c:2"]);
    }

    #[test]
    fn what_is_not_carried_is_refused_and_not_lost() {
        for pair in [
            ("zzz", "1"),
            ("platform", "linux/amd64,linux/arm64"),
            ("multi-platform", "true"),
            ("attest:sbom", ""),
            ("attest:provenance", "mode=max"),
            ("requestid", "frontend.lint"),
            ("build-arg:BUILDKIT_SYNTAX", "example.com/other"),
            ("cache-imports", r#"[{"Type":"gha","Attrs":{}}]"#),
            ("ulimit", "nofile"),
        ] {
            assert!(read(&[pair]).is_err(), "{pair:?}");
        }
        let export = CacheEntry { kind: "registry".into(), attrs: HashMap::new() };
        let cache = Some(CacheOptions { exports: vec![export], imports: Vec::new() });
        let asked = SolveRequest { cache, ..SolveRequest::default() };
        assert!(Options::read(&asked, &HashMap::new()).is_err());
        assert!(read(&[("attest:provenance", "mode=min,inline-only=true")]).is_ok());
    }

    #[test]
    fn the_language_built_in_is_the_only_one() {
        for ours in
            ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.7-labs", "docker/dockerfile"]
        {
            assert!(syntax(ours).is_ok(), "{ours}");
        }
        assert!(syntax("example.com/docker/dockerfile").is_err());
    }
}
