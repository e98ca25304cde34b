//! `nexus explain`: what a command line would do, without doing it: how each argument is read, which pools would start, who
//! calls whom; and of a run, when what happened. Runs nothing itself.

use crate::cli::call_graph;
use crate::cli::input;
use crate::cli::page::Page;
use crate::cli::remote::Timeline;
use crate::cli::request::Invocation;
use crate::cli::source::Source;
use crate::codec::transcode::{Style, msgpack_to_json};
use crate::core::timeline::Mark;
use crate::error::Result;
use crate::ids::PoolId;
use crate::manifest::model::{Arg, Body, Command, Manifest, Pool};
use crate::manifest::names::{full_name, label};
use crate::sys::clock::now_us;

/// Events of a run that are told.
const MARKS_MAX: usize = 1000;

/// How far calls in calls are indented.
const INDENTS_MAX: usize = 20;

/// Characters of a value that are shown.
const SHOWN_CHARS_MAX: usize = 60;

/// What is told of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// What it would do.
    Of(Drawing),
    /// How long it took, once it is done.
    Times,
}

/// How the graph of the calls is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drawing {
    /// As an indented list, below what else is known.
    #[default]
    Text,
    /// For Graphviz, alone.
    Dot,
    /// For Mermaid, alone.
    Mermaid,
}

/// Writes what that command line would do.
///
/// # Errors
/// Kind `bad_argument`: an argument that doesn't fit its type, as a run would say it.
pub fn explain(
    manifest: &Manifest,
    invocation: &Invocation<'_>,
    drawing: Drawing,
    page: &mut Page,
) -> Result<()> {
    let command = invocation.command;
    let graph = call_graph::of(manifest, command);
    let drawn = match drawing {
        Drawing::Text => None,
        Drawing::Dot => Some(graph.dot()),
        Drawing::Mermaid => Some(graph.mermaid()),
    };
    if let Some(lines) = drawn {
        draw(&lines, page);
        return Ok(());
    }
    page.paragraph(0, &[summary(manifest, command)]);
    let mut rows = Vec::new();
    for (position, source) in invocation.args.iter().enumerate() {
        let msgpack = input::encode(&manifest.types, command, position, source)?;
        let mut json = Vec::new();
        let arg = &command.args[position];
        // What was just encoded can be printed.
        let _ = msgpack_to_json(&manifest.types, arg.ty(), &msgpack, Style::Compact, &mut json);
        let (name, _) = label(command, position);
        let value = clipped(&String::from_utf8_lossy(&json));
        let told = format!("{value}  ({}; {})", type_name(manifest, arg), origin(source));
        rows.push((name, told));
    }
    if !rows.is_empty() {
        page.title("Arguments:");
        page.entries(&rows);
    }
    page.title("Pools:");
    match started(command) {
        [] => page.line(2, "none: nexus evaluates it, and no process starts"),
        needed => {
            let row = |pool: &PoolId| told(&manifest.pools[pool.index()]);
            page.entries(&needed.iter().map(row).collect::<Vec<_>>());
        }
    }
    page.title("Calls:");
    draw(&graph.text(), page);
    Ok(())
}

fn draw(lines: &[String], page: &mut Page) {
    for line in lines {
        page.line(0, line);
    }
}

fn summary(manifest: &Manifest, command: &Command) -> String {
    let name = full_name(command);
    match &command.body {
        Body::Pure(_) => format!("{name} is pure: nexus evaluates it itself."),
        Body::Remote { pool, mid, .. } => {
            let pool = &manifest.pools[pool.index()].name;
            format!("{name} is function {mid} of the pool {pool}.")
        }
        Body::Composed { .. } => {
            format!("{name} is composed: nexus evaluates it, and calls pools for its parts.")
        }
        Body::Unsupported(error) => format!("{name} can't run here: {}.", error.message),
    }
}

/// The pools that are started at once.
fn started(command: &Command) -> &[PoolId] {
    match &command.body {
        Body::Remote { needed, .. } | Body::Composed { needed, .. } => needed,
        Body::Pure(_) | Body::Unsupported(_) => &[],
    }
}

fn told(pool: &Pool) -> (String, String) {
    let workers = match pool.workers {
        Some(1) => "1 worker".to_string(),
        Some(most) => format!("up to {most} workers"),
        None => "workers as there are processors".to_string(),
    };
    (pool.name.clone(), format!("{}; {workers}", pool.exec.join(" ")))
}

