//! usher from the outside: the real binary, real sockets.

mod attacks;
mod support;
