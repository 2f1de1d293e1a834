//! Any text as a log of MRTG.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_fuzz::archives;
use vigie_parsers::archives::mrtg;

fuzz_target!(|data: &[u8]| archives(mrtg::read, data));
