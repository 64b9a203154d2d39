//! What the app receives: the header firewall, the presets and the signed JWT.

mod cookies;
pub mod firewall;
pub mod identity;
mod presets;
mod token;
