//! Random well-typed compositions give the same values when they are compiled and evaluated as when they are translated to
//! Python word by word. Calls no pool; needs `python3`, and passes without it.

use nexus::codec::document::Document;
use nexus::codec::schema::Types;
use nexus::codec::transcode::{Style, msgpack_to_json};
use nexus::compose::compile::compile;
use nexus::compose::compiled::Body;
use nexus::compose::parser::parse;
use nexus::core::eval;
use nexus::expr::arena::Exprs;
use nexus::expr::load::load;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// What every composition begins with; the same in Python stands in [`PRELUDE`].
const HEAD: &str = "\
module m (result)
record Person = Person { name :: Str, age :: Int }
twice f x = f (f x)
swap f x y = f y x
pair x y = (x, y)
both = \\f g -> \\x -> (f x, g x)
inc = add 1
add x y = x + y
sum3 :: Int -> Int -> Int -> Int
sum3 a b c = a + b * 2 + c where
  _unused = a
sign :: Int -> Str
sign n ? n > 0 = \"positive\" ? n < 0 = \"negative\" ? _ = \"zero\"
birthday :: Person -> Person
birthday p = .(.age = .age p + 1) p
primes = [2, 3, 5, 7, 11]
";

const PRELUDE: &str = "\
import json, sys, functools
def show(v): return json.dumps(v, separators=(',', ':'), ensure_ascii=False)
def twice(f, x): return f(f(x))
def sum3(a, b, c): return a + b * 2 + c
def sign(n): return 'positive' if n > 0 else 'negative' if n < 0 else 'zero'
def birthday(p): return {**p, 'age': p['age'] + 1}
def fold(f, z, xs):
    for x in xs: z = f(z, x)
    return z
def fails(): raise ValueError
def either(f, g):
    try: return f()
    except ValueError: return g()
primes = [2, 3, 5, 7, 11]
";

/// Compositions of one run; a few seconds.
const COUNT: u64 = 1500;

#[derive(Clone, PartialEq)]
enum Type {
    Int,
    Real,
    Bool,
    Str,
    Person,
    List(Box<Type>),
    Pair(Box<Type>, Box<Type>),
    Optional(Box<Type>),
}

/// An expression in both languages, in parentheses where it needs them.
struct Both {
    loc: String,
    py: String,
}

fn both(loc: impl Into<String>, py: impl Into<String>) -> Both {
    Both {
        loc: loc.into(),
        py: py.into(),
    }
}

/// xorshift64*: a seed gives the same run everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

struct Writer {
    chance: Chance,
    /// Names in scope and their types.
    scope: Vec<(String, Type)>,
    names: u32,
}

