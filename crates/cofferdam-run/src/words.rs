//! Every word of the command line: one table for the parser, the dispatcher
//! and the help.

use crate::{
    App, Given,
    args::{
        Flag,
        Takes::{self, Nothing, Value},
    },
    problem::Problem,
    verbs,
};

/// One verb.
pub struct Verb {
    pub name: &'static str,
    /// One line for the list of verbs.
    pub about: &'static str,
    /// How its arguments are written.
    pub arguments: &'static str,
    pub count: Count,
    pub flags: &'static [Flag],
    /// Arguments from the first on may be another program's.
    pub foreign: bool,
    pub run: fn(&App, &Given) -> Result<u8, Problem>,
}

/// How many arguments a verb takes.
pub enum Count {
    Exactly(usize),
    AtLeast(usize),
    Between(usize, usize),
}

const fn flag(
    long: &'static str,
    short: Option<&'static str>,
    takes: Takes,
    about: &'static str,
) -> Flag {
    Flag { long, short, takes, about }
}

/// Options of the program.
pub const GLOBALS: &[Flag] = &[
    flag("debug", None, Nothing, "log what is done, too"),
    flag("log", None, Value, "append log lines to this file instead of standard error"),
    flag("log-format", None, Value, "of log lines: text (default) or json"),
    flag("root", None, Value, "directory for the state of containers"),
    flag("systemd-cgroup", None, Nothing, "let systemd keep the control groups"),
    flag("rootless", None, Value, "true, false or auto (default)"),
    flag("criu", None, Value, "accepted and not used"),
    flag("cgroup-manager", None, Value, "cgroupfs or systemd"),
    flag("version", Some("v"), Nothing, "print the version"),
];

const BUNDLE: Flag =
    flag("bundle", Some("b"), Value, "directory of the bundle (default: the current one)");
const CONSOLE: Flag =
    flag("console-socket", None, Value, "unix socket that receives the terminal's master side");
const PIDFD: Flag =
    flag("pidfd-socket", None, Value, "unix socket that receives a pidfd of the process");
const PID_FILE: Flag = flag("pid-file", None, Value, "file to write the process id to");
const NO_PIVOT: Flag =
    flag("no-pivot", None, Nothing, "move the root instead of pivoting, for a root on initramfs");
const NO_KEYRING: Flag =
    flag("no-new-keyring", None, Nothing, "stay in the caller's session keyring");
const PRESERVE: Flag =
    flag("preserve-fds", None, Value, "hand through this many descriptors after standard error");
const DETACH: Flag = flag("detach", Some("d"), Nothing, "do not wait for the process to end");
const FORMAT: Flag = flag("format", Some("f"), Value, "table (default) or json");

