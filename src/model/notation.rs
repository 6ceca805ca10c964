//! Parser and printer of the notation that the report and PyTorch use for layers.
//!
//! Text becomes [`Call`]s (a name and its arguments) in `Reader`; `signatures` turns a call into a [`Layer`].

use super::layer::Misfit;
use super::signatures::{self, Argument, Call, Value};
use super::{Layer, Part};
use crate::error::shortened;
use crate::{Error, Result};

/// The longest text that is read, in bytes: some hundred times the report's network.
const LONGEST: usize = 100_000;
/// How deep brackets may nest within a number.
const DEEPEST: usize = 32;
/// The largest number: up to here every whole one is exact in an `f64`.
const LARGEST_NUMBER: f64 = (1_u64 << f64::MANTISSA_DIGITS) as f64;

/// Layers as they are printed, on one line.
pub(super) fn write<'a>(layers: impl IntoIterator<Item = &'a Layer>) -> String {
    layers.into_iter().map(Layer::to_string).collect::<Vec<_>>().join(" / ")
}

/// Reads the layers of one part.
pub(super) fn read(part: Part, text: &str) -> Result<Vec<Layer>> {
    if text.len() > LONGEST {
        let (found, wanted) = (format!("a text of {} bytes", text.len()), format!("at most {LONGEST}"));
        return Err(Misfit::new(found, wanted, "give the notation of one network").at(part.to_string()));
    }
    // Lines keep their numbers and columns, so that a mistake is still pointed at where it was written.
    let without_comments = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let text = without_comments.collect::<Vec<_>>().join("\n");
    let mut reader = Reader { part, text: &text, position: 0, number: 0 };
    let mut layers = Vec::new();
    while reader.go_to_layer() {
        layers.push(reader.layer()?);
    }
    Ok(layers)
}

/// A place in the text of one part.
struct Reader<'a> {
    part: Part,
    text: &'a str,
    /// Byte offset of what comes next; always between two characters.
    position: usize,
    /// Number of the layer that is being read, from 1.
    number: usize,
}

impl<'a> Reader<'a> {
    /// Skips what separates layers; whether another layer follows.
    fn go_to_layer(&mut self) -> bool {
        self.skip(|c| c.is_whitespace() || matches!(c, '\\' | '/' | ','));
        self.number += 1;
        self.peek().is_some()
    }

    /// `name(argument, ...)`, perhaps after the `(0):` of a printed `nn.Sequential`.
    fn layer(&mut self) -> Result<Layer> {
        self.skip_index();
        let start = self.position;
        let path = self.word();
        let name = ["torch.nn.", "nn."].iter().find_map(|prefix| path.strip_prefix(prefix)).unwrap_or(&path);
        if name.is_empty() {
            return Err(self.unexpected(start, "a layer", "write every layer out, as in ReLU()"));
        }
        if !signatures::is_known(name) {
            return Err(self.unexpected(start, "a layer", signatures::suggestion(name)));
        }
        self.skip_space();
        if !self.eat('(') {
            return Err(self.unexpected(start, "brackets after the layer's name", format!("write {name}(...)")));
        }
        let mut call = Call::new(name);
        self.arguments(&mut call)?;
        let written = self.text[start..self.position].split_whitespace().collect::<Vec<_>>().join(" ");
        let written = shortened(&written, 100);
        self.skip(|c| c.is_whitespace() && c != '\n' || c == '\\');
        if self.peek().is_some_and(|c| !matches!(c, '\n' | '/' | ',')) {
            let next_step = format!("{written} is complete; check what follows it");
            return Err(self.unexpected(self.position, "a slash or a line break after the layer", next_step));
        }
        let place = format!("{} layer {}, {written}", self.part, self.number);
        signatures::layer(call).map_err(|misfit| misfit.at(place))
    }

