//! A deployment as its users and its operator see it: JSON and a table. Finds nothing out: the caller fills in what it knows.

use crate::codec::error_map::write_error_json;
use crate::codec::json_text::JsonText;
use crate::codec::schema::Types;
use crate::error::Error;
use crate::manifest::model::{Arg, Command, Input, Manifest};
use crate::manifest::names::full_name;
use crate::serve::api::open_api::{call_path, shown};
use crate::serve::api::parameter::{is_reverse, parameter_names};
use crate::serve::api::parameter_schema::{input_schema, is_needed};
use crate::serve::api::route::Target;
use crate::serve::json_schema::json_schema;

/// What is known of a deployment.
#[derive(Clone, Debug)]
pub struct Inspected<'d> {
    /// As paths name it; without a version it is the default one.
    pub target: Target,
    /// The program; none while none is loaded.
    pub manifest: Option<&'d Manifest>,
    /// The name of its state.
    pub state: &'d str,
    /// What only the operator sees; none: leave it out.
    pub inner: Option<Inner<'d>>,
}

/// What only the operator of a deployment sees.
#[derive(Clone, Debug)]
pub struct Inner<'d> {
    /// Where it is loaded from.
    pub source: &'d str,
    /// How often it was loaded.
    pub generation: u64,
    /// Calls under way.
    pub calls: u64,
    /// Calls that wait.
    pub waiting: u64,
    /// How often its pools were started again.
    pub restarts: u64,
    /// Why it was not loaded, or died, the last time.
    pub error: Option<&'d Error>,
    /// Its pools.
    pub pools: Vec<InspectedPool<'d>>,
}

/// What is known of a pool.
#[derive(Clone, Debug)]
pub struct InspectedPool<'d> {
    /// Its name.
    pub name: &'d str,
    /// Its language.
    pub lang: &'d str,
    /// The name of its state.
    pub state: &'d str,
    /// Its process; none: it does not run.
    pub pid: Option<u32>,
    /// Its workers.
    pub workers: u64,
    /// Those of them that run a call.
    pub busy: u64,
    /// Calls that wait for one.
    pub waiting: u64,
    /// How often it was started again.
    pub restarts: u64,
}

/// Appends all that is known of a deployment as a JSON object.
pub fn inspect_json(inspected: &Inspected, text: &mut JsonText) {
    let target = &inspected.target;
    text.begin(b'{').key("namespace").string(&target.namespace);
    text.key("name").string(&target.name);
    if let Some(version) = &target.version {
        text.key("version").string(version);
    }
    text.key("state").string(inspected.state);
    if let Some(inner) = &inspected.inner {
        write_inner(inner, text);
    }
    if let Some(manifest) = inspected.manifest {
        text.key("desc").strings(manifest.desc.iter().map(String::as_str));
        text.key("commands").begin(b'[');
        for command in shown(manifest) {
            write_command(target, &manifest.types, command, text);
        }
        text.end(b']');
    }
    text.end(b'}');
}

/// Appends the answer to `/v1/programs`.
pub fn programs_json(programs: &[Inspected], out: &mut Vec<u8>) {
    let mut text = JsonText::new(out);
    text.begin(b'{').key("programs").begin(b'[');
    for program in programs {
        inspect_json(program, &mut text);
    }
    text.end(b']').end(b'}');
}

fn write_inner(inner: &Inner, text: &mut JsonText) {
    text.key("source").string(inner.source);
    for (key, number) in [
        ("generation", inner.generation),
        ("calls", inner.calls),
        ("waiting", inner.waiting),
        ("restarts", inner.restarts),
    ] {
        text.key(key).number(number);
    }
    if let Some(error) = inner.error {
        write_error_json(text.key("error"), error);
    }
    text.key("pools").begin(b'[');
    for pool in &inner.pools {
        text.begin(b'{');
        for (key, word) in [("name", pool.name), ("lang", pool.lang), ("state", pool.state)] {
            text.key(key).string(word);
        }
        if let Some(pid) = pool.pid {
            text.key("pid").number(pid);
        }
        for (key, number) in [
            ("workers", pool.workers),
            ("busy", pool.busy),
            ("waiting", pool.waiting),
            ("restarts", pool.restarts),
        ] {
            text.key(key).number(number);
        }
        text.end(b'}');
    }
    text.end(b']');
}

