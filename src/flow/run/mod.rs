//! Runs: trees of frames, their packets and answers, deadlines, traces and breakpoints. Does nothing itself in the world.
