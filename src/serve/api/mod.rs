//! What requests mean and what they are answered: routes, arguments, results, errors, and the descriptions of what can be
//! called. Runs no command and knows no state of a program.

mod accept;
mod arguments;
mod cursor;
mod failure;
mod origin;
mod parameter;
mod result;
mod route;
mod stream;
#[cfg(test)]
mod tests;

pub use accept::{Form, form};
pub use arguments::{arguments, from_json};
pub use failure::{Failure, status_of};
pub use origin::{Settings, authorize, finish};
pub use parameter::parameter_names;
pub use result::{json, result};
pub use route::{Admin, Asset, Route, Target, command_named, route};
pub use stream::{Event, Lines, event};
