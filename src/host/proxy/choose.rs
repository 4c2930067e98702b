//! Which of those that are meant are affected: by their number and by chance. Pure.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::network::Chosen;

/// Chooses one after the other.
#[derive(Debug)]
pub(super) struct Chooser {
    chosen: Chosen,
    seed: u64,
    met: AtomicU64,
}

impl Chooser {
    pub(super) fn new(chosen: Chosen, seed: u64) -> Self {
        Self { chosen, seed, met: AtomicU64::new(0) }
    }

    /// Its number, from 0, if the next one is affected.
    pub(super) fn next(&self) -> Option<u64> {
        let number = self.met.fetch_add(1, Ordering::Relaxed);
        let Chosen { first, every, share } = self.chosen;
        let counted = first.is_none_or(|first| number < first) && (number + 1).is_multiple_of(every.max(1));
        (counted && fraction(self.seed, number) < share).then_some(number)
    }
}

/// A number from 0 to below 1 that looks like chance, and is the same for the same two (`SplitMix64`, Steele et al. 2014).
fn fraction(seed: u64, number: u64) -> f64 {
    let mut z = seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen_of(chosen: Chosen, n: u64) -> Vec<u64> {
        let chooser = Chooser::new(chosen, 7);
        (0..n).filter_map(|_| chooser.next()).collect()
    }

    #[test]
    fn the_first_and_each_so_manieth_are_counted() {
        assert_eq!(chosen_of(Chosen { first: Some(2), ..Chosen::default() }, 10), [0, 1]);
        assert_eq!(chosen_of(Chosen { every: 5, ..Chosen::default() }, 12), [4, 9]);
        assert_eq!(chosen_of(Chosen { every: 2, first: Some(5), share: 1.0 }, 12), [1, 3]);
        assert_eq!(chosen_of(Chosen::default(), 3), [0, 1, 2]);
        assert!(chosen_of(Chosen { share: 0.0, ..Chosen::default() }, 100).is_empty());
    }

    #[test]
    fn a_share_is_that_share_and_the_same_again() {
        let tenth = Chosen { share: 0.1, ..Chosen::default() };
        let affected = chosen_of(tenth, 100_000).len();
        // Five standard deviations.
        assert!((9_525..=10_475).contains(&affected), "{affected} of 100,000");
        assert_eq!(chosen_of(tenth, 1000), chosen_of(tenth, 1000));
    }
}
