//! The console: live on a terminal, one line per happening elsewhere.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ::console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use super::live::{Block, Pulse, block};
use super::narrate::{Line, narrate, since};
use super::paint::Paint;
use super::words::running;
use super::{Events, Lines, Output, Style, columns, on_a_thread, summary, verdict};
use crate::event::{Event, Stamped};
use crate::state::RunState;

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
            lines.put(&line.plain(elapsed));
        }
        let silent = spoke.is_none_or(|at| since(at, event.at) >= HEARTBEAT);
        if silent && matches!(event.event, Event::Sampled(_)) {
            for line in heartbeat(&state) {
                lines.put(&line.plain(elapsed));
            }
        }
        if silent || !happened.is_empty() {
            spoke = Some(event.at);
        }
    }
    lines.put(&end(&state, 80, style));
}

/// The lines of an event, and its time since the start.
fn fold(state: &mut RunState, event: &Stamped) -> Option<(Vec<Line>, Duration)> {
    if state.apply(event).is_err() {
        // The journal complains of an event that cannot be; what comes after it must still be seen.
        state.seq = event.seq + 1;
    }
    Some((narrate(state, event), since(state.began?, event.at)))
}

fn heartbeat(state: &RunState) -> Vec<Line> {
    let Some((phase, _)) = state.phases.last() else { return Vec::new() };
    state
        .checks
        .iter()
        .filter_map(|(name, check)| Pulse::of(check, *phase).map(|p| Line::pulse(*phase, p.plain(name))))
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
    let mut screen = Screen::new(term, style);
    let mut newest: Option<(Timestamp, Instant)> = None;
    let mut drawn = Instant::now();
    loop {
        match events.recv_timeout(FRAME) {
            Ok(event) => {
                let Some((happened, elapsed)) = fold(&mut state, &event) else { continue };
                newest = Some((event.at, Instant::now()));
                if style.quiet {
                    continue;
                }
                let width = columns(term);
                for line in happened.iter().filter(|l| !l.shown_live()) {
                    for row in line.on_terminal(elapsed, width, paint) {
                        screen.say(&row);
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if !style.quiet && drawn.elapsed() >= FRAME {
            drawn = Instant::now();
            // Between events the run's time goes on with ours.
            let now = newest.map(|(at, seen)| at + SignedDuration::try_from(seen.elapsed()).unwrap_or_default());
            let (height, _) = term.size();
            let shown = now.and_then(|now| block(&state, now, columns(term) - 1, usize::from(height), paint));
            screen.draw(shown.as_ref());
        }
    }
    screen.draw(None);
    // The end of a run has come; whether its last words can be read is the terminal's business.
    let _ = term.write_line(&end(&state, columns(term).min(100), style));
}

/// The live block on the terminal: a progress bar, and rows under it.
struct Screen {
    all: MultiProgress,
    colour: bool,
    gap: Option<ProgressBar>,
    bar: Option<ProgressBar>,
    rows: Vec<ProgressBar>,
}

impl Screen {
    fn new(term: &Term, style: Style) -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::term(term.clone(), 20));
        Self { all, colour: style.colour, gap: None, bar: None, rows: Vec::new() }
    }

    /// Says something that stays.
    fn say(&self, line: &str) {
        let _ = self.all.println(line);
    }

    /// Draws the block, or takes it away.
    fn draw(&mut self, block: Option<&Block>) {
        let Some(block) = block else {
            for bar in self.gap.take().into_iter().chain(self.bar.take()).chain(self.rows.drain(..)) {
                bar.finish_and_clear();
                self.all.remove(&bar);
            }
            return;
        };
        let text = |bar: &ProgressBar| bar.set_style(template("{msg}"));
        let all = &self.all;
        self.gap.get_or_insert_with(|| {
            let gap = all.add(ProgressBar::no_length());
            text(&gap);
            gap.set_message(" ");
            gap
        });
        let bar = self.bar.get_or_insert_with(|| all.add(ProgressBar::no_length()));
        show_phase(bar, block, self.colour);
        while self.rows.len() > block.rows.len() {
            if let Some(row) = self.rows.pop() {
                row.finish_and_clear();
                self.all.remove(&row);
            }
        }
        while self.rows.len() < block.rows.len() {
            let row = self.all.add(ProgressBar::no_length());
            text(&row);
            self.rows.push(row);
        }
        for (bar, row) in self.rows.iter().zip(&block.rows) {
            bar.set_message(row.clone());
        }
    }
}

fn show_phase(bar: &ProgressBar, block: &Block, colour: bool) {
    bar.set_prefix(format!("{:<11}", block.phase.to_string()));
    let elapsed = running(block.elapsed);
    let Some(planned) = block.planned else {
        bar.set_style(template(if colour { "  {prefix:.bold} {msg}" } else { "  {prefix} {msg}" }));
        bar.set_message(elapsed);
        return;
    };
    bar.set_style(template(if colour {
        "  {prefix:.bold} {wide_bar:.cyan/dim} {msg} "
    } else {
        "  {prefix} {wide_bar} {msg} "
    }));
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    bar.set_length(ms(planned).max(1));
    bar.set_position(ms(block.elapsed.min(planned)));
    bar.set_message(format!("{elapsed} of {}", super::words::planned(planned)));
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─")
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
        assert!(text.contains("✓ HELD") && text.contains("fault out"), "{text}");
    }

    #[tokio::test]
    async fn a_breach_is_said_before_the_stop() {
        let text = followed(&fixture::broken(), usize::MAX, spoken(false)).await;
        let at = |word: &str| text.find(word).unwrap_or_else(|| panic!("no {word} in {text}"));
        assert!(at(" breach ") < at(" stopping ") && at(" stopping ") < at(" fault out "));
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
