//! Any bytes as a line of `bind`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("bind", line));
