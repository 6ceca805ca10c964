//! Fuzzes CIFAR-10's batches and class names.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("cifar", bytes));
