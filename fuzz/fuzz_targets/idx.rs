//! Fuzzes IDX files, plain and gzipped.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("idx", bytes));
