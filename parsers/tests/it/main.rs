//! The parsers seen from outside: tables, properties, goldens, and a comparison with another parser.

mod apps;
mod docs;
mod dump;
mod framing;
mod fuzz;
mod joined;
mod journal;
mod loose;
mod pasted;
mod properties;
mod samples;
mod syslog;
