//! What the subcommands for the store print: as a table for people, as JSON or YAML for others.

use crate::cli::admin::print_rows;
use crate::cli::output::{Format, print_text};
use crate::cli::subcommand::{Given, OUTPUT};
use crate::error::{Error, Kind};
use crate::flow::spec::Errors;
use crate::flow::value::{Value, json, yaml_text};

/// The form of what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Rows and columns.
    Table,
    /// One line of JSON.
    Json,
    /// YAML.
    Yaml,
}

/// The form that is asked for.
pub(super) fn form(given: &Given) -> Result<Form, Errors> {
    match given.value(OUTPUT) {
        None | Some("table") => Ok(Form::Table),
        Some("json") => Ok(Form::Json),
        Some("yaml") => Ok(Form::Yaml),
        Some(other) => {
            let message = format!("option --output is '{other}', expected table, json or yaml");
            Err(vec![Error::new(Kind::Usage, message)])
        }
    }
}

/// Prints a value as JSON or YAML, or a list of maps as a table of those columns, each with its type.
pub(super) fn print(form: Form, columns: &[(&str, &str)], value: &Value) -> Result<(), Errors> {
    let mut out = Vec::new();
    let printed = match form {
        Form::Table if value.elements().is_some_and(<[Value]>::is_empty) => Ok(()),
        Form::Table => print_rows(columns, &json::text(value), Format::Table),
        Form::Json => json::write(value, &mut out).and_then(|()| {
            out.push(b'\n');
            print_text(&out)
        }),
        Form::Yaml => yaml_text::write(value, &mut out).and_then(|()| print_text(&out)),
    };
    printed.map_err(|error| vec![error])
}
