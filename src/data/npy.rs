//! NumPy's `.npy` files: the header, and the elements in file order.
//!
//! Nothing is allocated on a header's word: its claims are compared with the size of the file first. Elements are read
//! in pieces, so that a file of 32-bit floats never has to fit in memory beside what is made of it.
//!
//! # Source
//! The format is described in NumPy's reference under `numpy.lib.format`, and in NEP 1.

use crate::{Error, Result};
use half::f16;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Longest header that is read, in bytes: NumPy itself refuses longer ones from files that it does not trust.
const MAX_HEADER_BYTES: u64 = 10_000;

/// A file, or what was unpacked of an archive.
pub(super) trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// An open `.npy` file, positioned in its elements.
pub(super) struct Npy {
    /// For messages.
    path: PathBuf,
    file: Box<dyn ReadSeek>,
    shape: Vec<usize>,
    is_fortran_order: bool,
    element: Element,
    data_offset: u64,
}

/// How one element is stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Element {
    pub(super) kind: Kind,
    pub(super) n_bytes: usize,
    is_big_endian: bool,
}

/// What the bytes of an element mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// One byte, zero or one.
    Bool,
    /// Unsigned integer.
    Unsigned,
    /// Signed integer in two's complement.
    Signed,
    /// IEEE 754 number.
    Float,
}

impl Npy {
    /// Opens a file and reads its header.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match File::open(path) {
            Ok(file) => Self::new(Box::new(file), path),
            Err(source) => Err(Error::file("reading", path, "check the path and the permissions", source)),
        }
    }

    /// Reads the header of a file; `path` is for messages alone.
    pub(super) fn new(mut file: Box<dyn ReadSeek>, path: &Path) -> Result<Self> {
        let read_error = |source| Error::file("reading", path, "check the path and the permissions", source);
        let bad = |found: String| {
            Error::format(path, found, "a NumPy array", "write the file again with np.save, or copy it again")
        };
        let file_bytes = file.seek(SeekFrom::End(0)).map_err(read_error)?;
        file.rewind().map_err(read_error)?;

        let mut start = Vec::new();
        (&mut file).take(8).read_to_end(&mut start).map_err(read_error)?;
        if !start.starts_with(b"\x93NUMPY") {
            return Err(bad("something else than a .npy file".into()));
        }
        let n_length_bytes = match start.get(6) {
            Some(1) => 2,
            Some(2 | 3) => 4,
            Some(version) => return Err(bad(format!("version {version} of the .npy format"))),
            None => return Err(bad(format!("a file cut off after {file_bytes} bytes"))),
        };
        let mut length = [0; 4];
        let cut_off = |error: std::io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => bad(format!("a header cut off after {file_bytes} bytes")),
            _ => read_error(error),
        };
        file.read_exact(&mut length[..n_length_bytes]).map_err(cut_off)?;
        let header_bytes = u64::from(u32::from_le_bytes(length));
        if header_bytes > MAX_HEADER_BYTES {
            return Err(bad(format!("a header that claims {header_bytes} bytes")));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header).map_err(cut_off)?;
        let header = String::from_utf8_lossy(&header);
        let (descr, is_fortran_order, shape) =
            parse_header(&header).ok_or_else(|| bad(format!("an unreadable header, {:?}", header.trim_end())))?;
        let element = Element::parse(path, descr)?;

        let data_offset = 8 + n_length_bytes as u64 + header_bytes;
        let data_bytes = file_bytes - data_offset;
        let wanted_bytes = shape.iter().try_fold(element.n_bytes, |product, &size| product.checked_mul(size));
        if wanted_bytes.is_none_or(|wanted_bytes| wanted_bytes as u64 > data_bytes) {
            let wanted_bytes = wanted_bytes.map_or("far more".into(), |wanted_bytes| wanted_bytes.to_string());
            return Err(Error::format(
                path,
                format!("{data_bytes} bytes of elements"),
                format!("{wanted_bytes} bytes for shape {}", tuple(&shape)),
                "the file is truncated: copy or download it again",
            ));
        }
        Ok(Self { path: path.into(), file, shape, is_fortran_order, element, data_offset })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape as Python writes it.
    pub(super) fn shape_text(&self) -> String {
        tuple(&self.shape)
    }

    /// Whether the first axis runs fastest in the file, rather than the last.
    pub(super) fn is_fortran_order(&self) -> bool {
        self.is_fortran_order
    }

    pub(super) fn element(&self) -> Element {
        self.element
    }

    /// Reads all elements from the first one, in file order: `take` gets `chunk_len` of them at a time, the rest last.
    ///
    /// `decode` is [`Element::bytes`] or [`Element::floats`], or anything else that turns raw elements into values.
    pub(super) fn read_chunks<T>(
        &mut self,
        chunk_len: usize,
        decode: impl Fn(Element, &[u8], &mut Vec<T>),
        mut take: impl FnMut(&[T]),
    ) -> Result<()> {
        let read_error = |path: &Path, source| Error::file("reading", path, "check the disk", source);
        let n_elements = self.shape.iter().product::<usize>();
        let mut raw = vec![0; chunk_len.min(n_elements) * self.element.n_bytes];
        let mut values = Vec::with_capacity(chunk_len.min(n_elements));
        self.file.seek(SeekFrom::Start(self.data_offset)).map_err(|error| read_error(&self.path, error))?;
        for start in (0..n_elements).step_by(chunk_len.max(1)) {
            let raw = &mut raw[..chunk_len.min(n_elements - start) * self.element.n_bytes];
            self.file.read_exact(raw).map_err(|error| read_error(&self.path, error))?;
            values.clear();
            decode(self.element, raw, &mut values);
            take(&values);
        }
        Ok(())
    }
}

