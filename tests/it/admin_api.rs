//! The admin listener and its API, from the outside.

mod audit;
mod client;
mod deliveries;
mod door;
mod explain;
mod idps;
mod invitations;
mod people;
