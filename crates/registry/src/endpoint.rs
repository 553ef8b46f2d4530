//! Where a registry is, and how much of it has to be believed.
//!
//! A registry is spoken to by HTTPS, its certificate checked against the
//! host's authorities and those in `certs.d/HOST[:PORT]/*.crt`. One on the
//! loopback interface, or one that the operator calls insecure, may show any
//! certificate, or speak plain HTTP; one for which there is an authority in
//! `certs.d` may not, wherever it is.

use crate::Error;
use ipnet::IpNet;
use reqwest::{Certificate, Identity, blocking::ClientBuilder, redirect::Policy};
use std::{
    fs,
    io::ErrorKind,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// The registry of names that name none.
const HUB: &str = "docker.io";
/// Where it really is.
const HUB_HOST: &str = "registry-1.docker.io";
/// For a connection to come about.
const CONNECT: Duration = Duration::from_secs(15);
/// For the next bytes to come, either way.
const SILENCE: Duration = Duration::from_mins(1);

/// How registries are to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Base addresses to ask before Docker Hub.
    pub mirrors: Vec<String>,
    /// Hosts (`HOST[:PORT]`) and networks (`10.0.0.0/8`) that need not prove
    /// who they are.
    pub insecure: Vec<String>,
    /// How slowly a registry may give.
    pub pace: crate::Pace,
    /// Directories that have one for each registry with files of its own.
    pub certs: Vec<PathBuf>,
}

/// One address of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// `https://HOST[:PORT]`, perhaps with a path; no slash at its end.
    pub base: String,
    /// Its certificate is checked.
    pub checked: bool,
    /// It stands in for the registry: other people's secrets are not for it.
    pub mirror: bool,
}

impl Settings {
    /// Where to ask for a registry, in order.
    pub(crate) fn endpoints(&self, domain: &str) -> Vec<Endpoint> {
        let endpoint = |base: String, checked| Endpoint { base, checked, mirror: false };
        if domain == HUB {
            let mirrors = self.mirrors.iter().map(|url| {
                let base = url.trim_end_matches('/').to_owned();
                let base = if base.contains("://") { base } else { format!("https://{base}") };
                let checked = !self.is_insecure(host_of(&base));
                Endpoint { base, checked, mirror: true }
            });
            let hub = endpoint(format!("https://{HUB_HOST}"), true);
            return mirrors.chain([hub]).collect();
        }
        if self.has_authority(domain) || !self.is_insecure(domain) {
            return vec![endpoint(format!("https://{domain}"), true)];
        }
        vec![
            endpoint(format!("https://{domain}"), false),
            endpoint(format!("http://{domain}"), false),
        ]
    }

    /// Names are not looked up: whoever answers for them could say anything.
    pub(crate) fn is_insecure(&self, domain: &str) -> bool {
        let host = without_port(domain);
        let ip = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let named = |entry: &String| {
            let net = entry.parse::<IpNet>().ok();
            entry == domain
                || entry == host
                || net.zip(ip).is_some_and(|(net, ip)| net.contains(&ip))
        };
        is_loopback(host) || self.insecure.iter().any(named)
    }

    /// Directories with files for this registry.
    fn own(&self, domain: &str) -> impl Iterator<Item = PathBuf> {
        self.certs.iter().map(move |dir| dir.join(domain))
    }

    fn has_authority(&self, domain: &str) -> bool {
        self.own(domain).any(|dir| files(&dir, "crt").is_ok_and(|files| !files.is_empty()))
    }
}

impl Endpoint {
    /// `HOST[:PORT]`.
    pub fn host(&self) -> &str {
        host_of(&self.base)
    }

