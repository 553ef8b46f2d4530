//! `--change`: Dockerfile instructions that alter a configuration and nothing
//! else, as `import` and `commit` take them.

use crate::Error;
use spec::{
    docker::{Config, Empty, Healthcheck, Words},
    duration::nanoseconds,
    exposed::exposed,
};

/// Applies instructions in order.
///
/// # Errors
/// [`Error::Invalid`], worded as Docker words it, for the first that is not
/// understood.
pub(crate) fn apply<S: AsRef<str>>(changes: &[S], config: &mut Config) -> Result<(), Error> {
    changes.iter().try_for_each(|change| one(change.as_ref().trim(), config))
}

fn one(change: &str, config: &mut Config) -> Result<(), Error> {
    let (word, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
    let word = word.to_ascii_uppercase();
    let rest = rest.trim();
    let invalid = |text: String| Err(Error::Invalid(text));
    if rest.is_empty() {
        return invalid(format!("{word} requires at least one argument"));
    }
    match &*word {
        "CMD" => config.cmd = Some(Words(command(rest))),
        "ENTRYPOINT" => config.entrypoint = Some(Words(command(rest))),
        "ENV" => {
            for (key, value) in pairs("ENV", rest)? {
                let value = expand(&value, &config.env);
                let prefix = format!("{key}=");
                config.env.retain(|old| !old.starts_with(&prefix));
                config.env.push(prefix + &value);
            }
        }
        "LABEL" => {
            for (key, value) in pairs("LABEL", rest)? {
                config.labels.insert(key, expand(&value, &config.env));
            }
        }
        "EXPOSE" => {
            for port in expand(rest, &config.env).split_whitespace() {
                let ports =
                    exposed(port).map_err(|bad| Error::Invalid(format!("Invalid {bad}")))?;
                for port in ports {
                    config.exposed_ports.insert(&port);
                }
            }
        }
        "VOLUME" => {
            let paths = json_list(rest)
                .unwrap_or_else(|| rest.split_whitespace().map(str::to_owned).collect());
            for path in paths {
                if path.is_empty() {
                    return invalid("VOLUME specified can not be an empty string".into());
                }
                config.volumes.get_or_insert_default().insert(path, Empty {});
            }
        }
        "USER" => config.user = expand(rest, &config.env),
        "WORKDIR" => config.working_dir = joined(&config.working_dir, &expand(rest, &config.env)),
        "STOPSIGNAL" => config.stop_signal = Some(expand(rest, &config.env)),
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck(rest)?),
        _ => return invalid(format!("{word} is not a valid change command")),
    }
    Ok(())
}

/// The JSON form is the command; anything else is for a shell.
fn command(text: &str) -> Vec<String> {
    json_list(text).unwrap_or_else(|| vec!["/bin/sh".into(), "-c".into(), text.into()])
}

fn json_list(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// `key=value …` with quotes, or the old `key value`.
fn pairs(word: &str, text: &str) -> Result<Vec<(String, String)>, Error> {
    let words = split(text)?;
    let old = words.first().is_some_and(|first| !first.contains('='));
    if old {
        let Some((key, value)) = text.split_once(char::is_whitespace) else {
            return Err(Error::Invalid(format!("{word} must have two arguments")));
        };
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    words
        .into_iter()
        .map(|pair| match pair.split_once('=') {
            Some(("", _)) => Err(Error::Invalid(format!("{word} names can not be blank"))),
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Error::Invalid(format!(
                "Syntax error - can't find = in {pair:?}. Must be of the form: name=value"
            ))),
        })
        .collect()
}

/// Words as a shell splits them: quotes and backslashes are taken off.
fn split(text: &str) -> Result<Vec<String>, Error> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$')) => word.get_or_insert_default().push(c),
                Some(c) if quote.is_none() => word.get_or_insert_default().push(c),
                Some(c) => word.get_or_insert_default().extend(['\\', c]),
                None => word.get_or_insert_default().push('\\'),
            },
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(Error::Invalid(format!(
            "unexpected end of statement while looking for matching quote: {text}"
        )));
    }
    words.extend(word);
    Ok(words)
}

