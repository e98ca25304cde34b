//! One socket to a pool or worker, and what the poll said of it. Knows nothing of messages.
//!
//! The poll is edge-triggered: it says once that a socket became ready. So readiness is kept here until a read or write
//! finds it used up.

use super::polling::Polled;
use mio::net::UnixStream;
use mio::{Interest, Token};
use std::io::{self, ErrorKind, Read, Write};

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// That many bytes.
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever again.
    Closed,
}

/// A socket and its readiness.
pub struct Connection {
    socket: UnixStream,
    /// It is registered for writing too: only while it is full, since each read of the peer would be an event.
    asks_for_room: bool,
    is_readable: bool,
    is_writable: bool,
    is_read_closed: bool,
}

impl Connection {
    /// Registers a socket under that token.
    pub fn register(mut socket: UnixStream, token: Token, polled: Polled<'_>) -> io::Result<Connection> {
        polled.register(&mut socket, token, Interest::READABLE)?;
        // A new socket has room; if it has bytes too, the poll says so at once.
        Ok(Connection {
            socket,
            asks_for_room: false,
            is_readable: false,
            is_writable: true,
            is_read_closed: false,
        })
    }

    /// Asks the poll for an event when there is room again, or no longer.
    pub fn ask_for_room(&mut self, asks: bool, token: Token, polled: Polled<'_>) -> io::Result<()> {
        if std::mem::replace(&mut self.asks_for_room, asks) == asks {
            return Ok(());
        }
        let interest = match asks {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        polled.reregister(&mut self.socket, token, interest)
    }

    pub fn note_event(&mut self, event: &mio::event::Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed();
        self.is_read_closed |= event.is_read_closed();
        self.is_writable |= event.is_writable();
    }

    pub fn is_readable(&self) -> bool {
        self.is_readable
    }

    pub fn receive(&mut self, buffer: &mut [u8]) -> Received {
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Received::Closed,
                Ok(read) => {
                    // A read that does not fill the buffer has emptied the socket, and what comes later is a new edge; only
                    // the end may have been part of the old one.
                    self.is_readable = read == buffer.len() || self.is_read_closed;
                    return Received::Bytes(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Received::Nothing;
                }
                Err(_) => return Received::Closed,
            }
        }
    }

    /// Writes what the socket takes. A broken one takes nothing: reading it tells of its end, after what it still holds.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        while self.is_writable {
            match self.socket.write(bytes) {
                Ok(written) => return written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.is_writable = false,
            }
        }
        0
    }
}
