//! sim
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bug {
    AnswerTwice,
}
