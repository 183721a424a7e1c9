//! What a sandboxed command may do: the policy, its configuration file and its path rules.
#![forbid(unsafe_code)]
