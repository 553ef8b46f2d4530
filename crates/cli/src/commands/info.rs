//! `info`, laid out as Docker lays it out.

use crate::show::{binary_size, plain};
use serde_json::Value;
use std::fmt::Write as _;

/// Labels, and the fields that they show.
type Lines = [(&'static str, &'static str)];

const FIRST: [(&str, &str); 7] = [
    ("Containers", "Containers"),
    (" Running", "ContainersRunning"),
    (" Paused", "ContainersPaused"),
    (" Stopped", "ContainersStopped"),
    ("Images", "Images"),
    ("Server Version", "ServerVersion"),
    ("Storage Driver", "Driver"),
];
const DRIVERS: [(&str, &str); 3] = [
    ("Logging Driver", "LoggingDriver"),
    ("Cgroup Driver", "CgroupDriver"),
    ("Cgroup Version", "CgroupVersion"),
];
const MACHINE: [(&str, &str); 11] = [
    ("Kernel Version", "KernelVersion"),
    ("Operating System", "OperatingSystem"),
    ("OSType", "OSType"),
    ("Architecture", "Architecture"),
    ("CPUs", "NCPU"),
    ("Total Memory", "MemTotal"),
    ("Name", "Name"),
    ("ID", "ID"),
    ("Docker Root Dir", "DockerRootDir"),
    ("Debug Mode", "Debug"),
    ("Live Restore Enabled", "LiveRestoreEnabled"),
];

/// The whole text.
pub fn text(info: &Value) -> String {
    let mut text =
        format!("Client: Cofferdam\n Version:    {}\n\nServer:\n", env!("CARGO_PKG_VERSION"));
    lines(info, &FIRST, &mut text);
    for pair in info["DriverStatus"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  {}: {}", plain(&pair[0]), plain(&pair[1]));
    }
    lines(info, &DRIVERS, &mut text);
    text.push_str(" Plugins:\n");
    for kind in ["Volume", "Network", "Log"] {
        let _ = writeln!(text, "  {kind}: {}", list(&info["Plugins"][kind]));
    }
    let _ = writeln!(text, " Swarm: {}", plain(&info["Swarm"]["LocalNodeState"]));
    let runtimes = info["Runtimes"].as_object().into_iter().flatten();
    let runtimes: Vec<&str> = runtimes.map(|(name, _)| name.as_str()).collect();
    let _ = writeln!(text, " Runtimes: {}", runtimes.join(" "));
    let _ = writeln!(text, " Default Runtime: {}", plain(&info["DefaultRuntime"]));
    text.push_str(" Security Options:\n");
    for option in info["SecurityOptions"].as_array().into_iter().flatten() {
        security(&plain(option), &mut text);
    }
    lines(info, &MACHINE, &mut text);
    for warning in info["Warnings"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "{}", plain(warning));
    }
    text
}

fn lines(info: &Value, lines: &Lines, text: &mut String) {
    for (label, key) in lines {
        let value = match (&info[*key], *key) {
            (value, "MemTotal") => binary_size(value.as_u64().unwrap_or(0)),
            (value, _) => plain(value),
        };
        let _ = writeln!(text, " {label}: {value}");
    }
}

fn list(list: &Value) -> String {
    list.as_array().into_iter().flatten().map(plain).collect::<Vec<_>>().join(" ")
}

/// `name=seccomp,profile=builtin`: the name, and below it the rest.
fn security(option: &str, text: &mut String) {
    for pair in option.split(',') {
        let _ = match pair.split_once('=') {
            Some(("name", name)) => writeln!(text, "  {name}"),
            Some((key, value)) => {
                let mut chars = key.chars();
                let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
                writeln!(text, "   {first}{}: {value}", chars.as_str())
            }
            None => writeln!(text, "  {pair}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_reads_as_dockers() {
        let info = json!({"Containers": 2, "Driver": "overlay2", "DriverStatus": [["A", "b"]],
            "Plugins": {"Log": ["json-file", "none"]}, "MemTotal": 1 << 30,
            "SecurityOptions": ["name=seccomp,profile=builtin", "name=userns"],
            "Warnings": ["WARNING: no swap limit"]});
        let text = text(&info);
        for part in [
            "Server:\n Containers: 2\n  Running: \n",
            " Storage Driver: overlay2\n  A: b\n Logging Driver: \n",
            "  Log: json-file none\n",
            " Security Options:\n  seccomp\n   Profile: builtin\n  userns\n",
            " Total Memory: 1GiB\n",
        ] {
            assert!(text.contains(part), "{part:?}: {text}");
        }
        assert!(text.ends_with("\nWARNING: no swap limit\n"));
    }
}
