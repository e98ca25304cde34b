//! Where a signature and the function below it agree, but values will not: integers that are too narrow, types that have no
//! form. Warns of what goes wrong in the runtimes, and only of that.

use super::lexer::Token;
use super::signature::{Flaw, Param, Signature};
use super::types::{Base, Type};

/// What a C++ type can take.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Integer { bits: u32, is_signed: bool },
    Float { bits: u32 },
    Text,
    Bytes,
    Bool,
}

/// C++ types by their last word, and their forms; `unsigned` is looked for beside it.
const CPP: [(&str, Form); 24] = [
    (
        "int",
        Form::Integer {
            bits: 32,
            is_signed: true,
        },
    ),
    (
        "short",
        Form::Integer {
            bits: 16,
            is_signed: true,
        },
    ),
    (
        "long",
        Form::Integer {
            bits: 64,
            is_signed: true,
        },
    ),
    (
        "unsigned",
        Form::Integer {
            bits: 32,
            is_signed: false,
        },
    ),
    (
        "signed",
        Form::Integer {
            bits: 32,
            is_signed: true,
        },
    ),
    (
        "int8_t",
        Form::Integer {
            bits: 8,
            is_signed: true,
        },
    ),
    (
        "int16_t",
        Form::Integer {
            bits: 16,
            is_signed: true,
        },
    ),
    (
        "int32_t",
        Form::Integer {
            bits: 32,
            is_signed: true,
        },
    ),
    (
        "int64_t",
        Form::Integer {
            bits: 64,
            is_signed: true,
        },
    ),
    (
        "ptrdiff_t",
        Form::Integer {
            bits: 64,
            is_signed: true,
        },
    ),
    (
        "ssize_t",
        Form::Integer {
            bits: 64,
            is_signed: true,
        },
    ),
    (
        "uint8_t",
        Form::Integer {
            bits: 8,
            is_signed: false,
        },
    ),
    (
        "uint16_t",
        Form::Integer {
            bits: 16,
            is_signed: false,
        },
    ),
    (
        "uint32_t",
        Form::Integer {
            bits: 32,
            is_signed: false,
        },
    ),
    (
        "uint64_t",
        Form::Integer {
            bits: 64,
            is_signed: false,
        },
    ),
    (
        "size_t",
        Form::Integer {
            bits: 64,
            is_signed: false,
        },
    ),
    (
        "uint",
        Form::Integer {
            bits: 32,
            is_signed: false,
        },
    ),
    ("float", Form::Float { bits: 32 }),
    ("double", Form::Float { bits: 64 }),
    ("string", Form::Text),
    ("string_view", Form::Text),
    ("char", Form::Text),
    ("bytes", Form::Bytes),
    ("bool", Form::Bool),
];

/// The form of a type of the notation.
fn form(base: Base) -> Option<Form> {
    let (kind, bytes) = base.schema().split_at(1);
    let bits = 8 * bytes.parse::<u32>().unwrap_or(0);
    Some(match kind {
        "i" => Form::Integer {
            bits,
            is_signed: true,
        },
        "u" => Form::Integer {
            bits,
            is_signed: false,
        },
        "f" => Form::Float { bits },
        "s" => Form::Text,
        "y" => Form::Bytes,
        "b" => Form::Bool,
        _ => return None,
    })
}

