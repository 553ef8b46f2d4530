//! What a client may ask of a new container and nobody would notice until
//! much later: refused when it is asked, never dropped in silence.

use crate::{Error, files, signals};
use spec::docker::{Config, Healthcheck, HostConfig};
use std::net::Ipv4Addr;

/// Names of the one runtime there is: ours, and what clients of Docker call
/// theirs.
const RUNTIMES: [&str; 4] = ["cofferdam-run", "cofferdam", "runc", "io.containerd.runc.v2"];
/// Shortest pause of a health check, in nanoseconds.
const SHORTEST: i64 = 1_000_000;
/// Longest command of a health check, in bytes: it is spelt anew each time.
const LONGEST: usize = 64 << 10;

/// # Errors
/// What makes no sense, or is not carried.
pub(crate) fn check(config: &Config, host: &HostConfig) -> Result<(), Error> {
    let invalid = |words: String| Err(Error::Invalid(words));
    if let Some(signal) = config.stop_signal.as_deref().filter(|signal| !signal.is_empty())
        && signals::parse(signal).is_none()
    {
        return invalid(format!("invalid signal: {signal}"));
    }
    if !RUNTIMES.contains(&host.runtime.as_str()) {
        return invalid(format!("unknown or invalid runtime name: {}", host.runtime));
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        let asked = &host.isolation;
        return invalid(format!("invalid isolation ({asked}): linux only supports 'default'"));
    }
    // No more than words yet: which gateway it is shows when it starts.
    let extra = host.extra_hosts.as_deref().unwrap_or_default();
    files::hosts("", extra, &[], Some(Ipv4Addr::UNSPECIFIED.into()))?;
    if host.annotations.iter().flatten().any(|(key, _)| key.is_empty()) {
        let words = "invalid Annotations: the empty string is not permitted as an annotation key";
        return invalid(words.into());
    }
    let length = crate::health::length(config);
    if length > LONGEST {
        return invalid(format!(
            "the health check's command takes {length} bytes and {LONGEST} are carried: put it \
             into a file of the image, or leave it out with --no-healthcheck"
        ));
    }
    crate::health::checked(config).map_err(Error::Invalid)?;
    config.healthcheck.as_ref().map_or(Ok(()), health)
}

/// Variables that a client asks for: each has a name.
///
/// # Errors
/// The first that has none.
pub(crate) fn variables(env: &[String]) -> Result<(), Error> {
    match env.iter().find(|variable| variable.is_empty() || variable.starts_with('=')) {
        Some(variable) => Err(Error::Invalid(format!("invalid environment variable: {variable}"))),
        None => Ok(()),
    }
}

fn health(check: &Healthcheck) -> Result<(), Error> {
    let spans = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ];
    for (name, span) in spans {
        // Zero is the default.
        if span.is_some_and(|span| span != 0 && span < SHORTEST) {
            let words = format!("{name} in Healthcheck cannot be less than 1ms");
            return Err(Error::Invalid(words));
        }
    }
    if check.retries.is_some_and(|retries| retries < 0) {
        return Err(Error::Invalid("Retries in Healthcheck cannot be negative".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(change: impl FnOnce(&mut Config, &mut HostConfig)) -> String {
        let mut config = Config::default();
        let mut host = HostConfig { runtime: "cofferdam-run".into(), ..HostConfig::default() };
        change(&mut config, &mut host);
        check(&config, &host).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_everybody_asks_for_passes() {
        assert_eq!(words(|_, _| {}), "");
        assert_eq!(words(|_, host| host.runtime = "runc".into()), "");
        assert_eq!(words(|config, _| config.stop_signal = Some("SIGRTMIN+3".into())), "");
        assert_eq!(words(|_, host| host.isolation = "default".into()), "");
    }

    #[test]
    fn what_would_be_dropped_in_silence_is_refused() {
        let signal = words(|config, _| config.stop_signal = Some("bogus".into()));
        assert_eq!(signal, "invalid signal: bogus");
        let runtime = words(|_, host| host.runtime = "runsc".into());
        assert_eq!(runtime, "unknown or invalid runtime name: runsc");
        let isolation = words(|_, host| host.isolation = "hyperv".into());
        assert!(isolation.contains("(hyperv)"), "{isolation}");
    }

    #[test]
    fn an_address_for_a_name_is_read_when_it_is_asked_for() {
        let words = |entry: &str| words(|_, host| host.extra_hosts = Some(vec![entry.into()]));
        assert_eq!(words("bogus"), "bad format for add-host: \"bogus\"");
        assert_eq!(words("a:b"), "invalid IP address in add-host: \"b\"");
        assert_eq!((words("a:192.0.2.1"), words("a:host-gateway")), Default::default());
    }

    #[test]
    fn what_is_noted_and_what_is_set_has_a_name() {
        let noted = words(|_, host| {
            host.annotations = Some([(String::new(), "x".to_owned())].into());
        });
        assert!(noted.starts_with("invalid Annotations: the empty string"), "{noted}");
        let env = |variable: &str| variables(&[variable.to_owned()]).map_err(|e| e.to_string());
        assert_eq!(env("=x"), Err("invalid environment variable: =x".into()));
        assert!(env("").is_err());
        assert_eq!((env("A"), env("A=")), (Ok(()), Ok(())));
    }

    #[test]
    fn a_health_check_is_no_busy_loop() {
        let check = |interval| Healthcheck { interval: Some(interval), ..Healthcheck::default() };
        let words = |interval| words(|config, _| config.healthcheck = Some(check(interval)));
        assert_eq!(words(1), "Interval in Healthcheck cannot be less than 1ms");
        assert_eq!((words(0), words(SHORTEST)), (String::new(), String::new()));
    }

    #[test]
    fn a_health_check_is_no_ballast() {
        let words = |length: usize, shell: &str| {
            words(|config, _| {
                config.shell = Some(vec![shell.into()]);
                let test = vec!["CMD-SHELL".into(), "x".repeat(length)];
                config.healthcheck = Some(Healthcheck { test, ..Healthcheck::default() });
            })
        };
        assert_eq!(words(LONGEST - 8, "sh"), "");
        let refused = words(LONGEST, "sh");
        assert!(refused.contains("takes 65540 bytes and 65536 are carried"), "{refused}");
        assert_ne!(words(1, &"x".repeat(LONGEST)), "", "the image's shell is of the command");
    }
}