fn write_command(target: &Target, types: &Types, command: &Command, text: &mut JsonText) {
    text.begin(b'{').key("name").string(&full_name(command));
    text.key("path").string(&call_path(target, command));
    text.key("signature").string(&signature(types, command));
    text.key("desc").strings(command.desc.iter().map(String::as_str));
    text.key("examples")
        .strings(command.examples.iter().map(String::as_str));
    input_schema(types, command, text.key("parameters").buffer());
    json_schema(types, command.returns.ty, text.key("returns").buffer());
    if let Some(media_type) = &command.returns.media_type {
        text.key("media_type").string(media_type);
    }
    text.end(b'}');
}

/// A command as people write functions: `mean(xs: [Real], scale: Real = 1.5) -> Real`.
pub fn signature(types: &Types, command: &Command) -> String {
    let mut out = full_name(command);
    out.push('(');
    for (position, (name, arg)) in parameter_names(command).iter().zip(&command.args).enumerate() {
        if position > 0 {
            out.push_str(", ");
        }
        out.push_str(name);
        let of_input = |input: &Input| input.type_name.clone();
        let type_name = match arg {
            Arg::Positional(input) => of_input(input),
            Arg::Option(opt) => of_input(&opt.input),
            Arg::Flag(_) => "Bool".to_string(),
            Arg::Record(record) => record.type_name.clone(),
        };
        if !type_name.is_empty() {
            out.push_str(": ");
            out.push_str(&type_name);
        }
        match arg {
            Arg::Option(opt) if opt.default.is_some() => {
                out.push_str(" = ");
                out.push_str(opt.default.as_deref().unwrap_or_default());
            }
            Arg::Flag(flag) if flag.default != is_reverse(arg) => out.push_str(" = true"),
            Arg::Flag(_) => out.push_str(" = false"),
            _ if !is_needed(types, arg) => out.push_str(" = ..."),
            _ => {}
        }
    }
    out.push_str(") -> ");
    out.push_str(&command.returns.type_name);
    out
}

/// All that is known of a deployment as people read it.
pub fn inspect_table(inspected: &Inspected) -> String {
    let target = &inspected.target;
    let mut out = format!("{}/{}", target.namespace, target.name);
    if let Some(version) = &target.version {
        out.push('@');
        out.push_str(version);
    }
    out.push_str("  ");
    out.push_str(inspected.state);
    out.push('\n');
    if let Some(inner) = &inspected.inner {
        out.push_str(&format!(
            "  from {}, generation {}, {} calls, {} waiting, {} restarts\n",
            inner.source, inner.generation, inner.calls, inner.waiting, inner.restarts
        ));
        if let Some(error) = inner.error {
            out.push_str(&format!("  error: {error}\n"));
        }
        if !inner.pools.is_empty() {
            out.push('\n');
        }
        let heads = ["POOL", "STATE", "PID", "WORKERS", "BUSY", "WAITING", "RESTARTS"];
        let mut rows = vec![heads.map(String::from)];
        rows.extend(inner.pools.iter().map(|pool| {
            let name = match pool.name == pool.lang {
                true => pool.name.to_string(),
                false => format!("{} ({})", pool.name, pool.lang),
            };
            [
                name,
                pool.state.to_string(),
                pool.pid.map_or("-".to_string(), |pid| pid.to_string()),
                pool.workers.to_string(),
                pool.busy.to_string(),
                pool.waiting.to_string(),
                pool.restarts.to_string(),
            ]
        }));
        if rows.len() > 1 {
            write_rows(&rows, &mut out);
        }
    }
    if let Some(manifest) = inspected.manifest {
        out.push('\n');
        for command in shown(manifest) {
            out.push_str(&format!("  {}\n", signature(&manifest.types, command)));
            if let Some(summary) = command.desc.first() {
                out.push_str(&format!("      {summary}\n"));
            }
        }
    }
    out
}

/// Columns as wide as their widest cell.
fn write_rows<const N: usize>(rows: &[[String; N]], out: &mut String) {
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    });
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("  {cell:width$}"));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
