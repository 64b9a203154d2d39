//! The data plane: accept, decide, forward, tunnel.
