//! Any bytes as a line of `vhost_combined`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("vhost_combined", line));
