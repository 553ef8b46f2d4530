//! What `create` is asked for and does not carry: refused in words, since an
//! option that is taken and does nothing is a promise that is not kept.

use crate::Error;
use spec::docker::{Config, HostConfig};

/// The one runtime, as `info` lists it.
pub const RUNTIME: &str = "cofferdam";

/// Refuses what is not carried.
///
/// # Errors
/// In Docker's words where it refuses the same.
pub(crate) fn check(host: &HostConfig) -> Result<(), Error> {
    let refuse = |words: String| Err(Error::Invalid(words));
    if !matches!(host.runtime.as_str(), "" | RUNTIME) {
        return refuse(format!(
            "unknown or invalid runtime name: {}: this engine has {RUNTIME} alone",
            host.runtime
        ));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return refuse(format!("invalid isolation '{}' on linux", host.isolation));
    }
    if host.storage_opt.iter().flatten().next().is_some() {
        return refuse(
            "--storage-opt is not carried: there is no quota on a container's disk".into(),
        );
    }
    if host.links.iter().flatten().next().is_some() {
        return refuse(
            "--link is not carried: name the other container with --add-host, or share its \
             network with --network container:NAME"
                .into(),
        );
    }
    Ok(())
}

/// What is kept and shown, and not acted on.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let test = config.healthcheck.as_ref().and_then(|check| check.test.first());
    match test.map(String::as_str) {
        None | Some("" | "NONE") => Vec::new(),
        Some(_) => vec!["The health check is kept, and not run by this engine".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_do_nothing_is_refused() {
        assert!(check(&HostConfig::default()).is_ok());
        let words = |host: HostConfig| check(&host).expect_err("refused").to_string();
        let runtime = HostConfig { runtime: "kata".into(), ..HostConfig::default() };
        assert!(words(runtime).starts_with("unknown or invalid runtime name: kata"));
        let isolation = HostConfig { isolation: "hyperv".into(), ..HostConfig::default() };
        assert_eq!(words(isolation), "invalid isolation 'hyperv' on linux");
        let quota = [("size".to_owned(), "1G".to_owned())].into();
        let quota = HostConfig { storage_opt: Some(quota), ..HostConfig::default() };
        assert!(words(quota).contains("--storage-opt"));
        let link = HostConfig { links: Some(vec!["a:b".into()]), ..HostConfig::default() };
        assert!(words(link).contains("--link"));
    }

    #[test]
    fn a_health_check_is_warned_of() {
        let mut config = Config::default();
        assert!(warnings(&config).is_empty());
        let mut check =
            spec::docker::Healthcheck { test: vec!["NONE".into()], ..Default::default() };
        config.healthcheck = Some(check.clone());
        assert!(warnings(&config).is_empty());
        check.test = vec!["CMD".into(), "true".into()];
        config.healthcheck = Some(check);
        assert_eq!(warnings(&config).len(), 1);
    }
}
