//! The console: live on a terminal, one line per happening elsewhere.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ::console::Term;
use jiff::{SignedDuration, Timestamp};

use super::live::{Pulse, block};
use super::narrate::{ConsoleLine, narrate, since};
use super::paint::Paint;
use super::{Events, Lines, Output, Style, columns, on_a_thread, summary, verdict};
use crate::record::event::{Event, Stamped};
use crate::record::state::{PhaseBegin, RunState};
use crate::text::visible;

/// Tells people what happens, until the end of the run, and then what came of it.
///
/// The caller awaits it with a time limit of its own: where the terminal takes nothing, it never comes back.
pub async fn console(events: Events, out: Output, style: Style) {
    console_from(RunState::default(), events, out, style).await;
}

/// The same for a run that somebody takes over: `state` is what is known of it when the events go on.
pub async fn console_from(state: RunState, events: Events, out: Output, style: Style) {
    on_a_thread(events, move |events| match out {
        Output::Terminal(term) => live(state, &events, &term, style),
        Output::Lines(sink) => plain(state, &events, &mut Lines::new(sink), style),
    })
    .await;
}

/// One line per happening; every so often how the probes do, by the run's own time.
fn plain(mut state: RunState, events: &Receiver<Arc<Stamped>>, lines: &mut Lines, style: Style) {
    const HEARTBEAT: Duration = Duration::from_secs(10);
    let mut spoke: Option<Timestamp> = None;
    for event in events {
        let Some((happened, elapsed)) = fold(&mut state, &event) else { continue };
        if style.quiet {
            continue;
        }
        for line in &happened {
            lines.put(&visible::inert(&line.plain(elapsed)));
        }
        let silent = spoke.is_none_or(|at| since(at, event.at) >= HEARTBEAT);
        if silent && matches!(event.event, Event::Sampled(_)) {
            for line in heartbeat(&state) {
                lines.put(&visible::inert(&line.plain(elapsed)));
            }
        }
        if silent || !happened.is_empty() {
            spoke = Some(event.at);
        }
    }
    lines.put(&visible::inert(&end(&state, 80, style)));
}

/// The lines of an event, and its time since the start. Everything that is shown of a run comes from here.
fn fold(state: &mut RunState, event: &Stamped) -> Option<(Vec<ConsoleLine>, Duration)> {
    let event = visible::value(event);
    let event = event.as_ref();
    if state.apply(event).is_err() {
        // The journal complains of an event that cannot be; what comes after it must still be seen.
        state.seq = event.seq + 1;
    }
    Some((narrate(state, event), since(state.began?, event.at)))
}

fn heartbeat(state: &RunState) -> Vec<ConsoleLine> {
    let Some(PhaseBegin { phase, .. }) = state.phases.last() else { return Vec::new() };
    state
        .checks
        .iter()
        .filter_map(|(name, check)| Pulse::of(check, *phase).map(|p| ConsoleLine::pulse(*phase, p.plain(name))))
        .collect()
}

fn end(state: &RunState, width: usize, style: Style) -> String {
    let text = if style.quiet { verdict(state, width, style.colour) } else { summary(state, width, style.colour) };
    text.trim_end().to_owned()
}

