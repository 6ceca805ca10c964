//! Writes NumPy's files.

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
