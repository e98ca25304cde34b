//! Sockets to name servers: what a search for a host asks and hears is carried, a socket of its own for each try. Decides
//! nothing.

use crate::flow::http::dns::lookup::{Failure, Lookup};
use crate::limits::DNS_ANSWER_BYTES_MAX;
use crate::sys::random;
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A search for the addresses of a host.
pub struct Asking {
    lookup: Lookup,
    /// Of the host.
    port: u16,
    token: Token,
    socket: Option<UdpSocket>,
}

/// What a turn has brought.
pub enum Heard {
    /// Something; there may be more.
    Something,
    /// Nothing for now.
    Nothing,
    /// Where to connect to.
    Found(Vec<SocketAddr>),
    /// Why there is nowhere.
    Failed(Failure),
}

impl Asking {
    pub fn new(lookup: Lookup, port: u16, token: Token) -> Asking {
        Asking {
            lookup,
            port,
            token,
            socket: None,
        }
    }

    /// When it is to be looked at even if nothing comes.
    pub fn next_deadline(&self) -> Option<u64> {
        self.lookup.next_deadline()
    }

    /// Asks if it is time to, else hears.
    pub fn step(&mut self, buffer: &mut [u8], registry: &Registry, now: u64) -> Heard {
        self.lookup.handle_timeout(now);
        match self.lookup.poll_answer() {
            Some(Ok(found)) => {
                let found = found
                    .into_iter()
                    .map(|address| SocketAddr::new(address, self.port));
                return Heard::Found(found.collect());
            }
            Some(Err(failure)) => return Heard::Failed(failure),
            None => {}
        }
        let [a, b, c, d, ..] = random::bytes();
        if let Some(asked) = self.lookup.poll_try(u32::from_le_bytes([a, b, c, d]), now) {
            // The one before is closed: what still comes there is nobody's.
            self.socket = None;
            match send(asked.server, &asked.questions, self.token, registry) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => self.lookup.handle_failed(&super::flows::reason(&error)),
            }
            return Heard::Something;
        }
        let Some(socket) = &self.socket else {
            return Heard::Nothing;
        };
        let most = buffer.len().min(DNS_ANSWER_BYTES_MAX);
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        match socket.recv(buffer) {
            Ok(read) => {
                let message = buffer.get(..read).unwrap_or_default();
                self.lookup.handle_datagram(message, now);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Heard::Nothing,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => self.lookup.handle_failed(&super::flows::reason(&error)),
        }
        Heard::Something
    }
}

/// A socket from a port that the kernel draws, which hears that server alone, with the questions sent.
fn send(
    server: SocketAddr,
    questions: &[Vec<u8>],
    token: Token,
    registry: &Registry,
) -> io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let mut socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(server)?;
    registry.register(&mut socket, token, Interest::READABLE)?;
    for question in questions {
        socket.send(question)?;
    }
    Ok(socket)
}
