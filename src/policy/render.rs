//! Diagnostics as text, in the look of the Rust compiler.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{
    AnnotationKind, Element, Group, Level as Title, Origin, Renderer, Snippet,
};

use super::diagnostic::{Diagnostic, Diagnostics, Level};
use super::source::{Spot, Text};

/// A line longer than this is not shown: a feed pasted on one line would be drawn once per mistake.
const LONGEST_LINE: usize = 2_000;

impl Diagnostics {
    /// The diagnostics for people: the line, a caret under the value, code and help.
    pub fn render_text(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        }
        .decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for item in &self.items {
            text.push_str(&renderer.render(&[self.report(item)]));
            text.push_str("\n\n");
        }
        text
    }

    fn report<'d>(&'d self, item: &'d Diagnostic) -> Group<'d> {
        let title = match item.level {
            Level::Error => Title::ERROR,
            Level::Warning => Title::WARNING,
        };
        let mut group = title
            .primary_title(&item.message)
            .id(item.code.as_str())
            .element(self.excerpt(item.spot, (item.line, item.column), None));
        if let Some(label) = &item.label {
            let at = (label.line, label.column);
            group = group.element(self.excerpt(label.spot, at, Some(&label.message)));
        }
        if let Some(help) = &item.help {
            group = group.element(Title::HELP.message(help));
        }
        group
    }

    fn excerpt<'d>(
        &'d self,
        spot: Spot,
        (line, column): (usize, usize),
        label: Option<&'d str>,
    ) -> Element<'d> {
        let Some(text) = self.texts.get(spot.file) else {
            return Origin::path("").line(line).into();
        };
        let (start, shown) = text.line(line);
        if shown.len() > LONGEST_LINE {
            return Origin::path(&text.name)
                .line(line)
                .char_column(column)
                .into();
        }
        // A primary mark also in the second excerpt, so that it too is headed by its position.
        let mark = AnnotationKind::Primary
            .span(within(spot, start, shown))
            .label(label);
        Snippet::source(shown)
            .path(&text.name)
            .line_start(line)
            .annotation(mark)
            .into()
    }
}

/// The part of a span that lies on its first line, relative to that line.
fn within(spot: Spot, start: usize, line: &str) -> std::ops::Range<usize> {
    let clamp = |offset: usize| {
        let mut offset = offset.saturating_sub(start).min(line.len());
        while !line.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    };
    clamp(spot.start)..clamp(spot.end)
}

/// Where a span begins, in words: `file:line`.
pub(super) fn file_and_line(texts: &[Text], spot: Spot) -> String {
    match texts.get(spot.file) {
        Some(text) => format!("{}:{}", text.name, text.position(spot.start).0),
        None => String::new(),
    }
}
