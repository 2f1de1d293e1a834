//! Any bytes as a line of `journal`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("journal", data));
