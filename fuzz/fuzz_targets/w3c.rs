//! Any bytes as a line of `w3c`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("w3c", data));
