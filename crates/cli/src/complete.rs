//! What a shell offers when somebody presses the tabulator: words of the
//! table, and the names of live objects.
//!
//! ```text
//!   shell ──▶ its script ──▶ cofferdam __complete WORD… ──▶ the table of words
//!                                                     └──▶ an engine that runs
//! ```
//!
//! The scripts know nothing but how to ask and to show. The first line of an
//! answer is `files`, where the shell does better itself, or `words`; then
//! come the words, each with a tabulator and what it is. No engine is started
//! for it, and one that does not answer has no names to offer.

use crate::{
    client::Client,
    error::Outcome,
    show,
    tls::Papers,
    words::{Shell, Words},
};
use clap::{Arg, ArgAction, Command, CommandFactory as _};
use serde_json::Value;
use std::time::Duration;

/// The word that scripts say; it is in no help.
pub const WORD: &str = "__complete";
/// How long a person waits for names.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is offered.
#[derive(Debug, PartialEq, Eq)]
enum Offer {
    /// Each with what it is.
    Words(Vec<(String, String)>),
    Live(Live),
    Files,
}

/// Names that the engine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Live {
    Containers(&'static str),
    Images,
    Networks,
    Volumes,
    /// Any of them.
    All,
}

/// The script for a shell.
pub fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("complete/bash.sh"),
        Shell::Zsh => include_str!("complete/zsh.sh"),
        Shell::Fish => include_str!("complete/fish.fish"),
    }
}

/// Answers a script. The last of the words is being typed.
///
/// # Errors
/// Nobody reads the answer.
pub async fn answer(words: &[String]) -> Outcome {
    let (said, typed) = match words.split_last() {
        Some((typed, said)) => (said, typed.as_str()),
        None => (words, ""),
    };
    let mut table = Words::command();
    table.build();
    let mut text = String::new();
    match offer(&table, said, typed) {
        Offer::Files => text.push_str("files\n"),
        Offer::Words(words) => list(&words, typed, &mut text),
        Offer::Live(live) => list(&names(live, said).await, typed, &mut text),
    }
    show::print(&text)?;
    Ok(0)
}

fn list(words: &[(String, String)], typed: &str, text: &mut String) {
    text.push_str("words\n");
    for (word, what) in words.iter().filter(|(word, _)| word.starts_with(typed)) {
        text.push_str(&format!("{word}\t{what}\n"));
    }
}

/// What may stand where `typed` does, behind the words said.
fn offer(table: &Command, said: &[String], typed: &str) -> Offer {
    let mut command = table;
    let mut place = 0;
    let mut words = said.iter();
    while let Some(word) = words.next() {
        if let Some(arg) = flag(command, word) {
            if takes_next(arg) && !word.contains('=') && words.next().is_none() {
                return values(command, arg);
            }
        } else if let Some(next) = command.find_subcommand(word).filter(|_| place == 0) {
            command = next;
        } else if !word.starts_with('-') {
            place += 1;
        }
    }
    if typed.starts_with('-') {
        return Offer::Words(flags(command));
    }
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let about = |command: &Command| command.get_about().map(ToString::to_string);
        return Offer::Words(
            shown.map(|c| (c.get_name().to_owned(), about(c).unwrap_or_default())).collect(),
        );
    }
    let positional = |place| command.get_positionals().nth(place);
    let last = command.get_positionals().last();
    let endless = last.filter(|arg| matches!(arg.get_action(), ArgAction::Append));
    match positional(place).or(endless) {
        Some(arg) => values(command, arg),
        None => Offer::Words(Vec::new()),
    }
}

/// The flag that a word is.
fn flag<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let name = word.split('=').next().unwrap_or_default();
    let long = name.strip_prefix("--").filter(|name| !name.is_empty());
    // Of several letters the last one may take a value.
    let short = name.strip_prefix('-').filter(|name| !name.starts_with('-'));
    let short = short.and_then(|letters| letters.chars().last());
    command.get_arguments().find(|arg| {
        long.is_some_and(|long| {
            arg.get_long() == Some(long)
                || arg.get_all_aliases().is_some_and(|all| all.contains(&long))
        }) || (short.is_some() && arg.get_short() == short)
    })
}

