//! usher from the outside: the real binary, real sockets.

mod attacks;
mod layers;
mod oidc;
mod story;
mod streams;
mod support;
mod two_idps;
