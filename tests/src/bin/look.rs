//! A program for containers whose file gives rights: set-id or with file
//! capabilities. It tells what it has got.
//!
//! `look` prints its effective user and its effective capabilities as hex;
//! `look grant FILE BIT…` gives a file capabilities, as `setcap(8)` does.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => look(),
        ["grant", file, ref bits @ ..] => grant(file, bits),
        _ => ExitCode::from(2),
    }
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
    match rustix::fs::setxattr(file, "security.capability", &bytes, flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot give capabilities to {file}: {error}");
            ExitCode::FAILURE
        }
    }
}
