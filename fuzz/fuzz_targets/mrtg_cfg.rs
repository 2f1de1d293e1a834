//! Any text as a configuration of MRTG.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("mrtg_cfg", data));
