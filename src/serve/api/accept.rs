//! Which form an answer has: what the client accepts (RFC 9110, 12.5.1) against what a result can be. Writes no body.

use crate::codec::schema::{Type, Types};
use crate::error::Kind;
use crate::manifest::model::{Command, Manifest, Returns};
use crate::serve::api::failure::Failure;
use crate::serve::http::Request;
use std::borrow::Cow;

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One line of JSON.
    Json,
    /// Canonical msgpack.
    Msgpack,
    /// The text itself, or the bytes.
    Raw,
    /// A line of JSON for each element of a list, as they come.
    Lines,
    /// Events: progress and log lines, at the end the result or an error.
    Events,
}

/// A form, and its media type.
pub type Chosen = (Form, Cow<'static, str>);

/// What is chosen without a wish, of most results.
pub const JSON: Chosen = (Form::Json, Cow::Borrowed("application/json"));

/// The form in which the client wants the result of that command, and its media type. Asked before the call, a call whose
/// answer nobody could read is not made.
///
/// # Errors
/// Status 406: the client accepts none, with those that there are.
pub fn form(manifest: &Manifest, command: &Command, request: &Request) -> Result<Chosen, Failure> {
    if request.headers.all("accept").all(|accept| accept == "*/*") {
        return Ok(match &command.returns.media_type {
            Some(media_type) => (Form::Raw, media_type.clone().into()),
            None => JSON,
        });
    }
    let offers = offers(&manifest.types, &command.returns);
    let mut wanted = Vec::new();
    for accept in request.headers.all("accept") {
        wanted.extend(accept.split(',').filter_map(Range::parse));
    }
    let mut best: Option<(&(&str, Form), u16)> = None;
    for offer in &offers {
        let quality = quality(&wanted, essence(offer.0));
        // What is offered first wins among equals.
        if quality > best.map_or(0, |(_, most)| most) {
            best = Some((offer, quality));
        }
    }
    if let Some(((media_type, form), _)) = best {
        return Ok((*form, media_type.to_string().into()));
    }
    let names: Vec<&str> = offers.iter().map(|(media_type, _)| *media_type).collect();
    let accept = request.header("accept").unwrap_or_default();
    let message = format!(
        "the result of {} has no form that '{accept}' accepts",
        command.name
    );
    Err(Failure::new(406, Kind::Usage, message).hint(format!("its forms are {}", names.join(", "))))
}

/// Every media type that a result may have, the one that is best without a wish first.
pub(super) fn offers<'r>(types: &Types, returns: &'r Returns) -> Vec<(&'r str, Form)> {
    let mut offers = Vec::new();
    let inner = types.node(types.inner(returns.ty));
    if let Some(media_type) = &returns.media_type {
        offers.push((media_type.as_str(), Form::Raw));
    }
    offers.push(("application/json", Form::Json));
    offers.push(("application/msgpack", Form::Msgpack));
    offers.push(("application/x-msgpack", Form::Msgpack));
    offers.push(("application/vnd.msgpack", Form::Msgpack));
    match inner {
        Type::Bytes => offers.push(("application/octet-stream", Form::Raw)),
        Type::Str => offers.push(("text/plain; charset=utf-8", Form::Raw)),
        Type::List { .. } => offers.push(("application/x-ndjson", Form::Lines)),
        _ => {}
    }
    offers.push(("text/event-stream", Form::Events));
    offers
}

/// A media type without its parameters.
pub(super) fn essence(media_type: &str) -> &str {
    media_and_parameters(media_type).0
}

/// A media type, and what is behind it with the `;` before each parameter.
pub(super) fn media_and_parameters(media_type: &str) -> (&str, &str) {
    let end = media_type.bytes().position(|byte| byte == b';');
    let (essence, parameters) = media_type.split_at(end.unwrap_or(media_type.len()));
    (essence.trim_ascii(), parameters)
}

/// What one part of `Accept` says.
struct Range<'a> {
    /// `*` for all.
    main: &'a str,
    sub: &'a str,
    /// In thousandths.
    quality: u16,
}

impl Range<'_> {
    /// What can't be read counts as not written.
    fn parse(text: &str) -> Option<Range<'_>> {
        let mut parts = text.split(';').map(str::trim);
        let (main, sub) = parts.next()?.split_once('/')?;
        let mut quality = 1000;
        for part in parts {
            if let Some(value) = part.strip_prefix("q=").or(part.strip_prefix("Q=")) {
                quality = thousandths(value)?;
            }
        }
        Some(Range { main, sub, quality })
    }

    /// How closely it names a media type; none: it is not meant.
    fn closeness(&self, main: &str, sub: &str) -> Option<u8> {
        match (self.main, self.sub) {
            ("*", "*") => Some(0),
            (found, "*") if found.eq_ignore_ascii_case(main) => Some(1),
            (found, rest) if found.eq_ignore_ascii_case(main) && rest.eq_ignore_ascii_case(sub) => Some(2),
            _ => None,
        }
    }
}

/// `0.8` as 800; none: no number of that form from 0 to 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = match fraction {
        "" => 0,
        digits => digits.parse::<u16>().ok()? * [100, 10, 1][digits.len() - 1],
    };
    match (whole, fraction) {
        ("0", fraction) => Some(fraction),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

/// How much a media type is wanted, in thousandths: as the closest range says; fully, where none is named at all.
fn quality(wanted: &[Range], media_type: &str) -> u16 {
    if wanted.is_empty() {
        return 1000;
    }
    let (main, sub) = media_type.split_once('/').unwrap_or((media_type, ""));
    let close = wanted.iter().filter_map(|range| {
        let closeness = range.closeness(main, sub)?;
        Some((closeness, range.quality))
    });
    close.max().map_or(0, |(_, quality)| quality)
}
