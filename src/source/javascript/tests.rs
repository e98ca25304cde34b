//! What is read from JavaScript.

fn check(text: &str, expected: &str) {
    crate::source::tests::check("js", text, expected);
}

/// A type of JSDoc, and the type or the flaw that it is.
fn check_type(ty: &str, expected: &str) {
    let text = format!(
        "/** @typedef {{number[]}} Vec */\n/**\n * @typedef {{Object}} P\n * @property {{number}} a\n */\n\
         /**\n * @template T\n * @returns {{{ty}}}\n */\nfunction f() {{}}\n"
    );
    let found = crate::source::tests::shown("js", &text);
    let line = found
        .lines()
        .find(|line| line.starts_with("f ::") || line.starts_with("error "));
    let line = line
        .unwrap_or_default()
        .trim_start_matches("f :: ")
        .trim_start_matches("error ");
    assert_eq!(
        line.split(" (").next(),
        expected.split(" (").next(),
        "{ty}: {found}"
    );
}

#[test]
fn types() {
    check_type("number", "Real");
    check_type("bigint", "Int");
    check_type("Uint8Array", "Bytes");
    check_type("Float64Array", "[Real]");
    check_type("Int32Array", "[I32]");
    check_type("number[][]", "[[Real]]");
    check_type("Array.<string>", "[Str]");
    check_type("Array<Array<string>>", "[[Str]]");
    check_type("?string", "?Str");
    check_type("(string|null)[]", "[?Str]");
    check_type("string|undefined|null", "?Str");
    check_type("number=", "?Real");
    check_type("[string, number]", "(Str, Real)");
    check_type("Promise<boolean>", "Bool");
    check_type("'a'|'b'", "Str");
    check_type("(a: number, b: T) => T", "(Real -> t -> t)");
    check_type("function(number): string", "(Real -> Str)");
    check_type("{a: number, b?: string}", "FResult");
    check_type("P[]", "[P]");
    check_type("Vec", "[Real]");
    check_type("U8", "U8");
    check_type("void", "Unit");
    check_type("Foo", "8:14+3 the type Foo has no form in other languages");
    check_type(
        "Object<string, number>",
        "8:14+6 the type Object has no form in other languages",
    );
    check_type(
        "number|string",
        "8:14+6 a union of several types has no form in other languages",
    );
    check_type("number[", "8:21+1 ended here, expected ']'");
    check_type("", "8:14+1 ended here, expected a type");
    check_type("*", "8:14+1 found *, expected a type");
    check_type(
        "[string]",
        "8:14+1 a tuple of one type or none has no form in other languages",
    );
}

#[test]
fn functions() {
    check(
        "/**\n * The mean.\n *\n * @param {number[]} xs - The numbers\n *   in a row [metavar: XS]\n * @param {number} [k=3] How many\n \
         * @returns {number} The mean\n */\nfunction mean(xs, k = 5) { return `${xs}`; }\nmodule.exports = { mean };\n",
        "9:10 (xs, k)\nThe mean.\nreturn: The mean\nmean ::\n  --' The numbers\n  --' in a row\n  --' metavar: XS\n  [Real] ->\n  \
         --' How many\n  --' arg: -k\n  --' default: 5\n  Real ->\n  Real\nCommonJs\n",
    );
    check(
        "// f :: Int -> Int\nexport const f = async (x) => x;\n// g :: Int -> Int\nexport async function g(x) {}\n\
         // h :: Int -> Int\nconst h = x => x;\nexport { h as i };\n// j :: Int\nlet j = function () {};\n",
        "2:14 (x)\nf :: Int -> Int\n4:23 (x)\ng :: Int -> Int\n6:7 (x)\ni :: Int -> Int\nModule\n\
         warning 9:5+1 'j' has a signature, but the file does not export it\n",
    );
    check(
        "// f :: Int -> Int\nexports.f = (x) => x;\nmodule.exports.g = g;\n// g :: (Int, Int) -> Int -> Int\nfunction g([a, b], ...rest) {}\n",
        "2:9 (x)\nf :: Int -> Int\n5:10 (_, _)\ng :: (Int, Int) -> Int -> Int\nCommonJs\n",
    );
    check(
        "/**\n * @param {{a: number, b: {c: string}}} options\n * @param {string} [name] Who\n * @returns {void}\n */\nfunction f({a, b}, name) {}\n",
        "6:10 (options, name)\nf ::\n  FOptions ->\n  --' Who\n  --' arg: --name\n  --' default: null\n  ?Str ->\n  Unit\n\
         record FOptionsB = FOptionsB {\n  c :: Str\n}\nrecord FOptions = FOptions {\n  a :: Real,\n  b :: FOptionsB\n}\n",
    );
}

#[test]
fn typedefs() {
    check(
        "/**\n * @typedef {Object} P Somebody\n * @property {string} name - Full\n * @property {number} [age]\n */\n\n\
         /** @typedef {{p: P}} Q */\n\n/**\n * @param {P} p\n * @returns {Q}\n */\nconst f = (p) => p;\n",
        "13:7 (p)\nf :: P -> Q\nrecord P = P {\n  --' Full\n  name :: Str,\n  age :: ?Real\n}\nrecord Q = Q {\n  p :: P\n}\n\
         names P at 7:19\nnames P at 10:12\nnames Q at 11:14\n",
    );
}

#[test]
fn what_is_not_read() {
    check(
        "/** @param {number} x */\nfunction f(x) {}\n",
        "warning 2:10+1 'f' is not exported: its result has no type\n",
    );
    check("function f() {\n// g :: Int\nfunction g() {}\n}\n", "");
    check(
        "const s = `\n// f :: Int\n`; const r = /[/*]/;\nclass A {\n // f :: Int\n}\n",
        "",
    );
}

#[test]
fn numbers_that_get_big_integers() {
    check(
        "/**\n * f :: Int -> Int -> Real -> Int\n * @param {number} k\n * @param {bigint} l\n * @param {number} m\n */\nfunction f(k, l, m) {}\n",
        "7:10 (k, l, m)\nf :: Int -> Int -> Real -> Int\nwarning 3:20+1 k is said to be a number, and receives a BigInt (Int) (write Real, or \
         I32, in the signature)\n",
    );
}

#[test]
fn flaws() {
    check(
        "// f :: [Int\nfunction f(x) {}\n",
        "error 1:13+1 ended here, expected ']'\n",
    );
    check(
        "/** @returns {Foo} */\nfunction f() {}\n",
        "error 1:15+3 the type Foo has no form in other languages (declare it with @typedef, or write a signature in a comment \
         above the function)\n",
    );
    check(
        "// f :: Int\nfunction* f() {}\n",
        "error 2:11+1 'f' is a generator, only plain and async functions can be exported\n",
    );
    check("/** @typedef {Object} P\n * @property {Foo} a\n */\n", "");
    check(
        "/** @typedef {Object} P\n * @property {Foo} a\n */\n// f :: Int\nfunction f() {}\n/** @returns {P} */\nfunction g() {}\n",
        "error 2:15+3 the type Foo has no form in other languages (declare it with @typedef, or write a signature in a comment \
         above the function)\n",
    );
}
