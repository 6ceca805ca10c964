//! Fuzzes CIFAR-10's archive, tar and gzip.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("archive", bytes));
