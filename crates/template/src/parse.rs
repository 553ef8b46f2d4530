//! The text of a template into nodes.
//!
//! ```text
//!   text {{ pipe }} text {{if pipe}} … {{else if pipe}} … {{else}} … {{end}}
//!   pipe    = [$a[, $b] := or =] command | command | …
//!   command = operand operand …
//!   operand = . | .A.B | $a.B | "text" | `text` | 7 | true | name | (pipe).A
//! ```
//! Source: the documentation of Go's text/template.

use super::{
    functions,
    lex::{Piece, Token, pieces},
};
use serde_json::Value;

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// As it stands.
    Text(String),
    /// What a pipe comes to.
    Show(Pipe),
    /// The first body whose pipe holds, else the last one.
    If(Vec<(Pipe, Vec<Node>)>, Vec<Node>),
    /// The body with the pipe's value as the dot, if it holds.
    With(Pipe, Vec<Node>, Vec<Node>),
    /// The body for each element.
    Range(Pipe, Vec<Node>, Vec<Node>),
    /// Out of a range.
    Break,
    /// On to the next element.
    Continue,
}

/// Commands, each of which gets what the one before came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pipe {
    /// What the end is called from here on.
    pub names: Vec<String>,
    /// The names are there already, and change.
    pub assigns: bool,
    /// Each a function and its arguments, or one operand.
    pub commands: Vec<Vec<Operand>>,
}

/// Something that has a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// The dot, and fields below it.
    Field(Vec<String>),
    /// `$name`, and fields below it; the empty name is the root.
    Variable(String, Vec<String>),
    /// A number, a text, true, false or nil.
    Literal(Value),
    /// A function.
    Name(String),
    /// In brackets, and fields below it.
    Pipe(Box<Pipe>, Vec<String>),
}

/// Blocks within blocks, and brackets within brackets.
const DEEPEST: usize = 100;
const TOO_DEEP: &str = "it is nested too deeply";

/// Reads a whole template.
///
/// # Errors
/// What is wrong, in words.
pub fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut reader = Reader { pieces: pieces(text)?.into_iter(), blocks: 0, ranges: 0 };
    let (nodes, end) = reader.body()?;
    match end {
        End::OfText => Ok(nodes),
        End::OfBlock => Err("unexpected {{end}}".into()),
        End::Other(_) => Err("unexpected {{else}}".into()),
    }
}

/// What a body ended with.
enum End {
    OfText,
    OfBlock,
    /// `else`, and what follows it.
    Other(Vec<Token>),
}

struct Reader {
    pieces: std::vec::IntoIter<Piece>,
    /// Around what is being read.
    blocks: usize,
    /// Of these, ranges.
    ranges: usize,
}

impl Reader {
    fn body(&mut self) -> Result<(Vec<Node>, End), String> {
        if self.blocks > DEEPEST {
            return Err(TOO_DEEP.into());
        }
        self.blocks += 1;
        let read = self.nodes();
        self.blocks -= 1;
        read
    }

    fn nodes(&mut self) -> Result<(Vec<Node>, End), String> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let rest = || tokens.get(1..).unwrap_or_default();
            match tokens.first().and_then(Token::name) {
                Some("end") => return Ok((nodes, End::OfBlock)),
                Some("else") => return Ok((nodes, End::Other(rest().to_vec()))),
                Some("if") => nodes.push(self.branches(rest())?),
                Some("with") => nodes.push(self.with(rest())?),
                Some("range") => nodes.push(self.range(rest())?),
                Some(word @ ("break" | "continue")) if self.ranges == 0 => {
                    return Err(format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                Some("break") => nodes.push(Node::Break),
                Some("continue") => nodes.push(Node::Continue),
                Some(word @ ("define" | "template" | "block")) => {
                    return Err(format!("{{{{{word}}}}} is not carried"));
                }
                _ => nodes.push(Node::Show(pipe(&tokens)?)),
            }
        }
        Ok((nodes, End::OfText))
    }

    fn branches(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let mut branches = Vec::new();
        let mut condition = pipe(tokens)?;
        loop {
            let (body, end) = self.body()?;
            branches.push((condition, body));
            match end {
                End::OfText => return Err("unexpected end: {{if}} without {{end}}".into()),
                End::OfBlock => return Ok(Node::If(branches, Vec::new())),
                End::Other(rest) if rest.is_empty() => {
                    return Ok(Node::If(branches, self.last_body()?));
                }
                End::Other(rest) if rest[0].name() == Some("if") => condition = pipe(&rest[1..])?,
                End::Other(_) => return Err("{{else}} is followed by if, or by nothing".into()),
            }
        }
    }

