//! The search for the addresses of a host, as a state machine: which server is asked for which name next, and what its answers
//! come to. Both families are asked for at once. Opens no socket, draws no numbers, keeps nothing for the next search.

use super::configuration::Configuration;
use super::{Family, Reply, question, read};
use crate::error::Kind;
use crate::limits::DNS_SECOND_MS;
use core::net::{IpAddr, SocketAddr};

/// Why there are no addresses: of which kind that is, and what to say.
pub type Failure = (Kind, String);

/// A search under way.
pub struct Lookup {
    host: String,
    configuration: Configuration,
    /// The last is looked for first.
    names: Vec<String>,
    /// How often a server was asked for that name.
    tries: usize,
    asked: [Asked; 2],
    /// Some name is there, but has no addresses.
    has_name: bool,
    phase: Phase,
}

/// A question, and what came.
struct Asked {
    family: Family,
    id: u16,
    reply: Option<Reply>,
}

enum Phase {
    /// A server is to be asked.
    Due,
    /// Until then answers are waited for.
    Waiting(u64),
    Done(Result<Vec<IpAddr>, Failure>),
}

/// What is to be sent, to whom, from a socket of its own.
pub struct Try {
    /// The server; what others send to the socket is no answer.
    pub server: SocketAddr,
    /// Each is a datagram.
    pub questions: [Vec<u8>; 2],
}

impl Lookup {
    /// Begins the search for a host. A name with fewer dots than the configuration says is looked for in its domains first; one
    /// that ends in a dot, or has as many, only as it is.
    ///
    /// # Errors
    /// Kind `bad_argument`: it is no name of a host.
    pub fn new(host: &str, configuration: Configuration) -> Result<Lookup, Failure> {
        if question(0, host, Family::V4).is_none() {
            return Err((Kind::BadArgument, format!("'{host}' is no name of a host")));
        }
        let mut names = vec![host.to_string()];
        if !host.ends_with('.') && host.matches('.').count() < configuration.ndots {
            let longer = configuration
                .search
                .iter()
                .map(|domain| format!("{host}.{domain}"));
            // One that is too long with its domain is no name.
            names.extend(
                longer
                    .rev()
                    .filter(|name| question(0, name, Family::V4).is_some()),
            );
        }
        let asked = |family| Asked {
            family,
            id: 0,
            reply: None,
        };
        Ok(Lookup {
            host: host.to_string(),
            configuration,
            names,
            tries: 0,
            asked: [asked(Family::V4), asked(Family::V6)],
            has_name: false,
            phase: Phase::Due,
        })
    }

    /// What is to be sent now, if anything; the ids of the questions are made of a number that nobody can guess.
    pub fn poll_try(&mut self, random: u32, now_ms: u64) -> Option<Try> {
        if !matches!(self.phase, Phase::Due) {
            return None;
        }
        self.phase = Phase::Waiting(now_ms.saturating_add(self.configuration.timeout_ms));
        let ids = [(random >> 16) as u16, random as u16];
        for (asked, id) in self.asked.iter_mut().zip(ids) {
            *asked = Asked {
                family: asked.family,
                id,
                reply: None,
            };
        }
        let name = self.names.last()?;
        let [first, second] = &self.asked;
        Some(Try {
            server: self.server()?,
            questions: [
                question(first.id, name, first.family)?,
                question(second.id, name, second.family)?,
            ],
        })
    }

    /// The server that is asked has sent that.
    pub fn handle_datagram(&mut self, message: &[u8], now_ms: u64) {
        let (Phase::Waiting(due_ms), Some(name)) = (&mut self.phase, self.names.last()) else {
            return;
        };
        for asked in &mut self.asked {
            if asked.reply.is_none() {
                asked.reply =
                    Some(read(message, asked.id, name, asked.family)).filter(|reply| *reply != Reply::Other);
            }
        }
        let [four, six] = &self.asked;
        if matches!(&four.reply, Some(Reply::Addresses(found)) if !found.is_empty()) && six.reply.is_none() {
            *due_ms = now_ms.saturating_add(DNS_SECOND_MS).min(*due_ms);
            return;
        }
        // A name that isn't there is not there for either.
        let is_done = |asked: &Asked| asked.reply.is_some();
        if self.asked.iter().all(is_done) || self.asked.iter().any(|asked| asked.reply == Some(Reply::NoName))
        {
            self.conclude("it hasn't answered");
        }
    }

    /// The server can't be asked.
    pub fn handle_failed(&mut self, what: &str) {
        if matches!(self.phase, Phase::Waiting(_)) {
            self.conclude(what);
        }
    }

    /// When [`Lookup::handle_timeout`] is due, in milliseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        match self.phase {
            Phase::Waiting(due_ms) => Some(due_ms),
            _ => None,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.next_deadline().is_some_and(|due_ms| now_ms >= due_ms) {
            self.conclude("it hasn't answered");
        }
    }

    /// Takes the addresses, those of version 4 first, or why there are none; once.
    pub fn poll_answer(&mut self) -> Option<Result<Vec<IpAddr>, Failure>> {
        match &mut self.phase {
            Phase::Done(answer) => Some(std::mem::replace(answer, Ok(Vec::new()))),
            _ => None,
        }
    }

    fn server(&self) -> Option<SocketAddr> {
        let servers = &self.configuration.servers;
        servers.get(self.tries % servers.len().max(1)).copied()
    }

    /// Nothing more is waited for in this try: what came decides. `silent` is what is wrong with a server that said nothing.
    fn conclude(&mut self, silent: &str) {
        let mut found = Vec::new();
        let mut failed = None;
        let mut is_missing = false;
        for asked in &mut self.asked {
            match asked.reply.take() {
                Some(Reply::Addresses(addresses)) => found.extend(addresses),
                Some(Reply::NoName) => is_missing = true,
                Some(Reply::Failed(what)) => failed = Some(what),
                Some(Reply::Other) | None => failed = failed.or(Some(silent)),
            }
        }
        if !found.is_empty() {
            self.phase = Phase::Done(Ok(found));
            return;
        }
        match failed.filter(|_| !is_missing) {
            Some(what) => self.try_next_server(what),
            None => self.try_next_name(is_missing),
        }
    }

    fn try_next_server(&mut self, what: &str) {
        let servers = &self.configuration.servers;
        let is_last = self.tries + 1 >= servers.len() * self.configuration.rounds;
        self.phase = match (self.server(), self.names.last()) {
            // What a longer name comes to is not known, so a shorter one may not stand for it.
            (Some(server), Some(name)) if is_last => {
                let message = format!("name server {server} doesn't help with '{name}': {what}");
                Phase::Done(Err((Kind::Unavailable, message)))
            }
            _ => Phase::Due,
        };
        self.tries += 1;
    }

    fn try_next_name(&mut self, is_missing: bool) {
        self.has_name |= !is_missing;
        self.names.pop();
        self.tries = 0;
        self.phase = match (self.names.is_empty(), self.has_name) {
            (false, _) => Phase::Due,
            (true, true) => Phase::Done(Err((Kind::Io, format!("host '{}' has no addresses", self.host)))),
            (true, false) => Phase::Done(Err((Kind::Io, format!("no host '{}'", self.host)))),
        };
    }
}

#[cfg(test)]
mod tests;
