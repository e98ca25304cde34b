//! Log lines and progress from functions, on standard error: lines as they come, progress as a bar on a terminal and
//! nowhere else.

use super::client::Told;
use crate::codec::number::float_text;
use crate::core::hub::Note;
use crate::error::signal_name;
use crate::serve::rpc::Notice;
use std::io::{self, IsTerminal, Write};

/// Width of the bar, in columns.
const BAR_COLUMNS: usize = 30;

/// Shows notes of the pool of that name.
#[derive(Default)]
pub struct Notes {
    has_bar: bool,
}

impl Notes {
    /// Shows one.
    pub fn show(&mut self, pool: &str, note: &Note) {
        let mut stderr = io::stderr().lock();
        match note {
            Note::Log { level, text } => {
                self.clear_bar(&mut stderr);
                for line in text.lines() {
                    let _ = writeln!(stderr, "[{pool}] {level}: {line}");
                }
            }
            Note::Progress { done, total, label } if stderr.is_terminal() => {
                let _ = write!(stderr, "\r\x1b[K{}", bar(*done, *total, label));
                self.has_bar = true;
            }
            Note::Progress { .. } => {}
        }
    }

    /// Shows what a server tells of a call of that program.
    pub fn show_told(&mut self, program: &str, told: Told<'_>) {
        match told {
            Told::Notice(Notice::Log { pool, level, text }) => {
                let (level, text) = (level.to_string(), text.to_string());
                self.show(pool, &Note::Log { level, text });
            }
            Told::Notice(Notice::Progress {
                pool,
                done,
                total,
                label,
            }) => {
                let label = label.to_string();
                self.show(pool, &Note::Progress { done, total, label });
            }
            Told::Notice(Notice::Printed(bytes)) => {
                let mut stderr = io::stderr().lock();
                self.clear_bar(&mut stderr);
                let _ = stderr.write_all(bytes);
            }
            Told::Signal(number) => self.show_stop(program, &signal_name(number), &[]),
        }
    }

    /// Tells that a run was stopped, and where its workers stood.
    pub fn show_stop(&mut self, program: &str, signal: &str, standing: &[String]) {
        let mut stderr = io::stderr().lock();
        self.clear_bar(&mut stderr);
        let _ = writeln!(
            stderr,
            "{program}: stopping after {signal}; another one ends everything at once"
        );
        for line in standing {
            let _ = writeln!(stderr, "  {line}");
        }
    }

    /// Takes the bar away, before anything else is written.
    pub fn finish(&mut self) {
        self.clear_bar(&mut io::stderr().lock());
    }

    fn clear_bar(&mut self, stderr: &mut impl Write) {
        if std::mem::take(&mut self.has_bar) {
            let _ = write!(stderr, "\r\x1b[K");
        }
    }
}

fn bar(done: f64, total: f64, label: &str) -> String {
    let part = done / total;
    if part.is_nan() || total <= 0.0 {
        return format!("{label} {}", float_text(done));
    }
    let part = part.clamp(0.0, 1.0);
    let filled = (part * BAR_COLUMNS as f64) as usize;
    format!(
        "{label} [{}{}] {}%",
        "=".repeat(filled),
        " ".repeat(BAR_COLUMNS - filled),
        (part * 100.0).round() as u8
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        let check = |done, total, expected: &str| assert_eq!(bar(done, total, "x"), expected);
        check(3.0, 0.0, "x 3");
        check(0.0, 2.0, &format!("x [{}] 0%", " ".repeat(30)));
        check(1.0, 2.0, &format!("x [{}{}] 50%", "=".repeat(15), " ".repeat(15)));
        check(9.0, 2.0, &format!("x [{}] 100%", "=".repeat(30)));
        check(f64::NAN, 2.0, "x NaN");
        check(2.0, f64::NAN, "x 2");
    }
}
