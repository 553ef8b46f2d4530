//! The flags of `run` and `create` into the body of `POST
//! /containers/create`. Pure, but for the files that flags name.

mod limits;
mod networks;
mod parse;
mod ports;

pub use limits::{limits, ulimits};
pub use parse::{bytes, duration, environment, hosts, labels, pairs};
pub use ports::published;

use crate::{
    error::{Error, Outcome},
    words::RunFlags,
};
use spec::docker::{
    Config, CreateBody, DeviceMapping, Healthcheck, HostConfig, LogConfig, Mount, RestartPolicy,
    Words,
};
use std::collections::BTreeMap;

/// Builds the whole request.
///
/// # Errors
/// [`Error::Words`] for what cannot be understood, [`Error::Host`] for a file
/// that cannot be read.
pub fn create(flags: &RunFlags) -> Outcome<CreateBody> {
    contradictions(flags)?;
    let (network_mode, networking_config) = networks::networks(flags)?;
    let mut host_config = HostConfig { network_mode, ..host_config(flags)? };
    let mut config = config(flags)?;
    ports::publish(flags, &mut config, &mut host_config)?;
    volumes(flags, &mut config, &mut host_config)?;
    Ok(CreateBody { config, host_config, networking_config })
}

/// Flags that contradict one another.
fn contradictions(flags: &RunFlags) -> Outcome<()> {
    let wrong = |words: &str| Err(Error::Words(words.to_owned()));
    if flags.rm && flags.restart.as_deref().is_some_and(|policy| !matches!(policy, "no" | "")) {
        return wrong("conflicting options: cannot specify both --restart and --rm");
    }
    let known = ["stdin", "stdout", "stderr"];
    if flags.attach.iter().any(|name| !known.iter().any(|word| name.eq_ignore_ascii_case(word))) {
        return wrong("invalid --attach: valid streams are STDIN, STDOUT and STDERR");
    }
    let tests = [&flags.health_cmd, &flags.health_tcp, &flags.health_http, &flags.health_unix];
    if tests.iter().filter(|test| test.is_some()).count() > 1 {
        return wrong(
            "conflicting options: --health-cmd, --health-tcp, --health-http and --health-unix \
             are one health check each: choose one",
        );
    }
    let check = [
        &flags.health_cmd,
        &flags.health_tcp,
        &flags.health_http,
        &flags.health_unix,
        &flags.health_interval,
        &flags.health_timeout,
        &flags.health_start_period,
        &flags.health_start_interval,
    ];
    if flags.no_healthcheck && (flags.health_retries.is_some() || check.iter().any(|f| f.is_some()))
    {
        return wrong("--no-healthcheck conflicts with --health-* options");
    }
    if let Some(bad) = flags.dns.iter().find(|dns| dns.parse::<std::net::IpAddr>().is_err()) {
        return wrong(&format!("invalid --dns: IP address is not correctly formatted: {bad}"));
    }
    Ok(())
}

fn config(flags: &RunFlags) -> Outcome<Config> {
    let attached = |stream: &str| {
        let named = flags.attach.iter().any(|name| name.eq_ignore_ascii_case(stream));
        !flags.detach && (named || flags.attach.is_empty())
    };
    let command = (!flags.command.is_empty()).then(|| Words(flags.command.clone()));
    let attach_stdin = flags.interactive && attached("stdin");
    Ok(Config {
        hostname: flags.hostname.clone().unwrap_or_default(),
        domainname: flags.domainname.clone().unwrap_or_default(),
        user: flags.user.clone().unwrap_or_default(),
        attach_stdin,
        attach_stdout: attached("stdout"),
        attach_stderr: attached("stderr"),
        tty: flags.tty,
        open_stdin: flags.interactive,
        stdin_once: attach_stdin,
        env: parse::environment(&flags.env_file, &flags.env)?,
        cmd: command,
        healthcheck: health(flags)?,
        image: flags.image.clone(),
        working_dir: flags.workdir.clone().unwrap_or_default(),
        entrypoint: flags.entrypoint.clone().map(|word| Words(vec![word])),
        mac_address: flags.mac_address.clone(),
        labels: parse::labels(&flags.label_file, &flags.label)?,
        stop_signal: flags.stop_signal.clone(),
        stop_timeout: flags.stop_timeout,
        ..Config::default()
    })
}

