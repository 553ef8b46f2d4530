//! What happens to every number of one architecture, as ranges, and the
//! search for a number's range.

use crate::{
    Arch,
    arch::Hidden,
    code::{self, Code, Label},
    words::{self, Action, Op, Rule, Rules, Test},
};
use std::borrow::Cow;

/// A rule as it concerns one number.
#[derive(Clone)]
struct Case<'a> {
    number: u32,
    action: Action,
    tests: Cow<'a, [Test]>,
}

/// What happens to a call.
#[derive(Clone, Copy)]
struct Decision<'a> {
    /// Tried in order.
    cases: &'a [Case<'a>],
    /// If none of them holds.
    otherwise: Action,
}

impl PartialEq for Decision<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Case, &Case)| a.action == b.action && a.tests == b.tests;
        self.otherwise == other.otherwise
            && self.cases.len() == other.cases.len()
            && self.cases.iter().zip(other.cases).all(same)
    }
}

/// Writes the search for what happens to every number of `arch`; the number is
/// in the accumulator.
pub fn emit(arch: Arch, rules: &Rules, code: &mut Code) -> Label {
    let cases = cases(arch, rules);
    let ranges = ranges(arch, rules, &cases);
    Search { wide: arch.wide(), written: Vec::new() }.over(code, &ranges)
}

/// All rules of the architecture, by number, else in their order.
fn cases(arch: Arch, rules: &Rules) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for rule in &rules.list {
        for call in &rule.calls {
            if let Some(number) = arch.of(call.numbers) {
                let tests = Cow::Borrowed(&rule.tests[..]);
                cases.push(Case { number, action: rule.action, tests });
            }
            if arch == Arch::I386
                && let Some(hidden) = call.hidden
                && let Some(case) = behind(hidden, rule, rules.default)
            {
                cases.push(case);
            }
        }
    }
    // A pair of numbers is less to move about than a case.
    let mut order: Vec<(u32, usize)> =
        cases.iter().enumerate().map(|(at, case)| (case.number, at)).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| cases[at].clone()).collect()
}

/// What a rule for a call means for the one that hides it on i386.
///
/// A rule with tests cannot be applied there, for the arguments are behind a
/// pointer: where it forbids something, the hidden call is forbidden
/// altogether; where it allows something, nothing is.
fn behind(hidden: Hidden, rule: &Rule, default: Action) -> Option<Case<'static>> {
    if !rule.tests.is_empty() && !words::lets_through(default) {
        return None;
    }
    let mask = if hidden.behind == "ipc" { 0xffff } else { u64::from(u32::MAX) };
    let test = Test { index: 0, op: Op::Equal, value: hidden.number.into(), mask };
    let number = Arch::I386.number(hidden.behind)?;
    Some(Case { number, action: rule.action, tests: Cow::Owned(vec![test]) })
}

/// Ranges of numbers that are answered alike: each reaches from its first
/// number to where the next begins; the first begins at 0.
fn ranges<'a>(arch: Arch, rules: &Rules, cases: &'a [Case<'a>]) -> Vec<(u32, Decision<'a>)> {
    let fixed = |otherwise| Decision { cases: &[], otherwise };
    let refusal = !words::lets_through(rules.default);
    let unknown = fixed(if refusal { words::NO_SUCH_CALL } else { rules.default });
    let newest = rules.newest[arch as usize];
    let mut list: Vec<(u32, Decision<'a>)> = vec![(0, unknown)];
    let mut add = |first, decision| match list.last_mut() {
        Some((_, before)) if *before == decision => {}
        Some((start, before)) if *start == first => *before = decision,
        _ => list.push((first, decision)),
    };
    let (mut rest, mut next) = (cases, 0);
    for number in arch.all() {
        if number > next {
            add(next, unknown);
        }
        next = number + 1;
        let count = rest.iter().take_while(|case| case.number == number).count();
        let (own, others) = rest.split_at(count);
        rest = others;
        let newer = newest.is_some_and(|newest| number > newest) && arch.counts_up(number);
        // A case without tests outranks all others.
        let always = own.iter().find(|case| case.tests.is_empty());
        let decision = match always {
            Some(case) => fixed(case.action),
            None if count > 0 => Decision { cases: own, otherwise: rules.default },
            None if newer => unknown,
            None => fixed(rules.default),
        };
        add(number, decision);
    }
    add(next, unknown);
    list
}

struct Search<'a> {
    wide: bool,
    /// What arguments decide is written once, however many calls are decided
    /// alike.
    written: Vec<(Decision<'a>, Label)>,
}

impl<'a> Search<'a> {
    fn over(&mut self, code: &mut Code, list: &[(u32, Decision<'a>)]) -> Label {
        let [(_, only)] = list else {
            let (left, right) = list.split_at(list.len() / 2);
            let no = self.over(code, left);
            let yes = self.over(code, right);
            return code.jump(code::JGE, right[0].0, yes, no);
        };
        if only.cases.is_empty() {
            return code.answer(only.otherwise);
        }
        if let Some((_, label)) = self.written.iter().find(|(decision, _)| decision == only) {
            return *label;
        }
        let label = self.compare(code, only);
        self.written.push((*only, label));
        label
    }

    fn compare(&self, code: &mut Code, only: &Decision<'_>) -> Label {
        let mut next = code.answer(only.otherwise);
        for case in only.cases.iter().rev() {
            let mut yes = code.answer(case.action);
            for test in case.tests.iter().rev() {
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
