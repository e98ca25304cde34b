//! What is read from C++.

fn check(text: &str, expected: &str) {
    crate::source::tests::check("cpp", text, expected);
}

#[test]
fn functions() {
    check(
        "#include <vector>\n\n// The mean.\n// mean :: [Real] -> Real\n// param xs: The numbers [metavar: XS]\n\
         double mean(const std::vector<double>& xs) {\n    // f :: Int\n    return 1 / (2);\n}\n",
        "6:8 (xs)\nThe mean.\nmean ::\n  --' The numbers\n  --' metavar: XS\n  [Real] ->\n  Real\n",
    );
    check(
        "/** The sum.\n * @param a One\n * @param[in] b Two [default: 3]\n * @return Both\n * add :: Int -> Int -> Int\n */\n\
         [[nodiscard]] static inline auto add(std::int64_t a, std::int64_t b = 2) -> std::int64_t;\n",
        "7:34 (a, b)\nThe sum.\nreturn: Both\nadd ::\n  --' One\n  Int ->\n  --' Two\n  --' arg: -b\n  --' default: 3\n  Int ->\n  Int\n",
    );
    check(
        "namespace geo::flat {\nnamespace {\n// area :: Real -> Real\ntemplate <class T, class U = std::vector<T>>\nT area(T) { return {}; }\n}}\n\
         // now :: () -> Real\nextern \"C\" double now(void) noexcept;\n",
        "5:3 (_)\ngeo::flat::area :: Real -> Real\n8:19 ()\nnow :: Real\n",
    );
    check(
        "extern \"C\" {\n// f :: (Int -> Int) -> [[Int]] -> Int\nint f(std::function<int(int, int)> g, std::map<long, \
         std::vector<long>> const &m = {}, int (&xs)[3] = y) { if (x) { } }\n}\n",
        "3:5 (g, m)\nf ::\n  (Int -> Int) ->\n  --' arg: -m\n  --' default: []\n  [[Int]] ->\n  Int\n",
    );
}

#[test]
fn records_and_flags() {
    check(
        "// flags: -O3 -lm\n// record P = P\n//   { x :: Real -- in metres\n//   , y :: Real }\nstruct P { double x, y; };\n\
         NEXUS_RECORD(P, x, y)\n\n// f :: P -> P\nP f(P p) { return p; }\n",
        "9:3 (p)\nf :: P -> P\nrecord P = P {\n  x :: Real,\n  y :: Real\n}\nflags -O3 -lm\nnames P at 8:9\nnames P at 8:14\n",
    );
}

#[test]
fn what_is_not_read() {
    check("// The mean of a std::vector.\ndouble mean(double x);\n", "");
    check(
        "#if 0\n// f :: Int\nint f(;\n#endif\n// g :: Int\nint g();\n",
        "6:5 ()\ng :: Int\n",
    );
    check(
        "#ifdef A\nvoid f() {\n#else\nvoid f(int) {\n#endif\n}\n// g :: Int\nint g();\n",
        "8:5 ()\ng :: Int\n",
    );
    check(
        "const char *s = R\"(\n// f :: Int\n)\"; int xs[] = {1, 2};\n// g :: Int\nint g();\n",
        "5:5 ()\ng :: Int\n",
    );
    check("void f() { { \n// g :: Int\n } }\n", "");
}

#[test]
fn flaws() {
    check(
        "// f :: [Int -> Int\nint f(int x);\n",
        "error 1:20+1 ended here, expected ']'\n",
    );
    check(
        "struct A {\n// f :: Int -> Int\nint f(int x);\n};\n",
        "error 3:5+1 'f' stands in a class, only functions outside of classes are exported\n",
    );
    check(
        "// f :: Int -> Int\nint g(int x);\n\n// h :: Int\n\nint x = 1;\n",
        "error 1:4+1 the signature of 'f' stands above 'g'\nerror 4:4+1 the signature of 'h' has no function below it\n",
    );
    check(
        "// f :: Int -> Int\nint f();\n",
        "error 1:4+1 the signature of 'f' has 1 parameter, the function has 0\n",
    );
    check(
        "// f :: Int\nlong f();\n// f :: Int\nlong f() { return 1; }\n",
        "error 4:6+1 there are two functions of the name 'f', only one can be exported\n",
    );
    check(
        "// f :: Worker Int Int -> Int\nlong f(X x);\n",
        "2:6 (x)\nf :: Worker Int Int -> Int\nwarning 2:6+1 'f' can't be called: a Worker exists in compositions only (take what the \
         worker sends, and let the composition talk to it)\n",
    );
    check("}}}} ; ) ] // f :: Int", "");
}

#[test]
fn what_values_do_not_fit() {
    let check = |ty: &str, declared: &str, expected: &str| {
        let found = crate::source::tests::shown("cpp", &format!("// f :: {ty} -> Int\nint f({declared});\n"));
        let warning = found.lines().find_map(|line| line.strip_prefix("warning "));
        assert_eq!(
            warning.unwrap_or_default().split(" (declare").next(),
            Some(expected),
            "{ty} {declared}: {found}"
        );
    };
    check(
        "Int",
        "int k",
        "2:7+3 k is a 32-bit integer, and receives 64 bits (Int)",
    );
    check(
        "[Int]",
        "const std::vector<int> &ks",
        "2:7+24 ks is a 32-bit integer, and receives 64 bits (Int)",
    );
    check(
        "?I32",
        "std::optional<std::int16_t> k",
        "2:7+27 k is a 16-bit integer, and receives 32 bits (I32)",
    );
    check(
        "Int",
        "unsigned long k",
        "2:7+13 k has no sign, and receives one (Int)",
    );
    check(
        "U32",
        "int",
        "2:7+3 the parameter is a 32-bit integer, and receives 32 bits (U32)",
    );
    check(
        "Real",
        "float x",
        "2:7+5 x is a 32-bit float, and receives 64 bits (Real)",
    );
    check(
        "Real",
        "int x",
        "2:7+3 x can't take Real: its C++ type is another (let both say the same)",
    );
    check("Bytes", "std::string x", "2:7+11 x can't take Bytes");
    for (ty, declared) in [
        ("Int", "long k"),
        ("Int", "std::int64_t k"),
        ("Int", "long long int k"),
        ("U32", "long k"),
        ("I32", "const int &k"),
        ("U64", "std::size_t k"),
        ("[[Real]]", "std::vector<std::vector<double>> xs"),
        ("Int", "double k"),
        ("Str", "const char *k"),
        ("Str", "std::string_view k"),
        ("(Int, Int)", "std::pair<int, int> k"),
        ("Int", "T k"),
        ("Bytes", "nexus::bytes k"),
        ("Int", "nexus::big_integer k"),
    ] {
        check(ty, declared, "");
    }
}
