//! Compositions as people write them.

use super::*;
use crate::compose::print::print;
use crate::source::flaw::render;

fn read(text: &str) -> Module {
    parse(text).unwrap_or_else(|flaws| {
        let told: Vec<_> = flaws.iter().map(|flaw| render("a.loc", text, flaw)).collect();
        panic!("{}", told.join("\n"))
    })
}

/// What a module is printed as, which reads as the same again.
fn reprint(text: &str) -> String {
    let mut module = read(text);
    let printed = print(&module);
    let mut again = read(&printed);
    module.forget_places();
    again.forget_places();
    assert_eq!(module, again, "{printed}");
    printed
}

/// An expression, and how it is printed.
fn check(text: &str, expected: &str) {
    let printed = reprint(&format!("v = {text}"));
    let printed = printed.trim();
    assert_eq!(
        printed.strip_prefix("v = ").unwrap_or(printed),
        expected,
        "{text}"
    );
}

#[test]
fn literals() {
    for (text, expected) in [
        ("()", "null"),
        ("Null", "null"),
        ("True", "True"),
        ("007", "7"),
        ("-0", "0"),
        ("1_000", "1000"),
        ("0xFf", "255"),
        ("-0b101", "-5"),
        ("0o17", "15"),
        ("007.50", "7.50"),
        ("1E3", "1e3"),
        ("-1_0.5e-1_0", "-10.5e-10"),
        ("0.0", "0.0"),
        (r#""""#, r#""""#),
        (r#""é\t\u{1f600}\'\#{\0""#, r#""é\t😀'\#{\u{0}""#),
        ("\"a\tb # # {\"", r#""a\tb # # {""#),
        ("[]", "[]"),
        ("[ 1,[2] ]", "[1, [2]]"),
        ("(1, (2), (3, ()))", "(1, 2, (3, null))"),
        ("{a=1,type={b=2}}", "{ a = 1, type = { b = 2 } }"),
    ] {
        check(text, expected);
    }
}

#[test]
fn text_with_places() {
    for (text, expected) in [
        (r##""#{x}""##, r##""#{x}""##),
        (
            r##""a #{f x + 1} b#{"c#{ {d = "}"} }"}##{y}""##,
            r##""a #{f x + 1} b#{"c#{{ d = "}" }}"}##{y}""##,
        ),
        ("\"#{ -- no }\n   x}\"", r##""#{x}""##),
        ("\"#{[\n  x]}\"", r##""#{[x]}""##),
    ] {
        check(text, expected);
    }
}

#[test]
fn text_of_several_lines() {
    for (text, expected) in [
        ("\"\"\"a \"b\" \"\"\"", r#""a \"b\" ""#),
        ("\"\"\"\n    a\n      b\n\n    c\n    \"\"\"", r#""a\n  b\n\nc""#),
        ("'''\n    a\\n\n   b'''", r#"" a\n\nb""#),
        ("\"\"\"a\n    b\n  c\n\"\"\"", r#""a\n  b\nc""#),
        (
            "\"\"\"\n    #{x}\n      #{y} z\n    \"\"\"",
            r##""#{x}\n  #{y} z""##,
        ),
        ("\"\"\"\n    x #{y}\n    \"\"\"", r##""x #{y}""##),
        ("\"\"\"\r\n    a\r\n    b\r\n    \"\"\"", r#""a\nb""#),
        ("''''''", r#""""#),
        ("'''a 'b''''", r#""a 'b'""#),
        ("\"\"\"\"\"\"\"", r#""\"""#),
        ("\"\"\"\n\"\"\"", r#""""#),
    ] {
        check(text, expected);
    }
}

#[test]
fn operators_by_level_and_side() {
    for (text, expected) in [
        ("f . g . h", "f . g . h"),
        ("(f . g) . h", "(f . g) . h"),
        ("a - b - c", "a - b - c"),
        ("a - (b - c)", "a - (b - c)"),
        ("a-1", "a - 1"),
        ("f -1", "f -1"),
        ("a - -1", "a - -1"),
        ("(a)-1", "a - 1"),
        ("a + b * c // d % e", "a + b * c // d % e"),
        ("(a + b) * c", "(a + b) * c"),
        ("a <> b <> c", "a <> b <> c"),
        ("(a <> b) <> c", "(a <> b) <> c"),
        (
            "a + 1 < b && c || d & e |> f |> g",
            "a + 1 < b && c || d & e |> f |> g",
        ),
        ("a & (b & c)", "a & b & c"),
        ("(x |> f) & y", "(x |> f) & y"),
        ("f $ g x $ h y", "f ((g x) (h y))"),
        ("f a $ b", "(f a) b"),
        ("x |> f $ y", "(x |> f) y"),
        ("f x y . g z", "f x y . g z"),
        ("f (g x) [y] {z = 1} \"t\" .a", "f (g x) [y] { z = 1 } \"t\" .a"),
        ("fold (+) 0", "fold (\\x y -> x + y) 0"),
        ("(.)", "\\x y -> x . y"),
        ("x :: Int", "x :: Int"),
        ("f x :: [(Int, Str)] -> ?Real", "f x :: [(Int, Str)] -> ?Real"),
        ("[x :: Int, (y :: Str)]", "[x :: Int, y :: Str]"),
        ("f (x :: Worker ?Int [Str])", "f (x :: Worker ?Int [Str])"),
        ("x |> \\y -> y |> g", "x |> (\\y -> y |> g)"),
        ("\\x _ y' -> x :: Int", "\\x _ y' -> x :: Int"),
    ] {
        check(text, expected);
    }
}

#[test]
fn patterns() {
    for (text, expected) in [
        (".name", ".name"),
        (".0.1.name x", ".0.1.name x"),
        (".0.(.x, .y.1)", ".(.0.x, .0.y.1)"),
        (".( .a.( .b, .c ) , .d )", ".(.a.b, .a.c, .d)"),
        (".(.0 = 1, .1.x = f y)", ".(.0 = 1, .1.x = f y)"),
        ("(.x = 1) v", ".(.x = 1) v"),
        ("(.x.(.y = 1)) v", ".(.x.y = 1) v"),
        ("(.x) v", ".x v"),
        ("map .x . f", "map .x . f"),
        ("f . .x", "f . .x"),
        (".[0]", ".[0]"),
        (".[-1] xs", ".[-1] xs"),
        (".[a + 1:b]", ".[a + 1:b]"),
        (".[:]", ".[:]"),
        (".[::2]", ".[::2]"),
        (".[a::2]", ".[a::2]"),
        (".[1:2:]", ".[1:2]"),
        (".[:n:(x :: Int)]", ".[:n:(x :: Int)]"),
    ] {
        check(text, expected);
    }
}

#[test]
fn layout() {
    for (text, expected) in [
        ("if a then b else c", "if a then b else c"),
        (
            "\n  if a\n    then b\n    else if c then d else e",
            "if a then b else if c then d else e",
        ),
        (
            "1 + if a then (if b then c else d) else e",
            "1 + (if a then (if b then c else d) else e)",
        ),
        (
            "let x = 1; f y = y in f x",
            "let\n    x = 1\n    f y = y\n  in f x",
        ),
        (
            "let x = 1\n        y = 2\n    in x",
            "let\n    x = 1\n    y = 2\n  in x",
        ),
        (
            "\n  let x = 1\n  let y =\n        2\n  in x",
            "let\n    x = 1\n    y = 2\n  in x",
        ),
        (
            "let x = let y = 1 in y\n in x",
            "let\n    x = let\n        y = 1\n      in y\n  in x",
        ),
        ("[\n  1,\n  2\n]", "[1, 2]"),
        (
            "let x = f [\n  1 ] (\n  2\n) in x",
            "let\n    x = f [1] 2\n  in x",
        ),
        ("x + y where x = 1; y = 2", "x + y\n  where\n    x = 1\n    y = 2"),
        (
            "x\n  where\n  x = y\n    where y = 1\n  z = 2",
            "x\n  where\n    x = y\n      where\n        y = 1\n    z = 2",
        ),
        ("f (? a = b : c)", "f (? a = b ? _ = c)"),
        (
            "let g x ? x > 1 = 2 ? _ = 3 in g",
            "let\n    g x ? x > 1 = 2 ? _ = 3\n  in g",
        ),
        ("{- {- \" -} x -} 1 -- \" {-", "1"),
    ] {
        check(text, expected);
    }
    let guards = "f x\n  ? x > 1 = a :: Int\n  ? x > 0 = b\n  : c\n  where\n    a = 1";
    assert_eq!(
        reprint(guards),
        "\nf x ? x > 1 = (a :: Int) ? x > 0 = b ? _ = c\n  where\n    a = 1\n"
    );
}

#[test]
fn declarations() {
    let text = include_str!("../../../fuzz/corpus/loc/tour.loc");
    let module = read(text);
    assert_eq!(module.name.as_ref().map(|name| name.text.as_str()), Some("tour"));
    let exports: Vec<_> = module.exports.iter().map(|name| name.text.as_str()).collect();
    assert_eq!(exports, ["report", "describe", "shift"]);
    let mentions: Vec<_> = module
        .mentions
        .iter()
        .map(|mention| mention.name.as_str())
        .collect();
    assert_eq!(mentions, ["Samples", "Summary"]);
    reprint(text);
}

#[test]
fn depth_is_bounded() {
    let deep = |open: &str, close: &str, levels: usize| {
        let text = format!("v = {}1{}", open.repeat(levels), close.repeat(levels));
        parse(&text).map_err(|flaws| flaws[0].message.clone())
    };
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("\\x -> ", ""),
        ("1 + ", ""),
        ("1 <> ", ""),
        ("", " + 1"),
        ("f $ ", ""),
        ("\"#{", "}\""),
        ("let x = ", " in x"),
        (".(.x = ", ")"),
        (".[", "]"),
        ("? ", ""),
        ("if 1 then ", ""),
    ] {
        assert!(
            deep(open, close, 50_000).is_err_and(|message| message.starts_with("more than ")),
            "{open}"
        );
    }
    assert!(deep("(", ")", COMPOSITION_DEPTH_MAX - 1).is_ok());
    assert!(deep("", " + 1", COMPOSITION_DEPTH_MAX - 1).is_ok());
    let groups = format!("v = {}", ".(".repeat(100_000));
    assert!(parse(&groups).is_err());
    let steps = format!("v = {}", ".x".repeat(100_000));
    assert!(parse(&steps).is_err());
    assert!(parse(&"x = 1\n".repeat(200_000)).is_err());
}