impl Writer {
    fn ty(&mut self, depth: u32) -> Type {
        let kinds = if depth == 0 { 5 } else { 8 };
        match self.chance.below(kinds) {
            0 => Type::Int,
            1 => Type::Real,
            2 => Type::Bool,
            3 => Type::Str,
            4 => Type::Person,
            5 => Type::List(Box::new(self.ty(depth - 1))),
            6 => Type::Pair(Box::new(self.ty(depth - 1)), Box::new(self.ty(depth - 1))),
            _ => match self.ty(depth - 1) {
                Type::Optional(inner) => Type::Optional(inner),
                inner => Type::Optional(Box::new(inner)),
            },
        }
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// A variable of that type, if there is one.
    fn variable(&mut self, ty: &Type) -> Option<Both> {
        let fitting: Vec<&String> = self
            .scope
            .iter()
            .filter(|row| row.1 == *ty)
            .map(|row| &row.0)
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let chosen = self.chance.below(fitting.len() as u64) as usize;
        Some(both(fitting[chosen], fitting[chosen]))
    }

    /// A function of one argument.
    fn function(&mut self, from: &Type, to: &Type, depth: u32) -> Both {
        let name = self.name();
        self.scope.push((name.clone(), from.clone()));
        let body = self.expression(to, depth);
        self.scope.pop();
        both(
            // What is unknown becomes what it is first used as: told before, it can be used as null or it, too.
            format!(
                "(\\p{name} -> let {name} = p{name} :: {} in ({} :: {}))",
                written(from),
                body.loc,
                written(to)
            ),
            format!("(lambda {name}: {})", body.py),
        )
    }

    /// An expression of that type.
    fn expression(&mut self, ty: &Type, depth: u32) -> Both {
        if self.chance.below(4) == 0
            && let Some(variable) = self.variable(ty)
        {
            return variable;
        }
        if depth == 0 {
            return self.literal(ty);
        }
        let below = depth - 1;
        match self.chance.below(12) {
            0 => {
                let (cond, then) = (self.expression(&Type::Bool, below), self.expression(ty, below));
                let otherwise = self.expression(ty, below);
                both(
                    format!("(if {} then {} else {})", cond.loc, then.loc, otherwise.loc),
                    format!("({} if {} else {})", then.py, cond.py, otherwise.py),
                )
            }
            1 => {
                let bound = self.ty(1);
                let (value, name) = (self.expression(&bound, below), self.name());
                self.scope.push((name.clone(), bound.clone()));
                let body = self.expression(ty, below);
                self.scope.pop();
                let loc = match self.chance.below(2) {
                    0 => format!(
                        "(let {name} = {} :: {} in {})",
                        value.loc,
                        written(&bound),
                        body.loc
                    ),
                    _ => format!(
                        "((\\{name} -> {}) ({} :: {}))",
                        body.loc,
                        value.loc,
                        written(&bound)
                    ),
                };
                both(loc, format!("(lambda {name}: {})({})", body.py, value.py))
            }
            2 => {
                // The same function at two types.
                let (other, name) = (self.ty(0), self.name());
                let (first, second) = (self.expression(ty, below), self.expression(&other, below));
                both(
                    format!(
                        "(let {name} x = (x, 1) in .0 (.0 ({name} {}, {name} {})))",
                        first.loc, second.loc
                    ),
                    format!("(lambda a, b: a)({}, {})", first.py, second.py),
                )
            }
            3 => {
                let other = self.ty(1);
                let (first, second) = (self.expression(ty, below), self.expression(&other, below));
                both(
                    format!(
                        "(.1 (swap pair ({} :: {}) {}))",
                        first.loc,
                        written(ty),
                        second.loc
                    ),
                    format!("(lambda a, b: a)({}, {})", first.py, second.py),
                )
            }
            4 => {
                let from = self.ty(1);
                let (func, arg) = (self.function(&from, ty, below), self.expression(&from, below));
                let (step, name) = (self.function(&from, &from, below), self.name());
                both(
                    format!(
                        "(({} . {}) ({} :: {}))",
                        func.loc,
                        step.loc,
                        arg.loc,
                        written(&from)
                    ),
                    format!("(lambda {name}: {}({}({name})))({})", func.py, step.py, arg.py),
                )
            }
            5 => {
                let value = self.expression(ty, below);
                both(
                    format!("(throw \"no\" || {})", value.loc),
                    format!("either(fails, lambda: {})", value.py),
                )
            }
            6 => {
                let (step, value) = (self.function(ty, ty, below), self.expression(ty, below));
                both(
                    format!("(twice {} ({} :: {}))", step.loc, value.loc, written(ty)),
                    format!("twice({}, {})", step.py, value.py),
                )
            }
            _ => self.special(ty, below),
        }
    }

    fn special(&mut self, ty: &Type, depth: u32) -> Both {
        match ty {
            Type::Int => self.int(depth),
            Type::Real => self.real(depth),
            Type::Bool => self.boolean(depth),
            Type::Str => self.text(depth),
            Type::Person => {
                let person = self.expression(ty, depth);
                match self.chance.below(2) {
                    0 => both(
                        format!("(birthday {})", person.loc),
                        format!("birthday({})", person.py),
                    ),
                    _ => {
                        let name = self.expression(&Type::Str, depth);
                        both(
                            format!("(.(.name = {}) ({} :: Person))", name.loc, person.loc),
                            format!("{{**{}, 'name': {}}}", person.py, name.py),
                        )
                    }
                }
            }
            Type::List(element) => self.list(element, depth),
            Type::Pair(left, right) => {
                let (a, b) = (self.expression(left, depth), self.expression(right, depth));
                match self.chance.below(2) {
                    0 => both(
                        format!("(pair {} {})", a.loc, b.loc),
                        format!("({}, {})", a.py, b.py),
                    ),
                    _ => both(format!("({}, {})", a.loc, b.loc), format!("({}, {})", a.py, b.py)),
                }
            }
            Type::Optional(inner) => self.expression(inner, depth).typed(inner),
        }
    }

    fn int(&mut self, depth: u32) -> Both {
        let (a, b) = (
            self.expression(&Type::Int, depth),
            self.expression(&Type::Int, depth),
        );
        match self.chance.below(10) {
            0 => both(
                format!("({} + {})", a.loc, b.loc),
                format!("({} + {})", a.py, b.py),
            ),
            1 => both(
                format!("(({} - {}) % 1000)", a.loc, b.loc),
                format!("(({} - {}) % 1000)", a.py, b.py),
            ),
            2 => both(
                format!("({} % 97 * ({} % -89))", a.loc, b.loc),
                format!("({} % 97 * ({} % -89))", a.py, b.py),
            ),
            3 => both(format!("({} // -7)", a.loc), format!("({} // -7)", a.py)),
            4 => both(format!("(inc {})", a.loc), format!("(1 + {})", a.py)),
            5 => both(
                format!("((sum3 {} 3) {})", a.loc, b.loc),
                format!("sum3({}, 3, {})", a.py, b.py),
            ),
            6 => {
                let list = self.expression(&Type::List(Box::new(Type::Str)), depth);
                both(format!("(length {})", list.loc), format!("len({})", list.py))
            }
            7 => {
                let list = self.expression(&Type::List(Box::new(Type::Int)), depth);
                let (acc, item) = (self.name(), self.name());
                both(
                    format!(
                        "(fold (\\{acc} {item} -> ({acc} + {item}) % 1000) {} {})",
                        a.loc, list.loc
                    ),
                    format!(
                        "fold(lambda {acc}, {item}: ({acc} + {item}) % 1000, {}, {})",
                        a.py, list.py
                    ),
                )
            }
            8 => {
                let person = self.expression(&Type::Person, depth);
                both(
                    format!("(.age ({} :: Person))", person.loc),
                    format!("{}['age']", person.py),
                )
            }
            _ => both(
                format!("(.[-2] primes + (read (show {}) :: Int))", a.loc),
                format!("(7 + {})", a.py),
            ),
        }
    }

    fn real(&mut self, depth: u32) -> Both {
        let (a, b) = (
            self.expression(&Type::Real, depth),
            self.expression(&Type::Real, depth),
        );
        match self.chance.below(5) {
            0 => both(
                format!("({} + {})", a.loc, b.loc),
                format!("({} + {})", a.py, b.py),
            ),
            1 => both(
                format!("({} - {})", a.loc, b.loc),
                format!("({} - {})", a.py, b.py),
            ),
            2 => both(format!("({} * 0.25)", a.loc), format!("({} * 0.25)", a.py)),
            3 => both(format!("({} / 3)", a.loc), format!("({} / 3)", a.py)),
            _ => {
                let whole = self.expression(&Type::Int, depth);
                both(
                    format!("(real {} + {})", whole.loc, b.loc),
                    format!("({} + {})", whole.py, b.py),
                )
            }
        }
    }

    fn boolean(&mut self, depth: u32) -> Both {
        let (a, b) = (
            self.expression(&Type::Bool, depth),
            self.expression(&Type::Bool, depth),
        );
        match self.chance.below(6) {
            0 => both(format!("(not {})", a.loc), format!("(not {})", a.py)),
            1 => both(
                format!("(and {} {})", a.loc, b.loc),
                format!("({} and {})", a.py, b.py),
            ),
            2 => both(
                format!("(or {} {})", a.loc, b.loc),
                format!("({} or {})", a.py, b.py),
            ),
            kind => {
                let ty = match kind {
                    3 => Type::Int,
                    4 => Type::Str,
                    _ => self.ty(1),
                };
                let (c, d) = (self.expression(&ty, depth), self.expression(&ty, depth));
                let ordered = ["<", "<=", ">", ">=", "==", "!="];
                let sign = match kind {
                    3 | 4 => ordered[self.chance.below(6) as usize],
                    _ => ordered[4 + self.chance.below(2) as usize],
                };
                both(
                    format!("(({} :: {}) {sign} {})", c.loc, written(&ty), d.loc),
                    format!("({} {sign} {})", c.py, d.py),
                )
            }
        }
    }

    fn text(&mut self, depth: u32) -> Both {
        let (a, b) = (
            self.expression(&Type::Str, depth),
            self.expression(&Type::Str, depth),
        );
        match self.chance.below(5) {
            0 => both(
                format!("({} <> {})", a.loc, b.loc),
                format!("({} + {})", a.py, b.py),
            ),
            1 => {
                let number = self.expression(&Type::Int, depth);
                both(
                    format!("\"<#{{{}}}|#{{{}}}>\"", a.loc, number.loc),
                    format!("('<' + {} + '|' + show({}) + '>')", a.py, number.py),
                )
            }
            2 => {
                let list = Type::List(Box::new(Type::Pair(Box::new(Type::Bool), Box::new(Type::Str))));
                let list = self.expression(&list, depth);
                both(format!("(show {})", list.loc), format!("show({})", list.py))
            }
            3 => {
                let number = self.expression(&Type::Int, depth);
                both(format!("(sign {})", number.loc), format!("sign({})", number.py))
            }
            _ => {
                let person = self.expression(&Type::Person, depth);
                both(
                    format!("(.0 (.(.name, .age) ({} :: Person)))", person.loc),
                    format!("{}['name']", person.py),
                )
            }
        }
    }

    fn list(&mut self, element: &Type, depth: u32) -> Both {
        let ty = Type::List(Box::new(element.clone()));
        let a = self.expression(&ty, depth);
        match self.chance.below(7) {
            0 => {
                let b = self.expression(&ty, depth);
                both(
                    format!("({} <> {})", a.loc, b.loc),
                    format!("({} + {})", a.py, b.py),
                )
            }
            1 => {
                let from = self.ty(1);
                let func = self.function(&from, element, depth);
                let list = self
                    .expression(&Type::List(Box::new(from.clone())), depth)
                    .typed_list(&from);
                both(
                    format!("(map {} {})", func.loc, list.loc),
                    format!("[{}(x) for x in {}]", func.py, list.py),
                )
            }
            2 => {
                let test = self.function(element, &Type::Bool, depth);
                let list = a.typed_list(element);
                both(
                    format!("(filter {} {})", test.loc, list.loc),
                    format!("[x for x in {} if {}(x)]", list.py, test.py),
                )
            }
            3 => {
                let b = self.expression(&ty, depth);
                both(
                    format!("(concat [{}, {}])", a.loc, b.loc),
                    format!("({} + {})", a.py, b.py),
                )
            }
            4 => both(format!("(.[1:] {})", a.loc), format!("{}[1:]", a.py)),
            5 => {
                let list = a.typed_list(element);
                both(
                    format!("(map .0 (zip {} primes))", list.loc),
                    format!("[x for x, _ in zip({}, primes)]", list.py),
                )
            }
            _ => self.literal(&ty),
        }
    }

    fn literal(&mut self, ty: &Type) -> Both {
        match ty {
            Type::Int => {
                let number = self.chance.below(41) as i64 - 20;
                let text = if number < 0 {
                    format!("({number})")
                } else {
                    number.to_string()
                };
                both(text.clone(), text)
            }
            Type::Real => {
                let text = format!("{}.5", self.chance.below(20));
                both(text.clone(), text)
            }
            Type::Bool => match self.chance.below(2) {
                0 => both("False", "False"),
                _ => both("True", "True"),
            },
            Type::Str => {
                let texts = ["\"\"", "\"a\"", "\"b c\"", "\"\u{e9}\u{1f600}\"", "\"q\\\"\\n\""];
                let text = texts[self.chance.below(5) as usize];
                both(text, text)
            }
            Type::Person => {
                let (name, age) = (self.literal(&Type::Str), self.literal(&Type::Int));
                both(
                    format!("{{ age = {}, name = {} }}", age.loc, name.loc),
                    format!("{{'name': {}, 'age': {}}}", name.py, age.py),
                )
            }
            Type::List(element) => {
                let (mut loc, mut py) = (String::new(), String::new());
                for position in 0..self.chance.below(4) {
                    let part = self.literal(element);
                    let comma = if position > 0 { ", " } else { "" };
                    let _ = write!(loc, "{comma}{}", part.loc);
                    let _ = write!(py, "{comma}{}", part.py);
                }
                both(format!("([{loc}] :: {})", written(ty)), format!("[{py}]"))
            }
            Type::Pair(left, right) => {
                let (a, b) = (self.literal(left), self.literal(right));
                both(format!("({}, {})", a.loc, b.loc), format!("({}, {})", a.py, b.py))
            }
            Type::Optional(inner) => match self.chance.below(3) {
                0 => both(format!("(null :: {})", written(ty)), "None"),
                _ => {
                    let value = self.literal(inner);
                    both(format!("({} :: {})", value.loc, written(ty)), value.py)
                }
            },
        }
    }
}

impl Both {
    /// As an optional.
    fn typed(self, inner: &Type) -> Both {
        let ty = written(&Type::Optional(Box::new(inner.clone())));
        both(format!("({} :: {ty})", self.loc), self.py)
    }

