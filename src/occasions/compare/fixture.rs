//! Two histograms for the tests: 400 and 500 values of log-normal distributions, drawn by `numpy` 2 (seed 7) and rounded.

use super::rank::Values;

const BASE: &str = "5 1 7 2 8 1 9 8 10 11 11 9 12 19 13 19 14 18 15 17 16 23 17 19 18 24 19 29 20 35 21 23 22 16 23 16 24 6 25 14 \
    26 10 27 10 28 11 29 8 30 5 31 8 32 6 33 3 34 4 35 2 36 5 37 6 38 2 39 1 40 1 42 1 43 1 44 1 45 3 49 1 50 1";
const NEW: &str = "7 2 8 1 9 2 10 9 11 13 12 18 13 9 14 21 15 29 16 20 17 28 18 21 19 27 20 25 21 30 22 31 23 19 24 21 25 18 26 20 \
    27 10 28 16 29 17 30 11 31 7 32 8 33 6 34 8 35 6 36 5 37 2 38 5 39 3 40 5 41 2 42 3 43 1 44 2 45 2 46 1 47 2 48 2 49 4 \
    51 2 54 1 55 1 60 1 61 2 62 1";

fn pairs(text: &str) -> Vec<(u64, u64)> {
    let numbers: Vec<u64> = text.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    numbers.chunks(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Value and how often it occurs, of both.
pub(super) fn counts() -> [Vec<(u64, u64)>; 2] {
    [BASE, NEW].map(pairs)
}

pub(super) fn histograms() -> (Values, Values) {
    let [base, new] = counts().map(|pairs| Values::new(pairs.into_iter().map(|(v, c)| (v as f64, c)).collect()));
    (base, new)
}
