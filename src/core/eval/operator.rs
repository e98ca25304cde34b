//! Operators: functions of one or two values. Evaluates nothing, and changes nothing if it has to wait.

use crate::codec::integer;
use crate::codec::schema::{Number, Type, Types};
use crate::core::eval::heap::{Heap, Value};
use crate::core::eval::select::{element, list_len};
use crate::core::eval::stop::{Eval, Stop};
use crate::expr::arena::{Exprs, Operator};
use crate::ids::TypeId;
use std::cmp::Ordering;

/// What operators look at.
pub struct Operands<'o> {
    pub heap: &'o mut Heap,
    pub exprs: &'o Exprs,
    pub types: &'o Types,
    pub op: Operator,
    /// Type of the operands.
    pub ty: TypeId,
}

impl Operands<'_> {
    /// A function of one value.
    pub fn unary(&mut self, value: Value) -> Eval<Value> {
        let value = self.heap.look(value)?;
        match (self.op, value) {
            (Operator::Not, Value::Bool(value)) => Ok(Value::Bool(!value)),
            (Operator::Real, _) => match float(value) {
                Some(value) => Ok(Value::Float(value)),
                None => Err(self.unfit(value)),
            },
            (Operator::Length, _) => Ok(Value::Int(list_len(value, "length")? as i64)),
            (Operator::Concat, _) => {
                let mut lists = Vec::new();
                for position in 0..list_len(value, "concat")? {
                    lists.push(self.heap.look(element(self.heap, value, position))?);
                }
                self.join(&lists)
            }
            _ => Err(self.unfit(value)),
        }
    }

    /// A function of two values.
    pub fn binary(&mut self, left: Value, right: Value) -> Eval<Value> {
        let (left, right) = (self.heap.look(left)?, self.heap.look(right)?);
        let order = |found: fn(Ordering) -> bool| found;
        let is_so = match self.op {
            Operator::Equal => return Ok(Value::Bool(self.are_equal(left, right)?)),
            Operator::Unequal => return Ok(Value::Bool(!self.are_equal(left, right)?)),
            Operator::Less => order(Ordering::is_lt),
            Operator::AtMost => order(Ordering::is_le),
            Operator::Greater => order(Ordering::is_gt),
            Operator::AtLeast => order(Ordering::is_ge),
            Operator::Append => return self.append(left, right),
            Operator::Zip => return self.zip(left, right),
            _ => return self.calculate(left, right),
        };
        // What is not a number is neither more nor less.
        Ok(Value::Bool(self.compare(left, right)?.is_some_and(is_so)))
    }

    fn calculate(&mut self, left: Value, right: Value) -> Eval<Value> {
        if let (Value::Float(_), _) | (_, Value::Float(_)) = (left, right) {
            let (Some(a), Some(b)) = (float(left), float(right)) else {
                return Err(self.unfit(if float(left).is_none() { left } else { right }));
            };
            let value = match self.op {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                Operator::Divide => a / b,
                Operator::Quotient => (a / b).floor(),
                _ => a - (a / b).floor() * b,
            };
            return Ok(Value::Float(match self.types.node(self.ty) {
                Type::Number(Number::F4) => f64::from(value as f32),
                _ => value,
            }));
        }
        let (a, b) = (self.integer(left)?, self.integer(right)?);
        if b == 0
            && matches!(
                self.op,
                Operator::Divide | Operator::Quotient | Operator::Remainder
            )
        {
            return Err(Stop::raised(format!("{a} is divided by 0")));
        }
        if self.op == Operator::Divide {
            return Ok(Value::Float(a as f64 / b as f64));
        }
        let value = match self.op {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            // Rounded down, as the remainder has the sign of the divisor.
            _ => a.checked_div(b).map(|quotient| {
                let rest = a - quotient * b;
                match (self.op, rest != 0 && (rest < 0) != (b < 0)) {
                    (Operator::Quotient, is_above) => quotient - i128::from(is_above),
                    (_, true) => rest + b,
                    (_, false) => rest,
                }
            }),
        };
        let (least, most) = match self.types.node(self.ty) {
            Type::Number(kind) => kind.range(),
            _ => (i128::MIN, i128::MAX),
        };
        match value.filter(|value| (least..=most).contains(value)) {
            Some(value) => self.of_integer(value),
            None => {
                let (name, spelled) = (self.op.name(), self.types.spell(self.ty));
                Err(Stop::raised(format!(
                    "{name} of {a} and {b} is out of range of {spelled}"
                )))
            }
        }
    }

    fn integer(&self, value: Value) -> Eval<i128> {
        match value {
            Value::Int(value) => Ok(value.into()),
            Value::Unsigned(value) => Ok(value.into()),
            Value::Big(digits) => {
                let digits = self.heap.bytes(digits);
                if digits.len() > size_of::<i128>() {
                    let message = "an integer of more than 128 bits is too large for an operator";
                    return Err(Stop::raised(message));
                }
                let sign = digits.first().map_or(0, |first| -i128::from(*first >> 7));
                Ok(digits
                    .iter()
                    .fold(sign, |value, byte| value << 8 | i128::from(*byte)))
            }
            _ => Err(self.unfit(value)),
        }
    }

    fn of_integer(&mut self, value: i128) -> Eval<Value> {
        if let Ok(value) = i64::try_from(value) {
            return Ok(Value::Int(value));
        }
        if let Ok(value) = u64::try_from(value) {
            return Ok(Value::Unsigned(value));
        }
        let digits = value.to_be_bytes();
        Ok(Value::Big(self.heap.add_bytes(integer::minimal(&digits))?))
    }

    fn compare(&self, left: Value, right: Value) -> Eval<Option<Ordering>> {
        Ok(match (left, right) {
            (Value::Float(_), _) | (_, Value::Float(_)) => match (float(left), float(right)) {
                (Some(left), Some(right)) => left.partial_cmp(&right),
                _ => return Err(self.unfit(left)),
            },
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(&right)),
            (Value::Str(_) | Value::Literal(_), Value::Str(_) | Value::Literal(_)) => {
                Some(self.text(left).cmp(self.text(right)))
            }
            _ => Some(self.integer(left)?.cmp(&self.integer(right)?)),
        })
    }

    /// Whether two values have the same structure and parts.
    fn are_equal(&self, left: Value, right: Value) -> Eval<bool> {
        let mut pairs = vec![(left, right)];
        while let Some((left, right)) = pairs.pop() {
            let (left, right) = (self.heap.look(left)?, self.heap.look(right)?);
            let is_equal = match (left, right) {
                (Value::Nil, Value::Nil) => true,
                (Value::Nil, _) | (_, Value::Nil) => false,
                (Value::Big(left), Value::Big(right)) | (Value::Bytes(left), Value::Bytes(right)) => {
                    self.heap.bytes(left) == self.heap.bytes(right)
                }
                (Value::Tuple(left), Value::Tuple(right))
                | (Value::Record(_, left), Value::Record(_, right)) => {
                    let (left, right) = (self.heap.values(left), self.heap.values(right));
                    pairs.extend(left.iter().copied().zip(right.iter().copied()));
                    left.len() == right.len()
                }
                (Value::List(_) | Value::Packed(..), Value::List(_) | Value::Packed(..)) => {
                    let (len, other) = (list_len(left, "equal")?, list_len(right, "equal")?);
                    if len == other {
                        self.heap.reserve(len.saturating_mul(2 * size_of::<Value>()))?;
                        pairs.extend(
                            (0..len).map(|at| (element(self.heap, left, at), element(self.heap, right, at))),
                        );
                    }
                    len == other
                }
                (Value::Closure(..) | Value::Foreign(..), _) => return Err(self.unfit(left)),
                _ => self.compare(left, right)? == Some(Ordering::Equal),
            };
            if !is_equal {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn append(&mut self, left: Value, right: Value) -> Eval<Value> {
        if let (Value::Str(_) | Value::Literal(_), Value::Str(_) | Value::Literal(_)) = (left, right) {
            self.heap
                .reserve(self.text(left).len() + self.text(right).len())?;
            let joined = [self.text(left), self.text(right)].concat();
            return Ok(Value::Str(self.heap.add_text(&joined)?));
        }
        self.join(&[left, right])
    }

    /// The elements of all lists, one list after the other.
    fn join(&mut self, lists: &[Value]) -> Eval<Value> {
        let mut total = 0;
        for list in lists {
            total += list_len(*list, self.op.name())?;
        }
        self.heap.reserve(total.saturating_mul(size_of::<Value>()))?;
        let mut all = Vec::with_capacity(total);
        for list in lists {
            all.extend((0..list_len(*list, "")?).map(|at| element(self.heap, *list, at)));
        }
        Ok(Value::List(self.heap.add_values(all.into_iter())?))
    }

    fn zip(&mut self, left: Value, right: Value) -> Eval<Value> {
        let len = list_len(left, "zip")?.min(list_len(right, "zip")?);
        self.heap.reserve(len.saturating_mul(3 * size_of::<Value>()))?;
        let mut pairs = Vec::with_capacity(len);
        for at in 0..len {
            let pair = [element(self.heap, left, at), element(self.heap, right, at)];
            pairs.push(Value::Tuple(self.heap.add_values(pair.into_iter())?));
        }
        Ok(Value::List(self.heap.add_values(pairs.into_iter())?))
    }

    fn text(&self, value: Value) -> &str {
        match value {
            Value::Str(text) => self.heap.text(text),
            Value::Literal(text) => self.exprs.text(text),
            _ => "",
        }
    }

    #[cold]
    fn unfit(&self, found: Value) -> Stop {
        let (op, spelled) = (self.op.name(), self.types.spell(self.ty));
        let found = found.name();
        Stop::misfit(format!("operator {op} of {spelled} is applied to {found}"))
    }
}

fn float(value: Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(value),
        Value::Int(value) => Some(value as f64),
        Value::Unsigned(value) => Some(value as f64),
        _ => None,
    }
}
