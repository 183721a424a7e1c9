//! What users of the existing Windows sandbox met, by the row of the field notes, and what a plan does about it.

mod support;

#[path = "field/roots.rs"]
mod roots;
#[path = "field/tiers.rs"]
mod tiers;

#[path = "field/profile.rs"]
mod profile;
