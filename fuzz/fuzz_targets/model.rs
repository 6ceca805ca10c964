//! Fuzzes saved models, JSON and safetensors, and results of sweeps.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| diabolo_fuzz::enter("model", bytes));
