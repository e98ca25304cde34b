//! HTTP as flows have it: requests and answers as values, routes, and a client that finds hosts. Opens no socket; the framing of what clients of
//! a listener send is in the layer above.

mod answer;
mod body;
pub mod dns;
pub mod fetch;
mod packet;
mod routes;

pub use answer::Answer;
pub use fetch::check_url;
pub use packet::{Asked, Names, packet};
pub use routes::{Found, Route, Routed, Routes};
