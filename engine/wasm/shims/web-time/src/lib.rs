//! Stand-in for web-time on wasm32-unknown-unknown. The engine is told the time with every call, so there is no clock
//! here at all: `now()` answers a fixed point, to which the engine adds what its caller says has passed.
use std::ops::{Add, AddAssign, Sub, SubAssign};
pub use std::time::Duration;

/// Far enough from zero that nothing subtracted from it (a timeout, an RTT) reaches zero.
const START: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

macro_rules! clock {
    ($name:ident) => {
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Duration);
        impl $name {
            pub fn now() -> Self {
                Self(START)
            }
            pub fn checked_add(&self, d: Duration) -> Option<Self> {
                self.0.checked_add(d).map(Self)
            }
            pub fn checked_sub(&self, d: Duration) -> Option<Self> {
                self.0.checked_sub(d).map(Self)
            }
        }
        impl Add<Duration> for $name {
            type Output = Self;
            fn add(self, d: Duration) -> Self {
                Self(self.0.saturating_add(d))
            }
        }
        impl AddAssign<Duration> for $name {
            fn add_assign(&mut self, d: Duration) {
                *self = *self + d;
            }
        }
        impl Sub<Duration> for $name {
            type Output = Self;
            fn sub(self, d: Duration) -> Self {
                Self(self.0.saturating_sub(d))
            }
        }
        impl SubAssign<Duration> for $name {
            fn sub_assign(&mut self, d: Duration) {
                *self = *self - d;
            }
        }
    };
}
clock!(Instant);
clock!(SystemTime);

impl Instant {
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0)
    }
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
    pub fn elapsed(&self) -> Duration {
        Self::now().saturating_duration_since(*self)
    }
}
impl Sub<Instant> for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

pub const UNIX_EPOCH: SystemTime = SystemTime(Duration::ZERO);

/// The second time was earlier than the first.
#[derive(Clone, Debug)]
pub struct SystemTimeError(Duration);
impl SystemTimeError {
    pub fn duration(&self) -> Duration {
        self.0
    }
}
impl std::fmt::Display for SystemTimeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "second time provided was later than self")
    }
}
impl std::error::Error for SystemTimeError {}

impl SystemTime {
    pub const UNIX_EPOCH: SystemTime = UNIX_EPOCH;
    pub fn duration_since(&self, earlier: Self) -> Result<Duration, SystemTimeError> {
        self.0.checked_sub(earlier.0).ok_or_else(|| SystemTimeError(earlier.0 - self.0))
    }
    pub fn elapsed(&self) -> Result<Duration, SystemTimeError> {
        Self::now().duration_since(*self)
    }
}
