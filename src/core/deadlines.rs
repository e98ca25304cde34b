//! Timers as data: what is due when. Calls nothing back.

use std::collections::VecDeque;

/// A set of timers, each at one time at most.
pub struct Deadlines<T> {
    /// In order: most are set last and due last, or taken first, so that few others move.
    due: VecDeque<(u64, T)>,
}

/// When one timer is due, in milliseconds; kept by what it belongs to, so that it can be found and moved.
pub type Due = Option<u64>;

/// What is due first of two.
pub fn sooner(a: Due, b: Due) -> Due {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl<T: Ord + Copy> Deadlines<T> {
    pub fn new() -> Deadlines<T> {
        Deadlines { due: VecDeque::new() }
    }

    /// Moves a timer, or with none stops it.
    pub fn set(&mut self, timer: T, slot: &mut Due, at_ms: Due) {
        if let Some(old) = std::mem::replace(slot, at_ms)
            && let Ok(place) = self.due.binary_search(&(old, timer))
        {
            self.due.remove(place);
        }
        if let Some(at_ms) = at_ms
            && let Err(place) = self.due.binary_search(&(at_ms, timer))
        {
            self.due.insert(place, (at_ms, timer));
        }
    }

    /// Timers that run.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// When the next timer is due.
    pub fn next_ms(&self) -> Due {
        self.due.front().map(|(at_ms, _)| *at_ms)
    }

    /// Takes a timer that is due. Its slot still says when: the caller moves or stops it.
    pub fn pop(&mut self, now_ms: u64) -> Option<T> {
        let (at_ms, timer) = *self.due.front()?;
        if at_ms > now_ms {
            return None;
        }
        self.due.pop_front();
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_move_and_stop() {
        let mut deadlines = Deadlines::new();
        let (mut first, mut second) = (None, None);
        deadlines.set('a', &mut first, Some(10));
        deadlines.set('b', &mut second, Some(5));
        deadlines.set('b', &mut second, Some(20));
        assert_eq!(deadlines.next_ms(), Some(10));
        assert_eq!(deadlines.pop(9), None);
        assert_eq!(deadlines.pop(10), Some('a'));
        deadlines.set('b', &mut second, None);
        assert_eq!((deadlines.next_ms(), second), (None, None));
    }
}
