//! What a shell in a container cannot do by itself.
//!
//! `look` prints its effective user and its effective capabilities as hex,
//! which set-id bits and file capabilities change; `look grant FILE BIT…`
//! gives a file capabilities, as `setcap(8)` does; `look process PID` holds a
//! process by a descriptor and opens its memory; `look abstract NAME` connects
//! to an abstract socket, `look connect PATH` to one that has a path; `look
//! relabel FILE LABEL` gives a file a label of SELinux; `look ask WAY NAME TYPE` and its like ask for names,
//! see [`dns`]; `look echo PORT…` sends back what it is sent, and `look say TO`
//! speaks to it, see [`streams`]; `look swap A B…` and `look overwrite` race
//! against the engine, see [`race`]; `look take WHAT MOST` takes what others then
//! have not, see [`take`]. Exit code 0: it could.

mod dns;
mod race;
mod streams;
mod take;

use std::{
    os::{linux::net::SocketAddrExt as _, unix::net},
    process::ExitCode,
};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => look(),
        ["grant", file, ref bits @ ..] => grant(file, bits),
        ["process", pid] => said(process(pid)),
        ["abstract", name] => said(
            net::SocketAddr::from_abstract_name(name)
                .and_then(|address| net::UnixStream::connect_addr(&address))
                .map(drop),
        ),
        ["connect", path] => said(net::UnixStream::connect(path).map(drop)),
        ["relabel", file, label] => said(relabel(file, label)),
        ["ask", way, name, kind] => said(dns::ask(way, name, kind)),
        ["firsts", name, times] => said(dns::firsts(name, times)),
        ["load", name, seconds, window] => said(dns::load(name, seconds, window)),
        ["getent", name] => said(dns::getent(name)),
        ["serve", address, log] => said(dns::serve(address, log)),
        ["hear", port] => said(dns::hear(port)),
        ["send-as", from, to, text] => said(dns::send_as(from, to, text)),
        ["echo", ref ports @ ..] => said(streams::echo(ports)),
        ["sink", port] => said(streams::sink(port)),
        ["blast", to, seconds] => said(streams::blast(to, seconds)),
        ["rally", to, seconds] => said(streams::rally(to, seconds)),
        ["call", to, seconds] => said(streams::call(to, seconds)),
        ["say", to] => said(streams::say_lines(to)),
        ["say", to, text] => said(streams::say(to, text)),
        ["swap", ref pairs @ ..] => said(race::swap(pairs)),
        ["take", what, most] => said(take::take(what, most)),
        ["count", what, most] => said(take::count(what, most)),
        ["overwrite"] => said(race::overwrite(None)),
        ["overwrite", only] => said(race::overwrite(Some(only))),
        _ => ExitCode::from(2),
    }
}

fn said(outcome: std::io::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn process(pid: &str) -> std::io::Result<()> {
    let number = pid.parse().ok().and_then(rustix::process::Pid::from_raw).expect("a number");
    rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty())?;
    std::fs::File::open(format!("/proc/{pid}/mem")).map(drop)
}

/// As `chcon(1)` does.
fn relabel(file: &str, label: &str) -> std::io::Result<()> {
    let value = [label.as_bytes(), b"\0"].concat();
    let flags = rustix::fs::XattrFlags::empty();
    Ok(rustix::fs::setxattr(file, "security.selinux", &value, flags)?)
}

fn look() -> ExitCode {
    let status = std::fs::read_to_string("/proc/self/status").expect("procfs");
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:")).expect("listed");
    println!("{} {}", rustix::process::geteuid().as_raw(), set.trim());
    ExitCode::SUCCESS
}

/// Source: `linux/capability.h`, `struct vfs_cap_data` of revision 2, with
/// the flag that makes what is permitted effective.
fn grant(file: &str, bits: &[&str]) -> ExitCode {
    let set = bits.iter().fold(0_u64, |set, bit| set | 1 << bit.parse::<u32>().expect("a number"));
    let word = |shift: u64| u32::try_from((set >> shift) & 0xffff_ffff).expect("cut to size");
    let words = [0x0200_0001, word(0), 0, word(32), 0];
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    let flags = rustix::fs::XattrFlags::empty();
    said(rustix::fs::setxattr(file, "security.capability", &bytes, flags).map_err(Into::into))
}
