//! The kind `http`: asks another server, and goes on with its answer, `{status, header, body}`. Opens no socket.

use super::node::{Context, FrameState, Known, Node, Step, Work};
use crate::error::{Error, Kind, Result};
use crate::flow::http::check_url;
use crate::flow::spec::{Port, Spec};
use crate::flow::value::Value;
use crate::limits::{FLOW_FETCH_MS, TIMEOUT_MS_MAX};
use std::rc::Rc;

/// What a packet may say of a request; any other value is the body.
const KEYS: [&str; 11] = [
    "method", "url", "scheme", "host", "path", "query", "protocol", "header", "body", "status", "params",
];

struct Http {
    url: Option<Value>,
    method: Option<Value>,
    timeout_ms: u64,
}

/// Builds one.
///
/// # Errors
/// Kind `bad_argument`: `url`, `method` or `timeout` is something else; `usage`: `url` wants TLS.
pub fn build(spec: &Spec, _known: &Known) -> Result<Box<dyn Node>> {
    let text = |field: &str| match spec.field(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Str(text)) => Ok(Some(Value::Str(text.clone()))),
        Some(other) => {
            let message = format!("{field} is {}, expected a text", other.name());
            Err(Error::new(Kind::BadArgument, message).at(spec.place_of(field).to_string()))
        }
    };
    let url = text("url")?;
    if let Some(url) = url.as_ref().and_then(Value::as_str) {
        check_url(url).map_err(|error| error.at(spec.place_of("url").to_string()))?;
    }
    Ok(Box::new(Http {
        url,
        method: text("method")?,
        timeout_ms: super::fields::duration(spec, "timeout")?
            .unwrap_or(FLOW_FETCH_MS)
            .clamp(1, TIMEOUT_MS_MAX),
    }))
}

impl Http {
    /// The request that a packet asks for: what the node says comes before what the packet says.
    fn request(&self, packet: Value) -> Value {
        let is_request = packet.entries().is_some_and(|entries| {
            let mut keys = entries.iter().map(|(key, _)| key.as_str().unwrap_or_default());
            !entries.is_empty() && keys.all(|key| KEYS.contains(&key))
        });
        let mut entries: Vec<(Value, Value)> = match (is_request, &packet) {
            (true, Value::Map(entries)) => entries.to_vec(),
            (_, Value::Null) => Vec::new(),
            _ => vec![
                (Value::str("method"), Value::str("POST")),
                (Value::str("body"), packet.clone()),
            ],
        };
        for (key, own) in [("url", &self.url), ("method", &self.method)] {
            if let Some(own) = own {
                entries.retain(|(known, _)| known.as_str() != Some(key));
                entries.push((Value::str(key), own.clone()));
            }
        }
        Value::Map(Rc::new(entries))
    }
}

impl Node for Http {
    fn receive(&self, _port: &Port, packet: Value, _frame: &mut FrameState, _cx: &Context) -> Step {
        Step::Do(Work::Fetch {
            request: self.request(packet),
            timeout_ms: self.timeout_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::kinds::check::check;

    #[test]
    fn urls_are_looked_at_before_any_request() {
        let check = |url: &str, expected| {
            check(
                &format!("- {{kind: http, name: a, url: '{url}'}}"),
                "null",
                expected,
            )
        };
        check("http://h/x", Ok("[{\"url\":\"http://h/x\"},30000]"));
        check(
            "https://h/x",
            Err("url 'https://h/x' asks for TLS, which is not spoken here"),
        );
        check(
            "h/x",
            Err("url 'h/x' can't be read, expected http://HOST:PORT/PATH"),
        );
    }
}