/// The verbs, in the order of the help.
pub const VERBS: &[Verb] = &[
    Verb {
        name: "create",
        about: "make a container; its program waits for start",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[BUNDLE, CONSOLE, PIDFD, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE],
        foreign: false,
        run: verbs::launch::create,
    },
    Verb {
        name: "delete",
        about: "remove what a container has left, or the container",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[flag("force", Some("f"), Nothing, "kill it first if it runs")],
        foreign: false,
        run: verbs::end::delete,
    },
    Verb {
        name: "events",
        about: "show figures of a container, and when it runs out of memory",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[
            flag("interval", None, Value, "between two sets of figures (default: 5s)"),
            flag("stats", None, Nothing, "show the figures once"),
        ],
        foreign: false,
        run: verbs::events::events,
    },
    Verb {
        name: "exec",
        about: "run another program in a container",
        arguments: "<container-id> <command> [arguments...] | -p process.json <container-id>",
        count: Count::AtLeast(1),
        flags: &[
            CONSOLE,
            PIDFD,
            flag("cwd", None, Value, "working directory in the container"),
            flag("env", Some("e"), Value, "add NAME=VALUE to the environment"),
            flag("tty", Some("t"), Nothing, "give it a terminal"),
            flag("user", Some("u"), Value, "run as UID[:GID]"),
            flag("additional-gids", Some("g"), Value, "be in these groups, too"),
            flag("process", Some("p"), Value, "file with the process as JSON"),
            DETACH,
            PID_FILE,
            flag("process-label", None, Value, "SELinux label"),
            flag("apparmor", None, Value, "AppArmor profile"),
            flag("no-new-privs", None, Nothing, "gain no privileges by executing files"),
            flag("cap", Some("c"), Value, "give it this capability, too"),
            PRESERVE,
            flag("cgroup", None, Value, "group below the container's: [controller:]path"),
            flag("ignore-paused", None, Nothing, "begin even if the container is paused"),
        ],
        foreign: true,
        run: verbs::exec::exec,
    },
    Verb {
        name: "features",
        about: "tell as JSON what this runtime can do",
        arguments: "",
        count: Count::Exactly(0),
        flags: &[],
        foreign: false,
        run: verbs::features::features,
    },
    Verb {
        name: "kill",
        about: "send a signal (default: SIGTERM) to a container's program",
        arguments: "<container-id> [signal]",
        count: Count::Between(1, 2),
        flags: &[flag("all", Some("a"), Nothing, "send it to every process of the container")],
        foreign: false,
        run: verbs::end::kill,
    },
    Verb {
        name: "list",
        about: "list the containers below --root",
        arguments: "",
        count: Count::Exactly(0),
        flags: &[FORMAT, flag("quiet", Some("q"), Nothing, "identifiers alone")],
        foreign: false,
        run: verbs::look::list,
    },
    Verb {
        name: "pause",
        about: "stop every process of a container for a while",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[],
        foreign: false,
        run: verbs::limits::pause,
    },
    Verb {
        name: "ps",
        about: "show the processes of a container",
        arguments: "<container-id> [ps options]",
        count: Count::AtLeast(1),
        flags: &[FORMAT],
        foreign: true,
        run: verbs::look::ps,
    },
    Verb {
        name: "resume",
        about: "let the processes of a paused container go on",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[],
        foreign: false,
        run: verbs::limits::resume,
    },
    Verb {
        name: "run",
        about: "create a container, start it and wait for its end",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[
            BUNDLE,
            CONSOLE,
            PIDFD,
            DETACH,
            flag("keep", None, Nothing, "do not delete the container when it has ended"),
            PID_FILE,
            flag("no-subreaper", None, Nothing, "do not adopt the orphans of the container"),
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
        ],
        foreign: false,
        run: verbs::launch::run,
    },
    Verb {
        name: "spec",
        about: "write a config.json to start from",
        arguments: "",
        count: Count::Exactly(0),
        flags: &[BUNDLE, flag("rootless", None, Nothing, "for a caller who is not root")],
        foreign: false,
        run: verbs::spec_file::spec,
    },
    Verb {
        name: "start",
        about: "let the program of a created container begin",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[],
        foreign: false,
        run: verbs::launch::start,
    },
    Verb {
        name: "state",
        about: "tell as JSON what is known of a container",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[],
        foreign: false,
        run: verbs::look::state,
    },
    Verb {
        name: "update",
        about: "change the limits of a container",
        arguments: "<container-id>",
        count: Count::Exactly(1),
        flags: &[
            flag("resources", Some("r"), Value, "file with limits as JSON; - is standard input"),
            flag("blkio-weight", None, Value, "share of block devices: 10 to 1000"),
            flag("cpu-period", None, Value, "length of a period in microseconds"),
            flag("cpu-quota", None, Value, "processor time in each period in microseconds"),
            flag("cpu-burst", None, Value, "unused time to keep for later in microseconds"),
            flag("cpu-share", None, Value, "share of the processors: 2 to 262144"),
            flag("cpu-rt-period", None, Value, "the same for real-time processes"),
            flag("cpu-rt-runtime", None, Value, "the same for real-time processes"),
            flag("cpuset-cpus", None, Value, "processors to use"),
            flag("cpuset-mems", None, Value, "memory nodes to use"),
            flag("cpu-idle", None, Value, "1: run only where nobody else wants to"),
            flag("memory", None, Value, "bytes of memory"),
            flag("memory-reservation", None, Value, "bytes of memory to leave it under pressure"),
            flag("memory-swap", None, Value, "bytes of memory and swap together; -1: no limit"),
            flag("kernel-memory", None, Value, "ignored"),
            flag("kernel-memory-tcp", None, Value, "ignored"),
            flag("pids-limit", None, Value, "number of processes; 0: no limit"),
            flag("l3-cache-schema", None, Value, "refused: no Intel RDT"),
            flag("mem-bw-schema", None, Value, "refused: no Intel RDT"),
        ],
        foreign: false,
        run: verbs::limits::update,
    },
];

/// Verbs of other runtimes that callers may try, and that are refused whatever
/// follows them. `--help` is, too: Podman takes an answer to that for the
/// ability.
pub const REFUSED: [&str; 2] = ["checkpoint", "restore"];

/// The verb of that name.
pub fn verb(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

impl Count {
    /// Whether it may be that many; if not, how many it should be.
    pub fn check(&self, count: usize) -> Result<(), String> {
        match *self {
            Self::Exactly(n) if count != n => Err(format!("exactly {n}")),
            Self::AtLeast(n) if count < n => Err(format!("a minimum of {n}")),
            Self::Between(from, _) if count < from => Err(format!("a minimum of {from}")),
            Self::Between(_, to) if count > to => Err(format!("a maximum of {to}")),
            _ => Ok(()),
        }
    }
}
