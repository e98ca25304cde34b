//! An answer. Sends nothing.

use crate::codec::error_map::write_error_json;
use crate::codec::json_text::JsonText;
use crate::error::Error;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, 200 to 599.
    pub status: u16,
    /// Headers but for those that frame.
    pub headers: Vec<(&'static str, String)>,
    /// Body; not sent to HEAD and with a status that has none.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer with a body of that media type.
    pub fn new(status: u16, media_type: &str, body: Vec<u8>) -> Response {
        Response {
            status,
            headers: vec![("content-type", media_type.into())],
            body,
        }
    }

    /// An error as an answer.
    pub fn error(status: u16, error: &Error) -> Response {
        let mut body = Vec::new();
        let mut text = JsonText::new(&mut body);
        text.begin(b'{').key("error");
        write_error_json(&mut text, error);
        text.end(b'}');
        Response::new(status, "application/json", body)
    }
}
