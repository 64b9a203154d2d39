//! The gate: what a target can mean, which rule decides, and the only place that admits a request.

pub mod explain;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod gate;
pub mod only;
pub mod standing;
pub mod target;
