//! `usher openapi`: what the admin API can do, for generators of clients.

use std::process::ExitCode;

use super::{fail, say};
use crate::admin::api;

pub(super) fn openapi() -> ExitCode {
    match serde_json::to_string_pretty(&api::openapi()) {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}
