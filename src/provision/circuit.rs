//! An app's callback that fails again and again is left alone for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Failed tries in a row that open the circuit.
const FAILURES: u32 = 5;
/// Failures that are further apart are not in a row.
const WINDOW: Duration = Duration::from_secs(60);
/// How long the callback is left alone.
const OPEN_FOR: Duration = Duration::from_secs(10);
/// Callbacks of one app under way at once; the others wait within their own time.
const AT_ONCE: usize = 32;

/// The circuit of one app's callback.
#[derive(Debug)]
pub(super) struct Circuit {
    state: Mutex<State>,
    /// Room for callbacks under way.
    pub(super) room: Semaphore,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Asked as usual.
    Closed {
        /// Failures in a row.
        failures: u32,
        /// When the last one was.
        last: Option<Instant>,
    },
    /// Left alone.
    Open {
        /// Until then.
        until: Instant,
    },
    /// One probe is under way.
    Probing,
}

/// Leave to ask.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    circuit: &'a Circuit,
    /// A probe tries once.
    pub(super) probe: bool,
    settled: bool,
}

impl Default for Circuit {
    fn default() -> Self {
        Self {
            state: Mutex::new(CLOSED),
            room: Semaphore::new(AT_ONCE),
        }
    }
}

const CLOSED: State = State::Closed {
    failures: 0,
    last: None,
};

impl Circuit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leave to ask, or how long to wait.
    pub(super) fn permit(&self, now: Instant) -> Result<Permit<'_>, Duration> {
        let mut state = self.state();
        let probe = match *state {
            State::Closed { .. } => false,
            State::Open { until } if now < until => return Err(until - now),
            State::Open { .. } => {
                *state = State::Probing;
                true
            }
            State::Probing => return Err(OPEN_FOR),
        };
        Ok(Permit {
            circuit: self,
            probe,
            settled: false,
        })
    }
}

impl Permit<'_> {
    /// Notes that the app answered, whatever it said.
    pub(super) fn answered(&mut self) {
        self.settled = true;
        *self.circuit.state() = CLOSED;
    }

    /// Notes a failed try.
    pub(super) fn failed(&mut self, now: Instant) {
        self.settled = true;
        let mut state = self.circuit.state();
        let open = State::Open {
            until: now + OPEN_FOR,
        };
        *state = match *state {
            State::Probing if self.probe => open,
            // Others opened it meanwhile: their time counts.
            State::Open { .. } | State::Probing => return,
            State::Closed { failures, last } => {
                let in_row = last.is_some_and(|last| now.duration_since(last) < WINDOW);
                let failures = if in_row { failures + 1 } else { 1 };
                if failures >= FAILURES {
                    open
                } else {
                    State::Closed {
                        failures,
                        last: Some(now),
                    }
                }
            }
        };
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // A probe that was given up tells nothing: the next one may try at once.
        if self.probe && !self.settled {
            *self.circuit.state() = State::Open {
                until: Instant::now(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn opens_after_five_failures_in_a_row_and_lets_one_probe_through() {
        let circuit = Circuit::default();
        let start = Instant::now();
        for _ in 0..4 {
            circuit.permit(start).unwrap().failed(start);
        }
        circuit.permit(start).unwrap().answered();
        for _ in 0..5 {
            circuit.permit(start).unwrap().failed(start);
        }
        assert_eq!(circuit.permit(start).unwrap_err(), OPEN_FOR);
        let later = start + OPEN_FOR;
        let mut probe = circuit.permit(later).unwrap();
        assert!(probe.probe);
        assert!(circuit.permit(later).is_err(), "one at a time");
        probe.failed(later);
        drop(probe);
        assert!(circuit.permit(later).is_err());
        circuit.permit(later + OPEN_FOR).unwrap().answered();
        assert!(!circuit.permit(later + OPEN_FOR).unwrap().probe);
    }

    #[test]
    fn failures_far_apart_are_not_in_a_row() {
        let circuit = Circuit::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            circuit.permit(now).unwrap().failed(now);
            now += WINDOW;
        }
        assert!(circuit.permit(now).is_ok());
    }

    #[test]
    fn a_probe_that_is_given_up_makes_room_for_another() {
        let circuit = Circuit::default();
        let start = Instant::now();
        for _ in 0..5 {
            circuit.permit(start).unwrap().failed(start);
        }
        drop(circuit.permit(start + OPEN_FOR).unwrap());
        let later = Instant::now() + OPEN_FOR;
        assert!(circuit.permit(later).unwrap().probe);
    }
}
