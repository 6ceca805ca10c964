//! Fuzzes image files of every format.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("image", bytes));
