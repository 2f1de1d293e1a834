//! Any bytes as a file of whisper.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vigie_fuzz::archives;
use vigie_parsers::archives::whisper;

fuzz_target!(|data: &[u8]| archives(whisper::read, data));
