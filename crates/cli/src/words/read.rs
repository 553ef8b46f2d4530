//! The command line as it was typed, into [`Words`]; and what is wrong with
//! it, in one line and with Docker's exit codes: 125 for a flag, 1 for words
//! that are missing, too many or unknown.

use super::Words;
use crate::error::Error;
use clap::{
    Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::error::Error as _;

/// What Docker has and this program has not, and what there is instead.
const NOT_CARRIED: [(&str, &str); 10] = [
    ("buildx", "`build` builds images; Docker's own buildx works against this engine, too"),
    ("checkpoint", "checkpoints are not carried"),
    ("config", "swarm mode is not carried"),
    ("context", "`docker context` makes and lists them, and --context and DOCKER_CONTEXT name one"),
    ("node", "swarm mode is not carried"),
    ("plugin", "engine plugins are not carried"),
    ("secret", "swarm mode is not carried"),
    ("service", "swarm mode is not carried"),
    ("stack", "swarm mode is not carried"),
    ("swarm", "swarm mode is not carried"),
];

/// Flags before a command that have a value.
const ENGINE: [&str; 7] =
    ["-H", "--host", "-c", "--context", "--tlscacert", "--tlscert", "--tlskey"];

/// Reads the words behind the program's name, and that name.
///
/// # Errors
/// The help that was asked for, or what is wrong.
pub fn read(typed: &[String]) -> Result<Words, Unread> {
    let table = || lenient(Words::command());
    let read = table().try_get_matches_from(typed);
    let read = read.and_then(|matches| Words::from_arg_matches(&matches));
    // The parser has used its table up: only mistakes are worth another.
    read.map_err(|error| explain(&error, table(), typed))
}

/// Why no [`Words`] came of it.
#[derive(Debug)]
pub enum Unread {
    /// What was asked for, or all that can be said without a command.
    Help(String),
    /// A mistake.
    Wrong(Error),
}

/// Takes flags as Docker's own parser does: a switch may be spelt
/// `--switch=false`, a later flag wins over an earlier one, and what follows
/// a flag that wants a value is its value, whatever it begins with.
pub(super) fn lenient(command: Command) -> Command {
    let command = command.args_override_self(true).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .default_value("false")
            .hide_default_value(true)
            .hide_possible_values(true),
        ArgAction::Set | ArgAction::Append
            if !arg.is_positional() && !arg.is_require_equals_set() =>
        {
            arg.allow_hyphen_values(true)
        }
        _ => arg,
    });
    command.mut_subcommands(lenient)
}

fn explain(error: &clap::Error, command: Command, typed: &[String]) -> Unread {
    let at = Place::of(command, typed);
    let given = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(list)) => list.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    // As in `--name <NAME>`.
    let arg = given(ContextKind::InvalidArg);
    let flag = arg.split([' ', '=', '[']).next().unwrap_or_default();
    let value = given(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Unread::Help(error.render().to_string())
        }
        ErrorKind::MissingSubcommand => Unread::Help(at.help()),
        ErrorKind::UnknownArgument if flag.starts_with("--") => {
            at.flag(format!("unknown flag: {flag}"))
        }
        ErrorKind::UnknownArgument if flag.starts_with('-') && flag.len() > 1 => {
            let letter = flag.trim_start_matches('-').chars().next().unwrap_or('-');
            let bundle = typed.iter().find(|word| {
                word.starts_with('-') && !word.starts_with("--") && word.contains(letter)
            });
            let bundle = bundle.map_or(flag, String::as_str);
            at.flag(format!("unknown shorthand flag: '{letter}' in {bundle}"))
        }
        ErrorKind::UnknownArgument if at.has_subcommands() => at.unknown(&arg),
        ErrorKind::InvalidSubcommand => at.unknown(&given(ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::TooManyValues => at.count(),
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues if value.is_empty() => {
            at.flag(format!("flag needs an argument: {flag}"))
        }
        _ => {
            let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
            at.flag(format!("invalid argument {value:?} for {flag:?} flag{why}"))
        }
    }
}

/// The command that the words lead to.
struct Place {
    /// As typed: `cofferdam volume create`.
    name: String,
    command: Command,
}

impl Place {
    fn of(mut command: Command, typed: &[String]) -> Self {
        // What the parser has not met is not built yet.
        command.build();
        let mut name = "cofferdam".to_owned();
        let mut words = typed.iter().skip(1);
        while let Some(word) = words.next() {
            if ENGINE.contains(&word.as_str()) {
                words.next();
            } else if let Some(next) = command.find_subcommand(word) {
                name = format!("{name} {word}");
                command = next.clone();
            } else if !word.starts_with('-') {
                break;
            }
        }
        Self { name, command }
    }

    fn has_subcommands(&self) -> bool {
        self.command.has_subcommands()
    }

    fn help(mut self) -> String {
        self.command = self.command.bin_name(self.name);
        self.command.render_help().to_string()
    }

    fn hint(&self) -> String {
        format!("see `{} --help`", self.name)
    }

    fn flag(&self, words: String) -> Unread {
        Unread::Wrong(Error::Typed { words, code: 125, hint: self.hint() })
    }

    fn wrong(&self, words: String) -> Unread {
        Unread::Wrong(Error::Typed { words, code: 1, hint: self.hint() })
    }

