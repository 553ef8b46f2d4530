//! The program: what is run, as whom, with which variables.

use crate::{ExecWish, Refusal, Wish, caps, namespaces::Spaces, user::Identity};
use spec::{
    Sandbox,
    docker::{Config, Ulimit},
    oci::{ConsoleSize, IdMapping, Process, Rlimit, User},
};

/// Where programs are looked for if the image does not say.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What of a process other rooms' decisions fix.
pub struct Confinement {
    /// The bounding set.
    pub caps: Vec<String>,
    /// As asked.
    pub no_new_privileges: bool,
    /// Empty without AppArmor.
    pub apparmor: String,
    /// Empty without SELinux.
    pub selinux: String,
}

/// The container's own process.
///
/// # Errors
/// A [`Refusal`] if there is nothing to run, or an id or path that cannot be.
pub fn default_process(
    wish: &Wish<'_>,
    spaces: &Spaces,
    confinement: Confinement,
) -> Result<Process, Refusal> {
    let config = wish.config;
    let args = command(config)?;
    let cwd = working_dir(&config.working_dir, "/")?;
    mapped(wish.user, &spaces.uids(), &spaces.gids())?;
    let adjustment = wish.host_config.oom_score_adj;
    if !(-1000..=1000).contains(&adjustment) {
        return Err(Refusal::invalid(format!(
            "Invalid value {adjustment}, range for oom score adj is [-1000, 1000]"
        )));
    }
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={}", hostname(wish))];
    if config.tty {
        env.push("TERM=xterm".to_owned());
    }
    Ok(Process {
        terminal: config.tty,
        console_size: console(wish.host_config.console_size),
        user: user(wish.user),
        args,
        env: with_home(join(env, &config.env), wish.user),
        cwd,
        capabilities: Some(caps::sets(&confinement.caps, wish.user.uid)),
        rlimits: rlimits(wish.host_config.ulimits.as_deref().unwrap_or_default())?,
        no_new_privileges: confinement.no_new_privileges,
        apparmor_profile: confinement.apparmor,
        selinux_label: confinement.selinux,
        oom_score_adj: Some(adjustment),
        ..Process::default()
    })
}

/// The container's name in its UTS namespace.
pub fn hostname<'a>(wish: &Wish<'a>) -> &'a str {
    match (wish.hostname, wish.config.hostname.as_str()) {
        ("", "") => wish.id.get(..12).unwrap_or(wish.id),
        ("", asked) => asked,
        (known, _) => known,
    }
}

fn command(config: &Config) -> Result<Vec<String>, Refusal> {
    let words = |words: &Option<spec::docker::Words>| words.clone().unwrap_or_else(none).0;
    let args = [words(&config.entrypoint), words(&config.cmd)].concat();
    if args.first().is_none_or(String::is_empty) {
        return Err(Refusal::invalid("no command specified"));
    }
    if args.iter().chain(&config.env).any(|word| word.contains('\0')) {
        return Err(Refusal::invalid("a command and its variables cannot hold a zero byte"));
    }
    Ok(args)
}

fn none() -> spec::docker::Words {
    spec::docker::Words(Vec::new())
}

fn working_dir(asked: &str, otherwise: &str) -> Result<String, Refusal> {
    match asked {
        "" => Ok(otherwise.to_owned()),
        path if path.starts_with('/') && !path.contains('\0') => Ok(path.to_owned()),
        path => Err(Refusal::invalid(format!(
            "the working directory '{path}' is invalid, it needs to be an absolute path"
        ))),
    }
}

/// Ids beyond the container's maps exist in no such container.
fn mapped(user: &Identity, uids: &[IdMapping], gids: &[IdMapping]) -> Result<(), Refusal> {
    let has = |lines: &[IdMapping], id: u32| {
        let within = |line: &IdMapping| id.checked_sub(line.container_id).map(|at| at < line.size);
        lines.is_empty() || lines.iter().any(|line| within(line) == Some(true))
    };
    let groups = [&user.gid].into_iter().chain(&user.groups);
    let beyond = Some(&user.uid).filter(|uid| !has(uids, **uid));
    match beyond.or_else(|| groups.into_iter().find(|gid| !has(gids, **gid))) {
        None => Ok(()),
        Some(id) => Err(Refusal::unsupported(format!(
            "id {id} is beyond the container's own {} ids: to run as it, say \
             --userns=auto:size=N with a larger number, or --userns=host",
            uids.iter().map(|line| line.size).sum::<u32>()
        ))),
    }
}

