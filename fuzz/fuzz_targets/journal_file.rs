//! Journal files of any bytes: reading them ends, and what is read fits into them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("journal_file", data));
