//! Engines that have names: contexts, as Docker's CLI makes and keeps them
//! (`docker context create`), and which of them is meant.
//!
//! ```text
//!   ~/.docker/config.json                   currentContext
//!   ~/.docker/contexts/meta/ID/meta.json    its name, and the engine's address
//!   ~/.docker/contexts/tls/ID/docker/       ca.pem, cert.pem, key.pem
//! ```
//!
//! `ID` is the SHA-256 of the name, in hexadecimal digits.

use super::Place;
use crate::{
    error::{Error, Outcome},
    tls::Papers,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::{fmt::Write as _, fs, io, path::Path};

/// The engine that has no context: the default socket.
const DEFAULT: &str = "default";

/// What was said of the engine, in the order in which it counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// `--host`
    pub host: Option<&'a str>,
    /// `--context`
    pub context: Option<&'a str>,
    /// `DOCKER_HOST`
    pub host_variable: Option<&'a str>,
    /// `DOCKER_CONTEXT`
    pub context_variable: Option<&'a str>,
    /// `currentContext` of `config.json`
    pub current: Option<&'a str>,
}

/// Which engine is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meant<'a> {
    /// That at an address; at the default socket if it is empty.
    Address(&'a str),
    /// That of a context.
    Context(&'a str),
}

impl<'a> Said<'a> {
    /// The first that was said, as Docker's CLI has it; the default socket if
    /// nothing was.
    ///
    /// # Errors
    /// Two flags say two things.
    pub fn meant(self) -> Outcome<Meant<'a>> {
        self.first().map(|meant| meant.unwrap_or(Meant::Address("")))
    }

    /// The same; none if nothing was.
    ///
    /// # Errors
    /// As [`meant`](Self::meant).
    pub fn first(self) -> Outcome<Option<Meant<'a>>> {
        let given = |text: Option<&'a str>| text.filter(|text| !text.is_empty());
        if given(self.host).is_some() && given(self.context).is_some() {
            return Err(Error::Unfit(
                "--host and --context both name an engine: leave one of them out".into(),
            ));
        }
        let address = |text: Option<&'a str>| given(text).map(Meant::Address);
        let context = |text: Option<&'a str>| match given(text)? {
            DEFAULT => Some(Meant::Address("")),
            name => Some(Meant::Context(name)),
        };
        Ok(address(self.host)
            .or_else(|| context(self.context))
            .or_else(|| address(self.host_variable))
            .or_else(|| context(self.context_variable))
            .or_else(|| context(self.current)))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kept {
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    unverified: bool,
}

/// Where the engine of a context is; `folder` is that of `config.json`.
///
/// # Errors
/// There is no such context, or it leads to no engine.
pub fn find(folder: &Path, name: &str) -> Outcome<Place> {
    let id = Sha256::digest(name).iter().fold(String::new(), |mut id, byte| {
        write!(id, "{byte:02x}").expect("writing to memory");
        id
    });
    let contexts = folder.join("contexts");
    let path = contexts.join("meta").join(&id).join("meta.json");
    let kept = fs::read(&path)
        .and_then(|text| serde_json::from_slice::<Kept>(&text).map_err(io::Error::from))
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Unfit(format!(
                "there is no context {name:?}: `docker context create` makes one, and --host \
                 needs none"
            )),
            _ => Error::Host { doing: "read", what: path.display().to_string(), source },
        })?;
    let endpoint = kept.endpoints.docker.filter(|endpoint| !endpoint.host.is_empty());
    let endpoint = endpoint.ok_or_else(|| {
        Error::Unfit(format!("the context {name:?} has no address of a Docker engine"))
    })?;
    if endpoint.unverified && endpoint.host.starts_with("tcp://") {
        return Err(Error::Unfit(format!(
            "the context {name:?} takes any engine for the one that is meant \
             (skip-tls-verify): make it anew with ca=, cert= and key="
        )));
    }
    let tls = contexts.join("tls").join(&id).join("docker");
    Place::new(&endpoint.host, &Papers::within(&tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_was_said_counts() {
        let all = Said {
            host: None,
            context: Some("c"),
            host_variable: Some("unix:///v"),
            context_variable: Some("d"),
            current: Some("e"),
        };
        assert_eq!(all.meant().expect("one"), Meant::Context("c"));
        let rest = Said { context: None, ..all };
        assert_eq!(rest.meant().expect("one"), Meant::Address("unix:///v"));
        let rest = Said { host_variable: Some(""), ..rest };
        assert_eq!(rest.meant().expect("one"), Meant::Context("d"));
        let rest = Said { context_variable: None, ..rest };
        assert_eq!(rest.meant().expect("one"), Meant::Context("e"));
        let default = Said { context: Some("default"), ..all };
        assert_eq!(default.meant().expect("one"), Meant::Address(""));
        assert_eq!(Said::default().meant().expect("one"), Meant::Address(""));
        assert!(Said { host: Some("unix:///x"), ..all }.meant().is_err());
    }

    #[test]
    fn a_context_is_found_by_its_name() {
        let scratch = tempfile::tempdir().expect("scratch");
        // SHA-256 of "far".
        let id = "512eea46ceb3921dff4363c7069d89d4964d1d9fccaa0f411851a7aa60a5c868";
        let dir = scratch.path().join("contexts/meta").join(id);
        fs::create_dir_all(&dir).expect("scratch");
        let keep = |text: &str| fs::write(dir.join("meta.json"), text).expect("scratch");
        let told = || find(scratch.path(), "far").map_err(|error| error.report());
        keep(
            r#"{"Name":"far","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://me@h","SkipTLSVerify":false}}}"#,
        );
        assert!(matches!(told(), Ok(Place::Ssh(_))));
        keep(r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://h:1","SkipTLSVerify":true}}}"#);
        assert!(told().expect_err("unverified").contains("skip-tls-verify"));
        keep(r#"{"Name":"far","Endpoints":{"docker":{"Host":"tcp://h:1"}}}"#);
        assert!(told().expect_err("no papers").contains(&format!("tls/{id}/docker/ca.pem")));
        keep(r#"{"Name":"far","Endpoints":{}}"#);
        assert!(told().expect_err("no engine").contains("no address"));
        keep("no JSON");
        assert!(told().expect_err("no JSON").contains("cannot read"));
        assert!(find(scratch.path(), "near").is_err_and(|e| e.to_string().contains("no context")));
    }
}
