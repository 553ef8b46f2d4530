//! `cargo xtask test`: installs what the tests need and runs them all.

use crate::{as_root, build, cargo, left::Left, run};
use anyhow::{Context as _, Result};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A program that tests call, and the Debian package that brings it.
const NEEDED: [(&str, &str); 22] = [
    ("/bin/busybox", "busybox-static"),
    ("/usr/sbin/ip", "iproute2"),
    ("/usr/sbin/nft", "nftables"),
    ("/usr/sbin/iptables-nft", "iptables"),
    ("/usr/bin/curl", "curl"),
    ("/usr/bin/sqlite3", "sqlite3"),
    ("/usr/bin/psql", "postgresql-client"),
    ("/usr/bin/mmdebstrap", "mmdebstrap"),
    ("/usr/bin/nsenter", "util-linux"),
    ("/usr/bin/tmux", "tmux"),
    ("/usr/bin/zsh", "zsh"),
    ("/usr/bin/fish", "fish"),
    ("/usr/bin/xz", "xz-utils"),
    ("/usr/bin/zstd", "zstd"),
    ("/usr/bin/python3", "python3"),
    // Figures are read by Prometheus' own library.
    ("/usr/lib/python3/dist-packages/prometheus_client/parser.py", "python3-prometheus-client"),
    ("/usr/bin/git", "git"),
    // LibFuzzer is written in it.
    ("/usr/bin/g++", "g++"),
    ("/usr/bin/openssl", "openssl"),
    ("/lib/systemd/systemd", "systemd"),
    ("/usr/bin/dbus-daemon", "dbus"),
    ("/usr/bin/ssh-agent", "openssh-client"),
];

/// Further words go to the test programs, as a filter on their names.
pub fn test(filter: &[&str]) -> Result<()> {
    as_root()?;
    install(&NEEDED)?;
    let binaries = build("dev")?;
    let before = Left::now()?;
    let mut tests = cargo(&["test", "--locked", "--workspace", "--no-fail-fast", "--"]);
    tests.args(filter);
    tests.env("COFFERDAM_BINARIES", &binaries).env("COFFERDAM_DOCKER", docker_client()?);
    tests.env("COFFERDAM_REGISTRY", registry()?);
    tests.env("COFFERDAM_BUILDX", plugin("docker-buildx")?);
    tests.env("COFFERDAM_COMPOSE", plugin("docker-compose")?);
    tests.env("COFFERDAM_DEBIAN", debian_root()?);
    tests.env("COFFERDAM_PEERS", crate::bench::peers()?);
    let attacks = Attacks::begin()?;
    let outcome = run(tests.env("COFFERDAM_ATTACKS", &attacks.0));
    attacks.say()?;
    outcome?;
    before.nothing_new()?;
    // A part of the tests was asked for; this is none of theirs.
    if filter.is_empty() { crate::fuzz::fuzz(&[]) } else { Ok(()) }
}

/// The file in which tests write down each attack that they try, a line each,
/// and each that succeeded: see `tests/src/attack.rs`.
struct Attacks(PathBuf);

impl Attacks {
    fn begin() -> Result<Self> {
        let name = format!("target/attacks-{}", std::process::id());
        let path = crate::root().join(name);
        std::fs::write(&path, "").with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Prints how many there were. That one succeeded has failed its test.
    fn say(self) -> Result<()> {
        let text = std::fs::read_to_string(&self.0)
            .with_context(|| format!("cannot read {}", self.0.display()))?;
        println!("{}", counted(&text));
        std::fs::remove_file(&self.0).with_context(|| format!("cannot remove {}", self.0.display()))
    }
}

fn counted(text: &str) -> String {
    let count = |word: &str| text.lines().filter(|line| line.starts_with(word)).count();
    format!("attacks tried / succeeded: {} / {}", count("tried "), count("succeeded "))
}

/// Installs the packages of programs that are missing.
pub fn install(needed: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(path, _)| !Path::new(path).exists())
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing for the tests: {}", missing.join(" "));
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        command
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(missing))
}

