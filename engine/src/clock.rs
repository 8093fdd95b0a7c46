//! The caller's milliseconds, as the instants that quinn-proto wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub(crate) use std::time::{Instant, SystemTime, UNIX_EPOCH};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use web_time::{Instant, SystemTime, UNIX_EPOCH};

/// The longest time that can pass in one engine, in milliseconds: about thirty years, so that no sum overflows.
const LONGEST_MS: f64 = 1e12;

/// Where rustls and the retry tokens read "wall" time: they only compare times of this one engine, so it starts at a
/// fixed date and runs with the caller's monotonic clock.
const FIXED_DATE_SECS: u64 = 1_700_000_000;

/// Turns the caller's clock into instants. It never goes back, even if the caller's does.
pub(crate) struct Clock {
    epoch: Instant,
    origin_ms: f64,
    elapsed_us: u64,
    date: Date,
}

impl Clock {
    pub(crate) fn new(now_ms: f64) -> Self {
        let origin_ms = if now_ms.is_finite() { now_ms } else { 0.0 };
        Self { epoch: Instant::now(), origin_ms, elapsed_us: 0, date: Date::default() }
    }

    /// Moves to `now_ms` and returns the instant. A time before the last one, or no number at all, changes nothing.
    pub(crate) fn advance(&mut self, now_ms: f64) -> Instant {
        let elapsed = now_ms - self.origin_ms;
        if elapsed > 0.0 {
            // Whole microseconds, so that an instant that `millis` gave out comes back as the same instant.
            let us = (elapsed.min(LONGEST_MS) * 1000.0).round() as u64;
            if us > self.elapsed_us {
                self.elapsed_us = us;
                self.date.0.store(us / 1_000_000, Ordering::Relaxed);
            }
        }
        self.now()
    }

    /// The instant of the last `advance`.
    pub(crate) fn now(&self) -> Instant {
        self.epoch + Duration::from_micros(self.elapsed_us)
    }

    /// `at` on the caller's clock, rounded up to a microsecond: a timer asked for then has certainly expired then.
    pub(crate) fn millis(&self, at: Instant) -> f64 {
        let us = at.saturating_duration_since(self.epoch).as_nanos().div_ceil(1000);
        self.origin_ms + us as f64 / 1000.0
    }

    /// The date that runs with this clock.
    pub(crate) fn date(&self) -> Date {
        self.date.clone()
    }
}

/// A shared view of the clock that tells the date.
#[derive(Clone, Debug, Default)]
pub(crate) struct Date(Arc<AtomicU64>);

impl Date {
    fn since_unix_epoch(&self) -> Duration {
        Duration::from_secs(FIXED_DATE_SECS + self.0.load(Ordering::Relaxed))
    }
}

impl quinn_proto::TimeSource for Date {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.since_unix_epoch()
    }
}

impl rustls::time_provider::TimeProvider for Date {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(self.since_unix_epoch()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_back_and_survives_any_number() {
        let mut clock = Clock::new(1e6);
        let first = clock.advance(1e6 + 5.0);
        for odd in [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 1e6 + 4.0] {
            assert_eq!(clock.advance(odd), first);
        }
        assert!(clock.advance(f64::INFINITY) > first);
    }

    #[test]
    fn a_deadline_given_out_has_expired_when_the_caller_says_it_is_then() {
        let mut clock = Clock::new(1e9);
        for ns in [1_u64, 999, 1000, 1001, 333_333_333, 123_456_789_012] {
            let at = clock.epoch + Duration::from_nanos(ns);
            let ms = clock.millis(at);
            assert!(clock.advance(ms) >= at, "{ns}");
        }
    }
}
