//! `nexus apply` and `nexus delete` of nodes and values. How files are written is not known here.

use super::rows::{form, print};
use super::stored::flaws;
use crate::cli::subcommand::{DRY_RUN, FILE, Given, PRUNE};
use crate::error::{Error, Kind};
use crate::flow::spec::{Errors, Sort};
use crate::flow::store::Plan;
use crate::flow::store::plan::Wish;
use crate::flow::value::Value;
use crate::shell::flow_store::FlowStore;
use std::process::ExitCode;

/// Puts objects into the store.
pub(super) fn apply(given: &Given) -> Result<ExitCode, Errors> {
    let sort = given.sort()?;
    let form = form(given)?;
    given.expect_files("apply")?;
    let objects = given.objects(sort)?;
    let mut store = given.store()?;
    if !given.has(DRY_RUN) && !store.directory().exists() {
        eprintln!("nexus: makes the store {}", store.directory().display());
    }
    let wish = Wish::Apply {
        objects: &objects,
        prune: given.has(PRUNE),
    };
    let plan = carry_out(given, &mut store, sort, wish)?;
    print(form, &COLUMNS, &told(&plan, given.has(DRY_RUN)))?;
    // It is done; whether it is whole already, the user may know better.
    let flaws = flaws(
        store.directory(),
        given.namespace()?,
        given.has(DRY_RUN).then_some(&plan),
    );
    for flaw in flaws.unwrap_or_default() {
        eprintln!("warning: {flaw}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Deletes objects from the store.
pub(super) fn delete(given: &Given) -> Result<ExitCode, Errors> {
    let sort = given.sort()?;
    let form = form(given)?;
    let names = given.names();
    if names.is_empty() != given.has(FILE) {
        let (message, word) = match names.is_empty() {
            true => (
                "neither names nor a file is given, expected one of them",
                sort.plural(),
            ),
            false => (
                "both names and a file are given, expected one of them",
                sort.plural(),
            ),
        };
        let hint = format!(
            "usage: nexus delete {word} NAME... or -f FILE\na program that is served under that name: nexus delete default/{word}"
        );
        return Err(vec![Error::new(Kind::Usage, message).hint(hint)]);
    }
    let objects = given.objects(sort)?;
    let mut store = given.store_there()?;
    let wish = match names.is_empty() {
        true => Wish::Delete(&objects),
        false => Wish::DeleteNamed(names),
    };
    let plan = carry_out(given, &mut store, sort, wish)?;
    print(form, &COLUMNS, &told(&plan, given.has(DRY_RUN)))?;
    Ok(ExitCode::SUCCESS)
}

fn carry_out(given: &Given, store: &mut FlowStore, sort: Sort, wish: Wish<'_>) -> Result<Plan, Errors> {
    match given.has(DRY_RUN) {
        true => store.plan(sort, wish),
        false => store.write(sort, wish),
    }
}

const COLUMNS: [(&str, &str); 3] = [("action", "s"), ("name", "s"), ("revision", "u8")];

fn told(plan: &Plan, dry_run: bool) -> Value {
    let mut rows = Vec::new();
    for step in &plan.steps {
        let Some(object) = step.object() else { continue };
        let action = match dry_run {
            true => step.act.word(),
            false => step.act.done(),
        };
        rows.push(Value::map([
            ("action", Value::str(action)),
            ("namespace", Value::Str(object.namespace().clone())),
            ("name", Value::Str(object.name().clone())),
            ("revision", Value::Uint(step.revision)),
        ]));
    }
    Value::list(rows)
}