/// The Docker CLI: its package would bring an engine with it.
pub fn docker_client() -> Result<PathBuf> {
    program("docker", "docker.io")
}

/// A registry: its package would start one.
pub fn registry() -> Result<PathBuf> {
    program("docker-registry", "docker-registry")
}

/// A program: the one that is installed, else the one out of Debian's package,
/// which is unpacked and not installed.
fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) =
        std::env::split_paths(&path).map(|dir| dir.join(name)).find(|p| p.is_file())
    {
        return Ok(found);
    }
    let folder = crate::root().join("target").join(format!("debian-{package}"));
    let program = folder.join("usr/bin").join(name);
    if !program.is_file() {
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        run(Command::new("apt-get").args(["-qq", "update"]))?;
        run(Command::new("apt-get").args(["-qq", "download", package]).current_dir(&folder))?;
        let unpack = "for deb in *.deb; do dpkg-deb --extract \"$deb\" . ; done";
        run(Command::new("sh").args(["-ec", unpack]).current_dir(&folder))?;
    }
    Ok(program)
}

/// The release of Debian that has the CLI's plugins; the machine's own may
/// not.
const PLUGINS_OF: &str = "trixie";

/// A plugin of the Docker CLI, out of Debian's package, which is unpacked and
/// not installed.
pub fn plugin(name: &str) -> Result<PathBuf> {
    let folder = crate::root().join("target").join(format!("debian-{name}"));
    let plugin = folder.join("usr/libexec/docker/cli-plugins").join(name);
    if !plugin.is_file() {
        println!("fetching {name} for the tests");
        let lists = folder.join("lists");
        std::fs::create_dir_all(lists.join("partial"))
            .with_context(|| format!("cannot make {}", lists.display()))?;
        let sources = folder.join("sources.list");
        let line = format!(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
             http://deb.debian.org/debian {PLUGINS_OF} main\n"
        );
        std::fs::write(&sources, line)
            .with_context(|| format!("cannot write {}", sources.display()))?;
        // Lists of another release must not become the machine's.
        let apt = || {
            let mut command = Command::new("apt-get");
            command.arg("-qq").current_dir(&folder);
            for option in [
                format!("Dir::Etc::SourceList={}", sources.display()),
                "Dir::Etc::SourceParts=-".into(),
                format!("Dir::State::Lists={}", lists.display()),
                format!("Dir::Cache={}", folder.display()),
                "APT::Sandbox::User=root".into(),
            ] {
                command.arg("-o").arg(option);
            }
            command
        };
        run(apt().arg("update"))?;
        run(apt().args(["download", name]))?;
        let unpack = "for deb in *.deb; do dpkg-deb --extract \"$deb\" . ; done";
        run(Command::new("sh").args(["-ec", unpack]).current_dir(&folder))?;
    }
    Ok(plugin)
}

/// What the root of the tests with real programs holds.
const DEBIAN: &str = "nginx-light,postgresql,openssh-server,iputils-ping,python3-minimal,nodejs,adduser,apt,tcc,libc6-dev";

/// A Debian root file system as a tar archive, made once.
fn debian_root() -> Result<PathBuf> {
    // Another list makes another root.
    let tar = crate::root().join(format!("target/debian-{}.tar", DEBIAN.replace(',', "+")));
    if !tar.is_file() {
        println!("making a Debian root for the tests");
        let unfinished = tar.with_extension("unfinished.tar");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "--include", DEBIAN]);
        for option in ["doc", "man", "locale", "info"] {
            command.arg(format!("--dpkgopt=path-exclude=/usr/share/{option}/*"));
        }
        run(command.arg("bookworm").arg(&unfinished))?;
        std::fs::rename(&unfinished, &tar)
            .with_context(|| format!("cannot make {}", tar.display()))?;
    }
    Ok(tar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_counted_by_their_first_word() {
        let text = "tried a::b\ntried succeeded\nsucceeded a::b\ntried c\n";
        assert_eq!(counted(text), "attacks tried / succeeded: 3 / 1");
        assert_eq!(counted(""), "attacks tried / succeeded: 0 / 0");
    }
}