fn host_config(flags: &RunFlags) -> Outcome<HostConfig> {
    let many = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let text = |word: &Option<String>| word.clone().unwrap_or_default();
    let mut security = Vec::new();
    let (mut masked_paths, mut readonly_paths) = (None, None);
    for option in &flags.security_opt {
        if option == "systempaths=unconfined" {
            (masked_paths, readonly_paths) = (Some(Vec::new()), Some(Vec::new()));
        } else {
            security.push(parse::security_option(option)?);
        }
    }
    let mut host = HostConfig {
        container_id_file: text(&flags.cidfile),
        log_config: LogConfig {
            kind: text(&flags.log_driver),
            config: parse::pairs(&flags.log_opt)?,
        },
        restart_policy: restart(flags.restart.as_deref())?,
        auto_remove: flags.rm,
        volume_driver: text(&flags.volume_driver),
        volumes_from: many(&flags.volumes_from),
        annotations: (!flags.annotation.is_empty())
            .then(|| parse::pairs(&flags.annotation))
            .transpose()?,
        cap_add: many(&flags.cap_add),
        egress: many(&flags.egress),
        cap_drop: many(&flags.cap_drop),
        cgroupns_mode: text(&flags.cgroupns),
        dns: many(&flags.dns),
        dns_options: many(&flags.dns_option),
        dns_search: many(&flags.dns_search),
        extra_hosts: many(&parse::hosts(&flags.add_host)?),
        group_add: many(&flags.group_add),
        ipc_mode: text(&flags.ipc),
        links: many(&flags.link),
        oom_score_adj: flags.oom_score_adj.unwrap_or(0),
        pid_mode: text(&flags.pid),
        privileged: flags.privileged,
        publish_all_ports: flags.publish_all,
        readonly_rootfs: flags.read_only,
        security_opt: many(&security),
        storage_opt: (!flags.storage_opt.is_empty())
            .then(|| parse::pairs(&flags.storage_opt))
            .transpose()?,
        tmpfs: parse::tmpfs(&flags.tmpfs),
        uts_mode: text(&flags.uts),
        userns_mode: text(&flags.userns),
        shm_size: flags.shm_size.as_deref().map(bytes).transpose()?.unwrap_or(0),
        sysctls: (!flags.sysctl.is_empty()).then(|| parse::pairs(&flags.sysctl)).transpose()?,
        runtime: text(&flags.runtime),
        isolation: text(&flags.isolation),
        cgroup_parent: text(&flags.cgroup_parent),
        devices: devices(&flags.device)?,
        device_requests: flags.gpus.as_deref().map(gpus),
        device_cgroup_rules: many(&flags.device_cgroup_rule),
        init: flags.init.then_some(true),
        memory_swappiness: flags.memory_swappiness,
        oom_kill_disable: flags.oom_kill_disable.then_some(true),
        mounts: mounts(&flags.mount)?,
        masked_paths,
        readonly_paths,
        ..HostConfig::default()
    };
    limits(&flags.limits, &mut host)?;
    limits::devices(flags, &mut host)?;
    limits::ulimits(&flags.ulimit, &mut host)?;
    Ok(host)
}

/// `no`, `always`, `unless-stopped`, `on-failure[:N]`.
///
/// # Errors
/// If N is no number.
pub fn restart(policy: Option<&str>) -> Outcome<RestartPolicy> {
    let Some(policy) = policy else {
        return Ok(RestartPolicy { name: "no".into(), maximum_retry_count: 0 });
    };
    let (name, count) = policy.split_once(':').unwrap_or((policy, "0"));
    let wrong =
        |_| Error::Words(format!("invalid restart policy {policy:?}: {count:?} is not a number"));
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count: count.parse().map_err(wrong)? })
}

fn devices(devices: &[String]) -> Outcome<Option<Vec<DeviceMapping>>> {
    let map = |device: &String| {
        let fields: Vec<&str> = device.split(':').collect();
        let rights = |word: &str| !word.is_empty() && word.chars().all(|c| "rwm".contains(c));
        let (host, inside, rwm) = match fields[..] {
            [host] => (host, host, "rwm"),
            [host, second] if rights(second) => (host, host, second),
            [host, inside] => (host, inside, "rwm"),
            [host, inside, rwm] if rights(rwm) => (host, inside, rwm),
            _ => {
                return Err(Error::Words(format!(
                    "invalid device {device:?}: HOST-PATH[:PATH[:rwm]] is wanted"
                )));
            }
        };
        Ok(DeviceMapping {
            path_on_host: host.to_owned(),
            path_in_container: inside.to_owned(),
            cgroup_permissions: rwm.to_owned(),
        })
    };
    if devices.is_empty() {
        return Ok(None);
    }
    devices.iter().map(map).collect::<Result<_, _>>().map(Some)
}

/// `--gpus`, as a request for the engine to answer.
fn gpus(count: &str) -> Vec<serde_json::Value> {
    let count = count.trim_start_matches("count=").parse().unwrap_or(-1);
    vec![serde_json::json!({"Driver": "", "Count": count, "Capabilities": [["gpu"]]})]
}

