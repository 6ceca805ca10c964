//! Python's pickles of plain data, as CIFAR's Python version has them. They are read and never executed: what names a
//! function of Python is kept as a name.
//!
//! # Source
//! The opcodes are those of Python's `pickletools`, of protocols 2 to 4.

use std::collections::HashMap;

/// More values than a batch of images has: each takes some bytes of memory and as little as one byte of the file.
const MAX_VALUES: usize = 1 << 20;

/// The index of a value among all of a pickle.
type Index = usize;

/// A value; what it holds are indices of others, so that a value may come twice and no depth is followed.
#[derive(Debug, PartialEq)]
enum Value {
    /// None, a float: nothing that is looked at.
    Other,
    Bool(bool),
    Int(i64),
    /// A string or bytes: from where to where in the file.
    Bytes(usize, usize),
    List(Vec<Index>),
    Tuple(Vec<Index>),
    Dict(Vec<(Index, Index)>),
    /// A function or class: its module and name.
    Global(String),
    /// What a function would give for a tuple of arguments, and the state that would be put into it.
    Call {
        function: Index,
        arguments: Index,
        state: Option<Index>,
    },
}

/// A pickle whose opcodes have been gone through.
#[derive(Debug)]
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    values: Vec<Value>,
    root: Index,
}

/// An array of NumPy's as it lies in a pickle.
#[derive(Debug, PartialEq)]
pub(super) struct PickledArray<'a> {
    pub(super) shape: Vec<usize>,
    /// NumPy's type, as in "u1".
    pub(super) element: String,
    pub(super) is_fortran_order: bool,
    pub(super) bytes: &'a [u8],
}

impl<'a> Pickle<'a> {
    /// Goes through the opcodes of a whole file; the error says what was found instead of a pickle of plain data.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        machine.run()
    }

    /// The value of a key in the outermost dictionary.
    fn entry(&self, key: &str) -> Option<&Value> {
        let Value::Dict(entries) = &self.values[self.root] else { return None };
        let is_key = |index: Index| self.text(index) == Some(key.as_bytes());
        entries.iter().find(|(name, _)| is_key(*name)).map(|(_, value)| &self.values[*value])
    }

    fn text(&self, index: Index) -> Option<&'a [u8]> {
        match self.values[index] {
            Value::Bytes(start, end) => Some(&self.bytes[start..end]),
            _ => None,
        }
    }

    /// The whole numbers of the list under a key.
    pub(super) fn numbers(&self, key: &str) -> Option<Vec<i64>> {
        let Value::List(items) = self.entry(key)? else { return None };
        let number = |index: &Index| if let Value::Int(number) = self.values[*index] { Some(number) } else { None };
        items.iter().map(number).collect()
    }

    /// The strings of the list under a key.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<String>> {
        let Value::List(items) = self.entry(key)? else { return None };
        items.iter().map(|&index| self.text(index).map(|text| String::from_utf8_lossy(text).into_owned())).collect()
    }

    /// The array under a key.
    pub(super) fn array(&self, key: &str) -> Option<PickledArray<'a>> {
        let Value::Call { function, state: Some(state), .. } = self.entry(key)? else { return None };
        let is_function =
            |index: Index, wanted: &str| matches!(&self.values[index], Value::Global(name) if name == wanted);
        let modules = ["numpy.core.multiarray", "numpy._core.multiarray"];
        if !modules.iter().any(|module| is_function(*function, &format!("{module} _reconstruct"))) {
            return None;
        }
        let Value::Tuple(state) = &self.values[*state] else { return None };
        let &[_, shape, dtype, order, content] = &state[..] else { return None };
        let Value::Tuple(shape) = &self.values[shape] else { return None };
        let size = |index: &Index| match self.values[*index] {
            Value::Int(size) => usize::try_from(size).ok(),
            _ => None,
        };
        let Value::Call { function, arguments, .. } = self.values[dtype] else { return None };
        let Value::Tuple(arguments) = &self.values[arguments] else { return None };
        if !is_function(function, "numpy dtype") {
            return None;
        }
        let Value::Bool(is_fortran_order) = self.values[order] else { return None };
        Some(PickledArray {
            shape: shape.iter().map(size).collect::<Option<_>>()?,
            element: String::from_utf8_lossy(self.text(*arguments.first()?)?).into_owned(),
            is_fortran_order,
            bytes: self.text(content)?,
        })
    }
}