    pub fn is_encrypted(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// Speaks to it as its host's files say.
    pub fn client(
        &self,
        settings: &Settings,
        redirects: Policy,
    ) -> Result<reqwest::blocking::Client, Error> {
        let mut builder = ClientBuilder::new()
            .user_agent(concat!("cofferdam/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(SILENCE)
            .tcp_user_timeout(SILENCE)
            .redirect(redirects);
        if is_loopback(without_port(self.host())) {
            builder = builder.no_proxy();
        }
        if self.is_encrypted() {
            for dir in settings.own(self.host()) {
                for path in files(&dir, "crt")? {
                    let bundle = Certificate::from_pem_bundle(&read(&path)?);
                    let bundle = bundle.map_err(|e| unusable(&path, &e))?;
                    if bundle.is_empty() {
                        return Err(unusable(&path, &"it holds no certificate"));
                    }
                    builder = builder.tls_certs_merge(bundle);
                }
                // NAME.cert, and its NAME.key.
                if let Some(path) = files(&dir, "cert")?.first() {
                    let key = path.with_extension("key");
                    let both = [read(path)?, b"\n".to_vec(), read(&key)?].concat();
                    let identity = Identity::from_pem(&both).map_err(|e| unusable(path, &e))?;
                    builder = builder.identity(identity);
                }
            }
        }
        // One that may speak in the clear may as well redirect to somebody
        // who proves nothing: what comes is checked by its digest.
        builder = builder.tls_danger_accept_invalid_certs(!self.checked);
        builder.build().map_err(|source| Error::Reach {
            doing: "prepare a connection",
            registry: self.host().to_owned(),
            source,
        })
    }
}

fn host_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

fn without_port(domain: &str) -> &str {
    match domain.rsplit_once(':') {
        // A colon inside brackets is part of an address.
        Some((host, port)) if !port.contains(']') => host,
        _ => domain,
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// Files with an ending, sorted; none where there is no such directory.
fn files(dir: &Path, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(unusable(dir, &e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| unusable(dir, &e))?.path();
        if path.extension().is_some_and(|found| found == ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|e| unusable(path, &e))
}

fn unusable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Setup { path: path.to_owned(), words: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(settings: &Settings, domain: &str) -> Vec<String> {
        let endpoints = settings.endpoints(domain).into_iter();
        endpoints
            .map(|e| format!("{}{}", e.base, if e.checked { "" } else { " unchecked" }))
            .collect()
    }

    #[test]
    fn only_the_loopback_may_speak_in_the_clear() {
        let settings = Settings::default();
        for domain in ["localhost:5000", "127.0.0.9", "[::1]:5000"] {
            assert_eq!(
                bases(&settings, domain),
                [format!("https://{domain} unchecked"), format!("http://{domain} unchecked")]
            );
        }
        for domain in ["quay.io", "10.0.0.1:5000", "localhost.evil.example", "127.0.0.1.nip.io"] {
            assert_eq!(bases(&settings, domain), [format!("https://{domain}")]);
        }
    }

    #[test]
    fn what_the_operator_calls_insecure_may_too() {
        let insecure = vec!["a.example:5000".into(), "10.1.0.0/16".into(), "b.example".into()];
        let settings = Settings { insecure, ..Settings::default() };
        for domain in ["a.example:5000", "10.1.2.3:80", "b.example:77", "b.example"] {
            assert_eq!(bases(&settings, domain).len(), 2, "{domain}");
        }
        for domain in ["a.example", "a.example:443", "10.2.0.1"] {
            assert_eq!(bases(&settings, domain).len(), 1, "{domain}");
        }
    }

    #[test]
    fn an_authority_of_its_own_makes_a_registry_prove_itself() {
        let dir = tempfile::tempdir().expect("scratch");
        let own = dir.path().join("localhost:5000");
        fs::create_dir_all(&own).expect("scratch");
        fs::write(own.join("ca.crt"), "x").expect("scratch");
        let settings = Settings { certs: vec![dir.path().into()], ..Settings::default() };
        assert_eq!(bases(&settings, "localhost:5000"), ["https://localhost:5000"]);
        let error = settings.endpoints("localhost:5000")[0].client(&settings, Policy::none());
        let error = error.expect_err("no PEM");
        assert!(error.to_string().contains("ca.crt"), "{error}");
    }

    #[test]
    fn mirrors_are_asked_before_the_hub_and_for_it_alone() {
        let mirrors = vec!["http://m:5000/".into(), "n".into()];
        let settings = Settings { mirrors, ..Settings::default() };
        assert_eq!(
            bases(&settings, "docker.io"),
            ["http://m:5000", "https://n", "https://registry-1.docker.io"]
        );
        assert_eq!(bases(&settings, "quay.io"), ["https://quay.io"]);
    }
}
