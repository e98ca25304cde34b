//! Packages that clients of MetaCall upload: which there are, and until when. One goes when it is deleted or another of its
//! name has come, and nothing runs of it any more. Writes none: that is the shell's to do.

use super::operate::{Asked, Told, Waiting};
use super::{ClientId, Effect, Server};
use crate::codec::json_text::JsonText;
use crate::error::{Error, Kind, Result};
use crate::limits::{PACKAGES_BYTES_MAX, PACKAGES_MAX};
use crate::map::Map;
use crate::serve::api::{Failure, package};
use crate::serve::deployment::{Name, Start};
use crate::serve::http::{Request, Response};

/// A package.
struct Kept {
    id: String,
    /// Bytes of its files.
    bytes: u64,
    /// Where it lies.
    folder: String,
    /// Whether it is what its name means.
    is_current: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Packages {
    kept: Vec<Kept>,
    /// Those that are being written, by tickets, with their names and bytes.
    coming: Map<u64, (Waiting, String, u64)>,
    next: u64,
}

impl Server {
    /// Takes a package, whose body it takes from the request. None: it is answered later.
    pub(super) fn take_package(
        &mut self,
        client: ClientId,
        request: &mut Request,
    ) -> Option<std::result::Result<Response, Failure>> {
        let body = std::mem::take(&mut request.body);
        let media_type = request.header("content-type").unwrap_or_default();
        let package = match package(media_type, &body) {
            Ok(package) => package,
            Err(failure) => return Some(Err(failure)),
        };
        let bytes = package.bytes();
        let packages = &mut self.packages;
        let kept = packages.kept.iter().map(|each| each.bytes);
        let sum: u64 = kept.chain(packages.coming.values().map(|each| each.2)).sum();
        if packages.kept.len() + packages.coming.len() >= PACKAGES_MAX || sum + bytes > PACKAGES_BYTES_MAX {
            let message = format!(
                "the packages of this server have {sum} bytes, with this one more than {PACKAGES_BYTES_MAX}, or \
                 are more than {PACKAGES_MAX}"
            );
            let error = Error::new(Kind::Overloaded, message).hint("delete others: POST /api/deploy/delete");
            return Some(Err(error.into()));
        }
        let mut told = Vec::new();
        let mut text = JsonText::new(&mut told);
        text.begin(b'{').key("id").string(&package.id).end(b'}');
        let answer = Response::new(201, "application/json", told);
        let waiting = Waiting::WebFor(client, Box::new(request.clone()), Box::new(answer));
        packages.next += 1;
        let ticket = packages.next;
        let id = package.id;
        packages.coming.insert(ticket, (waiting, id.clone(), bytes));
        let entries = package.entries;
        self.effects.push_back(Effect::Unpack { ticket, id, entries });
        None
    }

    /// A package lies in that folder now, or could not be written.
    pub fn handle_unpacked(&mut self, ticket: u64, unpacked: Result<String>, now_ms: u64) {
        let Some((waiting, id, bytes)) = self.packages.coming.remove(&ticket) else {
            return;
        };
        let answer = unpacked.map(|folder| {
            let others = self.packages.kept.iter_mut().filter(|other| other.id == id);
            others.for_each(|other| other.is_current = false);
            self.packages.kept.push(Kept {
                id,
                bytes,
                folder,
                is_current: true,
            });
            Told::Done
        });
        self.answer_operator(waiting, answer.map_err(Failure::from), now_ms);
        self.settle(now_ms);
    }

    /// What deploys the package of that name, or where there is none what was deployed before.
    ///
    /// # Errors
    /// Kind `not_found`: there is neither.
    pub(super) fn deploy_package(&self, name: &Name) -> Result<Asked> {
        let mut kept = self.packages.kept.iter();
        match kept.find(|each| each.is_current && each.id == name.name) {
            Some(found) => Ok(Asked::Deploy {
                name: name.clone(),
                source: found.folder.clone(),
                start: Start::AtOnce,
            }),
            None if self.deployments.status(name).is_some() => Ok(Asked::Reload(name.clone())),
            None => {
                let message = format!("there is no package '{}' and no deployment '{name}'", name.name);
                Err(Error::new(Kind::NotFound, message).hint("send the package to /api/package/create"))
            }
        }
    }

    /// Forgets the package of that name, unless it or an earlier one is deployed under another name. Whether there was one.
    pub(super) fn retire_package(&mut self, id: &str) -> bool {
        let mut named = self.packages.kept.iter().filter(|each| each.id == id);
        if named.any(|each| self.deployments.is_deployed(&each.folder)) {
            return false;
        }
        let mut current = self.packages.kept.iter_mut().filter(|each| each.is_current);
        let found = current.find(|each| each.id == id);
        found.map(|each| each.is_current = false).is_some()
    }

