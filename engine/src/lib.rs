//! A sans-IO QUIC engine for shoal: quinn-proto and rustls (ring) behind a batched border.
//!
//! The engine owns no socket, clock or source of randomness. Every call says what time it is; datagrams and events
//! cross in batches; addresses are integers that mean something only to the caller. `README.md` beside this crate has
//! the border's layout.
//!
//! No input makes it panic: everything that comes over the border or the wire is checked before quinn-proto, which
//! asserts some of it, gets to see it.

#![deny(unsafe_code)]

mod attempts;
mod clock;
mod config;
mod connections;
mod engine;
mod events;
mod ids;
mod settle;
mod streams;
mod tls;
mod transmit;

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
#[allow(unsafe_code)]
mod border;

pub use config::{Config, Flags, NUMBERS};
pub use engine::Engine;
pub use events::{Event, Kind, RECORD_WORDS};
pub use streams::{ReadStatus, Refused};
pub use tls::{ACCEPT, Judge};
pub use transmit::Transmit;
