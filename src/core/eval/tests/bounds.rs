//! Expressions that are too deep, too long or too large, and random ones: all end, and none in a crash.

use super::build::*;
use crate::codec::schema::Types;
use crate::core::eval::{Budget, Machine, Outcome};
use crate::expr::arena::{Expr, Exprs, Variable};
use crate::ids::ExprId;

/// Wraps the integer 1 in other expressions ten thousand times: what that gives as msgpack, or the error.
fn nest(returns: &str, wrap: impl Fn(&mut Exprs, &mut Types, ExprId) -> Expr) -> String {
    let (mut exprs, mut types) = (Exprs::default(), Types::default());
    let mut id = exprs.add(Expr::Int(1));
    for _ in 0..10_000 {
        let outer = wrap(&mut exprs, &mut types, id);
        id = exprs.add(outer);
    }
    let ty = types.parse(returns).unwrap();
    let mut machine = Machine::new(id, Budget::default());
    let mut out = Vec::new();
    let done = match machine.run(&exprs, &types) {
        Outcome::Done => machine.write_result(&exprs, &types, ty, &mut out),
        Outcome::Raised(error) => Err(error),
    };
    done.map_or_else(|error| error.message, |()| format!("{out:02x?}"))
}

#[test]
fn ten_thousand_levels_do_not_touch_the_machines_stack() {
    let identity = |exprs: &mut Exprs| {
        let body = exprs.add(Expr::Variable(Variable::Local(0)));
        let captures = exprs.add_captures(&[]);
        exprs.add(Expr::Lambda {
            params: 1,
            captures,
            body,
        })
    };
    let called = nest("j", |exprs, _, id| {
        let (func, args) = (identity(exprs), exprs.add_children(&[id]));
        Expr::Apply { func, args }
    });
    assert_eq!(called, "[01]");
    // In the body instead of the argument.
    let returned = nest("j", |exprs, _, id| {
        let captures = exprs.add_captures(&[]);
        let func = exprs.add(Expr::Lambda {
            params: 0,
            captures,
            body: id,
        });
        let args = exprs.add_children(&[]);
        Expr::Apply { func, args }
    });
    assert_eq!(returned, "[01]");
    let named = nest("j", |exprs, _, id| {
        let values = exprs.add_children(&[id]);
        let body = exprs.add(Expr::Variable(Variable::Local(0)));
        Expr::Let { values, body }
    });
    assert_eq!(named, "[01]");
    let caught = nest("j", |_, _, id| Expr::Catch {
        fallible: id,
        fallback: id,
    });
    assert_eq!(caught, "[01]");
    let chosen = nest("j", |exprs, _, id| {
        let cond = exprs.add(Expr::Bool(true));
        Expr::If {
            cond,
            then: id,
            otherwise: id,
        }
    });
    assert_eq!(chosen, "[01]");
    let shown = nest("s", |_, types, child| Expr::Show {
        ty: types.parse("j").unwrap(),
        child,
    });
    assert_eq!(shown, "value to show is a string, expected j");
    // Values nest as deep as expressions do, only not when they are written.
    let listed = nest("&1L[^1L]", |exprs, types, id| {
        let (ty, elements) = (types.parse("[j]").unwrap(), exprs.add_children(&[id]));
        Expr::Container { ty, elements }
    });
    assert_eq!(listed, "value nests deeper than 512 levels");
}

