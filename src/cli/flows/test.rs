//! `nexus test`: runs the tests beside the flows of a namespace, without opening any listener. Knows no test.

use super::start::{From, prepare};
use crate::cli::serve;
use crate::error::{Error, Kind, Result};
use crate::flow::cel::Cel;
use crate::flow::spec::NAMESPACE;
use crate::flow::value::{Value, json};
use crate::shell::serve::Tests;
use argh::FromArgs;
use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

/// Run the tests of a namespace, its nodes of kind test, one after the other, and tell which have passed. Nothing listens and no timer
/// runs meanwhile. Ends with 1 if one has failed.
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "test",
    example = "nexus test -n system --from-specs flows.yaml"
)]
pub struct Test {
    /// the namespace; default if left out
    #[argh(option, short = 'n', arg_name = "NAME", default = "String::from(NAMESPACE)")]
    namespace: String,

    /// the directory of the store
    #[argh(option, arg_name = "DIR")]
    store: Option<String>,

    /// nodes that are put into the store first; - is standard input
    #[argh(option, arg_name = "FILE")]
    from_specs: Vec<String>,

    /// values that are put into the store first
    #[argh(option, arg_name = "FILE")]
    from_values: Vec<String>,

    /// what {{ .KEY }} in a node is replaced by, where its own env doesn't say
    #[argh(option, short = 'e', arg_name = "KEY=VALUE")]
    env: Vec<String>,

    /// a program whose commands the nodes call, as PATH or NAME=PATH
    #[argh(option, arg_name = "PROGRAM")]
    program: Vec<String>,

    /// only tests in whose names this regular expression matches
    #[argh(positional, arg_name = "REGEX")]
    pattern: Option<String>,
}

/// Runs the tests.
///
/// # Errors
/// As `nexus start`; kind `usage`: the pattern is none; `not_found`: there is no such test.
pub fn run(test: &Test) -> Result<ExitCode> {
    let flows = prepare(&From {
        namespace: &test.namespace,
        store: test.store.as_deref(),
        specs: &test.from_specs,
        values: &test.from_values,
        env: &test.env,
    })?;
    let typed = test.pattern.as_deref().unwrap_or_default();
    let expression = format!("self.matches({})", json::text(&Value::str(typed)));
    let matches = Cel::compile_with(&expression, &["self"]).map_err(|flaw| {
        let message = format!("pattern '{typed}' can't be read: {}", flaw.message);
        Error::new(Kind::Usage, message)
    })?;
    let is_wanted = move |name: &str| {
        let found = matches.evaluate(&[("self", &Value::str(name))])?;
        Ok(found.as_bool() == Some(true))
    };
    let counts = Rc::new(Cell::new((0, 0)));
    serve::test(
        &test.program,
        flows,
        Tests {
            namespace: test.namespace.clone(),
            is_wanted: Box::new(is_wanted),
            counts: Rc::clone(&counts),
        },
    )?;
    match (counts.get(), &test.pattern) {
        ((0, _), pattern) => {
            let matching = pattern
                .as_ref()
                .map_or_else(String::new, |pattern| format!(" that '{pattern}' matches"));
            let message = format!("namespace '{}' has no test{matching}", test.namespace);
            Err(Error::new(Kind::NotFound, message).hint("nexus status lists its nodes"))
        }
        ((_, 0), _) => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::from(1)),
    }
}