impl Element {
    /// Reads NumPy's type string, as in `<f4`.
    fn parse(path: &Path, descr: &str) -> Result<Self> {
        let refuse = |found: String, next_step: &str| {
            Err(Error::format(path, found, "an array of plain numbers", next_step.to_string()))
        };
        if descr.starts_with('[') {
            return refuse("a structured array".into(), "save one of its fields with np.save");
        }
        let mut characters = descr.chars();
        let is_big_endian = characters.next() == Some('>');
        let kind = match characters.next() {
            Some('b') => Kind::Bool,
            Some('u') => Kind::Unsigned,
            Some('i') => Kind::Signed,
            Some('f') => Kind::Float,
            Some('O') => {
                return refuse(
                    "an array of Python objects".into(),
                    "make all images the same size and save np.stack(images) as numbers",
                );
            }
            _ => return refuse(format!("elements of type '{descr}'"), "save it with .astype(np.uint8) or np.float32"),
        };
        match (kind, characters.as_str().parse()) {
            (Kind::Bool, Ok(n_bytes @ 1))
            | (Kind::Unsigned | Kind::Signed, Ok(n_bytes @ (1 | 2 | 4 | 8)))
            | (Kind::Float, Ok(n_bytes @ (2 | 4 | 8))) => Ok(Self { kind, n_bytes, is_big_endian }),
            _ => refuse(format!("elements of type '{descr}'"), "save it with .astype(np.uint8) or np.float32"),
        }
    }

    /// Appends elements of one byte as they are.
    pub(super) fn bytes(self, raw: &[u8], values: &mut Vec<u8>) {
        values.extend_from_slice(raw);
    }