    fn with(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let pipe = pipe(tokens)?;
        let (body, end) = self.body()?;
        let other = match end {
            End::OfBlock => Vec::new(),
            End::Other(rest) if rest.is_empty() => self.last_body()?,
            End::Other(rest) if rest[0].name() == Some("with") => {
                if self.blocks > DEEPEST {
                    return Err(TOO_DEEP.into());
                }
                self.blocks += 1;
                let other = self.with(&rest[1..]);
                self.blocks -= 1;
                vec![other?]
            }
            _ => return Err("unexpected end of {{with}}: {{end}} is wanted".into()),
        };
        Ok(Node::With(pipe, body, other))
    }

    fn range(&mut self, tokens: &[Token]) -> Result<Node, String> {
        let pipe = pipe(tokens)?;
        self.ranges += 1;
        let read = self.body();
        self.ranges -= 1;
        let (body, end) = read?;
        let other = match end {
            End::OfBlock => Vec::new(),
            End::Other(rest) if rest.is_empty() => self.last_body()?,
            _ => return Err("unexpected end of {{range}}: {{end}} is wanted".into()),
        };
        Ok(Node::Range(pipe, body, other))
    }

    fn last_body(&mut self) -> Result<Vec<Node>, String> {
        match self.body()? {
            (body, End::OfBlock) => Ok(body),
            _ => Err("{{end}} is wanted behind {{else}}".into()),
        }
    }
}

/// All tokens of an action, or of what is in brackets.
fn pipe(tokens: &[Token]) -> Result<Pipe, String> {
    let mut names = Vec::new();
    let mut tokens = tokens;
    let sign = |token: &Token| matches!(token, Token::Declare | Token::Assign);
    let at = tokens.iter().position(sign);
    let assigns = at.is_some_and(|at| tokens[at] == Token::Assign);
    if let Some(at) = at {
        for token in &tokens[..at] {
            match token {
                Token::Variable(name, path) if path.is_empty() => names.push(name.clone()),
                Token::Comma => {}
                _ => return Err("a variable is wanted before :=".into()),
            }
        }
        tokens = &tokens[at + 1..];
    }
    let mut at = 0;
    let commands = commands(tokens, &mut at, 0)?;
    if at < tokens.len() {
        return Err("unexpected \")\"".into());
    }
    Ok(Pipe { names, assigns, commands })
}

/// Commands up to the end or a closing bracket.
fn commands(tokens: &[Token], at: &mut usize, deep: usize) -> Result<Vec<Vec<Operand>>, String> {
    if deep > DEEPEST {
        return Err(TOO_DEEP.into());
    }
    let mut commands = Vec::new();
    let mut command = Vec::new();
    while let Some(token) = tokens.get(*at) {
        let operand = match token {
            Token::Close => break,
            Token::Bar if command.is_empty() => return Err("missing value before |".into()),
            Token::Bar => {
                commands.push(std::mem::take(&mut command));
                *at += 1;
                continue;
            }
            Token::Open => {
                *at += 1;
                let inner = self::commands(tokens, at, deep + 1)?;
                let Some(Token::Close) = tokens.get(*at) else {
                    return Err("unclosed left parenthesis".into());
                };
                let path = match tokens.get(*at + 1) {
                    Some(Token::Tail(path)) => {
                        *at += 1;
                        path.clone()
                    }
                    _ => Vec::new(),
                };
                Operand::Pipe(Box::new(Pipe { commands: inner, ..Pipe::default() }), path)
            }
            Token::Field(path) => Operand::Field(path.clone()),
            Token::Variable(name, path) => Operand::Variable(name.clone(), path.clone()),
            Token::Literal(value) => Operand::Literal(value.clone()),
            Token::Name(name) if !functions::is_known(name) => {
                return Err(format!("function {name:?} not defined"));
            }
            Token::Name(name) => Operand::Name(name.clone()),
            Token::Tail(_) | Token::Comma | Token::Declare | Token::Assign => {
                return Err("unexpected sign in a command".into());
            }
        };
        command.push(operand);
        *at += 1;
    }
    if command.is_empty() {
        return Err("missing value for command".into());
    }
    commands.push(command);
    if commands.iter().any(|command| command[0] == Operand::Literal(Value::Null)) {
        return Err("nil is not a command".into());
    }
    Ok(commands)
}
