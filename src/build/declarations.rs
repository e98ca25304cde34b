//! What a text in C++ declares outside of functions and classes: structs, and functions with their overloads. Reads no types
//! and expands no macro; what it takes for something else is only missed.

/// A struct or a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// With its namespaces.
    pub name: String,
    /// Of a function: its parameters as they are written, without spaces.
    pub params: Option<String>,
    /// Whether it is a template, or as good as one.
    pub is_template: bool,
}

/// All that a text declares, in its order.
pub fn declared(text: &str) -> Vec<Declared> {
    let mut found = Vec::new();
    let mut namespaces: Vec<String> = Vec::new();
    // Braces of the body that this is in, where nothing is looked for.
    let mut bodies = 0_usize;
    let mut statement: Vec<&str> = Vec::new();
    for token in tokens(text) {
        match token {
            "{" if bodies > 0 => bodies += 1,
            "}" if bodies > 0 => bodies -= 1,
            _ if bodies > 0 => {}
            "{" => {
                match namespace(&statement) {
                    Some(name) => namespaces.push(name),
                    None => {
                        found.extend(declaration(&namespaces, &statement));
                        bodies = 1;
                    }
                }
                statement.clear();
            }
            "}" => {
                namespaces.pop();
                statement.clear();
            }
            ";" => {
                if statement.contains(&"(") {
                    found.extend(declaration(&namespaces, &statement));
                }
                statement.clear();
            }
            token => statement.push(token),
        }
    }
    found
}

/// What `namespace a::b` opens; also what opens none: `extern "C"`.
fn namespace(statement: &[&str]) -> Option<String> {
    match statement {
        ["namespace", name @ ..] | ["inline", "namespace", name @ ..] => Some(name.concat()),
        ["extern"] => Some(String::new()),
        _ => None,
    }
}

fn declaration(namespaces: &[String], statement: &[&str]) -> Option<Declared> {
    let qualified = |name: &str| {
        let outer = namespaces.iter().filter(|name| !name.is_empty());
        outer.fold(String::new(), |path, name| path + name + "::") + name
    };
    let is_template = statement.first() == Some(&"template");
    // Behind the parameters of a template.
    let own = match is_template {
        true => &statement[template_end(statement)..],
        false => statement,
    };
    let mut depth = 0_usize;
    let paren = own.iter().position(|token| {
        match *token {
            "<" => depth += 1,
            ">" => depth = depth.saturating_sub(1),
            _ => {}
        }
        *token == "(" && depth == 0
    });
    if let Some(at) = own.iter().position(|token| matches!(*token, "struct" | "class"))
        && paren.is_none()
    {
        let name = own.get(at + 1).filter(|name| is_word(name))?;
        return Some(Declared {
            name: qualified(name),
            params: None,
            is_template,
        });
    }
    let paren = paren?;
    let start = own[..paren]
        .iter()
        .rposition(|token| !is_word(token) && *token != "::")
        .map_or(0, |at| at + 1);
    // Of the words before the parameters the last is the name, with what `::` joins to it.
    let mut words = own[start..paren].iter().rev();
    let mut name = words.next().filter(|name| is_word(name))?.to_string();
    while let (Some(&"::"), Some(outer)) = (words.next(), words.next()) {
        name = format!("{outer}::{name}");
    }
    let params = own[paren + 1..].concat();
    Some(Declared {
        name: qualified(&name),
        is_template: is_template || own[paren..].contains(&"auto"),
        params: Some(
            params
                .rsplit_once(')')
                .map_or("", |(params, _)| params)
                .to_string(),
        ),
    })
}

/// Where the parameters of a template end.
fn template_end(statement: &[&str]) -> usize {
    let mut depth = 0_i32;
    for (at, token) in statement.iter().enumerate() {
        match *token {
            "<" => depth += 1,
            ">" if depth == 1 => return at + 1,
            ">" => depth -= 1,
            _ => {}
        }
    }
    statement.len()
}

fn is_word(token: &str) -> bool {
    token
        .bytes()
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
}

