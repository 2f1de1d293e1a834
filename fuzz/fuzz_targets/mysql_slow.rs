//! Any bytes as a line of `mysql_slow`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("mysql_slow", line));
