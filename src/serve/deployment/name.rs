//! The name of a deployment: `namespace/name@version`, of letters that need no escape in a URL, a path or a shell.

use crate::error::{Error, Kind, Result};
use crate::limits::DEPLOYMENT_NAME_BYTES_MAX;
use std::fmt;

const NAMESPACE: &str = "default";
const VERSION: &str = "latest";

/// Where the deployments are that the server has for itself. Nobody else can name one.
const OWN: &str = "nexus";

/// A full name. Its text leaves nothing out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// `default`, where none is given.
    pub namespace: String,
    /// What it is called within the namespace.
    pub name: String,
    /// `latest`, where none is given.
    pub version: String,
}

impl Name {
    /// The name of these parts; those that are not given are the usual ones. [`Kind::Usage`] for a part that no name may have,
    /// and for the namespace of the server's own.
    pub fn new(namespace: Option<&str>, name: &str, version: Option<&str>) -> Result<Name> {
        if namespace == Some(OWN) {
            let message = format!("the namespace '{OWN}' is the server's own");
            return Err(Error::new(Kind::Usage, message).hint("choose another namespace"));
        }
        Ok(Name {
            namespace: part("namespace", namespace.unwrap_or(NAMESPACE))?,
            name: part("name", name)?,
            version: part("version", version.unwrap_or(VERSION))?,
        })
    }

    /// The name of a deployment that the server has for itself: it runs as any other, and is neither listed nor called by
    /// others.
    pub fn own(name: &str, version: &str) -> Name {
        Name {
            namespace: OWN.to_string(),
            name: name.to_string(),
            version: version.to_string(),
        }
    }

    /// Whether it is one of the server's own.
    pub fn is_own(&self) -> bool {
        self.namespace == OWN
    }

    /// Reads `name`, `namespace/name`, `name@version` or `namespace/name@version`. Errors as [`Name::new`].
    pub fn parse(text: &str) -> Result<Name> {
        let (namespace, rest) = match text.split_once('/') {
            Some((namespace, rest)) => (Some(namespace), rest),
            None => (None, text),
        };
        let (name, version) = match rest.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (rest, None),
        };
        Name::new(namespace, name, version)
    }
}

fn part(what: &str, text: &str) -> Result<String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let stranger = text
        .char_indices()
        .find(|(at, letter)| !is_plain(*letter) && (*at == 0 || !matches!(letter, '.' | '-')));
    let message = match stranger {
        _ if text.is_empty() => format!("the {what} of a deployment is empty"),
        _ if text.len() > DEPLOYMENT_NAME_BYTES_MAX => format!(
            "the {what} of a deployment has {} bytes, more than {DEPLOYMENT_NAME_BYTES_MAX}",
            text.len()
        ),
        Some((_, letter)) => format!(
            "the {what} of a deployment is '{text}' with {letter:?} in it; letters, digits and '_' are expected, \
             and after the first also '.' and '-'"
        ),
        None => return Ok(text.to_string()),
    };
    Err(Error::new(Kind::Usage, message).hint("NAME, NAMESPACE/NAME, NAME@VERSION or NAMESPACE/NAME@VERSION"))
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}@{}", self.namespace, self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: std::result::Result<&str, &str>) {
        match (Name::parse(text), expected) {
            (Ok(name), Ok(expected)) => {
                assert_eq!(name.to_string(), expected, "{text:?}");
                assert_eq!(Name::parse(expected), Ok(name), "{text:?}");
            }
            (Err(error), Err(expected)) => {
                assert_eq!(error.kind, Kind::Usage);
                assert!(error.message.contains(expected), "{text:?}: {error}");
            }
            (found, expected) => panic!("{text:?} is {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn names() {
        check("iris", Ok("default/iris@latest"));
        check("lab/iris", Ok("lab/iris@latest"));
        check("iris@v1.2-rc", Ok("default/iris@v1.2-rc"));
        check("lab/iris@2", Ok("lab/iris@2"));
        check("_a.b-c", Ok("default/_a.b-c@latest"));
        let longest = "a".repeat(DEPLOYMENT_NAME_BYTES_MAX);
        check(&longest, Ok(&format!("default/{longest}@latest")));
        check(
            &format!("{longest}a"),
            Err("the name of a deployment has 65 bytes, more than 64"),
        );
        check("", Err("the name of a deployment is empty"));
        check("/a", Err("the namespace of a deployment is empty"));
        check("a@", Err("the version of a deployment is empty"));
        check("a/b/c", Err("the name of a deployment is 'b/c' with '/' in it"));
        check(
            "a@b@c",
            Err("the version of a deployment is 'b@c' with '@' in it"),
        );
        check("a b", Err("with ' ' in it"));
        check("..", Err("with '.' in it"));
        check("-a", Err("with '-' in it"));
        check("é", Err("with 'é' in it"));
        check("a\n", Err("with '\\n' in it"));
        check("nexus/a@v1", Err("the namespace 'nexus' is the server's own"));
        let own = Name::own("a", "v1");
        assert_eq!((own.to_string().as_str(), own.is_own()), ("nexus/a@v1", true));
        assert!(!Name::parse("nexus").unwrap().is_own());
    }
}
