//! Names in scope while an expression is loaded, turned into slots and captures. Knows no syntax.

use crate::expr::arena::Variable;
use crate::map::{Map, Names};

/// The variables around one place of an expression.
#[derive(Debug, Default)]
pub struct Scope<'n> {
    names: Names,
    /// Every name, and where it is bound, innermost last.
    bound: Vec<(&'n str, Vec<Binding>)>,
    /// The lambdas around this place, innermost last; the first stands for the command itself.
    functions: Vec<Function>,
    /// Captures of all open functions together.
    captured: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Binding {
    function: usize,
    slot: u32,
}

#[derive(Debug, Default)]
struct Function {
    locals: u32,
    captures: Vec<Variable>,
    known: Map<Binding, u32>,
}

impl<'n> Scope<'n> {
    /// Opens a function with those parameters.
    pub fn enter(&mut self, params: &[&'n str]) {
        self.functions.push(Function::default());
        for param in params {
            self.bind(param);
        }
    }

    /// Closes the function that was opened last and returns its captures, as seen from around it.
    pub fn leave(&mut self, params: &[&'n str]) -> Vec<Variable> {
        for param in params {
            self.unbind(param);
        }
        let captures = self.functions.pop().unwrap_or_default().captures;
        self.captured -= captures.len();
        captures
    }

    /// Gives a name the next slot of the innermost function.
    pub fn bind(&mut self, name: &'n str) {
        let level = self.functions.len() - 1;
        let function = &mut self.functions[level];
        let binding = Binding {
            function: level,
            slot: function.locals,
        };
        function.locals += 1;
        match self.names.get(name) {
            Some(known) => self.bound[*known as usize].1.push(binding),
            None => {
                self.names.insert(name.into(), self.bound.len() as u32);
                self.bound.push((name, vec![binding]));
            }
        }
    }

    /// Forgets the latest binding of a name, which is also the latest of its function.
    pub fn unbind(&mut self, name: &'n str) {
        let known = self.names.get(name).copied();
        if let Some(binding) = known.and_then(|known| self.bound[known as usize].1.pop()) {
            self.functions[binding.function].locals -= 1;
        }
    }

    /// Where the value of a name is, seen from here; every function between captures it.
    pub fn resolve(&mut self, name: &str) -> Option<Variable> {
        let known = *self.names.get(name)?;
        let binding = *self.bound[known as usize].1.last()?;
        let mut variable = Variable::Local(binding.slot);
        for function in &mut self.functions[binding.function + 1..] {
            let next = function.captures.len() as u32;
            let position = *function.known.or_insert_with(binding, || next);
            if position == next {
                function.captures.push(variable);
                self.captured += 1;
            }
            variable = Variable::Captured(position);
        }
        Some(variable)
    }

    /// How many captures are held here, which [`crate::expr::arena::Exprs::size`] does not count yet.
    pub fn captured(&self) -> usize {
        self.captured
    }

    /// The names in scope.
    pub fn names(&self) -> impl Iterator<Item = &'n str> {
        let bound = self.bound.iter().filter(|(_, bindings)| !bindings.is_empty());
        bound.map(|(name, _)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Variable::{Captured, Local};

    #[test]
    fn every_lambda_between_captures() {
        let mut scope = Scope::default();
        scope.enter(&["a", "b"]);
        scope.bind("c");
        scope.enter(&["d"]);
        scope.enter(&[]);
        assert_eq!(scope.resolve("d"), Some(Captured(0)));
        assert_eq!(scope.resolve("c"), Some(Captured(1)));
        assert_eq!(scope.resolve("d"), Some(Captured(0)));
        assert_eq!(scope.resolve("e"), None);
        assert_eq!(scope.captured(), 3);
        assert_eq!(scope.leave(&[]), [Local(0), Captured(0)]);
        assert_eq!(scope.resolve("d"), Some(Local(0)));
        assert_eq!(scope.resolve("b"), Some(Captured(1)));
        assert_eq!(scope.leave(&["d"]), [Local(2), Local(1)]);
        assert_eq!(scope.resolve("d"), None);
        assert_eq!(scope.captured(), 0);
    }

    #[test]
    fn inner_names_hide_outer_ones() {
        let mut scope = Scope::default();
        scope.enter(&["x"]);
        scope.bind("x");
        assert_eq!(scope.resolve("x"), Some(Local(1)));
        scope.unbind("x");
        assert_eq!(scope.resolve("x"), Some(Local(0)));
        scope.bind("y");
        assert_eq!(scope.resolve("y"), Some(Local(1)));
        assert_eq!(scope.names().collect::<Vec<_>>(), ["x", "y"]);
    }
}
