//! An [`AllowList`] as a program for the kernel (version 2).
//!
//! The kernel runs it at every use of a device with the kind of node, the
//! access and the two numbers; it answers 1 to allow and 0 to deny. Each rule
//! is a few comparisons that jump to the next rule where they do not hold,
//! last rule first, so that the first to hold decides. The program only ever
//! jumps forward: it ends for any list.
//!
//! Source: `linux/bpf.h` (`bpf_cgroup_dev_ctx`), `instruction-set.rst`.

use crate::devices::{Access, AllowList, Node, Rule};
use sys::bpf::Insn;

/// Registers: the context and a scratch value share the first.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const SCRATCH: u8 = 1;
const NODE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const LOAD_WORD: u8 = 0x61;
const AND_32: u8 = 0x54;
const SHIFT_RIGHT_32: u8 = 0x74;
const MOVE_32: u8 = 0xb4;
const MOVE_REGISTER_32: u8 = 0xbc;
const JUMP_EQUAL_32: u8 = 0x16;
const JUMP_UNEQUAL_32: u8 = 0x56;
const JUMP_UNEQUAL_REGISTER_32: u8 = 0x5e;
const EXIT: u8 = 0x95;

fn with_constant(code: u8, register: u8, immediate: u32) -> Insn {
    Insn { code, registers: register, offset: 0, immediate: immediate.cast_signed() }
}

fn with_register(code: u8, to: u8, from: u8) -> Insn {
    Insn { code, registers: to | from << 4, offset: 0, immediate: 0 }
}

fn answer(allow: bool) -> [Insn; 2] {
    [with_constant(MOVE_32, ANSWER, allow.into()), with_constant(EXIT, 0, 0)]
}

/// The program for a list.
pub(crate) fn assemble(list: &AllowList) -> Vec<Insn> {
    let field = |register, offset| Insn { offset, ..with_register(LOAD_WORD, register, CONTEXT) };
    // The first word is the node's kind below and the access above 16 bits.
    let mut program = vec![
        field(NODE, 0),
        field(MAJOR, 4),
        field(MINOR, 8),
        with_register(MOVE_REGISTER_32, ACCESS, NODE),
        with_constant(AND_32, NODE, 0xffff),
        with_constant(SHIFT_RIGHT_32, ACCESS, 16),
    ];
    for rule in list.rules.iter().rev() {
        program.extend(one_rule(*rule));
    }
    program.extend(answer(list.rest));
    program
}

