//! `nexus get`: nodes and values of the store as they were written, values without what they are.

use super::rows::{Form, form, print};
use crate::cli::report;
use crate::cli::subcommand::Given;
use crate::error::{Error, Kind};
use crate::flow::spec::{Errors, Object, Sort};
use crate::flow::value::Value;
use std::process::ExitCode;

/// Prints objects of the store.
pub(super) fn get(given: &Given) -> Result<ExitCode, Errors> {
    let sort = given.sort()?;
    let form = form(given)?;
    let namespace = given.namespace()?;
    let mut store = given.store_there()?;
    let changes = store.changes().map_err(|error| vec![error])?;
    // Who has seen a revision finds another after the next edit.
    store.remember();
    let folder = store.catalog().folder(namespace, sort);
    let (mut objects, _) = folder.map(|folder| folder.objects()).unwrap_or_default();
    let names = given.names();
    let is_called =
        |object: &Object, name: &str| &**object.name() == name || object.id().is_some_and(|id| &**id == name);
    let mut absent = Vec::new();
    for name in names {
        if !objects.iter().any(|(object, _)| is_called(object, name)) {
            let message = format!("there is no {} '{name}' in namespace '{namespace}'", sort.word());
            absent.push(Error::new(Kind::NotFound, message));
        }
    }
    if !absent.is_empty() {
        return Err(absent);
    }
    if !names.is_empty() {
        objects.retain(|(object, _)| names.iter().any(|name| is_called(object, name)));
    }
    match (form, objects.as_slice()) {
        (Form::Table, _) => {
            let rows = objects.iter().map(|(object, file)| row(object, file));
            let columns: &[(&str, &str)] = match sort {
                Sort::Specs => &SPECS,
                Sort::Values => &VALUES,
            };
            print(form, columns, &Value::list(rows.collect()))?;
        }
        (_, [(object, _)]) if names.len() == 1 => print(form, &[], &object.shown())?,
        _ => {
            let shown = objects.iter().map(|(object, _)| object.shown());
            print(form, &[], &Value::list(shown.collect()))?;
        }
    }
    // What is whole is shown all the same.
    let mut code = ExitCode::SUCCESS;
    for error in changes.iter().flat_map(|change| &change.errors) {
        code = report::print("nexus", error);
    }
    Ok(code)
}

const SPECS: [(&str, &str); 5] = [
    ("name", "s"),
    ("kind", "s"),
    ("links", "s"),
    ("revision", "u8"),
    ("file", "s"),
];
const VALUES: [(&str, &str); 4] = [("name", "s"), ("data", "s"), ("revision", "u8"), ("file", "s")];

fn row(object: &Object, file: &str) -> Value {
    let mut links = String::new();
    let (kind, data) = match object {
        Object::Spec(spec) => {
            for (port, targets) in &spec.ports {
                for link in targets {
                    let comma = if links.is_empty() { "" } else { ", " };
                    links += &format!("{comma}{port} -> {}.{}", link.target, link.port);
                }
            }
            (&*spec.kind, "")
        }
        Object::Value(_) => ("", crate::flow::spec::secrets::REDACTED),
    };
    Value::map([
        ("name", Value::Str(object.name().clone())),
        ("kind", Value::str(kind)),
        ("data", Value::str(data)),
        ("links", Value::str(&links)),
        ("revision", Value::Uint(object.stored_revision())),
        ("file", Value::str(file)),
    ])
}
