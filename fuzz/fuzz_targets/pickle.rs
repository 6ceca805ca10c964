//! Fuzzes CIFAR's Python version.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("pickle", bytes));
