//! PromQL: the upstream grammar, our evaluation.
