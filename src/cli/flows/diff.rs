//! `nexus diff`: what an apply would change, as `diff -u` shows it. Changes nothing.

use crate::cli::output::print_text;
use crate::cli::style::Style;
use crate::cli::subcommand::{Given, PRUNE};
use crate::flow::spec::secrets::REDACTED;
use crate::flow::spec::{Errors, Object, Sort};
use crate::flow::store::line_diff::unified;
use crate::flow::store::plan::Wish;
use crate::flow::store::{Act, Step};
use crate::flow::value::{Value, yaml_text};
use std::process::ExitCode;
use std::rc::Rc;

/// Prints what differs; the exit code is 1 if anything does.
pub(super) fn diff(given: &Given) -> Result<ExitCode, Errors> {
    let sort = given.sort()?;
    given.expect_files("diff")?;
    let objects = given.objects(sort)?;
    let mut store = given.store()?;
    let wish = Wish::Apply {
        objects: &objects,
        prune: given.has(PRUNE),
    };
    let plan = store.plan(sort, wish)?;
    let style = Style::of(&std::io::stdout());
    let mut out = String::new();
    for step in plan.steps.iter().filter(|step| step.act != Act::Keep) {
        for line in told(step, sort).map_err(|error| vec![error])?.lines() {
            out += &match line.as_bytes().first() {
                _ if line.starts_with("--- ") || line.starts_with("+++ ") => style.bold(line),
                Some(b'-') => style.red(line),
                Some(b'+') => style.green(line),
                Some(b'@') => style.dim(line),
                _ => line.to_string(),
            };
            out.push('\n');
        }
    }
    print_text(out.as_bytes()).map_err(|error| vec![error])?;
    Ok(ExitCode::from(u8::from(!plan.is_empty())))
}

/// The difference of one object.
fn told(step: &Step, sort: Sort) -> crate::error::Result<String> {
    let nowhere = || "/dev/null".to_string();
    let before = step.before.as_ref();
    let after = step.after.as_ref();
    let old = before.map_or_else(nowhere, |object| {
        let revision = object.stored_revision();
        format!(
            "{}/{}/{} revision {revision}",
            object.namespace(),
            sort.plural(),
            object.name()
        )
    });
    let new = after.map_or_else(nowhere, |object| object.place().to_string());
    let mut shown =
        [before.map(text).transpose()?, after.map(text).transpose()?].map(Option::unwrap_or_default);
    // Hidden, both would look the same.
    let data = |object: Option<&Object>| object.and_then(|object| object.written().get("data").cloned());
    if sort == Sort::Values && before.is_some() && after.is_some() && data(before) != data(after) {
        shown[1] = shown[1].replacen(REDACTED, &format!("{REDACTED} another"), 1);
    }
    Ok(unified((&old, &shown[0]), (&new, &shown[1])))
}

/// An object as it may be seen, without its revision.
fn text(object: &Object) -> crate::error::Result<String> {
    let shown = object.shown();
    let entries = shown.entries().unwrap_or_default().iter();
    let entries = entries.filter(|(key, _)| key.as_str() != Some("revision"));
    let mut out = Vec::new();
    yaml_text::write(&Value::Map(Rc::new(entries.cloned().collect())), &mut out)?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
