//! Any bytes as a line of `dmesg`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("dmesg", line));