    /// The arguments and the closing bracket: those without a name, then those with one.
    fn arguments(&mut self, call: &mut Call) -> Result<()> {
        loop {
            self.skip_space();
            if self.eat(')') {
                return Ok(());
            }
            let start = self.position;
            let name = self.argument_name();
            let value_start = self.position;
            let value = self.sum(0)?;
            let argument = Argument { value, written: shortened(self.text[value_start..self.position].trim(), 40) };
            match name {
                Some(name) => call.named.push((name, argument)),
                None if call.named.is_empty() => call.positional.push_back(argument),
                None => {
                    return Err(self.unexpected(
                        start,
                        "a named argument after a named one",
                        "put it first or name it",
                    ));
                }
            }
            self.skip_space();
            if !self.eat(',') && self.peek() != Some(')') {
                return Err(self.unexpected(self.position, "`,` or `)`", "check the layer's brackets"));
            }
        }
    }

    /// `name=`, if that is what comes next.
    fn argument_name(&mut self) -> Option<String> {
        let start = self.position;
        let name = self.word();
        self.skip_space();
        if !name.is_empty() && self.eat('=') {
            self.skip_space();
            return Some(name);
        }
        self.position = start;
        None
    }

    /// `product + product - ...`
    fn sum(&mut self, depth: usize) -> Result<Value> {
        let mut left = self.product(depth)?;
        loop {
            let start = self.position;
            let operation: fn(f64, f64) -> f64 = match self.peek() {
                Some('+') => |a, b| a + b,
                Some('-') => |a, b| a - b,
                _ => return Ok(left),
            };
            self.bump();
            let right = self.product(depth)?;
            left = self.calculate(start, operation, left, right)?;
        }
    }

    /// `atom * atom / atom // ...`; leaves the position at the next thing that is not a space.
    fn product(&mut self, depth: usize) -> Result<Value> {
        let mut left = self.signed(depth)?;
        loop {
            self.skip_space();
            let start = self.position;
            let operation: fn(f64, f64) -> f64 = match self.peek() {
                Some('*') => |a, b| a * b,
                Some('/') if self.text[start..].starts_with("//") => |a, b| (a / b).floor(),
                Some('/') => |a, b| a / b,
                _ => return Ok(left),
            };
            self.bump();
            if self.text[start..].starts_with("//") {
                self.bump();
            }
            let right = self.signed(depth)?;
            left = self.calculate(start, operation, left, right)?;
        }
    }

    /// An atom with any number of signs before it.
    fn signed(&mut self, depth: usize) -> Result<Value> {
        self.skip_space();
        let start = self.position;
        let signs = self.skip(|c| c.is_whitespace() || matches!(c, '\\' | '+' | '-'));
        let n_minus = signs.chars().filter(|c| *c == '-').count();
        let value = self.atom(depth)?;
        match n_minus % 2 {
            1 => self.calculate(start, |a, b| a * b, Value::Number(-1.0), value),
            _ => Ok(value),
        }
    }

    /// A number, a bracket, a quoted word, `True`, `False` or `None`.
    fn atom(&mut self, depth: usize) -> Result<Value> {
        let start = self.position;
        match self.peek() {
            Some(open @ ('(' | '[')) => {
                if depth == DEEPEST {
                    let wanted = format!("brackets nested at most {DEEPEST} deep");
                    return Err(self.unexpected(start, wanted, "write the number itself"));
                }
                self.bump();
                self.bracket(open, depth + 1)
            }
            Some(quote @ ('\'' | '"')) => {
                self.bump();
                let text = self.skip(|c| c != quote).to_string();
                if !self.eat(quote) {
                    return Err(self.unexpected(start, format!("a closing {quote}"), "close the quotation"));
                }
                Ok(Value::Text(text))
            }
            Some(c) if c.is_ascii_digit() || c == '.' => self.number(),
            _ => match self.word().as_str() {
                "True" => Ok(Value::Truth(true)),
                "False" => Ok(Value::Truth(false)),
                "None" => Ok(Value::None),
                _ => Err(self.unexpected(start, "a number", "check the layer's arguments and brackets")),
            },
        }
    }

