//! What `$name` means at a place of a Dockerfile.
//!
//! `ENV` outranks `ARG` (with BuildKit, whichever came last). An `ARG` has the value that the client gave, else
//! its default, else what the `ARG` of that name before the first `FROM`
//! says. The names of proxies need no `ARG`, and never make a difference to
//! the cache: that is for values which differ from host to host.

use spec::image::Platform;
use std::collections::{BTreeMap, BTreeSet};

/// Known without an `ARG`.
const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What a client gives, and what is so for the whole build.
#[derive(Clone, Debug, Default)]
pub struct Globals {
    /// `--build-arg`.
    pub given: BTreeMap<String, String>,
    /// `ARG`s before the first `FROM`.
    pub before: BTreeMap<String, String>,
    /// `TARGETPLATFORM` and its like.
    pub platform: BTreeMap<String, String>,
}

impl Globals {
    /// Values for builds on and for a platform.
    pub fn new(given: BTreeMap<String, String>, target: &Platform, own: &Platform) -> Self {
        let mut platform = BTreeMap::new();
        for (prefix, of) in [("TARGET", target), ("BUILD", own)] {
            let variant = of.variant.clone().unwrap_or_default();
            let mut whole = format!("{}/{}", of.os, of.architecture);
            if !variant.is_empty() {
                whole = format!("{whole}/{variant}");
            }
            let values = [
                ("PLATFORM", whole),
                ("OS", of.os.clone()),
                ("ARCH", of.architecture.clone()),
                ("VARIANT", variant),
            ];
            platform.extend(values.map(|(name, value)| (format!("{prefix}{name}"), value)));
        }
        Self { given, before: BTreeMap::new(), platform }
    }

    /// What a `FROM` line may use.
    pub fn in_from(&self, name: &str) -> Option<String> {
        self.before.get(name).or_else(|| self.platform.get(name)).cloned()
    }

    /// Takes in an `ARG` before the first `FROM`.
    pub fn declare(&mut self, name: &str, default: Option<String>) {
        let given = self.given.get(name).cloned();
        if let Some(value) = given.or(default) {
            self.before.insert(name.to_owned(), value);
        }
    }
}

/// Of one stage.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Declared so far, with their values.
    args: BTreeMap<String, Option<String>>,
    /// Of these, the ones that outrank the environment.
    above: BTreeSet<String>,
}

impl Scope {
    /// The `ARG` of a name outranks what the environment says of it, until
    /// `ENV` says something new: so BuildKit has it, and no one else.
    pub fn raise(&mut self, name: &str, above: bool) {
        if above {
            self.above.insert(name.to_owned());
        } else {
            self.above.remove(name);
        }
    }

    /// What a stage that begins with this one has of it, as BuildKit has it:
    /// the arguments, and no more of their outranking the environment, which
    /// is the image's own now.
    #[must_use]
    pub fn handed_on(&self) -> Self {
        Self { args: self.args.clone(), above: BTreeSet::new() }
    }

    /// Takes in an `ARG`; says its new value. One that gets none loses the
    /// old one, or (`keeps`, as BuildKit has it) has it still.
    pub fn declare(
        &mut self,
        globals: &Globals,
        name: &str,
        default: Option<String>,
        keeps: bool,
    ) -> Option<String> {
        let value = globals
            .given
            .get(name)
            .cloned()
            .or(default)
            .or_else(|| globals.before.get(name).cloned())
            .or_else(|| globals.platform.get(name).cloned());
        if value.is_none() && keeps {
            self.args.entry(name.to_owned()).or_default();
        } else {
            self.args.insert(name.to_owned(), value.clone());
        }
        value
    }

    /// The value of a name.
    pub fn value(&self, env: &[String], name: &str) -> Option<String> {
        let of = |pair: &String| {
            pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let arg = || self.args.get(name).cloned().flatten();
        if self.above.contains(name) {
            return arg().or_else(|| env.iter().find_map(of));
        }
        env.iter().find_map(of).or_else(arg)
    }

    /// `NAME=value` of the arguments that a program of this stage sees beside
    /// the environment, sorted.
    pub fn args(&self, env: &[String]) -> Vec<String> {
        let in_env = |name: &str| {
            env.iter().any(|pair| pair.split_once('=').is_some_and(|(key, _)| key == name))
        };
        self.args
            .iter()
            .filter(|(name, _)| self.above.contains(*name) || !in_env(name))
            .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name}={value}")))
            .collect()
    }

    /// Proxies that the client gave: for programs alone.
    pub fn proxies(&self, globals: &Globals) -> Vec<String> {
        PROXIES
            .iter()
            .filter(|name| !self.args.contains_key(**name))
            .filter_map(|name| globals.given.get(*name).map(|value| format!("{name}={value}")))
            .collect()
    }

    /// Whether a build argument that was given is known here.
    pub fn knows(&self, name: &str) -> bool {
        self.args.contains_key(name)
    }
}

/// Build arguments that nobody asked for.
pub fn unused(globals: &Globals, scopes: &[Scope]) -> Vec<String> {
    globals
        .given
        .keys()
        .filter(|name| {
            !PROXIES.contains(&name.as_str())
                && !globals.before.contains_key(*name)
                && !scopes.iter().any(|scope| scope.knows(name))
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_outranks_arguments_and_the_client_outranks_defaults() {
        let given = BTreeMap::from([("A".to_owned(), "client".to_owned())]);
        let mut globals = Globals::new(given, &Platform::default(), &Platform::default());
        globals.declare("G", Some("before".into()));
        let mut scope = Scope::default();
        assert_eq!(scope.value(&[], "A"), None, "not declared yet");
        scope.declare(&globals, "A", Some("default".into()), false);
        scope.declare(&globals, "B", Some("default".into()), false);
        scope.declare(&globals, "G", None, false);
        scope.declare(&globals, "N", None, false);
        let env = ["B=env".to_owned()];
        let value = |name| scope.value(&env, name);
        assert_eq!(value("A").as_deref(), Some("client"));
        assert_eq!(value("B").as_deref(), Some("env"));
        assert_eq!(value("G").as_deref(), Some("before"));
        assert_eq!(value("N"), None);
        assert_eq!(scope.args(&env), ["A=client", "G=before"]);
    }

    #[test]
    fn a_stage_hands_its_arguments_on_but_not_their_rank() {
        let globals = Globals::default();
        let mut scope = Scope::default();
        scope.declare(&globals, "A", Some("old".into()), true);
        scope.raise("A", true);
        assert_eq!(scope.declare(&globals, "A", None, true), None, "nothing new");
        let env = ["A=env".to_owned()];
        assert_eq!(scope.value(&env, "A").as_deref(), Some("old"));
        let mut next = scope.handed_on();
        assert_eq!(next.value(&env, "A").as_deref(), Some("env"));
        assert_eq!(next.value(&[], "A").as_deref(), Some("old"));
        next.declare(&globals, "A", None, false);
        assert_eq!(next.value(&[], "A"), None, "the classic builder forgets");
    }

    #[test]
    fn a_proxy_needs_no_declaration_and_is_no_argument() {
        let given = BTreeMap::from([("http_proxy".to_owned(), "x".to_owned())]);
        let globals = Globals::new(given, &Platform::default(), &Platform::default());
        let scope = Scope::default();
        assert_eq!(scope.proxies(&globals), ["http_proxy=x"]);
        assert_eq!(scope.args(&[]), [""; 0]);
        assert_eq!(unused(&globals, &[scope]), [""; 0]);
    }
}
