//! Pieces of generated code that languages share: strings in quotes, lists, names. Knows no language.

/// A text as a string in double quotes that Python, R, JavaScript and C++ read alike, if it has no control characters; those
/// it has become spaces.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            letter if letter.is_control() => out.push(' '),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// Texts in quotes with commas between.
pub fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    texts.join(", ")
}

/// Whether a text is a name in most languages: letters, digits and `_`, no digit first.
pub fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(is_letter) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// A file's name without folders and ending.
pub fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// A name for what is loaded of each file: its stem, made a name, and unlike those before it and those `taken`.
pub fn names_of(paths: &[&str], taken: &[&str]) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(paths.len());
    for path in paths {
        let letters = stem(path).chars();
        let mut name: String = letters
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '_'
                }
            })
            .collect();
        if !is_name(&name) {
            name.insert(0, '_');
        }
        while taken.contains(&name.as_str()) || names.contains(&name) {
            name.push('_');
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted() {
        let check = |text, expected| assert_eq!(quoted(text), expected);
        check("[f8]", "\"[f8]\"");
        check("\\(i8)s", "\"\\\\(i8)s\"");
        check("a\"b\nc", "\"a\\\"b c\"");
    }

    #[test]
    fn each_file_has_its_name() {
        let check = |paths: &[&str], expected: &[&str]| assert_eq!(names_of(paths, &["nexus"]), expected);
        check(&["stats.py", "sub/stats.py"], &["stats", "stats_"]);
        check(
            &["my-stats.js", "2d.js", "nexus.js"],
            &["my_stats", "_2d", "nexus_"],
        );
    }
}