    fn unknown(&self, word: &str) -> Unread {
        let words = format!("unknown command: {} {word}", self.name);
        match NOT_CARRIED.iter().find(|(known, _)| *known == word) {
            Some((_, instead)) => {
                Unread::Wrong(Error::Typed { words, code: 1, hint: (*instead).to_owned() })
            }
            None => self.wrong(words),
        }
    }

    /// Too few words, or too many.
    fn count(&self) -> Unread {
        let least = self.command.get_positionals().filter(|arg| arg.is_required_set()).count();
        let endless = |arg: &Arg| matches!(arg.get_action(), ArgAction::Append);
        let most = if self.command.get_positionals().any(endless) {
            usize::MAX
        } else {
            self.command.get_positionals().count()
        };
        let many = |n: usize| if n == 1 { "1 argument".into() } else { format!("{n} arguments") };
        let wants = match (least, most) {
            (0, 0) => "accepts no arguments".into(),
            (least, usize::MAX) => format!("requires at least {}", many(least)),
            (least, most) if least == most => format!("requires {}", many(most)),
            (0, most) => format!("requires at most {}", many(most)),
            (least, most) => format!("requires at least {least} and at most {}", many(most)),
        };
        self.wrong(format!("'{}' {wants}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Command as Word;

    fn read(line: &[&str]) -> Result<Words, Unread> {
        let typed: Vec<String> =
            [&["cofferdam"], line].concat().iter().map(ToString::to_string).collect();
        super::read(&typed)
    }

    /// Exit code and the one line.
    fn wrong(line: &[&str]) -> (u8, String) {
        match read(line) {
            Err(Unread::Wrong(error)) => (error.code(), error.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn run(line: &[&str]) -> crate::words::RunFlags {
        match read(&[&["run"], line].concat()).expect("valid").command {
            Word::Run(flags) => *flags.0,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_table_holds_together() {
        lenient(Words::command()).debug_assert();
    }

    #[test]
    fn flags_end_at_the_image() {
        let flags = run(&["--rm", "-it", "busybox", "ls", "-l", "--rm"]);
        assert!(flags.rm && flags.interactive && flags.tty);
        assert_eq!(flags.image, "busybox");
        assert_eq!(flags.command, ["ls", "-l", "--rm"]);
    }

    #[test]
    fn a_switch_can_be_turned_off_and_the_last_word_counts() {
        let flags = run(&["--rm=false", "--init", "--rm", "--name", "a", "--name", "b", "busybox"]);
        assert!(flags.rm && flags.init);
        assert_eq!(flags.name.as_deref(), Some("b"));
        assert_eq!(run(&["-eA=B", "-e", "C", "x"]).env, ["A=B", "C"], "a list gathers");
    }

    #[test]
    fn what_follows_a_flag_is_its_value() {
        let flags = run(&["--cpus", "-1", "-h", "-x", "--entrypoint=--rm", "busybox"]);
        assert_eq!(flags.limits.cpus.as_deref(), Some("-1"));
        assert_eq!(flags.hostname.as_deref(), Some("-x"));
        assert_eq!(flags.entrypoint.as_deref(), Some("--rm"));
        assert!(!flags.rm);
    }

    #[test]
    fn mistakes_have_dockers_words_and_codes() {
        let line = |line: &[&str], code: u8, words: &str| {
            assert_eq!(wrong(line), (code, words.to_owned()), "{line:?}");
        };
        line(&["run", "--nope", "x"], 125, "unknown flag: --nope");
        line(&["run", "--nope=1", "x"], 125, "unknown flag: --nope");
        line(&["ps", "-az"], 125, "unknown shorthand flag: 'z' in -az");
        line(&["run", "--name"], 125, "flag needs an argument: --name");
        line(&["ps", "foo"], 1, "'cofferdam ps' accepts no arguments");
        line(&["run"], 1, "'cofferdam run' requires at least 1 argument");
        line(&["exec", "a"], 1, "'cofferdam exec' requires at least 2 arguments");
        line(&["tag", "a"], 1, "'cofferdam tag' requires 2 arguments");
        line(&["rename", "a", "b", "c"], 1, "'cofferdam rename' requires 2 arguments");
        line(&["port"], 1, "'cofferdam port' requires at least 1 and at most 2 arguments");
        line(&["images", "a", "b"], 1, "'cofferdam images' requires at most 1 argument");
        line(&["nonesuch"], 1, "unknown command: cofferdam nonesuch");
        line(&["volume", "nonesuch"], 1, "unknown command: cofferdam volume nonesuch");
        let (code, words) = wrong(&["run", "--stop-timeout", "x", "y"]);
        assert!(
            code == 125 && words.starts_with("invalid argument \"x\" for \"--stop-timeout\" flag")
        );
        let (code, words) = wrong(&["run", "--rm=x", "y"]);
        assert!(
            code == 125 && words.starts_with("invalid argument \"x\" for \"--rm\" flag"),
            "{words}"
        );
    }

    #[test]
    fn a_word_of_dockers_that_is_not_carried_says_what_to_do() {
        let Err(Unread::Wrong(error)) = read(&["buildx", "ls"]) else { panic!("it is not there") };
        assert!(error.report().contains("hint: `build` builds images"), "{}", error.report());
    }

    #[test]
    fn help_is_no_mistake() {
        for line in [&["--help"][..], &["run", "--help"], &["volume"], &[]] {
            assert!(matches!(read(line), Err(Unread::Help(text)) if text.contains("Usage:")));
        }
    }
}