fn takes_next(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

fn flags(command: &Command) -> Vec<(String, String)> {
    let shown = command.get_opts().chain(command.get_arguments().filter(|arg| !takes_next(arg)));
    let shown = shown.filter(|arg| !arg.is_hide_set() && !arg.is_positional());
    let mut all: Vec<_> = shown
        .filter_map(|arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            Some((format!("--{}", arg.get_long()?), help))
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What an argument may be.
fn values(command: &Command, arg: &Arg) -> Offer {
    let possible: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| (value.get_name().to_owned(), String::new()))
        .collect();
    if !possible.is_empty() {
        return Offer::Words(possible);
    }
    let name =
        arg.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    match name {
        "CONTAINER" | "CONTAINER:ALIAS" => {
            Offer::Live(Live::Containers(states(command.get_name())))
        }
        "IMAGE" | "REPOSITORY[:TAG]" | "NEW-IMAGE" => Offer::Live(Live::Images),
        "NETWORK" => Offer::Live(Live::Networks),
        "VOLUME" => Offer::Live(Live::Volumes),
        "NAME" if arg.is_positional() => Offer::Live(Live::All),
        "NAME" | "KEY" | "KEY=VALUE" | "BYTES" | "NUMBER" | "SERVICE" | "DURATION" | "CALL"
        | "TARGET" => Offer::Words(Vec::new()),
        _ => Offer::Files,
    }
}

/// Which containers a command is for, as a filter of the API has it.
fn states(command: &str) -> &'static str {
    match command {
        "exec" | "attach" | "stop" | "kill" | "top" | "pause" | "port" => {
            r#"{"status":["running"]}"#
        }
        "unpause" => r#"{"status":["paused"]}"#,
        "start" => r#"{"status":["created","exited","dead"]}"#,
        _ => "{}",
    }
}

/// Those of an engine that answers.
async fn names(live: Live, said: &[String]) -> Vec<(String, String)> {
    let after = |flags: &[&str]| {
        let pair = said.windows(2).find(|pair| flags.contains(&&*pair[0]));
        pair.map(|pair| &*pair[1])
    };
    // `-c` is another flag behind a command.
    let (host, context) = (after(&["-H", "--host"]), after(&["--context"]));
    let Ok(client) = Client::new(host, context, &Papers::default()) else {
        return Vec::new();
    };
    if !client.is_answered() {
        return Vec::new();
    }
    let kinds: &[Live] = match live {
        Live::All => &[Live::Containers("{}"), Live::Images, Live::Networks, Live::Volumes],
        one => &[one],
    };
    let mut all = Vec::new();
    for kind in kinds {
        let asked = tokio::time::timeout(PATIENCE, client.get::<Value>(&path(*kind))).await;
        // A completion has nowhere to say what is wrong.
        if let Ok(Ok(answer)) = asked {
            all.extend(named(*kind, &answer));
        }
    }
    all
}

fn path(live: Live) -> String {
    match live {
        Live::Containers(filter) => {
            let filter = crate::client::escape(filter);
            format!("/containers/json?all=1&filters={filter}")
        }
        Live::Images => "/images/json".into(),
        Live::Networks => "/networks".into(),
        Live::Volumes | Live::All => "/volumes".into(),
    }
}

/// Names in an answer, each with what it is.
fn named(live: Live, answer: &Value) -> Vec<(String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match live {
        Live::Containers(_) => list(answer)
            .iter()
            .map(|row| {
                let name = text(&row["Names"][0]);
                let what = format!("{}, {}", text(&row["Image"]), text(&row["Status"]));
                (name.trim_start_matches('/').to_owned(), what)
            })
            .collect(),
        Live::Images => list(answer)
            .iter()
            .flat_map(|row| list(&row["RepoTags"]))
            .map(|name| (text(&name), "image".into()))
            .collect(),
        Live::Networks => list(answer)
            .iter()
            .map(|row| (text(&row["Name"]), format!("network, {}", text(&row["Driver"]))))
            .collect(),
        Live::Volumes | Live::All => list(&answer["Volumes"])
            .iter()
            .map(|row| (text(&row["Name"]), "volume".into()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn offered(said: &[&str], typed: &str) -> Offer {
        let mut table = Words::command();
        table.build();
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        offer(&table, &said, typed)
    }

    fn words(said: &[&str], typed: &str) -> Vec<String> {
        match offered(said, typed) {
            Offer::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn commands_are_offered_and_their_flags() {
        let all = words(&[], "");
        assert!(all.contains(&"run".into()) && all.contains(&"completion".into()), "{all:?}");
        assert!(words(&["volume"], "").contains(&"create".into()));
        let flags = words(&["run", "-d"], "--");
        for flag in ["--name", "--rm", "--memory", "--host", "--help"] {
            assert!(flags.contains(&flag.into()), "{flag}: {flags:?}");
        }
        assert_eq!(words(&["completion"], ""), ["bash", "zsh", "fish"]);
    }

    #[test]
    fn names_are_those_that_a_command_is_for() {
        let running = Offer::Live(Live::Containers(r#"{"status":["running"]}"#));
        assert_eq!(offered(&["exec", "-it"], ""), running);
        assert_eq!(offered(&["container", "stop", "a"], ""), running);
        assert_eq!(offered(&["run", "--name", "rm", "-e", "A=1"], ""), Offer::Live(Live::Images));
        assert_eq!(offered(&["run", "--network"], ""), Offer::Live(Live::Networks));
        assert_eq!(offered(&["volume", "rm"], "v"), Offer::Live(Live::Volumes));
        assert_eq!(offered(&["inspect"], ""), Offer::Live(Live::All));
        assert_eq!(offered(&["exec", "web"], ""), Offer::Files);
        assert_eq!(offered(&["run", "busybox", "--rm"], ""), Offer::Files);
        assert_eq!(offered(&["rename", "a", "b"], ""), Offer::Words(Vec::new()));
        // Services are no files, and only a project's files tell of them.
        assert_eq!(offered(&["compose", "-f", "x", "stop"], ""), Offer::Words(Vec::new()));
    }

    #[test]
    fn names_are_read_from_the_engines_answers() {
        let rows = json!([{"Names": ["/web"], "Image": "nginx", "Status": "Up 2 seconds"}]);
        let found = named(Live::Containers("{}"), &rows);
        assert_eq!(found, [("web".to_owned(), "nginx, Up 2 seconds".to_owned())]);
        let rows = json!([{"RepoTags": ["a:1", "b:2"]}, {"RepoTags": null}]);
        assert_eq!(named(Live::Images, &rows).len(), 2);
        let mut text = String::new();
        list(&found, "we", &mut text);
        list(&found, "x", &mut text);
        assert_eq!(text, "words\nweb\tnginx, Up 2 seconds\nwords\n");
    }
}
