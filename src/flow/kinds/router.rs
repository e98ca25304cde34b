//! The kind `router`: a request of a listener goes to the port of the route that it finds; 404, 405 and OPTIONS it answers
//! itself. What routes are is in [`crate::flow::http`].

use super::node::{Context, Event, FrameState, Known, Node, Step};
use crate::error::{Error, Kind, Result};
use crate::flow::http::{Route, Routed, Routes};
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use std::rc::Rc;

struct Router {
    routes: Routes,
    /// Of the routes, in their order.
    ports: Vec<Port>,
}

/// Builds one.
///
/// # Errors
/// Kind `bad_argument`: its `routes` are no list of maps with `method`, `path` and `port`, or can't be told apart.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let wrong = |message: String| {
        let error = Error::new(Kind::BadArgument, message);
        error.at(spec.place_of("routes").to_string())
    };
    let Some(rows) = spec.field("routes").and_then(Value::elements) else {
        let message = "a node of kind 'router' needs routes, a list of maps with method, path and port";
        return Err(wrong(message.to_string()));
    };
    let mut routes = Vec::with_capacity(rows.len());
    let mut ports = Vec::with_capacity(rows.len());
    for (place, row) in rows.iter().enumerate() {
        let entries = row.entries().unwrap_or_default();
        let is_known = |key: &str| matches!(key, "method" | "path" | "port");
        let mut keys = entries.iter().filter_map(|(key, _)| key.as_str());
        if let Some(key) = keys.find(|key| !is_known(key)) {
            return Err(wrong(format!(
                "routes[{place}] has a field '{key}', expected method, path and port"
            )));
        }
        let word = |key: &str| match row.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Str(text)) => Ok(Some(&**text)),
            Some(other) => Err(wrong(format!(
                "{key} of routes[{place}] is {}, expected a text",
                other.name()
            ))),
        };
        let (Some(path), Some(port)) = (word("path")?, word("port")?) else {
            return Err(wrong(format!("routes[{place}] needs a path and a port")));
        };
        routes.push(Route {
            method: word("method")?.unwrap_or_default(),
            path,
        });
        ports.push(Port::parse(port).map_err(|error| wrong(error.message))?);
    }
    let routes = Routes::new(&routes).map_err(|error| match error.hint {
        Some(hint) => wrong(error.message).hint(hint),
        None => wrong(error.message),
    })?;
    Ok(Box::new(Router { routes, ports }))
}

impl Node for Router {
    fn has_out(&self, port: &Port) -> bool {
        *port == Port::ERROR || self.ports.contains(port)
    }

    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, cx: &Context) -> Step {
        match self.routes.route(&packet) {
            Ok(Routed::Answer(answer)) => Step::Answer(Ok(answer)),
            Ok(Routed::Send(place, packet)) => {
                match self.ports.get(place).filter(|port| cx.is_linked(port)) {
                    Some(port) => Step::Send {
                        port: port.clone(),
                        packet,
                    },
                    None => {
                        let message = format!("the port of routes[{place}] leads nowhere");
                        Step::Answer(Err(Rc::from(Error::new(Kind::NotFound, message))))
                    }
                }
            }
            Err(error) => Step::Answer(Err(Rc::from(error))),
        }
    }

    fn resume(&self, event: Event, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Answer(event.outcome())
    }
}