    fn typed_list(self, element: &Type) -> Both {
        both(format!("({} :: [{}])", self.loc, written(element)), self.py)
    }
}

fn written(ty: &Type) -> String {
    match ty {
        Type::Int => "Int".into(),
        Type::Real => "Real".into(),
        Type::Bool => "Bool".into(),
        Type::Str => "Str".into(),
        Type::Person => "Person".into(),
        Type::List(element) => format!("[{}]", written(element)),
        Type::Pair(left, right) => format!("({}, {})", written(left), written(right)),
        Type::Optional(inner) => format!("?{}", written(inner)),
    }
}

/// The JSON of a composition's result.
fn evaluate(text: &str) -> Result<String, String> {
    let shown = |flaws: Vec<nexus::source::signature::Flaw>| {
        let flaws = flaws
            .iter()
            .map(|flaw| nexus::source::flaw::render("m.loc", text, flaw));
        flaws.collect::<String>()
    };
    let module = parse(text).map_err(shown)?;
    let compiled = compile("m.loc", &module, &[]).map_err(shown)?;
    let command = &compiled.commands[0];
    let Body::Pure(expr) = &command.body else {
        return Err("it is not pure".into());
    };
    let document = Document::parse(expr.as_bytes()).map_err(|error| format!("{error:?}"))?;
    let (mut types, mut exprs) = (Types::default(), Exprs::default());
    let root = load(document.root(), &mut types, &mut exprs).map_err(|error| format!("{error:?}"))?;
    let ty = types
        .parse(&command.return_schema)
        .map_err(|error| format!("{error:?}"))?;
    let mut msgpack = Vec::new();
    eval::run(&exprs, &types, root, &[], ty, &mut msgpack).map_err(|error| error.message.clone())?;
    let mut json = Vec::new();
    msgpack_to_json(&types, ty, &msgpack, Style::Compact, &mut json).map_err(|error| format!("{error:?}"))?;
    Ok(String::from_utf8(json).unwrap_or_default())
}

#[test]
fn random_compositions_agree_with_python() {
    let seed = std::env::var("NEXUS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let mut script = String::from(PRELUDE);
    let mut texts = Vec::new();
    let seeds = seed.map_or(1..=COUNT, |seed: u64| seed..=seed);
    for seed in seeds {
        let mut writer = Writer {
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            scope: Vec::new(),
            names: 0,
        };
        let ty = writer.ty(2);
        let result = writer.expression(&ty, 4);
        let text = format!("{HEAD}result :: {}\nresult = {}\n", written(&ty), result.loc);
        let found = evaluate(&text).unwrap_or_else(|error| panic!("seed {seed}\n{text}\n{error}"));
        let _ = writeln!(
            script,
            "v = {}\nif json.loads(json.dumps(v)) != json.loads({found:?}): print({seed}, v, {found:?})",
            result.py
        );
        texts.push(text);
    }
    let python = Command::new("python3")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        eprintln!("no python3 here");
        return;
    };
    let mut stdin = python.stdin.take().expect("stdin is a pipe");
    stdin
        .write_all(script.as_bytes())
        .expect("python reads its script");
    drop(stdin);
    let output = python.wait_with_output().expect("python ends");
    let differences = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "python failed");
    assert!(differences.is_empty(), "seed, expected, found:\n{differences}");
    assert!(seed.is_some() || texts.len() as u64 == COUNT);
}
