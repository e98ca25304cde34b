//! The life of one generation of a deployment as one table: what state follows which event, and what has to be asked of the
//! shell for it. Asks nothing itself.

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing of it is there yet: it waits for its first call, or for its turn.
    Staged,
    /// The shell loads it.
    Loading,
    /// Takes calls.
    Ready,
    /// Loaded, but a pool of it has died too often: takes no calls for a while.
    Degraded,
    /// Takes no new calls, and ends those that it has.
    Draining,
    /// The shell unloads it.
    Unloading,
    /// It could not be loaded, and the shell clears up what there is of it.
    Failed,
    /// Nothing of it is there any more.
    Gone,
}

/// What happens to a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is wanted, and has its turn.
    Load,
    /// The shell has loaded it.
    Loaded,
    /// The shell could not load it, or takes too long.
    LoadFailed,
    /// A pool of it is left alone for a while.
    LeftAlone,
    /// All its pools may be started again.
    Back,
    /// It is no longer wanted.
    Drain,
    /// No call runs in it.
    Idle,
    /// It is no longer wanted, whatever runs in it; or its time to end its calls is over.
    Terminate,
    /// The shell has unloaded it.
    Unloaded,
}

/// What an event asks of the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// Load it.
    Load,
    /// Unload it: nothing runs in it.
    Unload,
    /// Unload it, whatever runs in it, and give up loading it.
    UnloadAtOnce,
}

impl State {
    /// The state as people and programs read it.
    pub fn name(self) -> &'static str {
        match self {
            State::Staged => "staged",
            State::Loading => "loading",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Draining => "draining",
            State::Unloading => "unloading",
            State::Failed => "failed",
            State::Gone => "gone",
        }
    }

    /// Whether a generation in it is about to be gone, and takes no new calls.
    pub fn is_leaving(self) -> bool {
        matches!(self, State::Draining | State::Unloading | State::Failed)
    }
}

/// The table. Every pair stands in it, so that a new state or event can't be forgotten.
pub fn next(state: State, event: Event) -> (State, Action) {
    use {Event::*, State::*};
    match (state, event) {
        (Staged, Load) => (Loading, Action::Load),
        (Staged, Drain | Terminate) => (Gone, Action::None),
        (Loading, Loaded) => (Ready, Action::None),
        (Loading, LoadFailed) => (Failed, Action::UnloadAtOnce),
        // It has no calls yet, so there is nothing to wait for.
        (Loading, Drain | Terminate) => (Unloading, Action::UnloadAtOnce),
        (Ready, LeftAlone) => (Degraded, Action::None),
        (Degraded, Back) => (Ready, Action::None),
        (Ready | Degraded, Drain) => (Draining, Action::None),
        (Draining, Idle) => (Unloading, Action::Unload),
        (Ready | Degraded | Draining, Terminate) => (Unloading, Action::UnloadAtOnce),
        (Unloading | Failed, Unloaded) => (Gone, Action::None),
        (Staged, Loaded | LoadFailed | LeftAlone | Back | Idle | Unloaded)
        | (Loading, Load | LeftAlone | Back | Idle | Unloaded)
        | (Ready, Load | Loaded | LoadFailed | Back | Idle | Unloaded)
        | (Degraded, Load | Loaded | LoadFailed | LeftAlone | Idle | Unloaded)
        | (Draining, Load | Loaded | LoadFailed | LeftAlone | Back | Drain | Unloaded)
        | (Unloading | Failed, Load | Loaded | LoadFailed | LeftAlone | Back | Drain | Idle | Terminate)
        | (Gone, Load | Loaded | LoadFailed | LeftAlone | Back | Drain | Idle | Terminate | Unloaded) => {
            (state, Action::None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words are the states passed through, with `+` where the shell is asked to load, `-` and `!` to unload, later or at once.
    fn check(events: &[Event], expected: &str) {
        let mut state = State::Staged;
        let mut passed = Vec::new();
        for event in events {
            let (after, action) = next(state, *event);
            state = after;
            let sign = match action {
                Action::None => "",
                Action::Load => "+",
                Action::Unload => "-",
                Action::UnloadAtOnce => "!",
            };
            passed.push(format!("{}{sign}", state.name()));
        }
        assert_eq!(passed.join(" "), expected, "{events:?}");
    }

    #[test]
    fn lives() {
        use Event::*;
        check(
            &[Load, Loaded, Drain, Idle, Unloaded],
            "loading+ ready draining unloading- gone",
        );
        check(
            &[Load, Loaded, Drain, Terminate, Idle, Unloaded],
            "loading+ ready draining unloading! unloading gone",
        );
        check(
            &[Load, LoadFailed, Drain, Unloaded],
            "loading+ failed! failed gone",
        );
        // Unloading once is enough, however late the shell's answer to the load.
        check(
            &[Load, Drain, Loaded, LoadFailed, Terminate, Unloaded],
            "loading+ unloading! unloading unloading unloading gone",
        );
        check(
            &[Load, Loaded, LeftAlone, LeftAlone, Back, Terminate],
            "loading+ ready degraded degraded ready unloading!",
        );
        check(
            &[Load, Loaded, LeftAlone, Drain, Back, Idle],
            "loading+ ready degraded draining draining unloading-",
        );
        check(&[Drain, Load, Loaded], "gone gone gone");
    }

    #[test]
    fn from_every_state_the_end_is_reached_with_one_unload_for_each_load() {
        use {Event::*, State::*};
        let events = [
            Load, Loaded, LoadFailed, LeftAlone, Back, Drain, Idle, Terminate, Unloaded,
        ];
        // What is owed to the shell for a generation in a state.
        let owes = |state: State| matches!(state, Loading | Ready | Degraded | Draining);
        for state in [
            Staged, Loading, Ready, Degraded, Draining, Unloading, Failed, Gone,
        ] {
            for event in events {
                let (after, action) = next(state, event);
                let expected = match (owes(state), owes(after)) {
                    (false, true) => vec![Action::Load],
                    (true, false) => vec![Action::Unload, Action::UnloadAtOnce],
                    _ => vec![Action::None],
                };
                assert!(expected.contains(&action), "{state:?} {event:?} {action:?}");
            }
            let (after, _) = next(next(state, Terminate).0, Unloaded);
            assert_eq!(after, Gone, "{state:?} can be deleted");
        }
    }
}
