//! Any bytes as a line of `rfc3164`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("rfc3164", data));
