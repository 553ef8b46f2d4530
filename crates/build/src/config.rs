//! Instructions that change a configuration and nothing else.

use crate::{Error, clean};
use dockerfile::{Command, Healthcheck as Check, Instruction, Pair};
use spec::{
    docker::{Config, Empty, Healthcheck, Words},
    exposed::exposed,
};

/// Nanoseconds, as the API counts.
fn nanos(time: Option<std::time::Duration>) -> Option<i64> {
    time.map(|time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

/// The shell that words are handed to.
pub fn shell(config: &Config) -> Vec<String> {
    match &config.shell {
        Some(shell) if !shell.is_empty() => shell.clone(),
        _ => vec!["/bin/sh".into(), "-c".into()],
    }
}

/// A command as a program and its arguments.
pub fn words(command: &Command, config: &Config) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => [shell(config), vec![text.clone()]].concat(),
        Command::Script { name, .. } => vec![format!("/dev/pipes/{name}")],
    }
}

/// Carries out an (expanded) instruction on a configuration. `has_cmd` is
/// whether the stage has said `CMD` itself. Says how history tells it, after
/// `#(nop) `; none for an instruction that is more than configuration.
///
/// # Errors
/// A port, signal or path that makes no sense.
pub fn apply(
    instruction: &Instruction,
    config: &mut Config,
    has_cmd: &mut bool,
) -> Result<Option<String>, Error> {
    let told = match instruction {
        Instruction::Cmd(command) => {
            let words = words(command, config);
            *has_cmd = true;
            let told = format!("CMD {}", quoted(&words));
            config.cmd = Some(Words(words));
            told
        }
        Instruction::Entrypoint(command) => {
            let words = words(command, config);
            let told = format!("ENTRYPOINT {}", quoted(&words));
            config.entrypoint = Some(Words(words));
            // The base's command was for the base's entry point.
            if !*has_cmd {
                config.cmd = None;
            }
            told
        }
        Instruction::Env(pairs) => {
            for Pair { name, value } in pairs {
                set_env(config, name, value);
            }
            tell("ENV", pairs)
        }
        Instruction::Label(pairs) => {
            for Pair { name, value } in pairs {
                config.labels.insert(name.clone(), value.clone());
            }
            tell("LABEL", pairs)
        }
        Instruction::Expose(ports) => {
            for port in ports {
                let ports =
                    exposed(port).map_err(|bad| Error::Invalid(format!("invalid {bad}")))?;
                for port in ports {
                    config.exposed_ports.insert(&port);
                }
            }
            let mut ports = ports.clone();
            ports.sort();
            format!("EXPOSE {}", ports.join(" "))
        }
        Instruction::Healthcheck(check) => {
            let check = healthcheck(check, config);
            let told = format!("HEALTHCHECK &{{{}}}", told_check(&check));
            config.healthcheck = Some(check);
            told
        }
        Instruction::Maintainer(who) => format!("MAINTAINER {who}"),
        Instruction::Onbuild(trigger) => {
            config.on_build.get_or_insert_default().push(trigger.clone());
            format!("ONBUILD {trigger}")
        }
        Instruction::Shell(words) => {
            config.shell = Some(words.clone());
            format!("SHELL [{}]", words.join(" "))
        }
        Instruction::Stopsignal(signal) => {
            config.stop_signal = Some(signal.clone());
            format!("STOPSIGNAL {signal}")
        }
        Instruction::User(user) => {
            config.user.clone_from(user);
            format!("USER {user}")
        }
        Instruction::Volume(paths) => {
            for path in paths {
                if path.trim().is_empty() {
                    let words = "VOLUME specified can not be an empty string";
                    return Err(Error::Invalid(words.into()));
                }
                config.volumes.get_or_insert_default().insert(path.clone(), Empty {});
            }
            format!("VOLUME [{}]", paths.join(" "))
        }
        Instruction::Workdir(path) => {
            config.working_dir = absolute(path, &config.working_dir);
            format!("WORKDIR {}", config.working_dir)
        }
        Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(_) | Instruction::Arg(_) => {
            return Ok(None);
        }
    };
    Ok(Some(told))
}

