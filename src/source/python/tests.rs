//! What is read from Python.

fn check(text: &str, expected: &str) {
    crate::source::tests::check("py", text, expected);
}

/// A hint, and the type or the flaw that it is.
fn check_hint(hint: &str, expected: &str) {
    let head = "from shapes import Circle\nimport numpy as np\nT = TypeVar('T')\nVec = list[float]\nclass Plain: pass\n\
                class P(NamedTuple):\n    a: int\n";
    let found = crate::source::tests::shown("py", &format!("{head}def f() -> {hint}: pass\n"));
    let line = found
        .lines()
        .find(|line| line.starts_with("f ::") || line.starts_with("error "));
    let line = line
        .unwrap_or_default()
        .trim_start_matches("f :: ")
        .trim_start_matches("error ");
    assert_eq!(line.split(" (").next(), Some(expected), "{hint}: {found}");
}

#[test]
fn hints() {
    check_hint("int", "Int");
    check_hint("None", "Unit");
    check_hint("list[list[str]]", "[[Str]]");
    check_hint("typing.List['bytes']", "[Bytes]");
    check_hint("tuple[int, ...]", "[Int]");
    check_hint(
        "'tuple[int, bool]'",
        "(Int, Bool)".split(" (").next().unwrap_or_default(),
    );
    check_hint("Optional[float]", "?Real");
    check_hint("str | None", "?Str");
    check_hint("None | Optional[str]", "?Str");
    check_hint("int | float", "Real");
    check_hint("Union[int, float, None]", "?Real");
    check_hint("np.float32", "F32");
    check_hint("np.ndarray", "[Real]");
    check_hint("npt.NDArray[np.int32]", "[I32]");
    check_hint("np.ndarray[tuple[int, int], np.dtype[np.uint8]]", "[U8]");
    check_hint("Annotated[int, 'seconds', Gt(0)]", "Int");
    check_hint("Literal['a', 'b']", "Str");
    check_hint("Callable[[float, T], T]", "(Real -> t -> t)");
    check_hint("Vec", "[Real]");
    check_hint("list[P]", "[P]");
    check_hint("Circle", "Circle");
    check_hint("Plain", "8:12+5 the class Plain has no form in other languages");
    check_hint(
        "pd.DataFrame",
        "8:12+12 the type DataFrame has no form in other languages",
    );
    check_hint(
        "dict[str, int]",
        "8:12+4 the type dict[...] has no form in other languages",
    );
    check_hint("list", "8:12+4 the type list has no form in other languages");
    check_hint("list[", "8:17+1 found :, expected a type");
    check_hint(
        "int | str",
        "8:12+3 a union of several types has no form in other languages",
    );
    check_hint(
        "tuple[int]",
        "8:12+5 a tuple of one type or none has no form in other languages",
    );
    check_hint(
        "Literal['a', 1]",
        "8:12+7 literals of several types have no form in other languages",
    );
    check_hint("'list[int'", "8:21+1 ended here, expected ',' or ']'");
    check_hint("''", "8:13+1 ended here, expected a type");
}

#[test]
fn a_signature_comment() {
    check(
        "# The mean.\n# mean :: [Real] -> Real\n# param xs: The numbers [metavar: XS]\ndef mean(xs):\n    return 1\n",
        "4:5 (xs)\nThe mean.\nmean ::\n  --' The numbers\n  --' metavar: XS\n  [Real] ->\n  Real\n",
    );
    check(
        "# f :: Int\n#   -> Int\n\n@cache\ndef f(k=5): pass",
        "5:5 (k)\nf ::\n  --' arg: -k\n  --' default: 5\n  Int ->\n  Int\n",
    );
    // It wins over hints, and may leave out what has a default.
    check(
        "# f :: I8 -> I8\ndef f(a: int, b: Foo = Foo()) -> int: pass",
        "2:5 (a)\nf :: I8 -> I8\n",
    );
    check("# f :: () -> Real\ndef f(): pass", "2:5 ()\nf :: Real\n");
    check(
        "# f :: Int -> Int -> Int\ndef f(*xs): pass",
        "2:5 (_, _)\nf :: Int -> Int -> Int\n",
    );
}

#[test]
fn hints_and_docstrings() {
    check(
        "def knn(xs: list[float], *, k: int = 5, loud: bool = False) -> str:\n    \"\"\"The nearest.\n\n    More of it.\n\n    \
         Args:\n        xs: The numbers\n            in a row\n        k (int, optional): How many [metavar: K]\n\n    \
         Returns:\n        str: A name\n\n    Raises:\n        ValueError: never\n    \"\"\"\n",
        "1:5 (xs, *k, *loud)\nThe nearest.\n\nMore of it.\nreturn: A name\nknn ::\n  --' The numbers\n  --' in a row\n  \
         [Real] ->\n  --' How many\n  --' metavar: K\n  --' arg: -k\n  --' default: 5\n  Int ->\n  --' true: --loud\n  \
         --' false: --no-loud\n  --' default: false\n  Bool ->\n  Str\n",
    );
    check(
        "def f(x, y=None):\n    \"\"\"Sum.\n\n    Parameters\n    ----------\n    x : float\n        One.\n    y : int, optional\n\n    \
         Returns\n    -------\n    float\n        The sum.\n    \"\"\"\n",
        "1:5 (x, y)\nSum.\nreturn: The sum.\nf ::\n  --' One.\n  Real ->\n  --' arg: -y\n  --' default: null\n  Int ->\n  Real\n",
    );
    check(
        "def f(x):\n    ''':param float x: One.\n    :returns: Two.\n    :rtype: str'''\n",
        "1:5 (x)\nreturn: Two.\nf ::\n  --' One.\n  Real ->\n  Str\n",
    );
    check(
        "def f(name: str) -> str:\n    '''Greets.\n\n    name: Whom\n    group: words\n    timeout: 2.5\n    '''\n",
        "1:5 (name)\nGreets.\ngroup: words\ntimeout: 2.500\nf ::\n  --' Whom\n  Str ->\n  Str\n",
    );
    check(
        "def f(\n    a: int,  # one\n    b: 'str' = \"x\",\n) -> float:  # two\n    '''Doc.'''\n",
        "1:5 (a, b)\nDoc.\nf ::\n  Int ->\n  --' arg: -b\n  --' default: \"x\"\n  Str ->\n  Real\n",
    );
}

