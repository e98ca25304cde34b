//! The kind `listener`: requests over HTTP begin runs, whose answers are the responses. Opens no socket.

use super::fields;
use super::node::{Known, Node, Service};
use super::source::Source;
use crate::error::Result;
use crate::flow::spec::Spec;
use crate::flow::value::{Value, json};

/// Builds one.
///
/// # Errors
/// Its `protocol` is another than http, its `port` is none; `host` is no text.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let protocol = fields::text(spec, "protocol")?.unwrap_or_else(|| "http".into());
    if &*protocol != "http" {
        let message = format!("protocol is '{protocol}', expected http");
        let error = fields::wrong(spec, "protocol", message);
        return Err(error.hint("let a proxy in front of it speak TLS (nginx, caddy, stunnel)"));
    }
    let host = fields::text(spec, "host")?.unwrap_or_else(|| "127.0.0.1".into());
    // A port of the environment is a text.
    let port = match spec.field("port") {
        Some(Value::Str(text)) => text.parse().ok(),
        Some(port) => port.as_int().and_then(|port| u16::try_from(port).ok()),
        None => None,
    };
    let Some(port) = port else {
        let found = spec
            .field("port")
            .map_or_else(|| "not there".to_string(), json::text);
        let message = format!("port is {found}, expected a number up to 65535; 0 is any");
        return Err(fields::wrong(spec, "port", message));
    };
    Ok(Box::new(Source {
        service: Service::Listener { protocol, host, port },
    }))
}
