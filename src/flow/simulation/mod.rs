//! The engine in a world that is drawn from a seed.
