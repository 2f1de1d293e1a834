//! Any bytes as a line of `vhost_combined`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("vhost_combined", data));
