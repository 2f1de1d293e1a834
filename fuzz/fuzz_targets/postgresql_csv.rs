//! Any bytes as a line of `postgresql_csv`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("postgresql_csv", data));
