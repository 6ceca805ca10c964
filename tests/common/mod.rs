//! What the tests of the data room share: files in the making, messages, and where real images lie.

use std::fs;
use std::path::PathBuf;

/// Checks that a call failed and that its message holds all of `parts`.
pub fn check_message<T: std::fmt::Debug>(result: diabolo::Result<T>, parts: &[&str]) {
    let message = result.unwrap_err().to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
}

/// A `.npy` file, version 1 of the format, or 2 for an element type that starts with "2".
pub fn npy(descr: &str, is_fortran_order: bool, shape: &[usize], elements: &[u8]) -> Vec<u8> {
    let (version, descr) = descr.strip_prefix('2').map_or((1, descr), |descr| (2, descr));
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let order = if is_fortran_order { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({sizes}), }}\n");
    let mut file = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
    match version {
        1 => file.extend((header.len() as u16).to_le_bytes()),
        _ => file.extend((header.len() as u32).to_le_bytes()),
    }
    file.extend(header.bytes());
    file.extend(elements);
    file
}

/// A folder with these files.
pub fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

/// The folder of data sets, or `None`, said on the way.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn real_data() -> Option<PathBuf> {
    let folder = std::env::var_os("DIABOLO_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: DIABOLO_DATA does not name a folder with cifar-10-batches-bin/ and hw10/");
    }
    folder
}