    /// Appends floating-point elements; 64-bit ones are rounded to 32.
    pub(super) fn floats(self, raw: &[u8], values: &mut Vec<f32>) {
        match (self.n_bytes, self.is_big_endian) {
            (2, false) => values.extend(raw.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32())),
            (2, true) => values.extend(raw.as_chunks().0.iter().map(|&bytes| f16::from_be_bytes(bytes).to_f32())),
            (4, false) => values.extend(raw.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))),
            (4, true) => values.extend(raw.as_chunks().0.iter().map(|&bytes| f32::from_be_bytes(bytes))),
            (_, false) => values.extend(raw.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes) as f32)),
            (_, true) => values.extend(raw.as_chunks().0.iter().map(|&bytes| f64::from_be_bytes(bytes) as f32)),
        }
    }

    /// Appends elements of any kind as 64-bit floats, exact for whole numbers up to 2^53.
    pub(super) fn numbers(self, raw: &[u8], values: &mut Vec<f64>) {
        if self.kind == Kind::Float {
            let mut floats = Vec::new();
            self.floats(raw, &mut floats);
            values.extend(floats.into_iter().map(f64::from));
            return;
        }
        values.extend(raw.chunks_exact(self.n_bytes).map(|element| {
            // The most significant byte goes first, and carries the sign.
            let high_first = (0..self.n_bytes)
                .map(|index| element[if self.is_big_endian { index } else { self.n_bytes - 1 - index }]);
            let bits = high_first.fold(0_u64, |bits, byte| bits << 8 | u64::from(byte));
            match self.kind {
                Kind::Signed => {
                    let unused = 64 - 8 * self.n_bytes as u32;
                    ((bits << unused) as i64 >> unused) as f64
                }
                _ => bits as f64,
            }
        }));
    }
}

/// Finds type, order and shape in a header such as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 32, 32, 3), }`.
fn parse_header(header: &str) -> Option<(&str, bool, Vec<usize>)> {
    let value_of = |key: &str| Some(header.split_once(key)?.1.trim_start().strip_prefix(':')?.trim_start());
    let descr = value_of("'descr'")?;
    let descr = if descr.starts_with('[') { descr } else { descr.strip_prefix('\'')?.split_once('\'')?.0 };
    let order = value_of("'fortran_order'")?;
    let is_fortran_order = order.starts_with("True");
    if !is_fortran_order && !order.starts_with("False") {
        return None;
    }
    let sizes = value_of("'shape'")?.strip_prefix('(')?.split_once(')')?.0.split(',');
    let sizes = sizes.map(str::trim).filter(|size| !size.is_empty());
    // Python 2 wrote long integers with an L.
    let shape = sizes.map(|size| size.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?;
    Some((descr, is_fortran_order, shape))
}

/// A shape as Python writes it.
fn tuple(shape: &[usize]) -> String {
    match shape {
        [size] => format!("({size},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_whatever_its_spacing_and_key_order() {
        let shape = vec![2, 3];
        for header in [
            "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }  \n",
            "{'shape':(2L,3L),'fortran_order':True,'descr':'<f4'}",
        ] {
            assert_eq!(parse_header(header), Some(("<f4", true, shape.clone())));
        }
    }

    #[test]
    fn a_header_without_a_key_or_with_a_strange_value_is_refused() {
        for header in [
            "",
            "{'descr': '<f4', 'shape': (2, 3)}",
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (2, 3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3",
        ] {
            assert_eq!(parse_header(header), None, "{header}");
        }
    }

    #[test]
    fn numbers_of_every_kind_and_byte_order_are_read() {
        let read = |descr: &str, raw: &[u8]| {
            let mut values = Vec::new();
            Element::parse(Path::new("x.npy"), descr).unwrap().numbers(raw, &mut values);
            values
        };
        assert_eq!(read("|b1", &[0, 1]), [0.0, 1.0]);
        assert_eq!(read("|i1", &[1, 0xff]), [1.0, -1.0]);
        assert_eq!(read("<i2", &[0xfe, 0xff]), [-2.0]);
        assert_eq!(read(">i8", &[0, 0, 0, 0, 0, 0, 1, 2]), [258.0]);
        assert_eq!(read("<u4", &[2, 1, 0, 0]), [258.0]);
        assert_eq!(read(">f8", &1.5_f64.to_be_bytes()), [1.5]);
        assert_eq!(read("<f4", &1.5_f32.to_le_bytes()), [1.5]);
        assert_eq!(read("<f2", &[0x00, 0x3e]), [1.5]);
        assert_eq!(read(">f2", &[0xbe, 0x00]), [-1.5]);
    }
}
