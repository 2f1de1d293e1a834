//! Any bytes as a line of `bind`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("bind", data));
