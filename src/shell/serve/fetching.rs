//! A socket to another server: what flows ask of it and what it answers is carried, one address after the other tried. Knows
//! nothing of messages.

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

/// A connection that is being made, or is.
pub struct Fetching {
    stream: TcpStream,
    token: Token,
    /// Those that are tried if this one fails before anything came of it.
    others: Vec<SocketAddr>,
    has_moved: bool,
}

/// What a turn has brought.
pub enum Came {
    /// So many bytes stand in the buffer.
    Bytes(usize),
    /// So many bytes were written.
    Written(usize),
    /// Nothing for now.
    Nothing,
    /// Nothing ever again.
    End,
    /// Why there is no connection any more.
    Failed(String),
}

impl Fetching {
    /// Begins to connect to the first of those addresses that can be tried.
    pub fn connect(mut others: Vec<SocketAddr>, token: Token, registry: &Registry) -> io::Result<Fetching> {
        let mut refused = io::Error::from(ErrorKind::AddrNotAvailable);
        while !others.is_empty() {
            match open(others.remove(0), token, registry) {
                Ok(stream) => {
                    return Ok(Fetching {
                        stream,
                        token,
                        others,
                        has_moved: false,
                    });
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Writes what goes, else reads.
    pub fn step(&mut self, output: &[u8], buffer: &mut [u8], registry: &Registry) -> Came {
        let moved = match output.is_empty() {
            true => None,
            false => match self.stream.write(output) {
                Ok(written) => Some(Ok(Came::Written(written))),
                Err(error) if is_early(&error) => None,
                // What the server has still said can be read.
                Err(error) if self.has_moved && error.kind() == ErrorKind::BrokenPipe => None,
                Err(error) => Some(Err(error)),
            },
        };
        let moved = moved.unwrap_or_else(|| match self.stream.read(buffer) {
            Ok(0) => Ok(Came::End),
            Ok(read) => Ok(Came::Bytes(read)),
            Err(error) if is_early(&error) => Ok(Came::Nothing),
            Err(error) => Err(error),
        });
        match moved {
            Ok(came) => {
                self.has_moved |= matches!(came, Came::Written(_) | Came::Bytes(_));
                came
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => self.step(output, buffer, registry),
            Err(_) if !self.has_moved && !self.others.is_empty() => self.try_next(registry),
            Err(error) => Came::Failed(error.to_string()),
        }
    }

    fn try_next(&mut self, registry: &Registry) -> Came {
        let others = std::mem::take(&mut self.others);
        // One that can't be taken back is closed by being dropped.
        let _ = registry.deregister(&mut self.stream);
        match Fetching::connect(others, self.token, registry) {
            Ok(next) => {
                *self = next;
                Came::Nothing
            }
            Err(error) => Came::Failed(error.to_string()),
        }
    }
}

fn open(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}

/// The connection isn't made yet, or there is nothing for now.
fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected)
}
