//! Any bytes as a line of `mysql_slow`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("mysql_slow", data));