/// Lines that stay, and under them a block that is drawn again ten times a second.
fn live(mut state: RunState, events: &Receiver<Arc<Stamped>>, term: &Term, style: Style) {
    const FRAME: Duration = Duration::from_millis(100);
    let paint = Paint(style.colour);
    let mut screen = Screen { term, drawn: 0 };
    let mut newest: Option<(Timestamp, Instant)> = None;
    let mut framed = Instant::now();
    loop {
        let mut said = Vec::new();
        match events.recv_timeout(FRAME) {
            Ok(event) => {
                let Some((happened, elapsed)) = fold(&mut state, &event) else { continue };
                newest = Some((event.at, Instant::now()));
                let lines = happened.iter().filter(|l| !l.shown_live());
                said.extend(lines.flat_map(|line| line.on_terminal(elapsed, columns(term), paint)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if !style.quiet && (!said.is_empty() || framed.elapsed() >= FRAME) {
            framed = Instant::now();
            // Between events the run's time goes on with ours.
            let now = newest.map(|(at, seen)| at + SignedDuration::try_from(seen.elapsed()).unwrap_or_default());
            let (height, _) = term.size();
            let rows = now.map(|now| block(&state, now, columns(term) - 1, usize::from(height), paint));
            // A terminal that is gone disturbs nothing.
            let _ = screen.show(&said, &rows.unwrap_or_default());
        }
    }
    let last = end(&state, columns(term).min(100), style);
    let _ = screen.show(&[last], &[]);
}

/// A terminal with some rows at its end that are drawn again and again.
struct Screen<'a> {
    term: &'a Term,
    drawn: usize,
}

impl Screen<'_> {
    /// Says lines that stay, and draws the rows under them instead of those that were there.
    ///
    /// Each row was narrower than the terminal when it was drawn, so that it is one line. Where the terminal has become
    /// narrower since, a remainder of it may stay; never does a line go that should stay.
    fn show(&mut self, lines: &[String], rows: &[String]) -> std::io::Result<()> {
        self.term.clear_last_lines(std::mem::take(&mut self.drawn))?;
        for line in lines {
            self.term.write_line(line)?;
        }
        for row in rows {
            self.term.write_line(row)?;
            self.drawn += 1;
        }
        // All of it in one write: nothing flickers.
        self.term.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::tests::followed;
    use super::*;

    fn spoken(quiet: bool) -> impl Fn(Events, Output) -> futures_util::future::BoxFuture<'static, ()> {
        move |events, out| Box::pin(console(events, out, Style { quiet, colour: false }))
    }

    #[tokio::test]
    async fn a_pipe_gets_one_line_per_happening() {
        for (name, run) in [("held", fixture::held()), ("broken", fixture::broken()), ("left", fixture::left_behind())]
        {
            let text = followed(&run, usize::MAX, spoken(false)).await;
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "control characters in {text:?}");
            insta::assert_snapshot!(format!("plain_{name}"), text);
        }
    }

    #[tokio::test]
    async fn quiet_is_the_verdict_alone() {
        insta::assert_snapshot!(followed(&fixture::broken(), usize::MAX, spoken(true)).await, @r"
        ✗ BROKEN (hypothesis-broken) kill-one-replica
          checkout: success 50% where ≥ 95% was expected; aborted after 1.2s of 10s.
        ");
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_the_text_and_nothing_else() {
        let whole = followed(&fixture::held(), usize::MAX, spoken(false)).await;
        let some = followed(&fixture::held(), 400, spoken(false)).await;
        assert!(!some.is_empty() && whole.starts_with(&some) && some.len() <= 400);
    }

    #[tokio::test]
    async fn an_output_that_takes_nothing_holds_nobody() {
        struct Stuck(std::sync::mpsc::Receiver<()>);
        impl std::io::Write for Stuck {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                // Until the test lets go.
                let _ = self.0.recv();
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (let_go, stuck) = std::sync::mpsc::channel();
        let (send, events) = tokio::sync::mpsc::unbounded_channel();
        for event in fixture::held() {
            send.send(Arc::new(event)).unwrap();
        }
        let show = console(events, Output::Lines(Box::new(Stuck(stuck))), Style::default());
        tokio::pin!(show);
        // The run's own thread goes on, and the events are taken all the same.
        tokio::select! {
            () = &mut show => panic!("it cannot be done"),
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
        }
        drop(let_go);
        drop(send);
        show.await;
    }

    #[tokio::test]
    async fn an_event_that_is_missing_hides_none_of_the_others() {
        let mut run = fixture::held();
        run.remove(9);
        let text = followed(&run, usize::MAX, spoken(false)).await;
        assert!(text.contains("✓ HELD") && text.contains("rolled back"), "{text}");
    }

    #[tokio::test]
    async fn a_breach_is_said_before_the_stop() {
        let text = followed(&fixture::broken(), usize::MAX, spoken(false)).await;
        let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("no {word} in {text}"));
        assert!(at(" breach ") < at(" stopping ") && at(" stopping ") < at("▲ rolled back "));
    }

    #[test]
    fn on_a_terminal_every_line_fits_whatever_its_width() {
        for width in [40, 60, 80, 120] {
            for run in [fixture::held(), fixture::broken(), fixture::left_behind()] {
                let mut state = RunState::default();
                for event in &run {
                    let (lines, elapsed) = fold(&mut state, event).unwrap();
                    for row in lines.iter().flat_map(|l| l.on_terminal(elapsed, width, Paint(true))) {
                        assert!(::console::measure_text_width(&row) < width, "{width}: {row:?}");
                    }
                }
            }
        }
    }
}
