//! Writes CIFAR-10's archive.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// The bytes gzipped.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The six batches with two records each, in an archive, after other members.
pub fn archive(others: &[(&str, &[u8])], without: Option<&str>) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut append = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Past the library's own check, as an attacker would.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        archive.append(&header, content).unwrap();
    };
    others.iter().for_each(|(name, content)| append(name, content));
    let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".to_string()]);
    for (number, name) in names.enumerate().filter(|(_, name)| Some(name.as_str()) != without) {
        let record = |label: u8| [vec![label], vec![number as u8 * 16 + label; 3072]].concat();
        append(&format!("cifar-10-batches-bin/{name}"), &[record(3), record(5)].concat());
    }
    archive.into_inner().unwrap().finish().unwrap()
}
