//! Tests of the whole: the repository's rules, the binary's processes, its pages.

mod layers;
mod tidy;
