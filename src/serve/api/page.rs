//! The page for people, which the binary carries packed: three files that ask for nothing else but `/v1/programs` and the
//! commands themselves. Knows nothing of what they do.

use crate::codec::squeeze::unpack;
use crate::serve::api::route::Asset;
use crate::serve::http::{Request, Response};

/// What the page may load: its own style and script, and pictures that commands have made.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src blob: data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct File {
    media_type: &'static str,
    packed: &'static [u8],
    /// Unpacked, in bytes.
    len: usize,
    /// Checksum of the content.
    sum: &'static [u8; 8],
}

macro_rules! file {
    ($media_type:literal, $name:literal) => {
        File {
            media_type: $media_type,
            packed: include_bytes!(concat!(env!("OUT_DIR"), "/", $name)),
            len: include_bytes!(concat!("../page/", $name)).len(),
            sum: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".sum")),
        }
    };
}

static FILES: [File; 3] = [
    file!("text/html; charset=utf-8", "page.html"),
    file!("text/css; charset=utf-8", "page.css"),
    file!("text/javascript; charset=utf-8", "page.js"),
];

/// The answer with a part of the page; 304 for a client that has it. Takes some milliseconds.
pub fn page(asset: Asset, request: &Request) -> Response {
    let file = &FILES[asset as usize];
    let tag = format!("\"{:016x}\"", u64::from_le_bytes(*file.sum));
    let known = request.headers.all("if-none-match");
    let is_known = known.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known.strip_prefix("W/").unwrap_or(known) == tag
    });
    let mut response = match is_known {
        true => Response {
            status: 304,
            headers: Vec::new(),
            others: Vec::new(),
            body: Vec::new(),
        },
        false => Response::new(200, file.media_type, unpack(file.packed, file.len)),
    };
    response.headers.extend([
        ("etag", tag.into()),
        ("cache-control", "no-cache".into()),
        ("content-security-policy", POLICY.into()),
        ("referrer-policy", "no-referrer".into()),
    ]);
    response
}
