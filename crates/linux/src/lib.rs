//! The Linux plan and its enforcement.
