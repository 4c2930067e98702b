//! Shows an old run on the console again, at the speed at which it went:
//! `cargo run --example console_replay -- RUN/journal.ndjson [SPEED]`, where a speed of 10 is ten times as fast.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use squall::record::event::Stamped;
use squall::report::follow::{Output, Style, console};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let path = args.next().context("which journal? give its path")?;
    let speed: f64 = args.next().map_or(Ok(1.0), |text| text.parse()).context("the speed is a number, such as 10")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (send, events) = tokio::sync::mpsc::unbounded_channel();
    let replay = async move {
        let mut before = None;
        for line in text.lines() {
            // The last line of a run that was killed may be half an event.
            let Ok(event) = serde_json::from_str::<Stamped>(line) else { break };
            let gap = before.map_or(0.0, |before| event.at.duration_since(before).as_secs_f64().max(0.0));
            tokio::time::sleep(Duration::from_secs_f64(gap / speed.max(0.01))).await;
            before = Some(event.at);
            if send.send(Arc::new(event)).is_err() {
                break;
            }
        }
    };
    let out = Output::stdout();
    let style = Style::of(&out, false);
    tokio::join!(replay, console(events, out, style));
    Ok(())
}