fn type_name<'m>(manifest: &'m Manifest, arg: &'m Arg) -> String {
    match arg {
        Arg::Positional(input) => input.type_name.clone(),
        Arg::Option(opt) => opt.input.type_name.clone(),
        Arg::Flag(_) => "Bool".to_string(),
        Arg::Record(record) => match record.type_name.is_empty() {
            true => manifest.types.spell(record.ty),
            false => record.type_name.clone(),
        },
    }
}

fn origin(source: &Source<'_>) -> String {
    match source {
        Source::Text(_) | Source::Bool(true) => "given".to_string(),
        Source::File(path) => format!("read from {path}"),
        Source::Stdin => "read from standard input".to_string(),
        Source::Default(_) | Source::Bool(false) => "by default".to_string(),
        Source::Null => "not given".to_string(),
        Source::Record { whole, fields } => {
            let is_given =
                |field: &Option<Source<'_>>| !matches!(field, None | Some(Source::Default(_) | Source::Null));
            match (
                whole.is_some(),
                fields.iter().filter(|field| is_given(field)).count(),
            ) {
                (true, 0) => "given whole".to_string(),
                (true, given) => format!("given whole, {given} of its fields over that"),
                (false, given) => format!("{given} of {} fields given", fields.len()),
            }
        }
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}... ({} characters)", &text[..end], text.chars().count()),
        None => text.to_string(),
    }
}

/// Writes how long each part of a run took, from its start in microseconds of the clock.
pub fn tell_times(manifest: &Manifest, begun_us: u64, timeline: &Timeline, page: &mut Page) {
    page.title("Time from the start, in ms:");
    let at = |time_us: u64| milliseconds(time_us.saturating_sub(begun_us));
    if timeline.finished_us == 0 {
        return page.line(2, &format!("{} done, without any pool", at(now_us())));
    }
    page.line(2, &format!("{} pools started", at(timeline.started_us)));
    let mut ready = Vec::new();
    for (time_us, mark) in &timeline.marks {
        if let Mark::Ready(pool) = mark {
            let name = &manifest.pools[pool.index()].name;
            let what = match ready.contains(pool) {
                true => "one more worker of",
                false => "ready:",
            };
            ready.push(*pool);
            page.line(2, &format!("{} {what} {name}", at(*time_us)));
        }
    }
    page.line(2, &format!("{} answered", at(timeline.answered_us)));
    page.line(2, &format!("{} all processes gone", at(timeline.finished_us)));
    page.title("Calls, as they began, and how long each took, in ms:");
    let mut depths: Vec<(u64, usize)> = Vec::new();
    for (time_us, mark) in timeline.marks.iter().take(MARKS_MAX) {
        let Mark::Began {
            call,
            parent,
            pool,
            mid,
            pid,
        } = mark
        else {
            continue;
        };
        let above = depths.iter().find(|(call, _)| Some(*call) == *parent);
        let depth = above.map_or(0, |(_, depth)| depth + 1);
        depths.push((*call, depth));
        let is_end = |(_, mark): &&(u64, Mark)| *mark == Mark::Ended(*call);
        let ended_us = timeline
            .marks
            .iter()
            .find(is_end)
            .map_or(timeline.answered_us, |end| end.0);
        let took = milliseconds(ended_us.saturating_sub(*time_us));
        let indent = "  ".repeat(depth.min(INDENTS_MAX));
        let pool_name = &manifest.pools[pool.index()].name;
        let name = function_name(manifest, *pool, *mid);
        page.line(
            2,
            &format!(
                "{} {took}  {indent}{name} in {pool_name}, process {pid}",
                at(*time_us)
            ),
        );
    }
    if timeline.marks.len() > MARKS_MAX {
        page.line(
            2,
            &format!(
                "and more: of {} events, {MARKS_MAX} are told",
                timeline.marks.len()
            ),
        );
    }
}

/// The command that a function is, or what the composition calls it.
fn function_name(manifest: &Manifest, pool: PoolId, mid: i64) -> String {
    let is_it = |command: &&Command| matches!(&command.body, Body::Remote { pool: of, mid: number, .. } if (*of, *number) == (pool, mid));
    match (
        manifest.commands.iter().find(is_it),
        manifest.exprs.foreign_name(pool, mid),
    ) {
        (Some(command), _) => full_name(command),
        (None, Some(name)) => name.to_string(),
        (None, None) => format!("function {mid}"),
    }
}

fn milliseconds(time_us: u64) -> String {
    format!("{:>6}.{}", time_us / 1000, time_us % 1000 / 100)
}
