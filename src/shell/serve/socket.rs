//! Sockets of the server: where it listens, and one to a client with what the poll said of it. Knows nothing of messages.

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// Where clients come in.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Takes a client that has come; none: no more for now.
    pub fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                // Answers are written whole; without this they would wait for the acknowledgement of those before.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }

    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Listener::Tcp(listener) => listener,
            Listener::Unix(listener) => listener,
        }
    }
}

/// A connected socket.
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Bytes(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever again.
    End,
    /// The connection is broken.
    Reset,
}

/// A client's socket and its readiness, which the poll tells once and which is kept until it is used up.
pub struct Socket {
    stream: Stream,
    pub is_readable: bool,
    is_writable: bool,
    is_read_closed: bool,
    asks_for_room: bool,
    is_shut: bool,
}

impl Socket {
    pub fn register(mut stream: Stream, token: Token, registry: &Registry) -> io::Result<Socket> {
        registry.register(stream.source(), token, Interest::READABLE)?;
        Ok(Socket {
            stream,
            // What came with the connection is no event.
            is_readable: true,
            is_writable: true,
            is_read_closed: false,
            asks_for_room: false,
            is_shut: false,
        })
    }

    pub fn note_event(&mut self, event: &mio::event::Event) {
        self.is_readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.is_read_closed |= event.is_read_closed();
        self.is_writable |= event.is_writable();
    }

    pub fn receive(&mut self, buffer: &mut [u8]) -> Received {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.is_readable = false;
                    return Received::End;
                }
                Ok(read) => {
                    // A read that does not fill the buffer has emptied the socket.
                    self.is_readable = read == buffer.len() || self.is_read_closed;
                    return Received::Bytes(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.is_readable = false;
                    return Received::Nothing;
                }
                Err(_) => {
                    self.is_readable = false;
                    return Received::Reset;
                }
            }
        }
    }

    /// Writes what the socket takes: how much; none: it is broken.
    pub fn send(&mut self, bytes: &[u8]) -> Option<usize> {
        while self.is_writable {
            match self.stream.write(bytes) {
                Ok(written) => return Some(written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(_) => return None,
            }
        }
        Some(0)
    }

    /// Asks the poll for an event when there is room again, or no longer.
    pub fn ask_for_room(&mut self, asks: bool, token: Token, registry: &Registry) {
        if std::mem::replace(&mut self.asks_for_room, asks) != asks {
            let interest = match asks {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            // A socket that can't be registered again is a broken one, and reading it says so.
            let _ = registry.reregister(self.stream.source(), token, interest);
        }
    }

    /// Tells the client that nothing more comes.
    pub fn shut_down(&mut self) {
        if !std::mem::replace(&mut self.is_shut, true) {
            let _ = match &self.stream {
                Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
                Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            };
        }
    }
}

impl Stream {
    fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buffer),
            Stream::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write(bytes),
            Stream::Unix(stream) => stream.write(bytes),
        }
    }
}