fn user(identity: &Identity) -> User {
    User {
        uid: identity.uid,
        gid: identity.gid,
        umask: None,
        additional_gids: identity.groups.clone(),
    }
}

fn console([height, width]: [u32; 2]) -> Option<ConsoleSize> {
    Some(ConsoleSize { height, width }).filter(|_| height > 0 && width > 0)
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// Lets `over` outrank `base`; a name without a value takes a variable away.
fn join(base: Vec<String>, over: &[String]) -> Vec<String> {
    let mut env = base;
    for word in over {
        let at = env.iter().position(|have| name(have) == name(word));
        match (at, word.contains('=')) {
            (Some(at), true) => env[at].clone_from(word),
            (Some(at), false) => drop(env.remove(at)),
            (None, true) => env.push(word.clone()),
            (None, false) => {}
        }
    }
    env
}

fn with_home(mut env: Vec<String>, user: &Identity) -> Vec<String> {
    let set = env.iter().any(|have| have.len() > "HOME=".len() && have.starts_with("HOME="));
    if !set {
        env.retain(|have| name(have) != "HOME");
        let home = if user.home.is_empty() { "/" } else { &user.home };
        env.push(format!("HOME={home}"));
    }
    env
}

/// Open files: what systemd gives to services. A larger soft limit makes
/// programs that close every possible descriptor slow.
const OPEN_FILES: (u64, u64) = (1024, 524_288);

fn rlimits(asked: &[Ulimit]) -> Result<Vec<Rlimit>, Refusal> {
    const NAMES: [&str; 16] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let mut limits =
        vec![Rlimit { kind: "RLIMIT_NOFILE".into(), soft: OPEN_FILES.0, hard: OPEN_FILES.1 }];
    for limit in asked {
        if !NAMES.contains(&limit.name.as_str()) {
            return Err(Refusal::invalid(format!("invalid ulimit type: {}", limit.name)));
        }
        let value = |value: i64| match value {
            -1 => Ok(u64::MAX),
            value => u64::try_from(value).map_err(|_| {
                Refusal::invalid(format!("invalid ulimit value for {}: {value}", limit.name))
            }),
        };
        let (soft, hard) = (value(limit.soft)?, value(limit.hard)?);
        if soft > hard {
            return Err(Refusal::invalid(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            )));
        }
        let kind = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
        limits.retain(|other| other.kind != kind);
        limits.push(Rlimit { kind, hard, soft });
    }
    Ok(limits)
}

/// The process of `docker exec` in a container confined by `sandbox`: as
/// confined as the container's own, but for what was asked.
///
/// # Errors
/// A [`Refusal`] for words that make no sense.
pub fn exec_process(sandbox: &Sandbox, wish: &ExecWish<'_>) -> Result<Process, Refusal> {
    let own = sandbox.config.process.as_ref().ok_or_else(|| {
        Refusal::invalid("the container has no process whose confinement could be shared")
    })?;
    if wish.cmd.first().is_none_or(String::is_empty) {
        return Err(Refusal::invalid("No exec command specified"));
    }
    if wish.cmd.iter().chain(wish.env).any(|word| word.contains('\0')) {
        return Err(Refusal::invalid("a command and its variables cannot hold a zero byte"));
    }
    let linux = sandbox.config.linux.as_ref();
    let (uids, gids) = linux
        .map_or((&[][..], &[][..]), |linux| (&linux.uid_mappings[..], &linux.gid_mappings[..]));
    mapped(wish.user, uids, gids)?;
    let bounding = match &own.capabilities {
        _ if wish.privileged => spec::capability::NAMES.map(str::to_owned).to_vec(),
        Some(own) => own.bounding.clone(),
        None => Vec::new(),
    };
    let mut env: Vec<String> =
        own.env.iter().filter(|have| name(have) != "TERM" || wish.tty).cloned().collect();
    if wish.tty && !env.iter().any(|have| name(have) == "TERM") {
        env.push("TERM=xterm".to_owned());
    }
    // The container's HOME is its own user's, unless its image says so.
    if own.user != user(wish.user) {
        env.retain(|have| name(have) != "HOME");
    }
    Ok(Process {
        terminal: wish.tty,
        console_size: console(wish.console_size),
        user: user(wish.user),
        args: wish.cmd.to_vec(),
        env: with_home(join(env, wish.env), wish.user),
        cwd: working_dir(wish.working_dir, &own.cwd)?,
        capabilities: Some(caps::sets(&bounding, wish.user.uid)),
        ..own.clone()
    })
}
