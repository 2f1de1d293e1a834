//! Any bytes as a line of `combined`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("combined", data));