#[test]
fn records() {
    check(
        "@dataclass(frozen=True)\nclass P:\n    \"\"\"A person.\n\n    Attributes:\n        name: Full\n    \"\"\"\n    name: str\n    \
         age: int = 0\n    count: ClassVar[int] = 0\n    def f(self) -> int: pass\n\nclass Q(P):\n    extra: list[P]\n\n\
         class T(TypedDict, total=False):\n    a: int\n    b: Required[str]\n\nclass N(NamedTuple): a: int\n\ndef f(p: P) -> N: pass\n",
        "22:5 (p)\nf :: P -> N\nrecord P = P {\n  --' Full\n  name :: Str,\n  age :: Int\n}\n\
         record Q = Q {\n  --' Full\n  name :: Str,\n  age :: Int,\n  extra :: [P]\n}\n\
         record T = T {\n  a :: ?Int,\n  b :: Str\n}\nrecord N = N {\n  a :: Int\n}\n\
         names P at 14:17\nnames P at 22:10\nnames N at 22:16\n",
    );
    check(
        "# record P = P\n#   { a :: Int\n#   , b :: Str }\n# f :: P -> P\ndef f(p): pass\n",
        "5:5 (p)\nf :: P -> P\nrecord P = P {\n  a :: Int,\n  b :: Str\n}\nnames P at 4:8\nnames P at 4:13\n",
    );
    // A record that other languages can't have is of no concern until a function names it.
    check("@dataclass\nclass P:\n    a: Foo\n", "");
}

#[test]
fn what_is_not_exported() {
    check(
        "def f(x): pass\ndef _g(x: int) -> int: pass\nclass A:\n    def h(x: int) -> int: pass\n",
        "",
    );
    check(
        "def f(x: int):\n    def g(y: int) -> int: pass\n",
        "warning 1:5+1 'f' is not exported: its result has no type\n",
    );
    check(
        "def f(x: int, y) -> int: pass",
        "warning 1:5+1 'f' is not exported: its parameter 'y' has no type\n",
    );
    check(
        "def f(x: Foo, y) -> int: pass",
        "warning 1:5+1 'f' is not exported: its parameter 'y' has no type\n",
    );
    check(
        "__all__ = ['g']\ndef f(x: Foo) -> int: pass\ndef g() -> int: pass\n",
        "3:5 ()\ng :: Int\n",
    );
    check(
        "@overload\ndef f(x: int) -> int: ...\ndef f(x: float) -> float: ...\n",
        "3:5 (x)\nf :: Real -> Real\n",
    );
    check("if x:\n    def f(x: int) -> int: pass\n", "");
    check("async def f(x): pass", "");
}

#[test]
fn flaws() {
    check(
        "# mean :: [Real -> Real\ndef mean(xs): pass\n",
        "error 1:24+1 ended here, expected ']'\n",
    );
    check(
        "# f :: Int -> Int\ndef g(x): pass\n\n# h :: Int\n\nx = 1\n",
        "error 1:3+1 the signature of 'f' stands above 'g'\nerror 4:3+1 the signature of 'h' has no function below it\n",
    );
    check(
        "# f :: Int -> Int -> Int\ndef f(x): pass\n# g :: Int\ndef g(x, y=1): pass\n",
        "error 1:3+1 the signature of 'f' has 2 parameters, the function has 1\n\
         error 3:3+1 the signature of 'g' has 0 parameters, the function has 2\n",
    );
    check(
        "async def f(x: int) -> int: pass\n",
        "error 1:11+1 'f' is async, only plain functions can be exported (begin its name with an underscore, or wrap it: \
         asyncio.run(f(...)))\n",
    );
    check(
        "# f :: Int -> Int\n# timeout: soon\n# param x: One [arg: x]\ndef f(x): pass\n",
        "error 2:12+4 timeout is 'soon', expected seconds\nerror 3:22+1 'x' is no option, expected -k, --name or -k/--name\n",
    );
    check(
        "# f :: Int\n# f :: Int\ndef f(): pass\n",
        "error 2:3+8 this is the second signature of one function\n",
    );
    check("# timeout: soon\nx = 1\n", "");
    check(
        "# f :: Int -> Int\n# param exponent: One\ndef f(exponents): pass\n",
        "3:5 (exponents)\nf :: Int -> Int\nwarning 2:9+8 'f' has no parameter 'exponent' (did you mean exponents?)\n",
    );
    check(
        "def f() -> int: pass\ndef f() -> str: pass\n",
        "2:5 ()\nf :: Str\nwarning 2:5+1 there are two functions of the name 'f', this one is taken\n",
    );
}
