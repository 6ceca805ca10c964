//! Fuzzes .npz archives.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("npz", bytes));