#[test]
fn text_as_deep_as_it_may_be_is_loaded() {
    let deep = (0..500).fold(str("boom"), |inner, _| {
        format!(r#"{{"tag":"throw","msg":{inner}}}"#)
    });
    check(deep, "j", "raised: boom");
    let functions = (0..250).fold(var("x"), |inner, _| lambda(&["y"], inner));
    let captured = bind("x", int(7), app(functions, &vec![int(0); 250]));
    check(captured, "j", "7");
}

#[test]
fn endless_loops_use_up_a_budget() {
    let twice = || lambda(&["x"], app(var("x"), &[var("x")]));
    let steps = "raised: evaluation takes more than 100000 steps, the limit of an expression";
    check(app(twice(), &[twice()]), "j", steps);
    // A budget can't be caught, or it would be none.
    check(catch(app(twice(), &[twice()]), int(1)), "j", steps);
    // What is left to do after each call takes memory.
    let growing = || lambda(&["x"], container("[j]", &[app(var("x"), &[var("x")])]));
    let (text, budget) = (
        app(growing(), &[growing()]),
        Budget {
            steps_max: u64::MAX,
            ..BUDGET
        },
    );
    let bytes = "raised: evaluation needs more than 1048576 bytes, the limit of an expression";
    assert_eq!(evaluate_within(budget, &text, &[], "j"), bytes);
    assert_eq!(evaluate_within(budget, &catch(text, int(1)), &[], "j"), bytes);
}

#[test]
fn doubling_uses_up_the_size_budget() {
    let bytes = "raised: evaluation needs more than 1048576 bytes, the limit of an expression";
    // `it` is what came before.
    let doubled = |first: String, double: String| {
        let named = |level: usize| double.replace("\"it\"", &format!("\"x{level}\""));
        let lets = (0..40).rev().fold(var("x40"), |body, level| {
            bind(&format!("x{}", level + 1), named(level), body)
        });
        bind("x0", first, lets)
    };
    let list = doubled(ints(&[1]), container("[j]", &[var("it"), var("it")]));
    let schema = format!("{}j{}", "[".repeat(41), "]".repeat(41));
    check(list, &schema, bytes);
    let text = doubled(
        str("a"),
        app(interpolation(&["", "", ""]), &[var("it"), var("it")]),
    );
    check(text, "s", bytes);
    let copies = map(
        lambda(&["x"], slice([None, None, Some(-1)], var("xs"))),
        var("xs"),
    );
    let many = format!("[{}0]", "0,".repeat(1_000));
    check_with(lambda(&["xs"], copies), &[("[j]", &many)], "[[j]]", bytes);
}

/// A random expression; most are wrong in some way.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pick<'p>(&mut self, from: &[&'p str]) -> &'p str {
        from[self.below(from.len() as u64) as usize]
    }

    fn exprs(&mut self, depth: u32) -> Vec<String> {
        (0..self.below(4)).map(|_| self.expr(depth)).collect()
    }

    fn schema(&mut self) -> &'static str {
        self.pick(&[
            "j",
            "s",
            "b",
            "f8",
            "u1",
            "[j]",
            "[u1]",
            "(j,s)",
            "{x:j,y:[j]}",
            "?j",
            "z",
            "&1L[^1L]",
            "\\\\(j)j",
        ])
    }

    fn pattern(&mut self, depth: u32) -> String {
        match self.below(if depth == 0 { 1 } else { 4 }) {
            0 => END.into(),
            1 => {
                let sub = self.pattern(depth - 1);
                select(&[(self.pick(&["x", "y", "z"]), &sub)])
            }
            _ => {
                let (first, second) = (self.pattern(depth - 1), self.pattern(depth - 1));
                select(&[
                    (self.pick(&["0", "1", "2"]), &first),
                    (self.pick(&["0", "1"]), &second),
                ])
            }
        }
    }

    fn expr(&mut self, depth: u32) -> String {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        if depth == 0 {
            return match self.below(4) {
                0 => int(self.below(5) as i64 - 2),
                1 => str(self.pick(&["", "é", "1", "[1,2]", "null"])),
                2 => lit("b", self.pick(&["0", "1"])),
                _ => var(self.pick(&NAMES)),
            };
        }
        let depth = depth - 1;
        match self.below(22) {
            0 => lit(
                self.schema(),
                self.pick(&["1", "-300", "[1]", "true", "99999999999999999999"]),
            ),
            1 => ints(&[1, 2, 3]),
            2 => {
                let elements = self.exprs(depth);
                container(self.schema(), &elements)
            }
            3 | 4 => {
                let args = self.exprs(depth);
                app(self.expr(depth), &args)
            }
            5 | 6 => {
                let vars = [self.pick(&NAMES), self.pick(&NAMES)];
                lambda(&vars[..self.below(3) as usize], self.expr(depth))
            }
            7 => bind(self.pick(&NAMES), self.expr(depth), self.expr(depth)),
            8 => interpolation(&["<", "|", ">"][..self.below(4) as usize]),
            9 => pattern(&self.pattern(3)),
            10 => map(self.expr(depth), self.expr(depth)),
            11 => conditional(self.expr(depth), self.expr(depth), self.expr(depth)),
            12 => match self.below(2) {
                0 => show(self.expr(depth)),
                _ => read(self.schema(), self.expr(depth)),
            },
            13 => match self.below(2) {
                0 => catch(self.expr(depth), self.expr(depth)),
                _ => throw(self.pick(&["", "boom"])),
            },
            14 => {
                let list = self.expr(depth);
                format!(
                    r#"{{"tag":"fold","func":{},"init":{},"list":{list}}}"#,
                    self.expr(depth),
                    self.expr(depth)
                )
            }
            15 => format!(
                r#"{{"tag":"filter","func":{},"list":{}}}"#,
                self.expr(depth),
                self.expr(depth)
            ),
            16 => {
                let (func, list, collect) = (self.expr(depth), self.expr(depth), self.below(2) == 0);
                format!(
                    r#"{{"tag":"pmap","width":{},"func":{func},"list":{list},"collect":{collect}}}"#,
                    int(2)
                )
            }
            17 => format!(r#"{{"tag":"race","elements":[{}]}}"#, self.exprs(depth).join(",")),
            18 => {
                let tag = self.pick(&["next", "beside"]);
                format!(
                    r#"{{"tag":"{tag}","first":{},"then":{}}}"#,
                    self.expr(depth),
                    self.expr(depth)
                )
            }
            19 => {
                let name = self.pick(&[
                    "add", "quotient", "append", "equal", "less", "concat", "zip", "real",
                ]);
                format!(r#"{{"tag":"op","op":"{name}","schema":"{}"}}"#, self.schema())
            }
            20 => format!(r#"{{"tag":"try","child":{}}}"#, self.expr(depth)),
            _ => match self.below(2) {
                0 => index(),
                _ => slice([Some(self.below(5) as i64 - 2), None, None], self.expr(depth)),
            },
        }
    }
}

#[test]
fn no_random_expression_crashes() {
    let (mut malformed, mut failed, mut done) = (0, 0, 0);
    for seed in 1..=4_000 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let body = random.expr(1 + (seed % 5) as u32);
        // With its names bound, more of them can be run.
        let expr = lambda(&["a", "b", "c", "d"], body);
        let args = [
            ("j", "1"),
            ("[j]", "[1,2]"),
            ("{x:j,y:[j]}", "{\"x\":1,\"y\":[2]}"),
            ("s", "\"t\""),
        ];
        let found = evaluate(&expr, &args, &random.schema().replace("\\\\", "\\"));
        match found.split_once(": ") {
            // It gave a value, only not one of the type that was asked for.
            Some(("manifest", message)) if message.starts_with("result") => done += 1,
            Some(("malformed", _)) => malformed += 1,
            Some(("raised" | "manifest", _)) => failed += 1,
            _ => done += 1,
        }
    }
    assert!(
        failed > 400 && done > 400,
        "{malformed} malformed, {failed} failed, {done} done"
    );
}
