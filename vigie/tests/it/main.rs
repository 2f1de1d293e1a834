//! Tests of the whole: the repository's rules, the binary's processes, its pages.

mod bad_input;
mod cli;
mod crash;
mod daemon;
mod disk;
mod layers;
mod peers;
mod tidy;
