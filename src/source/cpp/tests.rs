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
        "extern \"C\" {\n// f :: (Int -> Int) -> [[Int]] -> Int\nint f(std::function<int(int, int)> g, std::map<int, \
         std::vector<int>> const &m = {}, int (&xs)[3] = y) { if (x) { } }\n}\n",
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
    check("}}}} ; ) ] // f :: Int", "");
}