    /// Removes what was forgotten and is not used any more.
    pub(super) fn sweep_packages(&mut self) {
        let (deployments, effects) = (&self.deployments, &mut self.effects);
        self.packages.kept.retain(|each| {
            let stays = each.is_current || deployments.is_used(&each.folder);
            if !stays {
                effects.push_back(Effect::Remove(each.folder.clone()));
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::api::Settings;
    use crate::serve::server::{Config, Door};

    const EMPTY: &str = "PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

    /// A server, one client, and a shell that unpacks everything.
    struct World {
        server: Server,
        client: ClientId,
        /// The folders that are there.
        folders: Vec<String>,
        unpacked: usize,
        is_full: bool,
    }

    impl World {
        fn new() -> World {
            let settings = Settings {
                has_metacall: true,
                ..Settings::default()
            };
            let config = Config {
                settings,
                token: Some("t".into()),
                ..Config::default()
            };
            let mut server = Server::new(config, 0);
            let client = server.handle_accepted(Door::Web, 0).unwrap();
            World {
                server,
                client,
                folders: Vec::new(),
                unpacked: 0,
                is_full: false,
            }
        }

        fn ask(&mut self, path: &str, media_type: &str, body: &str) -> String {
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: jwt t\r\ncontent-type: {media_type}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            );
            self.server.handle_input(self.client, request.as_bytes(), 0);
            while let Some(effect) = self.server.poll_effect() {
                match effect {
                    Effect::Unpack { ticket, id, .. } if self.is_full => {
                        let error = Error::new(Kind::Io, format!("no room for {id}"));
                        self.server.handle_unpacked(ticket, Err(error), 0);
                    }
                    Effect::Unpack { ticket, id, .. } => {
                        self.unpacked += 1;
                        let folder = format!("{}/{id}", self.unpacked);
                        self.folders.push(folder.clone());
                        self.server.handle_unpacked(ticket, Ok(folder), 0);
                    }
                    Effect::Remove(folder) => {
                        assert!(self.folders.contains(&folder));
                        self.folders.retain(|other| *other != folder);
                    }
                    Effect::Load { id, .. } => {
                        let error = Error::new(Kind::Usage, "not here");
                        self.server.handle_load_failed(id, 0, error, 0);
                    }
                    Effect::Unload { id, .. } => self.server.handle_unloaded(id, 0),
                    _ => {}
                }
            }
            let mut answer = Vec::new();
            while let output @ [_, ..] = self.server.output(self.client) {
                answer.extend_from_slice(output);
                let written = output.len();
                self.server.advance_output(self.client, written, 0);
            }
            String::from_utf8(answer).unwrap()
        }

        fn check(&mut self, path: &str, body: &str, status: u16, folders: &[&str]) {
            let media_type = "multipart/form-data; boundary=b";
            let answer = self.ask(path, media_type, body);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{path}: {answer}"
            );
            assert_eq!(self.folders, folders, "{path}");
        }

        fn upload(&mut self, id: &str, status: u16, folders: &[&str]) {
            let head = "--b\r\ncontent-disposition: form-data; name=";
            let body = format!("{head}id\r\n\r\n{id}\r\n{head}raw\r\n\r\n{EMPTY}\r\n--b--");
            self.check("/api/package/create", &body, status, folders);
        }
    }

    #[test]
    fn packages_stay_as_long_as_they_are_used() {
        let mut world = World::new();
        let (create, delete) = ("/api/deploy/create", "/api/deploy/delete");
        let (here, there) = (r#"{"suffix": "a"}"#, r#"{"suffix": "a", "prefix": "p"}"#);
        world.check(create, here, 404, &[]);
        world.upload("a", 201, &["1/a"]);
        world.upload("a", 201, &["2/a"]);
        world.check(create, here, 422, &["2/a"]);
        // What can't be loaded is deployed all the same.
        world.upload("a", 201, &["2/a", "3/a"]);
        world.upload("b", 201, &["2/a", "3/a", "4/b"]);
        world.check(create, there, 422, &["2/a", "3/a", "4/b"]);
        world.check(delete, here, 200, &["3/a", "4/b"]);
        world.check(delete, r#"{"suffix": "b", "prefix": "p"}"#, 200, &["3/a"]);
        world.check(delete, here, 404, &["3/a"]);
        world.check(delete, there, 200, &[]);
        world.is_full = true;
        world.upload("a", 502, &[]);
        world.check(create, here, 404, &[]);
    }

    #[test]
    fn packages_are_not_more_than_may_be() {
        let mut world = World::new();
        let mut folders = Vec::new();
        for number in 1..=PACKAGES_MAX {
            folders.push(format!("{number}/p{number}"));
            let shown: Vec<&str> = folders.iter().map(String::as_str).collect();
            world.upload(&format!("p{number}"), 201, &shown);
        }
        let shown: Vec<&str> = folders.iter().map(String::as_str).collect();
        world.upload("q", 429, &shown);
        world.server.packages.kept.truncate(1);
        world.server.packages.kept[0].bytes = PACKAGES_BYTES_MAX + 1;
        world.upload("q", 429, &shown);
    }
}
