//! Any bytes as a line of `postgresql_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("postgresql_csv", line));
