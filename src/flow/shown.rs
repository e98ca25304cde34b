//! What people see of flows, as text: how nodes stand, what happened in a run, what is held at breakpoints. Prints nothing.

use crate::error::{Error, Kind, Result};
use crate::flow::graph::status::Status;
use crate::flow::graph::text::Language;
use crate::flow::run::breakpoint::{Breakpoint, Held};
use crate::flow::run::trace::{Record, Shown, Trace};
use crate::flow::spec::secrets::Secrets;
use crate::flow::value::json;
use crate::limits::FLOW_TRACE_CHARS_MAX;

/// Rows with their columns in line; the last is not filled up.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let chars = cell.chars().count();
            match widths.get_mut(column) {
                Some(width) => *width = chars.max(*width),
                None => widths.push(chars),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                let filled = widths.get(column).copied().unwrap_or_default() + 2;
                out.extend(std::iter::repeat_n(' ', filled - cell.chars().count()));
            }
        }
        out.push('\n');
    }
    out
}

/// A row of a node: its name, kind and state; `failed` is why it could not be opened.
pub fn status_row(namespace: &str, status: &Status, failed: Option<&str>) -> Vec<String> {
    let state = match failed {
        Some(failed) => format!("failed({failed})"),
        None => status.text(),
    };
    let spec = &status.spec;
    vec![
        namespace.to_string(),
        spec.name.to_string(),
        spec.kind.to_string(),
        state,
    ]
}

/// The head of a table of [`status_row`].
pub fn status_head() -> Vec<String> {
    ["NAMESPACE", "NODE", "KIND", "STATE"].map(String::from).to_vec()
}

/// A run, how long it took and why it has failed, on one line.
pub fn run(trace: &Trace, secrets: &Secrets) -> String {
    let mut out = format!("run {} of {}/{}", trace.run, trace.namespace, trace.node);
    if let Some(parent) = trace.parent {
        out.push_str(&format!(", begun by run {parent}"));
    }
    match &trace.ended {
        None => out.push_str(", goes on"),
        Some((ended_ms, error)) => {
            out.push_str(&format!(", {} ms", ended_ms.saturating_sub(trace.began_ms)));
            if let Some(error) = error {
                out.push_str(&format!(", failed: {}", secrets.mask(&error.message)));
            }
        }
    }
    out
}

/// What happened in a run, each packet below that from which it came.
pub fn trace(trace: &Trace, secrets: &Secrets) -> String {
    let mut out = run(trace, secrets);
    out.push('\n');
    // Depth by depth without recursion: parents stand before their children.
    let mut depths: Vec<usize> = Vec::with_capacity(trace.records.len());
    for record in &trace.records {
        let above = record.parent.and_then(|parent| depths.get(parent as usize));
        depths.push(above.map_or(0, |depth| depth + 1));
    }
    let mut rows = vec![
        ["NODE", "PORT", "TIME", "INPUT", "OUTPUT"]
            .map(String::from)
            .to_vec(),
    ];
    for place in order(&trace.records) {
        let (Some(record), Some(depth)) = (trace.records.get(place), depths.get(place)) else {
            continue;
        };
        let (time, output) = match &record.answer {
            None => ("-".to_string(), "-".to_string()),
            Some(answer) => {
                let took_ms = record.ended_ms.saturating_sub(record.began_ms);
                let output = match answer {
                    Ok(shown) => shown_text(shown, secrets),
                    Err(error) => cut(&format!(
                        "error {}: {}",
                        error.kind.name(),
                        secrets.mask(&error.message)
                    )),
                };
                (format!("{took_ms} ms"), output)
            }
        };
        let indent = (*depth).min(DEPTH_SHOWN_MAX) * 2;
        rows.push(vec![
            format!("{:indent$}{}", "", record.node),
            record.port.to_string(),
            time,
            shown_text(&record.input, secrets),
            output,
        ]);
    }
    out.push_str(&table(&rows));
    if trace.left_out > 0 {
        out.push_str(&format!("{} more packets were not kept\n", trace.left_out));
    }
    out
}

/// Levels that are indented further than those above: what is deeper stands too far to the right to be read.
const DEPTH_SHOWN_MAX: usize = 24;

/// Records with their children behind them.
fn order(records: &[Record]) -> Vec<usize> {
    let mut children: Vec<Vec<usize>> = records.iter().map(|_| Vec::new()).collect();
    let mut todo = Vec::new();
    for (place, record) in records.iter().enumerate().rev() {
        match record.parent.and_then(|parent| children.get_mut(parent as usize)) {
            Some(list) => list.push(place),
            None => todo.push(place),
        }
    }
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(place) = todo.pop() {
        ordered.push(place);
        todo.extend(children.get_mut(place).map(std::mem::take).unwrap_or_default());
    }
    ordered
}

fn shown_text(shown: &Shown, secrets: &Secrets) -> String {
    let text = match shown {
        Shown::Whole(value) => json::text(&secrets.mask_value(value)),
        left => left.text(),
    };
    cut(&text)
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(FLOW_TRACE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_string(),
    }
}

/// A packet that is held, on one line.
pub fn held(held: &Held, secrets: &Secrets) -> String {
    let packet = cut(&json::text(&secrets.mask_value(&held.packet)));
    format!(
        "run {} frame {} at {}.{}: {packet}",
        held.frame.run, held.frame.frame, held.node, held.port
    )
}

/// A breakpoint, on one line.
pub fn breakpoint(breakpoint: &Breakpoint) -> String {
    let node = breakpoint.node.as_deref().unwrap_or("every node");
    match &breakpoint.port {
        Some(port) => format!("{}: {node}.{port}", breakpoint.id),
        None => format!("{}: {node}", breakpoint.id),
    }
}

/// The first of several errors, which says how many more there are.
pub fn first_of(mut errors: Vec<Box<Error>>) -> Box<Error> {
    let more = errors.len().saturating_sub(1);
    let mut first = errors.swap_remove(0);
    if more > 0 {
        first.message.push_str(&format!(" (and {more} more errors)"));
    }
    first
}

/// The language of a graph by its word: `dot` for Graphviz, `mermaid`.
///
/// # Errors
/// Kind `usage`: another word.
pub fn language(word: &str) -> Result<Language> {
    match word {
        "dot" => Ok(Language::Dot),
        "mermaid" => Ok(Language::Mermaid),
        word => {
            let message = format!("form '{word}' of a graph is unknown, expected dot or mermaid");
            Err(Error::new(Kind::Usage, message))
        }
    }
}
