//! The Linux plan and its enforcement: namespaces, mounts, Landlock, seccomp and the broker.
//!
//! [`plan`] and [`facts`] are pure and build everywhere; the rest exists on Linux only and holds the `unsafe` code.

pub mod facts;
pub mod plan;

#[cfg(target_os = "linux")]
mod around;
#[cfg(target_os = "linux")]
pub mod attack;
#[cfg(target_os = "linux")]
mod broker;
#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
pub mod error;
#[cfg(target_os = "linux")]
mod landlock;
#[cfg(target_os = "linux")]
mod native;
pub mod paths;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
pub mod run;
#[cfg(target_os = "linux")]
pub mod seccomp;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod wire;