    /// The rest of `(value)`, which is the value, or of `(value, value)` and `[value, value]`, which are tuples.
    fn bracket(&mut self, open: char, depth: usize) -> Result<Value> {
        let close = if open == '(' { ')' } else { ']' };
        let mut values = Vec::new();
        let mut is_tuple = open == '[';
        loop {
            self.skip_space();
            if is_tuple && self.eat(close) {
                return Ok(Value::Tuple(values));
            }
            values.push(self.sum(depth)?);
            self.skip_space();
            if self.eat(',') {
                is_tuple = true;
            } else if !is_tuple && self.eat(close) {
                return Ok(values.remove(0));
            } else if self.peek() != Some(close) {
                return Err(self.unexpected(self.position, format!("`,` or `{close}`"), "check the layer's brackets"));
            }
        }
    }

    /// `3`, `0.5`, `1e-05`, `1_000`.
    fn number(&mut self) -> Result<Value> {
        let start = self.position;
        let is_part = |c: char| c.is_ascii_digit() || matches!(c, '.' | '_');
        self.skip(is_part);
        if self.peek().is_some_and(|c| matches!(c, 'e' | 'E')) {
            self.bump();
            if self.peek().is_some_and(|c| matches!(c, '+' | '-')) {
                self.bump();
            }
            self.skip(is_part);
        }
        match self.text[start..self.position].replace('_', "").parse::<f64>() {
            Ok(number) if number <= LARGEST_NUMBER => Ok(Value::Number(number)),
            Ok(_) => Err(self.too_large(start)),
            Err(_) => Err(self.unexpected(start, "a number", "write it as in 3 or 0.5")),
        }
    }

    /// The value of an operation whose sign stands at `start`.
    fn calculate(&self, start: usize, operation: fn(f64, f64) -> f64, left: Value, right: Value) -> Result<Value> {
        let (Value::Number(left), Value::Number(right)) = (left, right) else {
            return Err(self.unexpected(start, "numbers on both sides", "only numbers can be calculated with"));
        };
        match operation(left, right) {
            number if number.abs() <= LARGEST_NUMBER => Ok(Value::Number(number)),
            _ => Err(self.too_large(start)),
        }
    }

    fn too_large(&self, start: usize) -> Error {
        self.unexpected(
            start,
            format!("a number up to {LARGEST_NUMBER}"),
            "take smaller numbers, and divide by none that is 0",
        )
    }

    /// The error that points at what stands at `start`.
    fn unexpected(&self, start: usize, wanted: impl Into<String>, next_step: impl Into<String>) -> Error {
        let (before, rest) = self.text.split_at(start);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let found = match rest.lines().next().unwrap_or_default().trim_end() {
            "" if rest.trim_start().is_empty() => "the end of the text".to_string(),
            "" => "the end of the line".to_string(),
            shown => format!("`{}`", shortened(shown, 24)),
        };
        let place = format!("{} layer {}, line {line}, column {column}", self.part, self.number);
        Misfit::new(found, wanted, next_step).at(place)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.position..].chars().next()
    }

    fn bump(&mut self) {
        self.position += self.peek().map_or(0, char::len_utf8);
    }

    fn eat(&mut self, expected: char) -> bool {
        let is_next = self.peek() == Some(expected);
        if is_next {
            self.bump();
        }
        is_next
    }

    /// Skips the longest run of such characters.
    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.position..];
        let length = rest.find(|c| !is_skipped(c)).unwrap_or(rest.len());
        self.position += length;
        &rest[..length]
    }

    /// Skips white space, and the backslashes that Markdown puts before an asterisk.
    fn skip_space(&mut self) {
        self.skip(|c| c.is_whitespace() || c == '\\');
    }

    /// Skips `(12):`, if that is what comes next.
    fn skip_index(&mut self) {
        let start = self.position;
        if self.eat('(') && !self.skip(|c| c.is_ascii_digit()).is_empty() && self.eat(')') && self.eat(':') {
            self.skip_space();
        } else {
            self.position = start;
        }
    }

    /// Letters, digits, `_` and `.`, without Markdown's backslashes; empty if none comes next.
    fn word(&mut self) -> String {
        match self.peek() {
            Some(c) if c.is_alphabetic() || c == '_' => {
                self.skip(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '\\')).replace('\\', "")
            }
            _ => String::new(),
        }
    }
}
