//! Rust source as far as the rules look into it: its code without comments and texts, and the paths that it names. Knows
//! no grammar beyond that.

/// The source with comments and the insides of literals blanked out; lines stay where they are.
pub fn code(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while !rest.is_empty() {
        let blank = comment(rest).or_else(|| literal(rest));
        let taken = blank.unwrap_or_else(|| word(rest));
        for char in rest[..taken].chars() {
            out.push(if blank.is_some() && char != '\n' {
                ' '
            } else {
                char
            });
        }
        rest = &rest[taken..];
    }
    out
}

/// Length of the comment in front, if one is.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    loop {
        match rest.get(at..at + 2) {
            Some("/*") => depth += 1,
            Some("*/") => depth -= 1,
            _ => {
                at += rest[at..].chars().next().map_or(0, char::len_utf8);
                if at >= rest.len() {
                    return Some(rest.len());
                }
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Length of the string or character in front, if one is; a lifetime is none.
fn literal(rest: &str) -> Option<usize> {
    let (prefix, body) = ["br", "cr", "b", "c", "r", ""]
        .into_iter()
        .filter_map(|prefix| Some((prefix, rest.strip_prefix(prefix)?)))
        .find(|(_, body)| body.starts_with(['"', '#', '\'']))?;
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = body[hashes..].strip_prefix('"')?;
        let len = inside.find(&end).map_or(inside.len(), |len| len + end.len());
        return Some(prefix.len() + hashes + 1 + len);
    }
    let quote = body.chars().next().filter(|char| *char != '#')?;
    let mut chars = body.char_indices().skip(1);
    if quote == '\'' {
        let mut ahead = body.chars().skip(1);
        if ahead.next() != Some('\\') && ahead.next() != Some('\'') {
            return None;
        }
    }
    while let Some((at, char)) = chars.next() {
        if char == '\\' {
            chars.next();
        } else if char == quote {
            return Some(prefix.len() + at + 1);
        }
    }
    Some(rest.len())
}

/// Length of the identifier in front, or of the one character that begins none.
fn word(rest: &str) -> usize {
    let len = rest.len() - rest.trim_start_matches(is_word).len();
    len.max(rest.chars().next().map_or(0, char::len_utf8))
}

pub fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// A path that code names, such as `crate::codec::json`, with the number of its line.
#[derive(Debug, PartialEq, Eq)]
pub struct Path<'a> {
    pub line: usize,
    pub segments: Vec<&'a str>,
}

/// All paths of code without comments, single identifiers among them; `a::{b, c::d}` counts as `a::b` and `a::c::d`.
pub fn paths(code: &str) -> Vec<Path<'_>> {
    let (mut found, mut rest, mut line) = (Vec::new(), code, 1);
    // What stands before each open brace; it goes before every path inside.
    let mut open: Vec<Vec<&str>> = vec![Vec::new()];
    let mut segments: Vec<&str> = Vec::new();
    while !rest.is_empty() {
        let (token, after) = rest.split_at(word(rest));
        let is_path = !segments.is_empty() && !matches!(segments.last(), Some(&"::"));
        match token {
            ":" if is_path && after.starts_with(':') => {
                segments.push("::");
                rest = &after[1..];
                continue;
            }
            "{" => {
                let mut prefix = open.last().cloned().unwrap_or_default();
                let group = matches!(segments.last(), Some(&"::"));
                match group {
                    true => prefix.extend(segments.drain(..).filter(|segment| *segment != "::")),
                    false => prefix.clear(),
                }
                flush(&mut found, &open, &mut segments, line);
                open.push(prefix);
            }
            _ if token.starts_with(is_word) => segments.push(token),
            _ => flush(&mut found, &open, &mut segments, line),
        }
        if token == "}" {
            open.pop();
        }
        line += usize::from(token == "\n");
        rest = after;
    }
    flush(&mut found, &open, &mut segments, line);
    found
}

fn flush<'a>(found: &mut Vec<Path<'a>>, open: &[Vec<&'a str>], segments: &mut Vec<&'a str>, line: usize) {
    if segments.is_empty() {
        return;
    }
    let mut whole = open.last().cloned().unwrap_or_default();
    whole.extend(segments.drain(..).filter(|segment| *segment != "::"));
    found.push(Path {
        line,
        segments: whole,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let check = |source: &str, expected: &str| {
            let found = code(source);
            assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), expected);
            assert_eq!(found.lines().count(), source.lines().count());
        };
        check("a // b \"\nc", "a c");
        check("a /* b /* c */ d\n */ e", "a e");
        check(
            "f(\"x \\\" // y\", 'z', '\\'', b'q', br\"r\") + 1",
            "f( , , , , ) + 1",
        );
        check("r#\"a \" b\"# c 'a: &'b d r#type", "c 'a: &'b d r#type");
        check("bar\"x\" car 'é' e", "bar car e");
        check("\"open", "");
    }

    #[test]
    fn paths_are_spelled_out() {
        let check = |code: &str, expected: &str| {
            let found: Vec<String> = paths(code)
                .iter()
                .map(|path| format!("{}:{}", path.line, path.segments.join("::")))
                .collect();
            assert_eq!(found.join(" "), expected);
        };
        check("use a::b;\nc(d)", "1:use 1:a::b 2:c 2:d");
        check(
            "use a::{b, c::{d, e}};\nf",
            "1:use 1:a::b 1:a::c::d 1:a::c::e 2:f",
        );
        check("fn f() -> g::H { i::j() }", "1:fn 1:f 1:g::H 1:i::j");
        check("a: b::<C>::d", "1:a 1:b 1:C 1:d");
        check("impl a::B {}", "1:impl 1:a::B");
    }
}
