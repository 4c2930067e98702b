//! Colours with a meaning. Off, the text is the same without them.

use ::console::Style;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Broken, or left behind.
    Bad,
    /// To be looked at.
    Warn,
    /// A disturbance that we made.
    Fault,
    /// Rehearsed: neither good nor bad.
    Rehearsal,
    /// How far something is.
    Accent,
    /// Beside the point.
    Dim,
    /// The point.
    Strong,
    /// Neither.
    Plain,
}

/// Paints, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn on(self, tone: Tone, text: &str) -> String {
        let style = Style::new().force_styling(self.0);
        let style = match tone {
            Tone::Good => style.green(),
            Tone::Bad => style.red().bold(),
            Tone::Warn => style.yellow(),
            Tone::Fault => style.magenta(),
            Tone::Rehearsal => style.blue().bold(),
            Tone::Accent => style.cyan(),
            Tone::Dim => style.dim(),
            Tone::Strong => style.bold(),
            Tone::Plain => style,
        };
        style.apply_to(text).to_string()
    }
}
