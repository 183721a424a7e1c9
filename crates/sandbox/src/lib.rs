//! Run any command in the sandbox, in the manner of std::process::Command.
#![forbid(unsafe_code)]