fn set_env(config: &mut Config, name: &str, value: &str) {
    let new = format!("{name}={value}");
    let same = |pair: &String| pair.split_once('=').is_some_and(|(key, _)| key == name);
    match config.env.iter().position(same) {
        Some(at) => config.env[at] = new,
        None => config.env.push(new),
    }
}

/// A path seen from the working directory, clean; a slash at its end stays.
pub fn absolute(path: &str, working_dir: &str) -> String {
    let from = if path.starts_with('/') { "" } else { working_dir };
    format!("/{}", clean(&format!("{from}/{path}")))
}

fn tell(word: &str, pairs: &[Pair]) -> String {
    pairs
        .iter()
        .fold(word.to_owned(), |told, Pair { name, value }| format!("{told} {name}={value}"))
}

/// A list as Go's `%q` prints one.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

fn healthcheck(check: &Check, config: &Config) -> Healthcheck {
    match check {
        Check::None => Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() },
        Check::Cmd { test, interval, timeout, start_period, start_interval, retries } => {
            let test = match test {
                Command::Shell(text) => vec!["CMD-SHELL".into(), text.clone()],
                other => [vec!["CMD".into()], words(other, config)].concat(),
            };
            Healthcheck {
                test,
                interval: nanos(*interval),
                timeout: nanos(*timeout),
                start_period: nanos(*start_period),
                start_interval: nanos(*start_interval),
                retries: retries.map(i64::from),
            }
        }
    }
}

/// As Go prints the structure's fields.
fn told_check(check: &Healthcheck) -> String {
    let time = |nanos: Option<i64>| {
        let seconds = nanos.unwrap_or(0) / 1_000_000_000;
        match seconds {
            0..60 => format!("{seconds}s"),
            _ => format!("{}m{}s", seconds / 60, seconds % 60),
        }
    };
    format!(
        "[{}] {} {} {} {} {}",
        check.test.join(" "),
        time(check.interval),
        time(check.timeout),
        time(check.start_period),
        time(check.start_interval),
        check.retries.unwrap_or(0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> (Config, Vec<String>) {
        let file = dockerfile::parse(&format!("FROM scratch\n{text}")).expect(text);
        let mut config = Config { cmd: Some(Words(vec!["base".into()])), ..Config::default() };
        let mut has_cmd = false;
        let mut told = Vec::new();
        for step in &file.stages[0].steps {
            told.extend(apply(&step.instruction, &mut config, &mut has_cmd).expect(text));
        }
        (config, told)
    }

    #[test]
    fn an_entry_point_makes_the_bases_command_void_and_not_ones_own() {
        let (config, told) = applied("ENTRYPOINT [\"/e\"]");
        assert_eq!((config.cmd, &told[..]), (None, &["ENTRYPOINT [\"/e\"]".to_owned()][..]));
        let (config, _) = applied("CMD a b\nENTRYPOINT [\"/e\"]");
        let words = ["/bin/sh", "-c", "a b"].map(str::to_owned).to_vec();
        assert_eq!(config.cmd, Some(Words(words)));
    }

    #[test]
    fn the_shell_of_the_stage_runs_what_is_no_list() {
        let (config, _) = applied("SHELL [\"/bin/bash\", \"-ec\"]\nCMD a");
        let words = ["/bin/bash", "-ec", "a"].map(str::to_owned).to_vec();
        assert_eq!(config.cmd, Some(Words(words)));
    }

    #[test]
    fn what_is_set_twice_keeps_its_place() {
        let (config, told) = applied("ENV A=1 B=2\nENV A=3\nWORKDIR /a\nWORKDIR b/../c");
        assert_eq!(config.env, ["A=3", "B=2"]);
        assert_eq!(config.working_dir, "/a/c");
        assert_eq!(told[0], "ENV A=1 B=2");
    }

    #[test]
    fn ports_are_a_set_of_numbers() {
        let (config, _) = applied("EXPOSE 80 53/udp 8000-8001");
        let ports: Vec<_> = config.exposed_ports.keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp"]);
    }
}
