//! A namespace as a graph in the languages of other tools. Draws nothing.
