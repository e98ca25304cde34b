//! What requests mean and what they are answered: routes, arguments, results, errors, and the descriptions of what can be
//! called. Runs no command and knows no state of a program.

mod accept;
mod arguments;
mod cursor;
#[cfg(test)]
mod described;
mod failure;
mod inspect;
pub mod metacall;
pub mod multipart;
mod open_api;
mod origin;
mod package;
mod page;
mod parameter;
mod parameter_schema;
mod result;
mod route;
mod stream;
#[cfg(test)]
mod tests;

pub use accept::{Form, form};
pub use arguments::{arguments, from_json};
pub use failure::{Failure, status_of};
pub use inspect::{Inner, Inspected, InspectedPool, inspect_json, inspect_table, programs_json, signature};
pub use open_api::{Program, call_path, open_api};
pub use origin::{Settings, authorize, finish};
pub use package::{Package, package};
pub use page::page;
pub use parameter::parameter_names;
pub use parameter_schema::input_schema;
pub use result::{json, result};
pub use route::{Admin, Asset, Route, Target, command_named, route};
pub use stream::{Event, Lines, event};
