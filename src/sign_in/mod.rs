//! The sign-in story.

/// Begins and finishes sign-ins.
#[derive(Debug)]
pub struct SignIn {}