/// What goes through the opcodes: Python's own has a stack, marks on it, and a memory of values by number.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Index>,
    marks: Vec<usize>,
    memo: HashMap<u64, Index>,
}

const ENDS_EARLY: &str = "a pickle that ends early";

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>, String> {
        if self.bytes.first() != Some(&0x80) {
            return Err("no pickle of protocol 2 or later".into());
        }
        loop {
            if self.values.len() > MAX_VALUES || self.stack.len() > MAX_VALUES || self.memo.len() > MAX_VALUES {
                return Err(format!("a pickle of more than {MAX_VALUES} values"));
            }
            match self.take(1)?[0] {
                b'.' => {
                    let root = self.pop()?;
                    return Ok(Pickle { bytes: self.bytes, values: self.values, root });
                }
                opcode => self.step(opcode)?,
            }
        }
    }

    /// Does what an opcode says.
    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // PROTO, FRAME.
            0x80 => self.skip(1)?,
            0x95 => self.skip(8)?,
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.pop().map(|_| ())?,
            b'N' => self.push(Value::Other),
            b'G' => {
                self.skip(8)?;
                self.push(Value::Other);
            }
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' | b'M' => {
                let number = self.unsigned(if opcode == b'K' { 1 } else { 2 })?;
                self.push(Value::Int(number as i64));
            }
            b'J' => {
                let number = self.unsigned(4)? as u32 as i32;
                self.push(Value::Int(number.into()));
            }
            // LONG1: its own number of bytes, in two's complement.
            0x8a => match self.unsigned(1)? {
                0 => self.push(Value::Int(0)),
                n_bytes @ 1..=8 => {
                    let bits = self.unsigned(n_bytes as usize)?;
                    let unused = 64 - 8 * n_bytes as u32;
                    self.push(Value::Int((bits << unused) as i64 >> unused));
                }
                _ => return Err("a pickle with a number of more than 64 bits".into()),
            },
            // Strings and bytes, whose lengths take 1, 4 or 8 bytes.
            b'U' | b'C' | 0x8c => self.push_bytes(1)?,
            b'T' | b'B' | b'X' => self.push_bytes(4)?,
            0x8d | 0x8e => self.push_bytes(8)?,
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b'l' | b't' => {
                let items = self.pop_to_mark()?;
                self.push(if opcode == b'l' { Value::List(items) } else { Value::Tuple(items) });
            }
            0x85..=0x87 => {
                let n_items = usize::from(opcode - 0x84);
                let start = self.stack.len().checked_sub(n_items).ok_or(ENDS_EARLY)?;
                let items = self.stack.split_off(start);
                self.push(Value::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set(&items)?;
            }
            // PUT, with numbers of 1 and 4 bytes, and MEMOIZE.
            b'q' | b'r' | 0x94 => {
                let key = match opcode {
                    b'q' => self.unsigned(1)?,
                    b'r' => self.unsigned(4)?,
                    _ => self.memo.len() as u64,
                };
                let index = *self.stack.last().ok_or(ENDS_EARLY)?;
                self.memo.insert(key, index);
            }
            b'h' | b'j' => {
                let key = self.unsigned(if opcode == b'h' { 1 } else { 4 })?;
                let index = *self.memo.get(&key).ok_or("a pickle that remembers what it never had")?;
                self.stack.push(index);
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module} {name}")));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |index: Index| match self.values[index] {
                    Value::Bytes(start, end) => Ok(String::from_utf8_lossy(&self.bytes[start..end]).into_owned()),
                    _ => Err("a pickle with a function without a name"),
                };
                let global = Value::Global(format!("{} {}", text(module)?, text(name)?));
                self.push(global);
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.push(Value::Call { function, arguments, state: None });
            }
            b'b' => {
                let state = self.pop()?;
                let index = *self.stack.last().ok_or(ENDS_EARLY)?;
                if let Value::Call { state: kept, .. } = &mut self.values[index] {
                    *kept = Some(state);
                }
            }
            other => return Err(format!("a pickle of other things than arrays and lists (opcode {other:#04x})")),
        }
        Ok(())
    }

    fn take(&mut self, n_bytes: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(n_bytes).filter(|&end| end <= self.bytes.len()).ok_or(ENDS_EARLY)?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn skip(&mut self, n_bytes: usize) -> Result<(), String> {
        self.take(n_bytes).map(|_| ())
    }

    /// A whole number of up to eight bytes, the least significant one first.
    fn unsigned(&mut self, n_bytes: usize) -> Result<u64, String> {
        Ok(self.take(n_bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<String, String> {
        let rest = &self.bytes[self.at..];
        let n_bytes = rest.iter().position(|&byte| byte == b'\n').ok_or(ENDS_EARLY)?;
        let line = String::from_utf8_lossy(self.take(n_bytes)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn push_bytes(&mut self, n_length_bytes: usize) -> Result<(), String> {
        let n_bytes = usize::try_from(self.unsigned(n_length_bytes)?).map_err(|_| ENDS_EARLY)?;
        let start = self.at;
        self.take(n_bytes)?;
        self.push(Value::Bytes(start, start + n_bytes));
        Ok(())
    }

    fn pop(&mut self) -> Result<Index, String> {
        self.stack.pop().ok_or_else(|| ENDS_EARLY.into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Index>, String> {
        let mark = self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or(ENDS_EARLY)?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, mut items: Vec<Index>) -> Result<(), String> {
        match self.stack.last().map(|&index| &mut self.values[index]) {
            Some(Value::List(list)) => {
                list.append(&mut items);
                Ok(())
            }
            _ => Err("a pickle that appends to something else than a list".into()),
        }
    }

    fn set(&mut self, items: &[Index]) -> Result<(), String> {
        match self.stack.last().map(|&index| &mut self.values[index]) {
            Some(Value::Dict(entries)) => {
                entries.extend(items.as_chunks().0.iter().map(|&[key, value]| (key, value)));
                Ok(())
            }
            _ => Err("a pickle that sets entries of something else than a dictionary".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_data_are_read_in_every_spelling() {
        // {'labels': [3, 300, -1], b'names': ['a', 'b']} with marks, a memo and strings of every kind.
        let file =
            b"\x80\x02}q\x00(U\x06labels](K\x03M\x2c\x01J\xff\xff\xff\xffeC\x05names]q\x01(X\x01\0\0\0a\x8c\x01beu.";
        let pickle = Pickle::read(file).unwrap();
        assert_eq!(pickle.numbers("labels").unwrap(), [3, 300, -1]);
        assert_eq!(pickle.texts("names").unwrap(), ["a", "b"]);
        assert_eq!((pickle.numbers("names"), pickle.texts("others"), pickle.array("labels")), (None, None, None));
    }

    #[test]
    fn what_would_be_executed_stays_a_name() {
        let pickle = Pickle::read(b"\x80\x02}U\x01acos\nsystem\nU\x04true\x85Rs.").unwrap();
        assert!(matches!(pickle.entry("a"), Some(Value::Call { .. })));
        assert!(pickle.values.contains(&Value::Global("os system".into())));
        assert_eq!(pickle.array("a"), None);
    }

    #[test]
    fn what_is_no_pickle_of_plain_data_is_refused_wherever_it_ends() {
        let whole = b"\x80\x02}U\x01a]K\x01as.";
        assert!(Pickle::read(whole).is_ok());
        for n_bytes in 0..whole.len() {
            assert!(Pickle::read(&whole[..n_bytes]).is_err(), "{n_bytes} bytes");
        }
        for bytes in
            [&b"\x80\x02e."[..], b"\x80\x02]s.", b"\x80\x02h\x01.", b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff."]
        {
            assert!(Pickle::read(bytes).is_err(), "{bytes:?}");
        }
        let many = [&b"\x80\x02"[..], &vec![b'N'; MAX_VALUES + 2]].concat();
        assert!(Pickle::read(&many).unwrap_err().contains("more than"));
    }
}
