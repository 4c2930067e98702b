//! Every event as one line of JSON: the journal's own words, for programs.

use super::{Events, Lines, Output, on_a_thread};

/// Writes each event as one line, until the end of the run; a reader that goes away disturbs nothing.
pub async fn json(events: Events, out: Output) {
    let sink: Box<dyn std::io::Write + Send> = match out {
        Output::Terminal(term) => Box::new(term),
        Output::Lines(sink) => sink,
    };
    on_a_thread(events, move |events| {
        let mut lines = Lines::new(sink);
        for event in events {
            // An event is plain data: what the journal could write can be written here.
            if let Ok(text) = serde_json::to_string(&*event) {
                lines.put(&text);
            }
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::tests::followed;
    use super::*;
    use crate::record::event::Stamped;

    #[tokio::test]
    async fn every_event_is_a_line_that_reads_back() {
        let events = fixture::held();
        let text = followed(&events, usize::MAX, json).await;
        let back: Vec<Stamped> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(back, events);
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_the_text_and_nothing_else() {
        let text = followed(&fixture::held(), 5000, json).await;
        assert!(!text.is_empty() && text.lines().count() < fixture::held().len());
    }
}