fn health(flags: &RunFlags) -> Outcome<Option<Healthcheck>> {
    if flags.no_healthcheck {
        return Ok(Some(Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() }));
    }
    let time = |text: &Option<String>| text.as_deref().map(duration).transpose();
    let check = Healthcheck {
        // The last three are ours: Docker's engine knows no such checks.
        test: [
            ("CMD-SHELL", &flags.health_cmd),
            ("TCP", &flags.health_tcp),
            ("HTTP", &flags.health_http),
            ("UNIX", &flags.health_unix),
        ]
        .into_iter()
        .filter_map(|(kind, word)| Some([kind.to_owned(), word.clone()?]))
        .flatten()
        .collect(),
        interval: time(&flags.health_interval)?,
        timeout: time(&flags.health_timeout)?,
        retries: flags.health_retries,
        start_period: time(&flags.health_start_period)?,
        start_interval: time(&flags.health_start_interval)?,
    };
    Ok((check != Healthcheck::default()).then_some(check))
}

fn volumes(flags: &RunFlags, config: &mut Config, host: &mut HostConfig) -> Outcome<()> {
    let (binds, bare) = binds(&flags.volume)?;
    let bare: BTreeMap<_, _> =
        bare.into_iter().map(|path| (path, spec::docker::Empty {})).collect();
    host.binds = (!binds.is_empty()).then_some(binds);
    config.volumes = (!bare.is_empty()).then_some(bare);
    Ok(())
}

/// What a container that is there is to have mounted, as `update` says it;
/// none if that is nothing.
///
/// # Errors
/// Words that make no sense.
pub fn later_mounts(
    volume: &[String],
    mount: &[String],
    tmpfs: &[String],
) -> Outcome<Option<serde_json::Value>> {
    if volume.is_empty() && mount.is_empty() && tmpfs.is_empty() {
        return Ok(None);
    }
    let (mut all, bare) = binds(volume)?;
    // The engine says what is wrong with one that has no name.
    all.extend(bare);
    let mounts = mounts(mount)?.unwrap_or_default();
    let tmpfs = parse::tmpfs(tmpfs).unwrap_or_default();
    Ok(Some(serde_json::json!({"Binds": all, "Mounts": mounts, "Tmpfs": tmpfs})))
}

/// `-v`: those with a source, and the paths of those without.
fn binds(volumes: &[String]) -> Outcome<(Vec<String>, Vec<String>)> {
    let (mut binds, mut bare) = (Vec::new(), Vec::new());
    for volume in volumes {
        match volume.split_once(':') {
            None => bare.push(volume.clone()),
            Some((source, rest)) if source.starts_with('.') || source.starts_with('~') => {
                let path = std::path::absolute(source).map_err(|source_error| Error::Host {
                    doing: "resolve",
                    what: source.into(),
                    source: source_error,
                })?;
                binds.push(format!("{}:{rest}", path.display()));
            }
            Some(_) => binds.push(volume.clone()),
        }
    }
    Ok((binds, bare))
}

fn mounts(mounts: &[String]) -> Outcome<Option<Vec<Mount>>> {
    if mounts.is_empty() {
        return Ok(None);
    }
    mounts.iter().map(|text| parse::mount(text)).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> RunFlags {
        RunFlags { image: "busybox".into(), ..RunFlags::default() }
    }

    #[test]
    fn nothing_asked_for_is_nothing_set() {
        let body = create(&flags()).expect("valid");
        assert_eq!(body.config.cmd, None);
        assert!(body.config.attach_stdout && !body.config.attach_stdin);
        assert_eq!(body.host_config.network_mode, "default");
        assert_eq!(body.host_config.mounts, None);
    }

    #[test]
    fn system_paths_unconfined_are_empty_lists() {
        let body =
            create(&RunFlags { security_opt: vec!["systempaths=unconfined".into()], ..flags() });
        let host = body.expect("valid").host_config;
        assert_eq!((host.masked_paths, host.readonly_paths), (Some(vec![]), Some(vec![])));
        assert_eq!(host.security_opt, None);
    }

    #[test]
    fn a_device_has_dockers_three_spellings() {
        let body = create(&RunFlags {
            device: vec!["/dev/a:r".into(), "/dev/b:/dev/c".into()],
            ..flags()
        });
        let devices = body.expect("valid").host_config.devices.expect("two");
        assert_eq!(devices[0].cgroup_permissions, "r");
        assert_eq!(devices[1].path_in_container, "/dev/c");
        assert!(create(&RunFlags { device: vec!["/dev/a:/b:x".into()], ..flags() }).is_err());
    }

    #[test]
    fn a_single_path_is_an_anonymous_volume() {
        let body = create(&RunFlags { volume: vec!["/data".into(), "v:/w:ro".into()], ..flags() })
            .expect("valid");
        assert!(body.config.volumes.expect("one").contains_key("/data"));
        assert_eq!(body.host_config.binds, Some(vec!["v:/w:ro".to_owned()]));
    }

    #[test]
    fn a_restart_count_must_be_a_number() {
        assert_eq!(restart(Some("on-failure:3")).expect("valid").maximum_retry_count, 3);
        assert!(restart(Some("on-failure:many")).is_err());
    }
}
