//! Fuzzes .npy files: images and labels.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("npy", bytes));
