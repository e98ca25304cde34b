//! Ports of nodes and links between them. Knows no node.

use crate::error::{Error, Kind, Result};
use crate::limits::{FLOW_NAME_BYTES_MAX, FLOW_PORT_INDEX_MAX};
use std::fmt;
use std::rc::Rc;

/// The word of a port, before its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortName {
    /// `in`: where packets come.
    In,
    /// `out`: where they go.
    Out,
    /// `error`: where errors go.
    Error,
    /// Any other word.
    Word(Rc<str>),
}

impl PortName {
    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            PortName::In => "in",
            PortName::Out => "out",
            PortName::Error => "error",
            PortName::Word(word) => word,
        }
    }
}

/// A port of a node: `in`, `out[0]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// Its word.
    pub name: PortName,
    /// Its index; one without differs from any with.
    pub index: Option<u32>,
}

impl Port {
    /// `in`
    pub const IN: Port = Port::plain(PortName::In);
    /// `out`
    pub const OUT: Port = Port::plain(PortName::Out);
    /// `error`
    pub const ERROR: Port = Port::plain(PortName::Error);

    const fn plain(name: PortName) -> Port {
        Port { name, index: None }
    }

    /// `out[index]`
    pub const fn out(index: u32) -> Port {
        Port {
            name: PortName::Out,
            index: Some(index),
        }
    }

    /// `in[index]`
    pub const fn input(index: u32) -> Port {
        Port {
            name: PortName::In,
            index: Some(index),
        }
    }

    /// Reads a port's text.
    ///
    /// # Errors
    /// Kind `bad_argument`: it is no word of letters, digits, `_` and `-` beginning with a letter, with an index of at most
    /// [`FLOW_PORT_INDEX_MAX`] in brackets behind it, or none.
    pub fn parse(text: &str) -> Result<Port> {
        let refuse = || {
            let shown = text.get(..FLOW_NAME_BYTES_MAX).unwrap_or(text).escape_debug();
            let message =
                format!("port '{shown}' is none, expected in, out, error or another word, or one as out[0]");
            Error::new(Kind::BadArgument, message)
        };
        let (word, index) = match text.split_once('[') {
            Some((word, rest)) => (word, Some(rest.strip_suffix(']').ok_or_else(refuse)?)),
            None => (text, None),
        };
        let is_other = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_word = word.len() <= FLOW_NAME_BYTES_MAX
            && word.starts_with(|char: char| char.is_ascii_alphabetic())
            && word.bytes().all(is_other);
        let digits = |text: &str| {
            let is_plain =
                text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            let index = is_plain.then(|| text.parse().ok()).flatten();
            index.filter(|index| *index <= FLOW_PORT_INDEX_MAX)
        };
        let index = index.map(|text| digits(text).ok_or_else(refuse)).transpose()?;
        let name = match word {
            _ if !is_word => return Err(refuse()),
            "in" => PortName::In,
            "out" => PortName::Out,
            "error" => PortName::Error,
            word => PortName::Word(word.into()),
        };
        Ok(Port { name, index })
    }
}

impl fmt::Display for Port {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name.as_str())?;
        match self.index {
            Some(index) => write!(out, "[{index}]"),
            None => Ok(()),
        }
    }
}

/// What a link leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A node of the same namespace, by its name.
    Name(Rc<str>),
    /// A node of the same namespace, by its id.
    Id(Rc<str>),
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Name(name) => out.write_str(name),
            Target::Id(id) => write!(out, "id {id}"),
        }
    }
}

/// A way for packets from a port to one of another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other node.
    pub target: Target,
    /// Its port.
    pub port: Port,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, name: PortName, index: Option<u32>| {
            let port = Port::parse(text).unwrap();
            assert_eq!(port, Port { name, index }, "{text}");
            assert_eq!(port.to_string(), text);
        };
        check("in", PortName::In, None);
        check("out", PortName::Out, None);
        check("error", PortName::Error, None);
        check("out[0]", PortName::Out, Some(0));
        check("in[9999]", PortName::In, Some(9999));
        check("left-one", PortName::Word("left-one".into()), None);
        check("left_2[10]", PortName::Word("left_2".into()), Some(10));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "[0]",
            "out[",
            "out[]",
            "out[01]",
            "out[-1]",
            "out[+1]",
            "out[1]x",
            "out[10000]",
            "out [0]",
            "1",
            "ö",
            "a.b",
            "out[0][1]",
        ] {
            assert!(Port::parse(text).is_err(), "{text}");
        }
        assert!(Port::parse(&"x".repeat(81)).is_err());
    }
}
