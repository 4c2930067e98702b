//! Steady state is a budget: from samples to a verdict, at the earliest moment the evidence allows.
//!
//! Pure: no clock, no I/O, no runtime. Time is a `Duration` since one origin that the caller chooses (the sampler's).

mod alert;
#[cfg(test)]
mod breakable;
mod budget;
mod evidence;
mod failover;
mod judge;
mod latency;
mod loss;
mod recovery;
mod show;
mod sliding;
mod streak;
mod tally;
#[cfg(test)]
mod truth;
mod value;
mod window;

pub use alert::{AlertClock, Turn};
pub use failover::Failover;
pub use judge::{Doubt, Judge};
pub use loss::LossDetector;
pub use recovery::Recovery;
pub use window::WindowBuilder;

/// Whether there is no verdict because samples could not be measured: more than 1 %, where that is more than the one that may be
/// missing of ten or more. What the machine of Squall does for a moment must not decide about twenty samples.
#[must_use]
pub fn too_many_unmeasured(unmeasured: u64, of: u64) -> bool {
    unmeasured > (of / 100).max(u64::from(of >= 10))
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_sample_of_ten_may_be_missing_and_one_percent_of_many() {
        let too_many =
            [(0, 0), (0, 1), (1, 1), (1, 9), (1, 10), (1, 20), (2, 20), (2, 199), (2, 200), (3, 200), (10, 1000)]
                .map(|(unmeasured, of)| super::too_many_unmeasured(unmeasured, of));
        assert_eq!(too_many, [false, false, true, true, false, false, true, true, false, true, false]);
    }
}
