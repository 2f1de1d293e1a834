//! Any bytes as a line of `w3c`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("w3c", line));