/// Words and signs, without comments, strings and lines of the preprocessor.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let first = *bytes.get(at)?;
            let is_line_start = || {
                let before = text[..at].trim_end_matches([' ', '\t']);
                before.is_empty() || before.ends_with('\n')
            };
            let skipped = match first {
                b'/' if rest.starts_with("//") => line_end(rest),
                b'/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |end| end + 4),
                b'#' if is_line_start() => line_end(rest),
                b'"' | b'\'' => literal_end(rest),
                b'R' if rest.starts_with("R\"") => raw_end(rest),
                byte if byte.is_ascii_whitespace() || !byte.is_ascii() => {
                    rest.chars().next().map_or(1, char::len_utf8)
                }
                _ => 0,
            };
            if skipped > 0 {
                at += skipped;
                continue;
            }
            let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let len = match first {
                byte if is_part(&byte) => rest.bytes().take_while(is_part).count(),
                b':' if rest.starts_with("::") => 2,
                _ => 1,
            };
            at += len;
            return Some(&rest[..len]);
        }
    })
}

/// The length of a line that goes on where it ends with a backslash.
fn line_end(rest: &str) -> usize {
    let mut from = 0;
    while let Some(end) = rest[from..].find('\n') {
        let end = from + end;
        if !rest[..end].trim_end_matches('\r').ends_with('\\') {
            return end + 1;
        }
        from = end + 1;
    }
    rest.len()
}

fn literal_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() && bytes[at] != bytes[0] && bytes[at] != b'\n' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    let mut end = (at + 1).min(bytes.len());
    while !rest.is_char_boundary(end) {
        end += 1;
    }
    end
}

/// `R"end(...)end"`
fn raw_end(rest: &str) -> usize {
    let Some((mark, _)) = rest[2..].split_once('(') else {
        return rest.len();
    };
    let end = format!("){mark}\"");
    rest.find(&end).map_or(rest.len(), |at| at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = declared(text)
            .into_iter()
            .map(|found| {
                let mark = if found.is_template { "template " } else { "" };
                match found.params {
                    Some(params) => format!("{mark}{}({params})", found.name),
                    None => format!("{mark}struct {}", found.name),
                }
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn structs() {
        check("struct A { int x; struct B { int y; }; };", &["struct A"]);
        check("struct A;\nclass C final : public A { C(int); };", &["struct C"]);
        check(
            "namespace a { namespace b::c { struct D {}; } struct E : D {}; } struct F {};",
            &["struct a::b::c::D", "struct a::E", "struct F"],
        );
        check("namespace { struct G {}; }", &["struct G"]);
        check("template <class T> struct H { T x; };", &["template struct H"]);
        check(
            "// struct I {};\n/* struct J {}; */ const char* s = \"struct K {\";\n#define X struct L {\nstruct M {};",
            &["struct M"],
        );
        check(
            "auto s = R\"x(struct N {)x\"; char c = '{'; struct O {};",
            &["struct O"],
        );
    }

    #[test]
    fn functions() {
        check(
            "double f(const std::vector<double>& xs) { return g(xs); }",
            &["f(conststd::vector<double>&xs)"],
        );
        check("int f(int); int f(double);", &["f(int)", "f(double)"]);
        check(
            "std::function<int(int)> make(int n) { return {}; }",
            &["make(intn)"],
        );
        check(
            "template <class T> T max(std::vector<T> xs);",
            &["template max(std::vector<T>xs)"],
        );
        check("auto f(auto x) { return x; }", &["template f(autox)"]);
        check(
            "namespace a { inline int f() noexcept { return 1; } }\nint a::g() { return 2; }",
            &["a::f()", "a::g()"],
        );
        check("extern \"C\" { int h(void); }", &["h(void)"]);
        check("struct S make(int x) { return {}; }", &["make(intx)"]);
    }

    #[test]
    fn what_is_broken_ends() {
        for text in [
            "/*",
            "\"",
            "R\"x(",
            "'",
            "struct",
            "template <",
            "}}}",
            "f(",
            "#define x \\",
            "\u{e9}\"\\\u{e9}",
        ] {
            declared(text);
        }
    }
}
