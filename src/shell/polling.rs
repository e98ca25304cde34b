//! Where the descriptors of a session are polled: in a poll of its own, or in that of whoever runs it, among others' there.
//! Waits for nothing.

use mio::event::Source;
use mio::{Interest, Poll, Registry, Token};
use std::io;
use std::rc::Rc;

/// Tokens that a session gives are below this bit; the bits from it on tell whoever shares a poll whose they are.
pub const MARK_SHIFT: u32 = 40;
/// What a session itself sees of a token.
pub const OWN_BITS: usize = (1 << MARK_SHIFT) - 1;

/// The poll of a session.
pub enum Polling {
    /// Its own.
    Own(Poll),
    /// Another's, who tells it of the events of tokens with that mark.
    Shared(Rc<Registry>, usize),
}

impl Polling {
    /// Where descriptors are registered.
    pub fn view(&self) -> Polled<'_> {
        match self {
            Polling::Own(poll) => Polled::all(poll.registry()),
            Polling::Shared(registry, mark) => Polled {
                registry,
                mark: *mark,
            },
        }
    }
}

/// The part of a poll that is a session's.
#[derive(Clone, Copy)]
pub struct Polled<'p> {
    registry: &'p Registry,
    mark: usize,
}

impl<'p> Polled<'p> {
    /// All of it.
    pub fn all(registry: &'p Registry) -> Polled<'p> {
        Polled { registry, mark: 0 }
    }

    /// # Errors
    /// The system refuses it.
    pub fn register(
        self,
        source: &mut dyn Source,
        Token(token): Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.registry.register(source, Token(self.mark | token), interest)
    }

    /// # Errors
    /// The system refuses it.
    pub fn reregister(
        self,
        source: &mut dyn Source,
        Token(token): Token,
        interest: Interest,
    ) -> io::Result<()> {
        self.registry
            .reregister(source, Token(self.mark | token), interest)
    }

    /// # Errors
    /// It was not registered.
    pub fn deregister(self, source: &mut dyn Source) -> io::Result<()> {
        self.registry.deregister(source)
    }
}
