//! What happens to every number of one architecture, as ranges, and the
//! search for a number's range.

use crate::{
    Arch, arch,
    code::{self, Code, Label},
    words::{self, Action, Op, Rule, Rules, Test},
};
use std::collections::BTreeMap;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Decision {
    /// Tried in order.
    cases: Vec<(Action, Vec<Test>)>,
    /// If none of them holds.
    otherwise: Action,
}

/// What happens to every number: each range reaches from its first number to
/// where the next begins; the first begins at 0.
pub struct Ranges {
    wide: bool,
    list: Vec<(u32, Decision)>,
}

/// Sorts out what happens to every number of `arch`.
pub fn ranges(arch: Arch, rules: &Rules) -> Ranges {
    let mut calls: BTreeMap<u32, Vec<(Action, Vec<Test>)>> = BTreeMap::new();
    for rule in &rules.list {
        for name in &rule.names {
            if let Some(number) = arch.number(name) {
                calls.entry(number).or_default().push((rule.action, rule.tests.clone()));
            }
            if arch == Arch::I386
                && let Some((number, test)) = behind(name, rule, rules.default)
            {
                calls.entry(number).or_default().push((rule.action, vec![test]));
            }
        }
    }
    let refusal = !words::lets_through(rules.default);
    let newest = rules.names.iter().filter_map(|name| arch.number(name));
    let newest = newest.filter(|number| arch.counts_up(*number)).max();
    // Numbers without a rule, at which the answer may change.
    let fixed = |otherwise| Decision { cases: Vec::new(), otherwise };
    let unknown = fixed(if refusal { words::NO_SUCH_CALL } else { rules.default });
    let mut edges: BTreeMap<u32, Decision> = BTreeMap::from([(0, unknown.clone())]);
    for number in arch.numbers() {
        let newer = newest.is_some_and(|newest| number > newest) && arch.counts_up(number);
        let decision = match calls.get(&number) {
            Some(cases) => decide(cases, rules.default),
            None if newer => unknown.clone(),
            None => fixed(rules.default),
        };
        edges.insert(number, decision);
        edges.entry(number + 1).or_insert_with(|| unknown.clone());
    }
    let mut list: Vec<(u32, Decision)> = Vec::new();
    for (first, decision) in edges {
        if list.last().is_none_or(|(_, before)| *before != decision) {
            list.push((first, decision));
        }
    }
    Ranges { wide: arch.wide(), list }
}

/// What a rule for a call means for the one that hides it on i386.
///
/// A rule with tests cannot be applied there, for the arguments are behind a
/// pointer: where it forbids something, the hidden call is forbidden
/// altogether; where it allows something, nothing is.
fn behind(name: &str, rule: &Rule, default: Action) -> Option<(u32, Test)> {
    let (host, value) = arch::hidden(name)?;
    if !rule.tests.is_empty() && !words::lets_through(default) {
        return None;
    }
    let mask = if host == "ipc" { 0xffff } else { u64::from(u32::MAX) };
    let test = Test { index: 0, op: Op::Equal, value: value.into(), mask };
    Some((Arch::I386.number(host)?, test))
}

/// A case without tests outranks all others.
fn decide(cases: &[(Action, Vec<Test>)], default: Action) -> Decision {
    match cases.iter().find(|(_, tests)| tests.is_empty()) {
        Some((action, _)) => Decision { cases: Vec::new(), otherwise: *action },
        None => Decision { cases: cases.to_vec(), otherwise: default },
    }
}

impl Ranges {
    /// Writes the search; the number is in the accumulator.
    pub fn emit(&self, code: &mut Code) -> Label {
        self.search(code, &self.list, &mut Vec::new())
    }

    /// `written`: what arguments decide is written once, however many calls
    /// are decided alike.
    fn search<'a>(
        &'a self,
        code: &mut Code,
        list: &'a [(u32, Decision)],
        written: &mut Vec<(&'a Decision, Label)>,
    ) -> Label {
        let [(_, only)] = list else {
            let (left, right) = list.split_at(list.len() / 2);
            let no = self.search(code, left, written);
            let yes = self.search(code, right, written);
            return code.jump(code::JGE, right[0].0, yes, no);
        };
        if only.cases.is_empty() {
            return code.answer(only.otherwise);
        }
        if let Some((_, label)) = written.iter().find(|(decision, _)| *decision == only) {
            return *label;
        }
        let label = self.compare(code, only);
        written.push((only, label));
        label
    }

    fn compare(&self, code: &mut Code, only: &Decision) -> Label {
        let mut next = code.answer(only.otherwise);
        for (action, tests) in only.cases.iter().rev() {
            let mut yes = code.answer(*action);
            for test in tests.iter().rev() {
                yes = self.test(code, *test, yes, next);
            }
            next = yes;
        }
        next
    }

    /// Writes one comparison; the accumulator's content is lost.
    fn test(&self, code: &mut Code, test: Test, yes: Label, no: Label) -> Label {
        let (op, yes, no) = match test.op {
            Op::Equal | Op::Greater | Op::GreaterEqual => (test.op, yes, no),
            Op::NotEqual => (Op::Equal, no, yes),
            Op::Less => (Op::GreaterEqual, no, yes),
            Op::LessEqual => (Op::Greater, no, yes),
        };
        let lower = match op {
            Op::Greater => code::JGT,
            Op::GreaterEqual => code::JGE,
            _ => code::JEQ,
        };
        let (value, mask) = (halves(test.value), halves(test.mask));
        let at = code.jump(lower, value.1, yes, no);
        let at = code.and(mask.1, at);
        let at = code.load(code::low(test.index), at);
        if !self.wide || (mask.0 == 0 && value.0 == 0) {
            return at;
        }
        // Only where the upper halves are the same do the lower ones matter.
        let at = code.jump(code::JEQ, value.0, at, no);
        let at = if op == Op::Equal { at } else { code.jump(code::JGT, value.0, yes, at) };
        let at = code.and(mask.0, at);
        code.load(code::high(test.index), at)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
fn halves(value: u64) -> (u32, u32) {
    ((value >> 32) as u32, value as u32)
}
