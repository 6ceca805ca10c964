//! Fuzzes architectures as text.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("architecture", bytes));
