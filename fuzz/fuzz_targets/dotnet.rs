//! Any bytes as a line of `dotnet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| vigie_fuzz::run("dotnet", data));
