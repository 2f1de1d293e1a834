//! Any text as a definition, and a line as of what it defines.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("pasted", data));
