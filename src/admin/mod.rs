//! What administers usher: the API, SCIM, and the admin pages. Functions over `http` types; the admin listener serves all of it, the
//! public one SCIM alone.

pub mod api;
pub mod pages;
pub mod reload;
pub mod scim;
