//! Whether steady state was ever lost: a window that misses an expectation, at any time since the first injection.

use std::time::Duration;

use super::sliding::Sliding;
use crate::experiment::probe::Answer;
use crate::experiment::{Expect, Rate};

/// Watches one check for the first whole window that is not good. Windows are those of [`super::Recovery`]: as long as the
/// baseline, beginning at any sample since the first injection.
#[derive(Debug)]
pub struct LossDetector {
    window: Sliding,
    kept: Option<bool>,
}

impl LossDetector {
    /// `window` is as long as the baseline; `origin` is the first injection.
    #[must_use]
    pub fn new(expect: &Expect, rate: Rate, window: Duration, origin: Duration) -> Self {
        Self { window: Sliding::new(expect, rate, window, origin), kept: None }
    }

    /// A sample is out. Those due before the origin are ignored.
    pub fn asked(&mut self, seq: u64, due: Duration) {
        if self.kept != Some(false) {
            self.window.asked(seq, due);
        }
    }

    /// An answer is there.
    pub fn answered(&mut self, seq: u64, due: Duration, end: Duration, answer: &Answer) {
        if self.kept == Some(false) {
            return;
        }
        self.window.answered(seq, due, end, answer);
        while self.window.advance() {
            if self.window.is_whole() {
                self.kept = Some(self.kept != Some(false) && self.window.is_good());
            }
        }
    }

    /// Whether every window so far was good, and there was one. A window of which too little could be asked is not good.
    #[must_use]
    pub fn never_lost(&self) -> bool {
        self.kept == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Percent;
    use crate::experiment::probe::Failure;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// `g`ood, `f`ailed, `u`nasked; one each 100 ms, of windows of five of which one may fail, from the third on.
    fn never_lost(word: &str) -> bool {
        let expect = Expect { success: Some(Percent(0.8)), ..Expect::default() };
        let mut detector = LossDetector::new(&expect, Rate(10.0), ms(500), ms(200));
        for (i, c) in word.chars().enumerate() {
            let (seq, due) = (i as u64, ms(i as u64 * 100));
            let answer = match c {
                'g' => Answer::Good { value: None, by: None },
                'u' => Answer::NotMeasured("route".into()),
                _ => Answer::Failed(Failure("refused".into())),
            };
            detector.asked(seq, due);
            detector.answered(seq, due, due + ms(1), &answer);
        }
        detector.never_lost()
    }

    #[test]
    fn one_bad_window_is_a_loss_and_what_a_window_may_spend_is_none() {
        assert!(never_lost("ggggggg") && never_lost("gggggfggggfgggg"));
        assert!(never_lost("ffggggg"), "what was due before the injection says nothing");
        assert!(!never_lost("ggggfgggfggggggggggggg"), "two of one window, however good the rest");
        assert!(!never_lost("ggggggggff"), "at the very end");
    }

    #[test]
    fn what_is_not_known_was_not_kept() {
        assert!(!never_lost("gggggg"), "no window is whole");
        assert!(!never_lost("gggguggggggggg"), "one of five could not be measured");
    }
}
