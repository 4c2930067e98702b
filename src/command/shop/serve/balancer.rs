//! Round robin over the shops, with a short memory for those that did not answer.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::host::http::{self, Response};

/// For how long a shop that did not answer is left alone.
const MEMORY: Duration = Duration::from_secs(1);

/// The shops, whose turn it is, and who is left alone until when.
#[derive(Debug)]
pub(super) struct Balancer {
    shops: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    turn: usize,
    avoid_until: Vec<Option<Instant>>,
}

impl Balancer {
    pub(super) fn over(shops: Vec<String>) -> Self {
        let state = State { turn: 0, avoid_until: vec![None; shops.len()] };
        Self { shops, state: Mutex::new(state) }
    }

    /// The first good answer, or the last bad one; nothing where no shop answers at all.
    pub(super) async fn get(&self, path: &str, retries: Duration) -> Option<Response> {
        let mut last = None;
        let order = self.state().order(Instant::now());
        for shop in order {
            let answer = http::get(&self.shops[shop], path, retries).await;
            self.state().avoid_until[shop] = if answer.is_ok() { None } else { Some(Instant::now() + MEMORY) };
            match answer {
                Ok(good) if good.status < 500 => return Some(good),
                Ok(bad) => last = Some(bad),
                Err(_) => {}
            }
        }
        last
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl State {
    /// In which order a request asks the shops: in turn, those that did not answer of late at the end.
    /// One whose time is over is asked by one request alone before the others trust it again.
    fn order(&mut self, now: Instant) -> Vec<usize> {
        let count = self.avoid_until.len();
        let turn = self.turn;
        self.turn = (turn + 1) % count.max(1);
        let mut order: Vec<usize> = (0..count).map(|i| (turn + i) % count).collect();
        order.sort_by_key(|i| self.avoid_until[*i].is_some_and(|until| until > now));
        if let Some(until) = order.first().and_then(|i| self.avoid_until[*i].as_mut()) {
            *until = now + MEMORY;
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bad_shop_is_asked_last_and_then_tried_by_one_request_alone() {
        let now = Instant::now();
        let mut state = State { turn: 0, avoid_until: vec![None, Some(now + MEMORY), None] };
        assert_eq!(state.order(now), [0, 2, 1]);
        assert_eq!(state.order(now), [2, 0, 1], "its turn goes to the next");
        assert_eq!(state.order(now), [2, 0, 1]);
        assert_eq!(state.order(now), [0, 2, 1]);
        let later = now + MEMORY;
        assert_eq!(state.order(later), [1, 2, 0], "its time is over");
        state.turn = 1;
        assert_eq!(state.order(later), [2, 0, 1], "somebody is trying it");
    }
}
