//! The life of a pool as one table: what state follows which event, and what has to be done for it. Does none of it.

/// Where a pool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not running, and may be started.
    Idle,
    /// Spawned; has not said hello.
    Starting,
    /// Takes calls.
    Ready,
    /// Asked to finish.
    Draining,
    /// Sent SIGTERM.
    Terminating,
    /// Sent SIGKILL.
    Killed,
    /// Died by itself; may be started again after a while.
    Backoff,
    /// Could not be started, or was ended for a fault; calls fail at once until it may be started again after a while.
    Failed,
}

/// What happens to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A call wants it.
    Start,
    /// It said hello.
    Hello,
    /// It broke the protocol, or its hello is overdue; again once it is gone for that.
    Fault,
    /// It is no longer needed, and nothing runs in it.
    Drain,
    /// It is no longer needed, whatever runs in it.
    Terminate,
    /// The time for the last request to end, or until the next start, is over.
    GraceOver,
    /// Its process ended, or could not be started.
    Exited,
}

/// What an event asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Spawn it.
    Spawn,
    /// Close its workers' connections and ask it to finish.
    SayShutdown,
    /// Send SIGTERM to its group.
    Term,
    /// Send SIGKILL to its group.
    Kill,
}

/// The table. Every pair stands in it, so that a new state or event can't be forgotten.
pub fn next(state: State, event: Event) -> (State, Action) {
    use {Event::*, State::*};
    match (state, event) {
        (Idle, Start) => (Starting, Action::Spawn),
        (Starting, Hello) => (Ready, Action::None),
        // Before its hello a pool does not listen yet, so asking it to finish would only cost the grace.
        (Starting, Fault | Drain | Terminate) => (Terminating, Action::Term),
        (Ready, Drain) => (Draining, Action::SayShutdown),
        (Ready, Fault | Terminate) => (Terminating, Action::Term),
        (Draining, Fault | Terminate | GraceOver) => (Terminating, Action::Term),
        (Terminating | Killed, GraceOver) => (Killed, Action::Kill),
        (Starting, Exited) => (Failed, Action::None),
        (Ready, Exited) => (Backoff, Action::None),
        (Draining | Terminating | Killed, Exited) => (Idle, Action::None),
        (Idle, Fault) => (Failed, Action::None),
        (Backoff | Failed, GraceOver | Drain | Terminate) => (Idle, Action::None),
        (Idle, Hello | Drain | Terminate | GraceOver | Exited)
        | (Starting, Start | GraceOver)
        | (Ready, Start | Hello | GraceOver)
        | (Draining, Start | Hello | Drain)
        | (Terminating | Killed, Start | Hello | Fault | Drain | Terminate)
        | (Backoff | Failed, Start | Hello | Fault | Exited) => (state, Action::None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(events: &[Event], expected: &[State]) {
        let mut state = State::Idle;
        let mut passed = Vec::new();
        for event in events {
            state = next(state, *event).0;
            passed.push(state);
        }
        assert_eq!(passed, expected, "{events:?}");
    }

    #[test]
    fn lives() {
        use {Event::*, State::*};
        check(&[Start, Hello, Drain, Exited], &[Starting, Ready, Draining, Idle]);
        check(
            &[Start, Drain, GraceOver, Exited],
            &[Starting, Terminating, Killed, Idle],
        );
        check(
            &[Start, Fault, Exited, Fault, Start, GraceOver],
            &[Starting, Terminating, Idle, Failed, Failed, Idle],
        );
        check(
            &[Start, Hello, Drain, GraceOver, GraceOver],
            &[Starting, Ready, Draining, Terminating, Killed],
        );
        check(&[Start, Exited, Start, Drain], &[Starting, Failed, Failed, Idle]);
        check(
            &[Start, Hello, Exited, Start, GraceOver],
            &[Starting, Ready, Backoff, Backoff, Idle],
        );
    }
}
