//! A template's nodes and some data into text.

use super::functions::{self, call};
use super::gaps::{Gap, LABELS, MAPS};
use super::parse::{Node, Operand, Pipe};
use serde_json::Value;

/// Fills the nodes in; `heading` for the line of headers over a table, which
/// no function changes.
///
/// # Errors
/// What the data has not, in words.
pub fn fill(nodes: &[Node], data: &Value, heading: bool) -> Result<String, String> {
    let names = vec![(String::new(), data.clone())];
    let mut work = Work { text: String::new(), names, heading };
    work.nodes(nodes, data)?;
    Ok(work.text)
}

/// Does a value count as true?
pub fn holds(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && Gap::of(value).is_none(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

struct Work {
    text: String,
    /// Variables, the latest last; the first is the root.
    names: Vec<(String, Value)>,
    heading: bool,
}

/// How a body was left.
#[derive(PartialEq)]
enum Left {
    AtItsEnd,
    ToTheNext,
    TheRange,
}

impl Work {
    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Left, String> {
        let known = self.names.len();
        for node in nodes {
            let left = self.node(node, dot)?;
            if left != Left::AtItsEnd {
                self.names.truncate(known);
                return Ok(left);
            }
        }
        self.names.truncate(known);
        Ok(Left::AtItsEnd)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Left, String> {
        match node {
            Node::Text(text) => self.text.push_str(text),
            Node::Show(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.names.is_empty() {
                    self.text.push_str(&functions::plain(&value));
                }
            }
            Node::If(branches, other) => {
                let known = self.names.len();
                for (condition, body) in branches {
                    if holds(&self.pipe(condition, dot)?) {
                        let left = self.nodes(body, dot)?;
                        self.names.truncate(known);
                        return Ok(left);
                    }
                }
                self.names.truncate(known);
                return self.nodes(other, dot);
            }
            Node::With(pipe, body, other) => {
                let known = self.names.len();
                let value = self.pipe(pipe, dot)?;
                let left =
                    if holds(&value) { self.nodes(body, &value) } else { self.nodes(other, dot) };
                self.names.truncate(known);
                return left;
            }
            Node::Range(pipe, body, other) => return self.range(pipe, body, other, dot),
            Node::Break => return Ok(Left::TheRange),
            Node::Continue => return Ok(Left::ToTheNext),
        }
        Ok(Left::AtItsEnd)
    }

    fn range(
        &mut self,
        pipe: &Pipe,
        body: &[Node],
        other: &[Node],
        dot: &Value,
    ) -> Result<Left, String> {
        let nameless = Pipe { commands: pipe.commands.clone(), ..Pipe::default() };
        let pairs: Vec<(Value, Value)> = match self.pipe(&nameless, dot)? {
            Value::Array(list) => {
                list.into_iter().enumerate().map(|(n, value)| (n.into(), value)).collect()
            }
            // In the order of the keys, as Go's.
            Value::Object(map) => {
                let kept = map.into_iter().filter(|(key, value)| {
                    key != LABELS && Gap::of(value).is_none_or(|gap| gap.written)
                });
                kept.map(|(key, value)| (key.into(), value)).collect()
            }
            Value::Number(n) => {
                (0..n.as_u64().unwrap_or(0)).map(|n| (n.into(), n.into())).collect()
            }
            value if !holds(&value) => Vec::new(),
            value => return Err(format!("range can't iterate over {}", functions::plain(&value))),
        };
        if pairs.is_empty() {
            return self.nodes(other, dot);
        }
        let known = self.names.len();
        for (key, value) in pairs {
            self.names.truncate(known);
            match &pipe.names[..] {
                [] => {}
                [one] => self.name(one, value.clone(), pipe.assigns)?,
                [first, second, ..] => {
                    self.name(first, key, pipe.assigns)?;
                    self.name(second, value.clone(), pipe.assigns)?;
                }
            }
            if self.nodes(body, &value)? == Left::TheRange {
                break;
            }
        }
        self.names.truncate(known);
        Ok(Left::AtItsEnd)
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last)?);
        }
        let value = last.unwrap_or(Value::Null);
        if let Some(name) = pipe.names.first() {
            self.name(name, value.clone(), pipe.assigns)?;
        }
        Ok(value)
    }

    /// Gives a value a name, for as long as what is being filled in lasts; or
    /// another value to a name that there is, for as long as that lasts.
    fn name(&mut self, name: &str, value: Value, assigns: bool) -> Result<(), String> {
        if !assigns {
            self.names.push((name.to_owned(), value));
            return Ok(());
        }
        let known = self.names.iter_mut().rev().find(|(known, _)| known == name);
        known.ok_or_else(|| format!("undefined variable \"${name}\""))?.1 = value;
        Ok(())
    }

    fn command(
        &mut self,
        command: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, String> {
        let Some((first, rest)) = command.split_first() else { return Ok(Value::Null) };
        match first {
            // These two look no further than they need.
            Operand::Name(name) if matches!(name.as_str(), "and" | "or") => {
                let mut value = Value::Null;
                if rest.is_empty() && last.is_none() {
                    return Err(format!("wrong number of args for {name}: want at least 1 got 0"));
                }
                for operand in rest {
                    value = self.operand(operand, dot)?;
                    if holds(&value) == (name == "or") {
                        return Ok(value);
                    }
                }
                Ok(last.unwrap_or(value))
            }
            Operand::Name(name) => {
                let mut words: Vec<Value> =
                    rest.iter().map(|o| self.operand(o, dot)).collect::<Result<_, _>>()?;
                words.extend(last);
                match words.first() {
                    Some(header) if self.heading && functions::keeps_headers(name) => {
                        Ok(header.clone())
                    }
                    _ => call(name, &words),
                }
            }
            Operand::Field(path) if path.last().is_some_and(|name| name == "Label") => {
                let row = below(dot.clone(), &path[..path.len() - 1])?;
                let mut words = vec![row];
                words.extend(
                    rest.iter().map(|o| self.operand(o, dot)).collect::<Result<Vec<_>, _>>()?,
                );
                words.extend(last);
                if self.heading {
                    functions::label_header(&words)
                } else {
                    functions::label(&words)
                }
            }
            operand if rest.is_empty() && last.is_none() => self.operand(operand, dot),
            operand => Err(format!("can't give argument to non-function {}", word(operand))),
        }
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, String> {
        match operand {
            Operand::Field(path) => below(dot.clone(), path),
            Operand::Variable(name, path) => {
                let known = self.names.iter().rev().find(|(known, _)| known == name);
                let value = known.map(|(_, value)| value.clone());
                below(value.ok_or_else(|| format!("undefined variable \"${name}\""))?, path)
            }
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Name(name) => call(name, &[]),
            Operand::Pipe(pipe, path) => below(self.pipe(pipe, dot)?, path),
        }
    }
}

fn word(operand: &Operand) -> String {
    match operand {
        Operand::Field(path) => format!(".{}", path.join(".")),
        Operand::Variable(name, _) => format!("${name}"),
        Operand::Literal(value) => value.to_string(),
        Operand::Name(name) => name.clone(),
        Operand::Pipe(..) => "(…)".into(),
    }
}

/// A field below a value, and below that. What a map has not is no value, and
/// neither is what is below that; what a structure has not is a mistake.
fn below(value: Value, path: &[String]) -> Result<Value, String> {
    let mut value = value;
    let mut map_below = "";
    for field in path {
        value = match value {
            Value::Object(mut map) if field != LABELS => match map.remove(field) {
                Some(found) => Gap::told(found),
                None if MAPS.contains(&map_below) => return Ok(Value::Null),
                None => return Err(format!("there is no field {field:?}")),
            },
            gap if Gap::of(&gap).is_some_and(Gap::is_map) => return Ok(Value::Null),
            other if !holds(&other) => return Err(format!("nothing has a field {field:?} here")),
            _ => return Err(format!("what has no fields has no {field:?}")),
        };
        map_below = field;
    }
    Ok(value)
}