/// The form of a C++ type: of `const std::vector<unsigned long> &` that of the innermost element.
fn form_of(declared: &[Token<'_>]) -> Option<Form> {
    let begin = declared
        .iter()
        .rposition(|token| token.is("<"))
        .map_or(0, |angle| angle + 1);
    let inner = &declared[begin..];
    let end = inner.iter().position(|token| token.is(">") || token.is(","));
    let inner = &inner[..end.unwrap_or(inner.len())];
    let has = |word: &str| inner.iter().any(|token| token.is(word));
    let words = inner.iter().filter(|token| token.is_word());
    let mut known = words
        .filter_map(|token| CPP.iter().find(|row| row.0 == token.text))
        .map(|row| row.1);
    match (known.next()?, has("unsigned")) {
        // `long int`, `unsigned short`, `long double`: the word that says most.
        _ if has("double") => Some(Form::Float { bits: 64 }),
        _ if has("char") && !inner.iter().any(|token| token.is("*")) => None,
        (Form::Integer { bits, is_signed }, is_unsigned) => {
            let bits = match (has("long"), has("short")) {
                (true, _) => 64,
                (_, true) => 16,
                _ => bits,
            };
            Some(Form::Integer {
                bits,
                is_signed: is_signed && !is_unsigned,
            })
        }
        (form, _) => Some(form),
    }
}

/// What goes wrong when a C++ parameter of that declared type gets what its signature says.
pub(super) fn cpp(param: &Param, declared: &[Token<'_>]) -> Option<Flaw> {
    let mut inner = &param.ty;
    while let Type::List(element) | Type::Optional(element) = inner {
        inner = element;
    }
    let Type::Base(base) = inner else { return None };
    let (said, found) = (form(*base)?, form_of(declared)?);
    let first = declared.first()?;
    let last = declared.last()?;
    let len = match first.place.line == last.place.line {
        true => (last.place.column - first.place.column) as usize + last.text.chars().count(),
        false => 1,
    };
    let name = param.name.as_deref().unwrap_or("the parameter");
    let flaw = |message: String| Flaw::new(first.place, len, message);
    let ty = base.name();
    match (said, found) {
        (
            Form::Integer { bits, is_signed },
            Form::Integer {
                bits: room,
                is_signed: has_sign,
            },
        ) => {
            // The sign takes a bit.
            let fits = match (is_signed, has_sign) {
                (true, false) => false,
                (false, true) => room > bits,
                _ => room >= bits,
            };
            let message = match (fits, is_signed && !has_sign) {
                (true, _) => return None,
                (_, true) if room >= bits => format!("{name} has no sign, and receives one ({ty})"),
                _ => format!("{name} is a {room}-bit integer, and receives {bits} bits ({ty})"),
            };
            let right = format!("std::{}int{bits}_t", if is_signed { "" } else { "u" });
            Some(flaw(message).hint(format!(
                "declare it as {right}, or say in the signature what it takes"
            )))
        }
        (Form::Float { bits: 64 }, Form::Float { bits: 32 }) => {
            let message = format!("{name} is a 32-bit float, and receives 64 bits ({ty})");
            Some(flaw(message).hint("declare it as double, or write F32 in the signature"))
        }
        (Form::Float { .. }, Form::Float { .. }) | (Form::Integer { .. }, Form::Float { .. }) => None,
        (said, found) if said == found => None,
        (Form::Bytes, _) => Some(flaw(format!("{name} can't take {ty}")).hint("declare it as nexus::bytes")),
        _ => Some(
            flaw(format!("{name} can't take {ty}: its C++ type is another")).hint("let both say the same"),
        ),
    }
}

/// What goes wrong with a function whose types have no form outside of compositions.
pub(super) fn worker(signature: &Signature) -> Option<Flaw> {
    let mut types = signature
        .params
        .iter()
        .map(|param| &param.ty)
        .chain([&signature.returns]);
    let is_worker = |ty: &Type| matches!(ty, Type::Worker(..));
    types.any(|ty| ty.has(&is_worker)).then(|| {
        let message = format!(
            "'{}' can't be called: a Worker exists in compositions only",
            signature.name
        );
        Flaw::new(signature.place, signature.name.chars().count(), message)
            .hint("take what the worker sends, and let the composition talk to it")
    })
}

/// What goes wrong when a JavaScript function that was written for numbers gets BigInts.
pub(super) fn big_integer(param: &Param, said: &Type, place: super::signature::Place) -> Option<Flaw> {
    let name = param.name.as_deref().unwrap_or_default();
    let is_wide = matches!(param.ty, Type::Base(Base::Int | Base::I64 | Base::U64));
    (is_wide && *said == Type::Base(Base::Real)).then(|| {
        let message = format!(
            "{name} is said to be a number, and receives a BigInt ({})",
            param.ty
        );
        Flaw::new(place, name.chars().count(), message).hint("write Real, or I32, in the signature")
    })
}
