//! Any bytes as a line of `rfc3164`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("rfc3164", line));
