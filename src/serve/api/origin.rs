//! Who may ask: the pages of which origins, under which host, with which token; and the headers that tell browsers. Looks
//! at headers only.

use crate::error::{Error, Kind};
use crate::serve::api::failure::Failure;
use crate::serve::http::{Method, Request, Response};
use std::borrow::Cow;

/// What the configuration says of callers.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Origins whose pages may call (`https://example.org`), or `*` for all.
    pub cors_origins: Vec<String>,
    /// Names of this host without ports, under which alone it answers; empty: under any. A server that listens on the
    /// machine itself only has to name them: a page elsewhere may have its own name point here.
    pub hosts: Vec<String>,
    /// Whether it also has the paths of MetaCall's FaaS.
    pub has_metacall: bool,
}

/// Request headers that pages of other origins may send.
const HEADERS_ALLOWED: &str = "Accept, Authorization, Content-Type, X-Request-Id, X-Request-Timeout-Ms, Mcp-Session-Id, \
     Mcp-Protocol-Version, Last-Event-ID";

/// Response headers that they may read.
const HEADERS_EXPOSED: &str = "X-Request-Id, Retry-After, Allow, Accept-Post, Mcp-Session-Id";

/// How long browsers may keep the answer about another origin, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

impl Settings {
    /// The origin as the answer names it, if its pages may call.
    fn allowed(&self, origin: &str) -> Option<&str> {
        let mut origins = self.cors_origins.iter().map(String::as_str);
        origins.find(|allowed| *allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }

    /// # Errors
    /// Status 421: it asks under a name that is none of this host's.
    pub(super) fn check_host(&self, request: &Request) -> Result<(), Failure> {
        let host = request.host();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let mut hosts = self.hosts.iter();
        if self.hosts.is_empty() || hosts.any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let message = format!("this server does not answer under the name '{name}'");
        Err(Failure::new(421, Kind::Denied, message).hint(format!(
            "its names are {}; others are named in hosts of the configuration",
            self.hosts.join(", ")
        )))
    }

    /// # Errors
    /// Status 403: a page of another origin, which isn't allowed to, made the browser ask.
    pub(super) fn check_origin(&self, request: &Request) -> Result<(), Failure> {
        let refused = match request.header("origin") {
            Some(origin) => {
                let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
                let is_own = !authority.is_empty() && authority.eq_ignore_ascii_case(request.host());
                (!is_own && self.allowed(origin).is_none()).then_some(origin)
            }
            // Browsers name no origin where a page only embeds or links.
            None if self.allowed("").is_some() => None,
            None => request
                .header("sec-fetch-site")
                .filter(|site| *site == "cross-site"),
        };
        let Some(origin) = refused else {
            return Ok(());
        };
        let message = format!("pages of the origin '{origin}' may not call this server");
        Err(Failure::new(403, Kind::Denied, message)
            .hint("name the origin in cors_origins of the configuration"))
    }

    /// The answer to OPTIONS for a path that takes those methods.
    pub(super) fn options(&self, request: &Request, allow: String) -> Response {
        let mut response = Response {
            status: 204,
            headers: Vec::new(),
            others: Vec::new(),
            body: Vec::new(),
        };
        let is_preflight = request.header("access-control-request-method").is_some();
        let origin = request.header("origin").filter(|_| is_preflight);
        if origin.is_some_and(|origin| self.allowed(origin).is_some()) {
            response.headers.extend([
                ("access-control-allow-methods", allow.clone().into()),
                ("access-control-allow-headers", HEADERS_ALLOWED.into()),
                ("access-control-max-age", PREFLIGHT_SECONDS.into()),
            ]);
        }
        response.headers.push(("allow", allow.into()));
        response
    }
}

/// Adds to an answer what browsers have to know of it, whatever it is.
pub fn finish(settings: &Settings, request: &Request, response: &mut Response) {
    let headers = &mut response.headers;
    headers.push(("x-content-type-options", "nosniff".into()));
    if settings.cors_origins.is_empty() {
        return;
    }
    if !settings.cors_origins.iter().any(|allowed| allowed == "*") {
        add_vary(headers, "Origin");
    }
    let Some(origin) = request.header("origin") else {
        return;
    };
    if let Some(allowed) = settings.allowed(origin) {
        let told: Cow<str> = match allowed {
            "*" => "*".into(),
            _ => origin.to_string().into(),
        };
        headers.push(("access-control-allow-origin", told));
        if request.method != Method::Options {
            headers.push(("access-control-expose-headers", HEADERS_EXPOSED.into()));
        }
    }
}

/// Adds a header that the answer depends on.
fn add_vary(headers: &mut Vec<(&'static str, Cow<'static, str>)>, name: &'static str) {
    match headers.iter_mut().find(|(header, _)| *header == "vary") {
        Some((_, value)) => {
            let value = value.to_mut();
            value.push_str(", ");
            value.push_str(name);
        }
        None => headers.push(("vary", name.into())),
    }
}

/// Checks that a request has the token.
///
/// # Errors
/// Kind `unauthorized`: it has none, or another one.
pub fn authorize(request: &Request, token: &str) -> Result<(), Failure> {
    let given = request.header("authorization").and_then(|value| {
        let (scheme, given) = value.split_once(' ')?;
        // The second is that of MetaCall's clients.
        let is_known = ["bearer", "jwt"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        is_known.then(|| given.trim())
    });
    let message = match given {
        Some(given) if is_same(given.as_bytes(), token.as_bytes()) => return Ok(()),
        Some(_) => "the token of the request is not that of this server",
        None => "the request has no token",
    };
    let error = Error::new(Kind::Unauthorized, message);
    Err(error.hint("send it as 'Authorization: Bearer TOKEN'").into())
}

/// Whether they are the same, in a time that does not tell how much of them is.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differing = given
        .iter()
        .zip(token)
        .fold(given.len() ^ token.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    std::hint::black_box(differing) == 0
}
