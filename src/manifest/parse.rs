//! Reads a whole manifest of either dialect and reports everything that is wrong with it at once. Opens no file and starts
//! nothing.

use crate::codec::document::{Document, Node};
use crate::error::{Error, Kind};
use crate::limits::MANIFEST_BYTES_MAX;
use crate::manifest::checker::{Checker, Dialect, optional, place};
use crate::manifest::model::{Group, Manifest};
use crate::map::Names;

/// The one version of the manifest that is read.
const VERSION: &str = "1";

/// Reads and checks a manifest; `file` names it in errors.
///
/// # Errors
/// All that is wrong, in the order of the text, each with its place as `file:line:column (path)`; of a text that is not
/// JSON, is of another version or larger than [`MANIFEST_BYTES_MAX`], only that.
pub fn parse(text: &[u8], file: &str) -> Result<Manifest, Vec<Box<Error>>> {
    if text.len() > MANIFEST_BYTES_MAX {
        let message = format!(
            "manifest is {} bytes long, expected at most {MANIFEST_BYTES_MAX}",
            text.len()
        );
        return Err(vec![Error::new(Kind::Manifest, message).at(file)]);
    }
    let document = Document::parse(text).map_err(|error| {
        let message = format!("manifest is not valid JSON: {}", error.message);
        vec![Error::new(Kind::Manifest, message).at(place(text, file, error.offset, ""))]
    })?;
    let root = document.root();
    // A version always wins: then the pools speak the protocol of that version, whoever wrote the manifest.
    let is_morloc = root.member("version").is_none()
        && root
            .member("build")
            .and_then(|build| build.member("morloc_version"))
            .is_some();
    let dialect = if is_morloc {
        Dialect::Morloc
    } else {
        Dialect::Version1
    };
    let mut checker = Checker::new(text, file, dialect);
    if dialect == Dialect::Version1 && !checker.check_version(root) {
        return Err(checker.into_errors());
    }
    match checker.manifest(root) {
        Some(manifest) => Ok(manifest),
        None => Err(checker.into_errors()),
    }
}

impl Checker<'_> {
    /// Whether the rest is worth reading; a version that is missing or no number at all is probably just forgotten.
    fn check_version(&mut self, root: Node) -> bool {
        if !self.is_object(root) {
            return false;
        }
        let Some(version) = root.member("version") else {
            let message = "the manifest lacks the key \"version\"";
            self.error_with_hint(root, message, format!("add \"version\": {VERSION}"));
            return true;
        };
        match version.as_number() {
            Some(VERSION) => true,
            Some(other) => {
                let message = format!("manifest has version {other}, this nexus reads version {VERSION}");
                self.error_with_hint(
                    version,
                    message,
                    "build the program again, or use another release of nexus",
                );
                false
            }
            None => {
                self.wrong(version, VERSION);
                true
            }
        }
    }

    fn manifest(&mut self, root: Node) -> Option<Manifest> {
        let name = self.required_string(root, "name");
        let desc = self.optional_strings(root, "desc");
        let pools = self.pools(root);
        let groups = self.groups(root);
        let mut commands = Vec::new();
        let mut names = Names::new();
        let nodes = self
            .required(root, "commands")
            .and_then(|node| self.elements(node));
        for node in nodes.into_iter().flatten() {
            let Some(command) = self.command(node) else {
                continue;
            };
            // The number tells where the group ends, and whether there is one.
            let group = command.group.as_deref();
            let (group, end) = group.map_or(("", 0), |group| (group, group.len() + 1));
            let name = format!("{end} {group}{}", command.name);
            if names.insert(name.into(), 0).is_some() {
                let message = format!("command \"{}\" stands twice in one group", command.name);
                self.error(node.member("name").unwrap_or(node), message);
            }
            commands.push(command);
        }
        let name = name?.to_string();
        if !self.is_clean() {
            return None;
        }
        Some(Manifest {
            name,
            desc,
            types: std::mem::take(&mut self.types),
            exprs: std::mem::take(&mut self.exprs),
            pools,
            commands,
            groups,
        })
    }

    fn groups(&mut self, root: Node) -> Vec<Group> {
        let mut groups = Vec::new();
        let mut names = Names::new();
        let nodes = optional(root, "groups").and_then(|node| self.elements(node));
        for node in nodes.into_iter().flatten() {
            if !self.is_object(node) {
                continue;
            }
            let name = self.required_string(node, "name");
            let desc = self.optional_strings(node, "desc");
            let Some(name) = name else { continue };
            if names.insert(name.into(), 0).is_some() {
                self.error(node, format!("group \"{name}\" stands twice"));
            }
            groups.push(Group {
                name: name.into(),
                desc,
            });
        }
        groups
    }
}
