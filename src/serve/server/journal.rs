//! Logs: the last lines of each deployment, and a line for each request. Writes to no file: lines come out as effects.

use super::calls::Call;
use super::{Access, ClientId, Effect, Server};
use crate::codec::json_text::JsonText;
use crate::error::Kind;
use crate::flow::spec::secrets::Secrets;
use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};
use crate::map::Map;
use crate::serve::deployment::Name;
use crate::serve::http::Request;
use crate::serve::rpc::Notice;
use std::collections::VecDeque;

const NIL: u8 = 0xc0;

/// The last lines of each deployment.
#[derive(Default)]
pub(super) struct Journal {
    logs: Map<Name, Log>,
    /// Clients who want further lines of a deployment, each by its request.
    followers: Vec<(ClientId, u64, Name)>,
    /// Lines that followers have not been told.
    news: Vec<(Name, String)>,
}

#[derive(Default)]
struct Log {
    lines: VecDeque<String>,
    /// What was printed of a line that has not ended.
    begun: Vec<u8>,
}

impl Journal {
    /// Adds a line to the log of a deployment, and to that of the server.
    pub fn add(&mut self, name: &Name, line: &str, effects: &mut VecDeque<Effect>) {
        let log = self.logs.or_insert_with(name.clone(), Log::default);
        if log.lines.len() >= LOG_LINES_MAX {
            log.lines.pop_front();
        }
        log.lines.push_back(line.to_string());
        if self.followers.iter().any(|(_, _, followed)| followed == name) {
            self.news.push((name.clone(), format!("{line}\n")));
        }
        effects.push_back(Effect::Log(format!("{name}: {line}")));
    }

    /// Adds what was printed: whole lines, or what is too long for one, without these secrets.
    pub fn add_printed(
        &mut self,
        name: &Name,
        bytes: &[u8],
        secrets: Option<&Secrets>,
        effects: &mut VecDeque<Effect>,
    ) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let log = self.logs.or_insert_with(name.clone(), Log::default);
            let room = LOG_LINE_BYTES_MAX - log.begun.len();
            log.begun.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") || log.begun.len() >= LOG_LINE_BYTES_MAX {
                let line = std::mem::take(&mut log.begun);
                let line = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                match secrets {
                    Some(secrets) => self.add(name, &secrets.mask(&line), effects),
                    None => self.add(name, &line, effects),
                }
            }
        }
    }

    /// The last lines of a deployment, oldest first.
    pub fn lines(&self, name: &Name, most: usize) -> impl Iterator<Item = &str> {
        let lines = self.logs.get(name).map(|log| &log.lines);
        let skipped = lines.map_or(0, |lines| lines.len().saturating_sub(most));
        lines.into_iter().flatten().skip(skipped).map(String::as_str)
    }

    /// Forgets the log of a deployment that is gone.
    pub fn forget(&mut self, name: &Name) {
        self.logs.remove(name);
    }
}

impl Server {
    /// A client wants the last lines of a deployment, and further ones as they come.
    pub(super) fn follow(&mut self, client: ClientId, request: u64, name: Name, most: usize) {
        let mut lines = String::new();
        for line in self.journal.lines(&name, most) {
            lines.push_str(line);
            lines.push('\n');
        }
        self.notify_private(client, request, Notice::Printed(lines.as_bytes()));
        self.journal.followers.push((client, request, name));
    }

    /// A client wants no further lines. False if it was told none.
    pub(super) fn unfollow(&mut self, client: ClientId, request: u64) -> bool {
        let followers = &mut self.journal.followers;
        let before = followers.len();
        followers.retain(|(of, its, _)| (*of, *its) != (client, request));
        followers.len() < before
    }

    /// A client is gone, or all are to go.
    pub(super) fn end_followers(&mut self, gone: Option<ClientId>) {
        let followers = std::mem::take(&mut self.journal.followers);
        let (ended, kept) = followers
            .into_iter()
            .partition(|(client, _, _)| gone.is_none_or(|gone| gone == *client));
        self.journal.followers = kept;
        let ended: Vec<(ClientId, u64, Name)> = ended;
        for (client, request, _) in ended {
            self.answer_private(client, request, Ok(vec![NIL]));
        }
    }

    /// Tells followers the lines that have come.
    pub(super) fn tell_followers(&mut self) {
        if self.journal.news.is_empty() {
            return;
        }
        for (name, line) in std::mem::take(&mut self.journal.news) {
            let followers = self.journal.followers.iter();
            let told = followers.filter(|(_, _, followed)| *followed == name);
            let told: Vec<(ClientId, u64)> = told.map(|(client, request, _)| (*client, *request)).collect();
            for (client, request) in told {
                self.notify_private(client, request, Notice::Printed(line.as_bytes()));
            }
        }
    }

    /// Tells of a call that has ended.
    pub(super) fn tell_call(&mut self, call: &Call, status: u16, kind: Option<Kind>, now_ms: u64) {
        let took_ms = now_ms.saturating_sub(call.begun_ms);
        let kind = kind.map_or("", Kind::name);
        let line = match self.config.access {
            Access::None => return,
            Access::Text => {
                let Call {
                    name,
                    command,
                    request_id,
                    ..
                } = call;
                let request_id = request_id.text(&self.config.mark);
                format!("{request_id} {name} {command} {status} {took_ms}ms {kind}")
                    .trim_end()
                    .to_string()
            }
            Access::Json => {
                let mut out = Vec::new();
                let mut text = JsonText::new(&mut out);
                text.begin(b'{')
                    .key("request_id")
                    .string(&call.request_id.text(&self.config.mark));
                text.key("deployment").string(&call.name.to_string());
                text.key("command").string(&call.command);
                text.key("status")
                    .number(u64::from(status))
                    .key("ms")
                    .number(took_ms);
                if !kind.is_empty() {
                    text.key("error").string(kind);
                }
                text.end(b'}');
                String::from_utf8_lossy(&out).into_owned()
            }
        };
        self.effects.push_back(Effect::Log(line));
    }

    /// Tells of a request that was no call.
    pub(super) fn tell_request(&mut self, request: &Request, status: u16, _now_ms: u64) {
        let (method, path) = (request.method.name(), request.path());
        let line = match self.config.access {
            Access::None => return,
            Access::Text => format!("{method} {path} {status}"),
            Access::Json => {
                let mut out = Vec::new();
                let mut text = JsonText::new(&mut out);
                text.begin(b'{').key("method").string(method);
                text.key("path")
                    .string(path)
                    .key("status")
                    .number(u64::from(status));
                text.end(b'}');
                String::from_utf8_lossy(&out).into_owned()
            }
        };
        self.effects.push_back(Effect::Log(line));
    }
}
