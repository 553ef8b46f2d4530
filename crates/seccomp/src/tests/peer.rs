//! libseccomp's programs for the same rules give the same answers. Its
//! programs are kept beside their rules; `libseccomp/make` makes them anew.

use crate::{Arch, Call, Instruction, Program, compile_for};
use spec::oci::Seccomp;

/// What the rules compare with, and neighbours.
const VALUES: [u64; 14] = [
    0,
    1,
    4,
    5,
    6,
    40,
    21505,
    2_114_060_288,
    0xffff_ffff,
    0x1_0000_0005,
    0x1_0000_0006,
    0x2_0000_0000,
    0x2_0000_0004,
    u64::MAX,
];

fn same(json: &str, theirs: &[u8], native: Arch, arches: &[Arch]) {
    let rules: Seccomp = serde_json::from_str(json).expect("an OCI document");
    let ours = compile_for(native, &rules).expect("good rules");
    let instructions = theirs
        .chunks_exact(8)
        .map(|b| Instruction {
            code: u16::from_le_bytes([b[0], b[1]]),
            jt: b[2],
            jf: b[3],
            k: u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        })
        .collect();
    let theirs = Program { instructions, ..Program::default() };
    for &arch in arches {
        let mut names: Vec<&str> = rules
            .syscalls
            .iter()
            .flat_map(|rule| &rule.names)
            .map(String::as_str)
            .chain(["socketcall", "ipc", "getuid", "fork", "gettid"])
            .collect();
        names.dedup();
        for (name, number) in names.iter().filter_map(|n| Some((n, arch.number(n)?))) {
            for index in 0..3 {
                for value in VALUES {
                    // libseccomp looks at half of an x32 argument only.
                    if arch != Arch::X86_64 && arch != Arch::Aarch64 && value > 0xffff_ffff {
                        continue;
                    }
                    let mut args = [0; 6];
                    args[index] = value;
                    let call = Call { arch, number, args };
                    let (ours, theirs) = (ours.answer(&call), theirs.answer(&call));
                    assert_eq!(ours.action, theirs.action, "{arch:?} {name} {args:x?}");
                }
            }
        }
    }
}

#[test]
fn operators_mean_what_libseccomp_means() {
    let (json, bpf) =
        (include_str!("libseccomp/operators.json"), include_bytes!("libseccomp/operators.bpf"));
    same(json, bpf, Arch::X86_64, &[Arch::X86_64, Arch::I386]);
}

#[test]
fn a_deny_list_means_what_libseccomp_means() {
    let (json, bpf) =
        (include_str!("libseccomp/denied.json"), include_bytes!("libseccomp/denied.bpf"));
    same(json, bpf, Arch::X86_64, &[Arch::X86_64, Arch::I386, Arch::X32]);
}

#[test]
fn arm_means_what_libseccomp_means() {
    let (json, bpf) = (include_str!("libseccomp/arm.json"), include_bytes!("libseccomp/arm.bpf"));
    same(json, bpf, Arch::Aarch64, &[Arch::Aarch64, Arch::Arm]);
}
