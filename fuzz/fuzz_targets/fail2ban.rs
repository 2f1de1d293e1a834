//! Any bytes as a line of `fail2ban`.
#![no_main]

libfuzzer_sys::fuzz_target!(|line: &[u8]| vigie_fuzz::format("fail2ban", line));
