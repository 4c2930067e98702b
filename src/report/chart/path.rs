//! The `d` of an SVG path, in tenths of a pixel.

use std::fmt::{Arguments, Write as _};

/// A path in the making.
#[derive(Default)]
pub(super) struct Path(String);

impl Path {
    fn push(mut self, step: Arguments<'_>) -> Self {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(step);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn to(self, x: f64, y: f64) -> Self {
        self.push(format_args!("M{x:.1} {y:.1}"))
    }

    pub(super) fn line(self, x: f64, y: f64) -> Self {
        self.push(format_args!("L{x:.1} {y:.1}"))
    }

    pub(super) fn across(self, x: f64) -> Self {
        self.push(format_args!("H{x:.1}"))
    }

    pub(super) fn down(self, y: f64) -> Self {
        self.push(format_args!("V{y:.1}"))
    }

    /// A line of no length, which round caps make a dot.
    pub(super) fn dot(self, x: f64, y: f64) -> Self {
        self.to(x, y).push(format_args!("h0"))
    }

    pub(super) fn close(self) -> Self {
        self.push(format_args!("Z"))
    }

    /// A whole curve; a point alone is a dot.
    pub(super) fn curve(self, points: &[(f64, f64)]) -> Self {
        match points {
            [] => self,
            [(x, y)] => self.dot(*x, *y),
            [(x, y), rest @ ..] => rest.iter().fold(self.to(*x, *y), |path, (x, y)| path.line(*x, *y)),
        }
    }
}

impl maud::Render for Path {
    fn render_to(&self, buffer: &mut String) {
        buffer.push_str(&self.0);
    }
}
