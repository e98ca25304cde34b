//! Emphasis on a terminal, and nothing elsewhere. Knows no words.

use std::io::IsTerminal;

/// Whether text is marked up, for one of the two streams.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colored: bool,
}

impl Style {
    /// No markup.
    #[cfg(test)]
    pub const PLAIN: Style = Style { colored: false };

    /// The style for a stream: markup only on a terminal that knows it, and not where `NO_COLOR` is set.
    pub fn of(stream: &impl IsTerminal) -> Style {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Style {
            colored: stream.is_terminal() && !set("NO_COLOR") && !dumb,
        }
    }

    /// A title or the name of a thing.
    pub fn bold(self, text: &str) -> String {
        self.mark("1", text)
    }

    /// What is wrong.
    pub fn red(self, text: &str) -> String {
        self.mark("1;31", text)
    }

    /// What is new.
    pub fn green(self, text: &str) -> String {
        self.mark("32", text)
    }

    /// What matters less.
    pub fn dim(self, text: &str) -> String {
        self.mark("2", text)
    }

    fn mark(self, code: &str, text: &str) -> String {
        match self.colored {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_string(),
        }
    }
}
