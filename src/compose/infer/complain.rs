//! Sentences about types that don't fit: what is there, what was expected, and who expected it. Decides nothing.

use crate::compose::ast::{Node as Tree, NodeId, Op};
use crate::compose::describe::{describe, describe_expected};
use crate::compose::infer::program::Infer;
use crate::compose::types::{Kinds, Mismatch, Ty, kind};
use crate::source::signature::{Flaw, Place};

/// Who expects a type of an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    /// Nobody.
    Free,
    /// That function, as its argument at that position.
    Argument(NodeId, usize),
    /// The list it stands in, at that position.
    Element(usize),
    /// `if`
    Condition,
    /// `?`
    Guard,
    /// The branch before it.
    Branch,
    /// The signature of the definition whose name stands there.
    Signature(Place),
    /// A function, as what it gives.
    Result,
    /// An operator, left or right.
    Left(Op),
    #[allow(missing_docs)]
    Right(Op),
    /// `::`
    Annotation,
    /// The field at that position of that record literal.
    Field(NodeId, usize),
    /// A setter.
    Set,
    /// An index or a slice.
    Index,
    /// A string.
    Interpolated,
}

/// What a function is called that has no name.
pub(super) const NAMELESS: &str = "the function";

impl Infer<'_, '_> {
    /// What people call a function.
    pub fn called(&self, func: NodeId) -> String {
        match self.module.nodes.node(func) {
            Tree::Name(name) => name.clone(),
            Tree::Pattern(_) => "the pattern".into(),
            Tree::Typed(inner, _) | Tree::Apply(inner, _) => self.called(*inner),
            _ => NAMELESS.into(),
        }
    }

    /// A function and its whole type, if it has a name.
    fn signature_of(&mut self, func: NodeId) -> Option<String> {
        let mut func = func;
        while let Tree::Apply(inner, _) | Tree::Typed(inner, _) = self.module.nodes.node(func) {
            func = *inner;
        }
        let Tree::Name(name) = self.module.nodes.node(func) else {
            return None;
        };
        let scheme = self.scheme(self.names.targets[func.0 as usize])?;
        let ty = describe(&mut self.inferred.types, scheme.ty);
        Some(format!("{name} :: {ty}"))
    }

    /// How many characters to point at.
    pub fn len(&self, id: NodeId) -> usize {
        match self.module.nodes.node(id) {
            Tree::Name(text) | Tree::Int(text) | Tree::Real(text) => text.chars().count(),
            Tree::Str(text) => text.chars().count() + 2,
            Tree::Bool(true) => 4,
            Tree::Bool(false) => 5,
            Tree::Apply(func, _) => self.len(*func),
            _ => 1,
        }
    }

    /// A flaw of an expression.
    pub fn at(&self, id: NodeId, message: String) -> Flaw {
        Flaw::new(self.module.nodes.place(id), self.len(id), message)
    }

    /// That an expression has one type where another is expected.
    pub fn misfit(&mut self, id: NodeId, found: Ty, expected: Ty, why: Why, mismatch: Mismatch) {
        let place = self.module.nodes.place(id);
        if mismatch == Mismatch::Exhausted {
            return self.exhausted(place);
        }
        let types = &mut self.inferred.types;
        let kinds = (kind(types.node(found)), kind(types.node(expected)));
        let (is, wanted) = (describe(types, found), describe_expected(types, expected));
        let what = match why {
            Why::Free => "this".into(),
            Why::Argument(func, position) => format!("argument {} of {}", position + 1, self.called(func)),
            Why::Element(position) => format!("element {} of the list", position + 1),
            Why::Condition => "the condition".into(),
            Why::Guard => "the guard".into(),
            Why::Branch => "this branch".into(),
            Why::Signature(_) | Why::Result => "the result".into(),
            Why::Left(op) => format!("the left side of {}", op.sign()),
            Why::Right(op) => format!("the right side of {}", op.sign()),
            Why::Annotation => "this".into(),
            Why::Field(record, position) => match self.module.nodes.node(record) {
                Tree::Record(fields) => format!("field {}", fields[position].0.text),
                _ => "the field".into(),
            },
            Why::Set => "the value that is set".into(),
            Why::Index => "the index".into(),
            Why::Interpolated => "what stands in the string".into(),
        };
        let end = match why {
            Why::Signature(at) => format!("its signature in line {} says {wanted}", at.line),
            Why::Branch => format!(
                "the one before it {}",
                describe(&mut self.inferred.types, expected)
            ),
            Why::Annotation => format!("its annotation says {wanted}"),
            _ => format!("expected {wanted}"),
        };
        let message = match mismatch {
            Mismatch::Infinite => format!("{what} is {is}, which would have to contain itself"),
            _ => format!("{what} is {is}, {end}"),
        };
        let mut flaw = self.at(id, message);
        flaw.hint = self.advice(kinds, why);
        self.complain(flaw);
    }

    fn advice(&mut self, (found, expected): (Kinds, Kinds), why: Why) -> Option<String> {
        if let Why::Left(Op::Divide) | Why::Right(Op::Divide) = why
            && found == Kinds::INTEGER
        {
            return Some("// divides integers; real turns an Int into a Real".into());
        }
        if found == Kinds::INTEGER && expected == Kinds::FLOAT {
            return Some("real turns an Int into a Real".into());
        }
        let around = self.within.last().copied();
        match (why, around) {
            (Why::Argument(func, _), _) => self.signature_of(func),
            (_, Some((func, position))) => {
                let signature = self.signature_of(func)?;
                Some(format!("it is in argument {} of {signature}", position + 1))
            }
            _ => None,
        }
    }
}
