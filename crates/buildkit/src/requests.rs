//! What a client asks about a Dockerfile instead of building it: `docker build
//! --call`. The answer is metadata of a result that has no image.

use crate::grpc::{Code, Status};
use base64::Engine as _;
use dockerfile::{Dockerfile, Lines};
use serde_json::{Value, json};
use std::collections::HashMap;

/// A question that is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Which questions there are.
    Describe,
    /// Which stages can be built.
    Targets,
}

impl Request {
    /// By its name on the wire.
    ///
    /// # Errors
    /// It is not answered here, in words.
    pub fn parse(name: &str) -> Result<Self, Status> {
        match name {
            "frontend.subrequests.describe" => Ok(Self::Describe),
            "frontend.targets" => Ok(Self::Targets),
            _ => {
                let word = name.strip_prefix("frontend.").unwrap_or(name);
                let asked = if word == "lint" { "check" } else { word };
                let words = format!(
                    "unsupported request {name}: --call={asked} is not carried by this engine, \
                     which answers --call=targets; a build shows its warnings"
                );
                Err(Status::new(Code::Unimplemented, words))
            }
        }
    }

    /// The answer: `result.json`, `result.txt` and the `version` of both.
    pub fn answer(self, text: &str, file: &Dockerfile) -> HashMap<String, Vec<u8>> {
        let (json, text) = match self {
            Self::Describe => {
                (described(), "frontend.targets\nfrontend.subrequests.describe\n".into())
            }
            Self::Targets => targets(text, file),
        };
        HashMap::from([
            ("result.json".to_owned(), json.to_string().into_bytes()),
            ("result.txt".to_owned(), text.into_bytes()),
            ("version".to_owned(), b"1.0.0".to_vec()),
        ])
    }
}

fn described() -> Value {
    let one = |name: &str, description: &str| {
        json!({
            "name": name, "version": "1.0.0", "type": "rpc", "description": description,
            "opts": [], "inputs": null,
            "metadata": [
                {"name": "result.json", "description": ""},
                {"name": "result.txt", "description": ""},
            ],
            "refs": null,
        })
    };
    json!([
        one("frontend.targets", "List all targets current build supports"),
        one("frontend.subrequests.describe", "List available subrequest types"),
    ])
}

fn targets(text: &str, file: &Dockerfile) -> (Value, String) {
    let source: Vec<&str> = text.lines().collect();
    let last = file.stages.len() - 1;
    let mut table = String::from("TARGET\tDESCRIPTION\n");
    let mut all = Vec::new();
    for (index, stage) in file.stages.iter().enumerate() {
        let name = stage.name.as_deref().unwrap_or_default();
        let description = description(&source, stage.lines.first, name);
        let mut one = json!({"base": stage.base, "location": location(stage.lines)});
        let mut say = |key: &str, value: &str| {
            if !value.is_empty() {
                one[key] = value.into();
            }
        };
        say("name", name);
        say("description", description);
        say("platform", stage.platform.as_deref().unwrap_or_default());
        if index == last {
            one["default"] = true.into();
        }
        let default = if index == last { "(default)" } else { "" };
        table.push_str(&format!("{}\t{description}\n", [name, default].join(" ").trim()));
        all.push(one);
    }
    let data = base64::engine::general_purpose::STANDARD.encode(text);
    (json!({"targets": all, "sources": [data]}), table)
}

fn location(lines: Lines) -> Value {
    json!({"ranges": [{"start": {"line": lines.first}, "end": {"line": lines.last}}]})
}

/// What the comments before a line say of a name: the first that begins with
/// it.
fn description<'a>(source: &[&'a str], line: usize, name: &str) -> &'a str {
    let before = source.get(..line.saturating_sub(1)).unwrap_or_default();
    let blank_or_comment =
        |line: &&&str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    let count = before.iter().rev().take_while(blank_or_comment).count();
    let comments = before[before.len() - count..].iter();
    comments
        .filter_map(|line| line.trim_start().strip_prefix('#'))
        .filter(|_| !name.is_empty())
        .find_map(|comment| comment.trim().strip_prefix(name)?.strip_prefix(' '))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# one first\n\nFROM busybox AS one\n# two x\n# two y\nFROM \
        --platform=$BUILDPLATFORM busybox:latest AS Two\n# 2 third\nRUN true\n#three  tight\n\
        # three is\nFROM two as three\n";

    #[test]
    fn targets_are_told_with_their_comments() {
        let file = dockerfile::parse(FILE).expect("a Dockerfile");
        let answer = Request::Targets.answer(FILE, &file);
        let json: Value = serde_json::from_slice(&answer["result.json"]).expect("json");
        let line =
            |line: u32| json!({"ranges": [{"start": {"line": line}, "end": {"line": line}}]});
        let expected = json!([
            {"name": "one", "description": "first", "base": "busybox", "location": line(3)},
            {"name": "two", "description": "x", "base": "busybox:latest",
             "platform": "$BUILDPLATFORM", "location": line(6)},
            {"name": "three", "description": " tight", "base": "two", "default": true,
             "location": line(11)},
        ]);
        assert_eq!(json["targets"], expected);
        let text = String::from_utf8(answer["result.txt"].clone()).expect("text");
        assert_eq!(text.lines().nth(3), Some("three (default)\t tight"));
    }

    #[test]
    fn what_is_not_answered_is_refused_by_the_word_that_was_said() {
        let words = |name: &str| Request::parse(name).expect_err(name).message;
        assert!(words("frontend.lint").contains("--call=check is not carried"));
        assert!(words("frontend.outline").contains("--call=outline is not carried"));
        assert_eq!(Request::parse("frontend.targets").expect("answered"), Request::Targets);
    }
}
