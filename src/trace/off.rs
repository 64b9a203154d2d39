//! Traces where usher is built without them: nothing is kept, nothing is done.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};

use super::{Carried, End};

/// Makes no spans.
#[derive(Clone, Debug, Default)]
pub struct Tracer;

impl Tracer {
    /// None.
    pub fn serve(&self, _: &HeaderMap) -> Option<Box<Served>> {
        None
    }

    /// None.
    pub fn call(&self, _: &mut Request<Bytes>) -> Option<Asking> {
        None
    }

    /// At once.
    pub async fn flush(&self) {}
}

/// There is none.
#[derive(Debug)]
pub struct Served(Infallible);

impl Served {
    /// Cannot be called.
    pub fn begin(&mut self, _: Option<&Carried>) -> Current {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn current(&self) -> Option<Current> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn trace_id(&self) -> Option<String> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn to_app(&self, _: &str, _: &Method) -> Option<Asking> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn end(self, _: End<'_>) {
        match self.0 {}
    }
}

/// There is none.
#[derive(Debug)]
pub struct Current(Infallible);

impl Current {
    /// Cannot be called.
    pub async fn within<F: Future>(self, _: F) -> F::Output {
        match self.0 {}
    }
}

/// There is none.
#[derive(Debug)]
pub struct Asking(Infallible);

impl Asking {
    /// Cannot be called.
    pub fn pass_on(&self, _: &mut HeaderMap) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn answered(self, _: StatusCode) {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn failed(self, _: &'static str) {
        match self.0 {}
    }
}

/// Does the work.
pub async fn step<F: Future>(_: &'static str, work: F) -> F::Output {
    work.await
}

/// Nothing.
pub fn note(_: &'static str, _: &str) {}

/// None.
pub fn carry() -> Option<Carried> {
    None
}

/// None.
pub fn trace_id() -> Option<String> {
    None
}
