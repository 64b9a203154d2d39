//! What the app receives: the header firewall, the presets and the signed JWT.

pub mod firewall;
pub mod identity;
