//! SEC-1: what the kernel answers to every system call, by number, from inside.
//!
//! A program in a container asks for the answer to each number of the three
//! ways into an x86 kernel, and makes none of the calls: see
//! `tests/programs/calls.c`. What goes through is compared with what went
//! through in a container of Docker 28.5.2, asked by the same program.

use promises::{Engine, programs::compile};
use std::collections::BTreeMap;

/// Numbers that Docker lets through by default.
const BY_DEFAULT: [(&str, &str); 3] = [
    (
        "x86_64",
        "0-102 104-133 135 137-138 140-152 154 157-162 186-211 213-226 228-235 240-245 \
         247 251-255 257-271 273-278 280-297 299 301-303 305-307 309-311 314-319 322 \
         324-334 424 434 436-437 439 441 444-449 451-458 462-466",
    ),
    (
        "x32",
        "0-12 14 17-18 21-44 48-53 56-58 60-100 102 104-126 130 132-133 135 137-138 \
         140-152 154 157-162 186-204 207-208 210 213 216-221 223-226 228-235 240-243 \
         245 251-255 257-271 275-277 280-294 301-303 305-306 309 314-319 324-326 \
         329-335 424 434 436-437 439 441 444-449 451-458 462-466 512-527 529-532 \
         534-547",
    ),
    (
        "i386",
        "0-16 19-20 23-24 26-27 29-30 33 36-43 45-47 49-50 54-55 57 60-61 63-66 70-71 \
         75-78 80-83 85 90-97 99-100 102 104-108 114 116-120 122-126 132-133 136 \
         138-148 150-165 168 170-187 190-216 218-221 224-250 252 254-263 265-272 \
         277-282 284 289-293 295-309 311-316 318-335 337 339-341 343-345 347-348 \
         351-356 358-373 375-386 393-403 405-414 416-424 434 436-437 439 441 444-449 \
         451-458 462-466",
    ),
];

/// The same with every capability, `--cap-add ALL`.
const WITH_ALL: [(&str, &str); 3] = [
    (
        "x86_64",
        "0-133 135 137-138 140-154 157-166 169-173 175-176 179 186-235 237-245 247 \
         251-255 257-278 280-319 321-322 324-334 424 428-466",
    ),
    (
        "x32",
        "0-12 14 17-18 21-44 48-53 56-58 60-100 102-126 130 132-133 135 137-138 140-154 \
         157-166 169-173 175-176 179 186-204 207-208 210 212-213 216-221 223-235 \
         237-243 245 251-255 257-272 275-277 280-294 298 300-306 308-309 312-319 321 \
         324-326 329-335 424 428-466 512-527 529-532 534-547",
    ),
    (
        "i386",
        "0-16 19-27 29-30 33 36-43 45-47 49-52 54-55 57 60-61 63-66 70-71 74-83 85 88 \
         90-97 99-108 110-111 114 116-126 128-129 131-133 136 138-148 150-165 168 \
         170-187 190-216 218-221 224-250 252-272 274-282 284 289-293 295-316 318-373 \
         375-386 393-414 416-424 428-466",
    ),
];

/// What the program says, by way and answer.
type Answers = BTreeMap<(String, String), String>;

fn answers(engine: &Engine, options: &[&str]) -> Answers {
    let words = [&["run", "--rm"], options, &["calls", "/root/calls"]].concat();
    let said = engine.says(&words);
    let answers = said.lines().map(|line| {
        let mut parts = line.splitn(3, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_else(|| panic!("{line:?}"));
        ((next(), next()), next())
    });
    answers.collect()
}

fn through<'a>(answers: &'a Answers, way: &str) -> &'a str {
    answers.get(&(way.to_owned(), "through".to_owned())).map_or("", String::as_str)
}

#[test]
fn sec1_every_system_call_is_answered_as_by_docker() {
    let engine = Engine::new();
    compile(&engine, "calls");
    // Without a filter all go through but two, which no filter sees: it is
    // the filter that is asked, and nothing else that would say no.
    let open = answers(&engine, &["--security-opt", "seccomp=unconfined"]);
    assert_eq!(through(&open, "x86_64"), "0-334 337-1023");
    assert_eq!((through(&open, "x32"), through(&open, "i386")), ("0-1023", "0-1023"));
    let all: &[&str] = &["--cap-add", "ALL"];
    for (options, docker) in [(&[][..], BY_DEFAULT), (all, WITH_ALL)] {
        let ours = answers(&engine, options);
        for (way, numbers) in docker {
            assert_eq!(through(&ours, way), numbers, "{way} {options:?}");
        }
        // Refused is "operation not permitted", or "no such call": of what
        // is no call, and of what is newer than the rules.
        let other = ours.keys().find(|(_, a)| !["0", "1", "38", "through"].contains(&&**a));
        assert_eq!(other, None, "{options:?}");
    }
    engine.leaves_nothing();
}
