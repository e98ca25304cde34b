//! Routes: from the method and path of a request to a port. Sends nothing.
//!
//! A path is matched segment by segment, each decoded after the path was split. At every segment a text that is written out
//! comes before `:name`, which takes at least a byte, and that before `*`, which takes all that is left, even nothing.

use crate::codec::nearest::nearest;
use crate::codec::target::segments;
use crate::error::{Error, Kind, Result};
use crate::flow::value::Value;
use crate::limits::{FLOW_ROUTES_MAX, HTTP_TARGET_BYTES_MAX};
use std::rc::Rc;

/// A route as it is written.
pub struct Route<'a> {
    /// The method; empty or `*`: every one.
    pub method: &'a str,
    /// The path, with `:name` for a segment and `*` or `*name` for the rest.
    pub path: &'a str,
}

/// Methods that routes are for: those of HTTP, of WebDAV, and what caches know. Any other is more likely a slip.
const METHODS: [&str; 21] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "SEARCH",
    "REPORT",
    "PURGE",
    "MKCALENDAR",
];

/// A place in the tree of segments.
#[derive(Default)]
struct Branch {
    /// Segments that are written out, in order, and where they lead.
    texts: Vec<(Box<str>, u32)>,
    /// Where any other segment leads.
    param: Option<u32>,
    /// What takes all from here on.
    rest: Vec<Leaf>,
    /// What ends here.
    here: Vec<Leaf>,
}

/// The end of a route.
struct Leaf {
    method: Box<str>,
    route: u32,
    /// Names of the segments that it takes, in order; of the rest last.
    names: Box<[Rc<str>]>,
}

impl Branch {
    /// Where a segment leads, or would stand.
    fn find(&self, text: &str) -> std::result::Result<usize, usize> {
        self.texts.binary_search_by(|(known, _)| (**known).cmp(text))
    }
}

/// What is still to be tried: a branch, how many segments are behind it, how many of them names have taken.
enum Step {
    Visit(usize, usize, usize),
    Param(usize, usize, usize),
    Rest(usize, usize, usize),
}

/// The end for a method: its own, that of GET for HEAD, or one for all.
fn choose<'l>(leaves: &'l [Leaf], method: &str) -> Option<&'l Leaf> {
    let of = |wanted: &str| leaves.iter().find(|leaf| *leaf.method == *wanted);
    of(method)
        .or_else(|| of("GET").filter(|_| method == "HEAD"))
        .or_else(|| of(""))
}

/// Routes, ready to be asked.
pub struct Routes {
    /// The first is the root.
    branches: Vec<Branch>,
    /// The key that it adds.
    params: Value,
}

/// What a request has found.
#[derive(Debug, PartialEq)]
pub enum Found {
    /// The route, by its position, and the values of its names, in their order.
    Route(usize, Vec<(Rc<str>, Rc<str>)>),
    /// There is no such path.
    Nothing,
    /// The path has other methods: these.
    Method(Vec<String>),
}

/// What is to be done with a packet.
#[derive(Debug, PartialEq)]
pub enum Routed {
    /// It goes on by the route of that position, with `params`.
    Send(usize, Value),
    /// It is answered.
    Answer(Value),
}

