//! The seccomp filter: which system calls are refused, which go to the broker, and which run as they are.

pub mod bpf;
mod filter;
mod numbers;

pub use filter::{FilterSpec, Refusal, build, refused_names};
pub use numbers::Sys;