fn one_rule(rule: Rule) -> Vec<Insn> {
    let node = match rule.devices.node {
        Node::Block => 1,
        Node::Char => 2,
    };
    let mut steps = vec![with_constant(JUMP_UNEQUAL_32, NODE, node)];
    if rule.access != Access::ALL {
        steps.push(with_register(MOVE_REGISTER_32, SCRATCH, ACCESS));
        steps.push(with_constant(AND_32, SCRATCH, rule.access.0.into()));
        // To allow, a rule must cover all that is wanted; to deny, any of it.
        steps.push(if rule.allow {
            with_register(JUMP_UNEQUAL_REGISTER_32, SCRATCH, ACCESS)
        } else {
            with_constant(JUMP_EQUAL_32, SCRATCH, 0)
        });
    }
    let numbers = [(MAJOR, rule.devices.major), (MINOR, rule.devices.minor)];
    for (register, number) in numbers {
        steps.extend(number.map(|number| with_constant(JUMP_UNEQUAL_32, register, number)));
    }
    steps.extend(answer(rule.allow));
    let len = steps.len();
    for (at, step) in steps.iter_mut().enumerate() {
        let jumps = [JUMP_UNEQUAL_32, JUMP_UNEQUAL_REGISTER_32, JUMP_EQUAL_32];
        if jumps.contains(&step.code) {
            step.offset = i16::try_from(len - at - 1).expect("a rule has ten steps at most");
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use spec::oci::DeviceRule;

    /// What the kernel would do, for the instructions above.
    fn interpret(program: &[Insn], context: [u32; 3]) -> u32 {
        let mut registers = [0_u32; 16];
        let mut at = 0;
        loop {
            let Insn { code, registers: pair, offset, immediate } = program[at];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            let immediate = immediate.cast_unsigned();
            let jump = match code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(offset).expect("forward") / 4];
                    false
                }
                AND_32 => {
                    registers[to] &= immediate;
                    false
                }
                SHIFT_RIGHT_32 => {
                    registers[to] >>= immediate;
                    false
                }
                MOVE_32 => {
                    registers[to] = immediate;
                    false
                }
                MOVE_REGISTER_32 => {
                    registers[to] = registers[from];
                    false
                }
                JUMP_EQUAL_32 => registers[to] == immediate,
                JUMP_UNEQUAL_32 => registers[to] != immediate,
                JUMP_UNEQUAL_REGISTER_32 => registers[to] != registers[from],
                EXIT => return registers[usize::from(ANSWER)],
                other => panic!("unknown instruction {other:#x}"),
            };
            at += 1;
            if jump {
                at += usize::try_from(offset).expect("jumps go forward");
            }
        }
    }

    fn rule(allow: bool, kind: &str, major: i64, minor: i64, access: &str) -> DeviceRule {
        let (major, minor) = (Some(major), Some(minor));
        DeviceRule { allow, kind: kind.into(), major, minor, access: access.into() }
    }

    fn allowed(rules: &[DeviceRule], kind: char, major: u32, minor: u32, access: &str) -> bool {
        let list = AllowList::from_rules(rules).expect("valid rules");
        let bit = |letter| match letter {
            'm' => 1,
            'r' => 2,
            _ => 4,
        };
        let bits = access.chars().fold(0, |bits, letter| bits | bit(letter));
        let node = if kind == 'b' { 1 } else { 2 };
        interpret(&assemble(&list), [bits << 16 | node, major, minor]) == 1
    }

    #[test]
    fn an_empty_list_denies_everything() {
        assert!(!allowed(&[], 'c', 1, 3, "r"));
    }

    #[test]
    fn only_the_named_device_is_allowed() {
        let rules = [rule(true, "c", 1, 3, "rwm")];
        assert!(allowed(&rules, 'c', 1, 3, "rw"));
        assert!(!allowed(&rules, 'b', 1, 3, "rw"), "another kind of node");
        assert!(!allowed(&rules, 'c', 1, 4, "rw"), "another minor number");
        assert!(!allowed(&rules, 'c', 2, 3, "rw"), "another major number");
    }

    #[test]
    fn access_must_be_covered_whole() {
        let rules = [rule(true, "c", 1, 3, "r")];
        assert!(allowed(&rules, 'c', 1, 3, "r"));
        assert!(!allowed(&rules, 'c', 1, 3, "rw"));
    }

    #[test]
    fn a_part_that_is_denied_denies_the_whole_access() {
        let all = DeviceRule { allow: true, access: "rwm".into(), ..DeviceRule::default() };
        let rules = [all, rule(false, "b", 8, 0, "w")];
        assert!(allowed(&rules, 'b', 8, 0, "r"));
        assert!(!allowed(&rules, 'b', 8, 0, "rw"));
        assert!(allowed(&rules, 'b', 8, 1, "rw"));
    }

    #[test]
    fn wildcards_match_any_number() {
        let rules = [rule(true, "c", 136, -1, "rw")];
        assert!(allowed(&rules, 'c', 136, 4_000_000_000, "rw"));
    }

    #[test]
    fn a_later_rule_takes_a_part_of_a_wider_one_back() {
        let rules = [rule(true, "c", 1, -1, "rw"), rule(false, "c", 1, 1, "w")];
        assert!(!allowed(&rules, 'c', 1, 1, "w"));
        assert!(allowed(&rules, 'c', 1, 1, "r"));
        assert!(allowed(&rules, 'c', 1, 3, "w"));
    }

    #[test]
    fn numbers_above_the_signed_range_compare_right() {
        let rules = [rule(true, "c", 0xffff_fff0, 7, "r")];
        assert!(allowed(&rules, 'c', 0xffff_fff0, 7, "r"));
        assert!(!allowed(&rules, 'c', 0x7fff_fff0, 7, "r"));
    }
}