impl Routes {
    /// Compiles routes.
    ///
    /// # Errors
    /// Kind `manifest`: a path that is none, two routes for the same requests, more than [`FLOW_ROUTES_MAX`].
    pub fn new(routes: &[Route<'_>]) -> Result<Routes> {
        let mut compiled = Routes {
            branches: vec![Branch::default()],
            params: Value::str("params"),
        };
        if routes.len() > FLOW_ROUTES_MAX {
            let message = format!("{} routes, expected at most {FLOW_ROUTES_MAX}", routes.len());
            return Err(Error::new(Kind::Manifest, message));
        }
        for (position, route) in routes.iter().enumerate() {
            compiled.add(position as u32, route)?;
        }
        Ok(compiled)
    }

    fn add(&mut self, position: u32, route: &Route<'_>) -> Result<()> {
        let wrong = |what: String| {
            let message = format!("routes[{position}]: {what}");
            Error::new(Kind::Manifest, message)
        };
        let (method, path) = (route.method, route.path);
        if !path.starts_with('/') || path.len() > HTTP_TARGET_BYTES_MAX {
            return Err(wrong(format!("path '{path}' does not begin with '/'")));
        }
        let method = match method {
            "*" | "" => String::new(),
            method => method.to_ascii_uppercase(),
        };
        if !method.is_empty() && !METHODS.contains(&&*method) {
            let error = wrong(format!("method '{}' is none", route.method));
            return Err(match nearest(&method, METHODS) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("leave it out to take any"),
            });
        }
        let mut names: Vec<Rc<str>> = Vec::new();
        let mut at = 0;
        let mut takes_rest = false;
        for segment in path[1..].split('/') {
            if takes_rest {
                return Err(wrong(format!("'*' is not the last segment of path '{path}'")));
            }
            if let Some(name) = segment.strip_prefix('*') {
                takes_rest = true;
                names.push(if name.is_empty() { "*" } else { name }.into());
                continue;
            }
            if let Some(name) = segment.strip_prefix(':') {
                if name.is_empty() {
                    return Err(wrong(format!("':' has no name in path '{path}'")));
                }
                names.push(name.into());
                at = match self.branches[at].param {
                    Some(next) => next as usize,
                    None => {
                        let next = self.grow();
                        self.branches[at].param = Some(next);
                        next as usize
                    }
                };
                continue;
            }
            let decoded = segments(segment).map_err(|error| wrong(error.message))?;
            let text = decoded.first().map(AsRef::as_ref).unwrap_or_default();
            at = match self.branches[at].find(text) {
                Ok(place) => self.branches[at].texts[place].1 as usize,
                Err(place) => {
                    let next = self.grow();
                    self.branches[at].texts.insert(place, (text.into(), next));
                    next as usize
                }
            };
        }
        let mut sorted: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(wrong(format!("name '{}' stands twice in path '{path}'", pair[0])));
        }
        let branch = &mut self.branches[at];
        let leaves = if takes_rest {
            &mut branch.rest
        } else {
            &mut branch.here
        };
        if let Some(other) = leaves.iter().find(|leaf| *leaf.method == method) {
            let what = format!(
                "'{method} {path}' takes the same requests as routes[{}]",
                other.route
            );
            return Err(wrong(what));
        }
        leaves.push(Leaf {
            method: method.into(),
            route: position,
            names: names.into(),
        });
        Ok(())
    }

    fn grow(&mut self) -> u32 {
        self.branches.push(Branch::default());
        self.branches.len() as u32 - 1
    }

    /// What a method and a path, not decoded, find. A route for GET also takes HEAD, if there is none for HEAD.
    ///
    /// # Errors
    /// Kind `bad_argument`: the path can't be decoded.
    pub fn find(&self, method: &str, path: &str) -> Result<Found> {
        let segments = segments(path)?;
        let mut others = Vec::new();
        let mut taken: Vec<usize> = Vec::new();
        let mut steps = vec![Step::Visit(0, 0, 0)];
        while let Some(step) = steps.pop() {
            let (leaves, depth) = match step {
                Step::Rest(branch, depth, kept) => {
                    taken.truncate(kept);
                    taken.push(depth);
                    (&self.branches[branch].rest, depth)
                }
                Step::Param(branch, depth, kept) => {
                    taken.truncate(kept);
                    taken.push(depth);
                    steps.push(Step::Visit(branch, depth + 1, kept + 1));
                    continue;
                }
                Step::Visit(branch, depth, kept) => {
                    taken.truncate(kept);
                    let branch_of = &self.branches[branch];
                    match segments.get(depth) {
                        None => (&branch_of.here, depth),
                        Some(segment) => {
                            // What is to be tried first is put on top.
                            if !branch_of.rest.is_empty() {
                                steps.push(Step::Rest(branch, depth, kept));
                            }
                            if let Some(next) = branch_of.param
                                && !segment.is_empty()
                            {
                                steps.push(Step::Param(next as usize, depth, kept));
                            }
                            if let Ok(place) = branch_of.find(segment) {
                                let next = branch_of.texts[place].1 as usize;
                                steps.push(Step::Visit(next, depth + 1, kept));
                            }
                            continue;
                        }
                    }
                }
            };
            if let Some(leaf) = choose(leaves, method) {
                let takes_rest = depth < segments.len();
                let last = leaf.names.len().wrapping_sub(1);
                let params = leaf.names.iter().zip(&taken).enumerate();
                let params = params.map(|(position, (name, at))| {
                    let value: Rc<str> = match takes_rest && position == last {
                        true => segments[*at..].join("/").into(),
                        false => Rc::from(&*segments[*at]),
                    };
                    (Rc::clone(name), value)
                });
                return Ok(Found::Route(leaf.route as usize, params.collect()));
            }
            others.extend(leaves.iter().map(|leaf| leaf.method.to_string()));
        }
        others.sort();
        others.dedup();
        Ok(match others.is_empty() {
            true => Found::Nothing,
            false => Found::Method(others),
        })
    }

    /// What is to be done with a packet of a listener: it goes to a route, or is answered with 400, 404, 405 or, for OPTIONS,
    /// 204.
    ///
    /// # Errors
    /// Kind `bad_argument`: it has no method or path.
    pub fn route(&self, packet: &Value) -> Result<Routed> {
        let word = |key: &str| {
            packet.get(key).and_then(Value::as_str).ok_or_else(|| {
                let message = format!("packet for a router has no {key}, expected a string");
                Error::new(Kind::BadArgument, message)
            })
        };
        let (method, path) = (word("method")?, word("path")?);
        let refused = |status: i64, error: Box<Error>, allowed: Option<String>| {
            let mut answer = vec![("status", Value::Int(status))];
            if let Some(allowed) = allowed {
                let allow = Value::list(vec![Value::Str(allowed.into())]);
                answer.push(("header", Value::map([("Allow", allow)])));
            }
            // As an error that nobody handles is answered.
            answer.push(("body", Value::map([("error", Value::Error(error.into()))])));
            Ok(Routed::Answer(Value::map(answer)))
        };
        match self.find(method, path) {
            Err(error) => refused(400, error, None),
            Ok(Found::Nothing) => {
                let error = Error::new(Kind::NotFound, format!("there is no path '{path}'"));
                refused(404, error, None)
            }
            Ok(Found::Method(methods)) => {
                let mut allowed = methods;
                for (implied, by) in [("HEAD", "GET"), ("OPTIONS", "")] {
                    let has = |name: &str| allowed.iter().any(|method| method == name);
                    if !has(implied) && (by.is_empty() || has(by)) {
                        allowed.push(implied.into());
                    }
                }
                let shown = allowed.join(", ");
                if method == "OPTIONS" {
                    let allow = Value::list(vec![Value::Str(shown.into())]);
                    let header = Value::map([("Allow", allow)]);
                    let answer = Value::map([("status", Value::Int(204)), ("header", header)]);
                    return Ok(Routed::Answer(answer));
                }
                let message = format!("path '{path}' has no method {method}, expected {shown}");
                refused(405, Error::new(Kind::Usage, message), Some(shown))
            }
            Ok(Found::Route(position, params)) => {
                let is_empty = |known: &Value| known.entries().is_some_and(<[_]>::is_empty);
                if params.is_empty() && packet.get("params").is_some_and(is_empty) {
                    return Ok(Routed::Send(position, packet.clone()));
                }
                let params = params
                    .into_iter()
                    .map(|(name, value)| (Value::Str(name), Value::Str(value)));
                let params = Value::Map(Rc::new(params.collect()));
                let known = packet.entries().unwrap_or_default();
                let kept = known.iter().filter(|(key, _)| key.as_str() != Some("params"));
                let mut entries: Vec<(Value, Value)> = Vec::with_capacity(known.len() + 1);
                entries.extend(kept.cloned());
                entries.push((self.params.clone(), params));
                Ok(Routed::Send(position, Value::Map(Rc::new(entries))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::value::json;

    fn compile(routes: &[&str]) -> Result<Routes> {
        let routes: Vec<Route> = routes
            .iter()
            .map(|route| {
                let (method, path) = route.split_once(' ').unwrap_or(("", route));
                Route { method, path }
            })
            .collect();
        Routes::new(&routes)
    }

    const ROUTES: [&str; 10] = [
        "GET /",
        "GET /users",
        "POST /users",
        "GET /users/me",
        "GET /users/:id",
        "PUT /users/:name",
        "* /users/:id/books/:book",
        "GET /files/*path",
        "GET /files/index",
        "DELETE /users/*",
    ];

    fn check(request: &str, expected: &str) {
        let routes = compile(&ROUTES).unwrap();
        let (method, path) = request.split_once(' ').unwrap();
        let found = match routes.find(method, path) {
            Ok(Found::Route(position, params)) => {
                let params = params.iter().map(|(name, value)| format!(" {name}={value}"));
                format!("{}{}", ROUTES[position], params.collect::<String>())
            }
            Ok(Found::Nothing) => "nothing".to_string(),
            Ok(Found::Method(methods)) => methods.join(","),
            Err(error) => error.message,
        };
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn requests_find_their_routes() {
        check("GET /", "GET /");
        check("HEAD /", "GET /");
        check("GET /users", "GET /users");
        check("POST /users", "POST /users");
        check("PATCH /users", "GET,POST");
        check("GET /users/", "DELETE");
        check("DELETE /users/", "DELETE /users/* *=");
        check("LOCK /users//books/2", "DELETE");
        check("GET /users/me", "GET /users/me");
        check("GET /users/m%65", "GET /users/me");
        check("GET /users/a%2Fb", "GET /users/:id id=a/b");
        // What is written out has no PUT.
        check("PUT /users/me", "PUT /users/:name name=me");
        check("DELETE /users/me", "DELETE /users/* *=me");
        check("DELETE /users/a/b/c", "DELETE /users/* *=a/b/c");
        check("LOCK /users/1/books/2", "* /users/:id/books/:book id=1 book=2");
        check("GET /users/1/2", "DELETE");
        check("GET /files/", "GET /files/*path path=");
        check("GET /files", "nothing");
        check("GET /files/index", "GET /files/index");
        check("GET /files/index/a", "GET /files/*path path=index/a");
        check("GET /other", "nothing");
        check("GET /Users", "nothing");
        check(
            "GET /users/%",
            "'%' in the target of the request, expected two hexadecimal digits after '%'",
        );
        check(
            "GET /users/..",
            "'..' in the path of the request, expected no '.' and '..'",
        );
    }

    #[test]
    fn routes_that_are_none() {
        let check = |routes: &[&str], expected: &str| {
            let error = compile(routes).err().map(|error| error.message);
            assert_eq!(error.as_deref(), Some(expected), "{routes:?}");
        };
        check(&["GET a"], "routes[0]: path 'a' does not begin with '/'");
        check(&["G/T /a"], "routes[0]: method 'G/T' is none");
        check(&["GT /a"], "routes[0]: method 'GT' is none");
        let hint = |route: &str| compile(&[route]).err().and_then(|error| error.hint);
        assert_eq!(hint("GT /a").as_deref(), Some("did you mean GET?"));
        assert_eq!(hint("BREW /a").as_deref(), Some("leave it out to take any"));
        check(
            &["/a/*/b"],
            "routes[0]: '*' is not the last segment of path '/a/*/b'",
        );
        check(&["/a/:"], "routes[0]: ':' has no name in path '/a/:'");
        check(&["/:a/:a"], "routes[0]: name 'a' stands twice in path '/:a/:a'");
        check(
            &["GET /:a", "get /:b"],
            "routes[1]: 'GET /:b' takes the same requests as routes[0]",
        );
        check(
            &["/%"],
            "routes[0]: '%' in the target of the request, expected two hexadecimal digits after '%'",
        );
        assert!(compile(&["GET /a", "POST /a", "/a"]).is_ok());
    }

    #[test]
    fn packets() {
        let routes = compile(&["GET /a", "POST /a", "PUT /:x"]).unwrap();
        let check = |packet: &str, expected: &str| {
            let told = match routes.route(&json::read(packet.as_bytes()).unwrap()) {
                Ok(Routed::Send(position, packet)) => format!("{position} {}", json::text(&packet)),
                Ok(Routed::Answer(answer)) => json::text(&answer),
                Err(error) => error.message,
            };
            assert_eq!(told, expected, "{packet}");
        };
        check(
            r#"{"method":"PUT","path":"/1","params":0}"#,
            "2 {\"method\":\"PUT\",\"path\":\"/1\",\"params\":{\"x\":\"1\"}}",
        );
        check(
            r#"{"method":"LOCK","path":"/a"}"#,
            "{\"status\":405,\"header\":{\"Allow\":[\"GET, POST, PUT, HEAD, OPTIONS\"]},\"body\":{\"error\":{\
             \"kind\":\"usage\",\"message\":\"path '/a' has no method LOCK, expected GET, POST, PUT, HEAD, OPTIONS\"}}}",
        );
        check(
            r#"{"method":"OPTIONS","path":"/1"}"#,
            "{\"status\":204,\"header\":{\"Allow\":[\"PUT, OPTIONS\"]}}",
        );
        check(
            r#"{"method":"GET","path":"/1/2"}"#,
            "{\"status\":404,\"body\":{\"error\":{\"kind\":\"not_found\",\"message\":\"there is no path '/1/2'\"}}}",
        );
        check(
            r#"{"method":"GET","path":"/%"}"#,
            "{\"status\":400,\"body\":{\"error\":{\"kind\":\"bad_argument\",\"message\":\"'%' in the target of the \
             request, expected two hexadecimal digits after '%'\"}}}",
        );
        check(
            r#"{"method":"GET"}"#,
            "packet for a router has no path, expected a string",
        );
    }
}
