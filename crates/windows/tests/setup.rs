//! Set-up and tear-down of a machine in memory: what is made, by whom, for whom; and with a fault, a kill or a power failure at
//! every effect.

mod setup {
    pub mod faults;
    pub mod people;
    pub mod reads;
    pub mod steps;
    pub mod world;
}
mod support;