/// `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}`.
fn expand(text: &str, env: &[String]) -> String {
    let value = |name: &str| {
        env.iter()
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|p| p.1)
    };
    let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some((inside, after)) = rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            let end = inside.find(|c| !is_name(c)).unwrap_or(inside.len());
            let (name, rule) = inside.split_at(end);
            let set = value(name).filter(|v| !v.is_empty());
            match rule.get(..2).map(|sign| (sign, &rule[2..])) {
                Some((":-", default)) => out.push_str(set.unwrap_or(default)),
                Some((":+", other)) => out.push_str(set.map_or("", |_| other)),
                _ => out.push_str(value(name).unwrap_or("")),
            }
            rest = after;
        } else {
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            if end == 0 {
                out.push('$');
            } else {
                out.push_str(value(&rest[..end]).unwrap_or(""));
            }
            rest = &rest[end..];
        }
    }
    out.push_str(rest);
    out
}

/// An absolute path, `.` and `..` taken out.
fn joined(base: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "" } else { base };
    let mut parts = Vec::new();
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn healthcheck(text: &str) -> Result<Healthcheck, Error> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
        let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
        let bad = || Error::Invalid(format!("invalid value {value:?} for flag {name}"));
        match name {
            "interval" => check.interval = Some(nanoseconds(value).ok_or_else(bad)?),
            "timeout" => check.timeout = Some(nanoseconds(value).ok_or_else(bad)?),
            "start-period" => check.start_period = Some(nanoseconds(value).ok_or_else(bad)?),
            "start-interval" => check.start_interval = Some(nanoseconds(value).ok_or_else(bad)?),
            "retries" => check.retries = Some(value.parse().map_err(|_| bad())?),
            _ => return Err(Error::Invalid(format!("unknown flag: {name}"))),
        }
        rest = after.trim_start();
    }
    let (word, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    check.test = match (word.to_ascii_uppercase().as_str(), command.trim()) {
        ("NONE", "") => vec!["NONE".into()],
        ("CMD", command) if !command.is_empty() => match json_list(command) {
            Some(words) => [vec!["CMD".into()], words].concat(),
            None => vec!["CMD-SHELL".into(), command.into()],
        },
        _ => return Err(Error::Invalid(format!("Unknown type {word:?} in HEALTHCHECK (try CMD)"))),
    };
    Ok(check)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(changes: &[&str]) -> Result<Config, String> {
        let mut config = Config { env: vec!["PATH=/bin".into()], ..Config::default() };
        apply(changes, &mut config).map(|()| config).map_err(|e| e.to_string())
    }

    #[test]
    fn both_forms_of_a_command_are_understood() {
        let config = with(&[r#"CMD ["a", "b c"]"#, "entrypoint run it"]).expect("valid");
        assert_eq!(config.cmd, Some(Words(vec!["a".into(), "b c".into()])));
        let shell = ["/bin/sh", "-c", "run it"].map(str::to_owned).to_vec();
        assert_eq!(config.entrypoint, Some(Words(shell)));
    }

    #[test]
    fn variables_are_set_and_used() {
        let config = with(&[
            r#"ENV A=1 B="two words" PATH=$PATH:/x"#,
            "ENV OLD form here",
            "LABEL v=${A} w=${NONE:-d}${A:+set}",
            "WORKDIR /srv",
            "WORKDIR ../opt/$A",
        ])
        .expect("valid");
        assert_eq!(config.env, ["A=1", "B=two words", "PATH=/bin:/x", "OLD=form here"]);
        assert_eq!(config.labels["v"], "1");
        assert_eq!(config.labels["w"], "dset");
        assert_eq!(config.working_dir, "/opt/1");
    }

    #[test]
    fn ports_and_volumes_are_sets() {
        let config = with(&["EXPOSE 80 53/udp 8000-8001", r#"VOLUME ["/data"]"#]).expect("valid");
        let ports: Vec<_> = config.exposed_ports.keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
        assert!(config.volumes.expect("one").contains_key("/data"));
    }

    #[test]
    fn a_health_check_has_its_times_in_nanoseconds() {
        let check = with(&["HEALTHCHECK --interval=1m30s --retries=3 CMD true"])
            .expect("valid")
            .healthcheck
            .expect("set");
        assert_eq!(check.interval, Some(90_000_000_000));
        assert_eq!(
            (check.retries, &check.test[..]),
            (Some(3), &["CMD-SHELL".into(), "true".into()][..])
        );
    }

    #[test]
    fn what_changes_files_is_refused() {
        assert_eq!(with(&["RUN x"]), Err("RUN is not a valid change command".into()));
        assert!(with(&["EXPOSE 99999"]).is_err());
        assert!(with(&["ENV =x"]).is_err());
        assert!(with(&["CMD"]).is_err());
        assert!(with(&["ENV A=\"x"]).is_err());
    }
}
