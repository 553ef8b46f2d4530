//! The image's configuration and the request's become one.

use spec::docker::{Config, Healthcheck};

/// Folds the image's configuration into what was asked for, by Docker's
/// rules: a word of the request outranks the image's; lists of names are
/// joined; an entry point that was asked for makes the image's command void.
pub fn merge(image: &Config, request: &Config) -> Config {
    let mut config = request.clone();
    if config.user.is_empty() {
        config.user.clone_from(&image.user);
    }
    if config.working_dir.is_empty() {
        config.working_dir.clone_from(&image.working_dir);
    }
    if config.stop_signal.as_deref().unwrap_or_default().is_empty() {
        config.stop_signal.clone_from(&image.stop_signal);
    }
    if config.shell.is_none() {
        config.shell.clone_from(&image.shell);
    }
    config.exposed_ports.extend_from(image.exposed_ports.as_map());
    for (key, value) in &image.labels {
        config.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if let Some(volumes) = &image.volumes {
        let mine = config.volumes.get_or_insert_default();
        for (path, empty) in volumes {
            mine.entry(path.clone()).or_insert(*empty);
        }
    }
    for word in &image.env {
        let key = name(word);
        if !request.env.iter().any(|mine| name(mine) == key) {
            config.env.push(word.clone());
        }
    }
    merge_command(image, &mut config);
    config.healthcheck = merge_healthcheck(image.healthcheck.as_ref(), config.healthcheck);
    config
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

fn merge_command(image: &Config, config: &mut Config) {
    let empty =
        |words: &Option<spec::docker::Words>| words.as_ref().is_none_or(|words| words.0.is_empty());
    if empty(&config.entrypoint) {
        if empty(&config.cmd) {
            config.cmd.clone_from(&image.cmd);
            config.args_escaped = image.args_escaped;
        }
        if config.entrypoint.is_none() {
            config.entrypoint.clone_from(&image.entrypoint);
        }
    }
    // `--entrypoint ""` says: none, and not the image's command either.
    if config.entrypoint.as_ref().is_some_and(|words| words.0 == [""]) {
        config.entrypoint = None;
    }
}

fn merge_healthcheck(
    image: Option<&Healthcheck>,
    mine: Option<Healthcheck>,
) -> Option<Healthcheck> {
    let Some(image) = image else { return mine };
    let Some(mut mine) = mine else { return Some(image.clone()) };
    if mine.test.is_empty() {
        mine.test.clone_from(&image.test);
    }
    let set = |mine: Option<i64>, image| mine.filter(|value| *value != 0).or(image);
    mine.interval = set(mine.interval, image.interval);
    mine.timeout = set(mine.timeout, image.timeout);
    mine.retries = set(mine.retries, image.retries);
    mine.start_period = set(mine.start_period, image.start_period);
    mine.start_interval = set(mine.start_interval, image.start_interval);
    Some(mine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::docker::{Empty, Words};

    #[expect(clippy::unnecessary_wraps, reason = "so are the fields")]
    fn words(list: &[&str]) -> Option<Words> {
        Some(Words(list.iter().map(|word| (*word).to_owned()).collect()))
    }

    fn image() -> Config {
        Config {
            user: "postgres".into(),
            env: vec!["PATH=/usr/bin".into(), "PGDATA=/data".into()],
            entrypoint: words(&["/entrypoint.sh"]),
            cmd: words(&["postgres"]),
            working_dir: "/srv".into(),
            stop_signal: Some("SIGINT".into()),
            labels: [("a".to_owned(), "image".to_owned())].into(),
            exposed_ports: ["5432/tcp"].into_iter().collect(),
            volumes: Some([("/data".to_owned(), Empty {})].into()),
            ..Config::default()
        }
    }

    #[test]
    fn an_empty_request_is_the_image() {
        let merged = merge(&image(), &Config::default());
        assert_eq!(merged, image());
    }

    #[test]
    fn a_command_keeps_the_entry_point() {
        let merged = merge(&image(), &Config { cmd: words(&["bash"]), ..Config::default() });
        assert_eq!(merged.entrypoint, words(&["/entrypoint.sh"]));
        assert_eq!(merged.cmd, words(&["bash"]));
    }

    #[test]
    fn an_entry_point_makes_the_images_command_void() {
        let merged = merge(&image(), &Config { entrypoint: words(&["sh"]), ..Config::default() });
        assert_eq!((merged.entrypoint, merged.cmd), (words(&["sh"]), None));
    }

    #[test]
    fn an_empty_entry_point_clears_both() {
        let asked = Config { entrypoint: words(&[""]), ..Config::default() };
        let merged = merge(&image(), &asked);
        assert_eq!((merged.entrypoint, merged.cmd), (None, None));
        let asked = Config { cmd: words(&["sh"]), ..asked };
        assert_eq!(merge(&image(), &asked).cmd, words(&["sh"]));
    }

    #[test]
    fn a_variable_of_the_request_outranks_the_images() {
        let asked = Config { env: vec!["PATH=/mine".into(), "X".into()], ..Config::default() };
        assert_eq!(merge(&image(), &asked).env, ["PATH=/mine", "X", "PGDATA=/data"]);
    }

    #[test]
    fn ports_labels_and_volumes_are_joined() {
        let asked = Config {
            labels: [("a".to_owned(), "mine".to_owned())].into(),
            exposed_ports: ["80/tcp"].into_iter().collect(),
            volumes: Some([("/more".to_owned(), Empty {})].into()),
            ..Config::default()
        };
        let merged = merge(&image(), &asked);
        assert_eq!(merged.labels["a"], "mine");
        assert_eq!(merged.exposed_ports.len(), 2);
        assert_eq!(merged.volumes.map(|volumes| volumes.len()), Some(2));
    }

    #[test]
    fn a_health_check_takes_from_the_image_what_it_does_not_say() {
        let image = Config {
            healthcheck: Some(Healthcheck {
                test: vec!["CMD".into(), "true".into()],
                interval: Some(5),
                ..Healthcheck::default()
            }),
            ..Config::default()
        };
        let asked = Healthcheck { interval: Some(0), retries: Some(2), ..Healthcheck::default() };
        let asked = Config { healthcheck: Some(asked), ..Config::default() };
        let merged = merge(&image, &asked).healthcheck.expect("both have one");
        assert_eq!((merged.interval, merged.retries, merged.test.len()), (Some(5), Some(2), 2));
    }
}
