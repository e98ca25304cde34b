//! Errors as answers: which status goes with which kind. Logs nothing.

use crate::error::{Error, Kind};
use crate::serve::http::Response;
use std::borrow::Cow;

/// Why a request is answered with an error.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Status of the answer.
    pub status: u16,
    /// What its body tells.
    pub error: Box<Error>,
    /// Headers that go with the status.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
}

impl Failure {
    /// A failure with a status that its kind alone does not have.
    pub fn new(status: u16, kind: Kind, message: impl Into<String>) -> Failure {
        Failure {
            status,
            error: Error::new(kind, message),
            headers: Vec::new(),
        }
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.error.hint = Some(hint.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Failure {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer.
    pub fn response(self) -> Response {
        let mut response = Response::error(self.status, &self.error);
        response.headers.extend(self.headers);
        response
    }
}

impl From<Box<Error>> for Failure {
    fn from(error: Box<Error>) -> Failure {
        let headers = match error.kind {
            Kind::Unauthorized => vec![("www-authenticate", "Bearer".into())],
            // What is full or still loading is worth another try at once.
            Kind::Overloaded | Kind::Unavailable => vec![("retry-after", "1".into())],
            _ => Vec::new(),
        };
        Failure {
            status: status_of(error.kind),
            error,
            headers,
        }
    }
}

/// The status of an error of that kind, where the place that it comes from does not call for another one.
pub fn status_of(kind: Kind) -> u16 {
    match kind {
        Kind::Usage | Kind::BadArgument => 400,
        Kind::Unauthorized => 401,
        Kind::Denied => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::Manifest => 422,
        Kind::Overloaded => 429,
        // As nginx says it of a client that has gone.
        Kind::Cancelled => 499,
        Kind::Raised => 500,
        Kind::SpawnFailed
        | Kind::HelloFailed
        | Kind::Terminated
        | Kind::Protocol
        | Kind::Io
        | Kind::Deadlock => 502,
        Kind::Unavailable => 503,
        Kind::Timeout => 504,
    }
}
