//! Reads what a comment or docstring says about the function below it: a signature, records, directives, and parameters in
//! the idioms of the four languages (`Args:` of Google, `Parameters` of NumPy, `:param x:`, `@param`). Knows no code.

use super::directives::{describe_function, describe_param, is_directive};
use super::notation::{Line, is_name, read_record, read_signature};
use super::signature::{Doc, Flaw, Mention, ParamDoc, Place, Record, Signature};
use crate::limits::PARAMS_MAX;

/// What a comment says.
#[derive(Default)]
pub(super) struct Said<'a> {
    /// `mean :: [Real] -> Real`, if it has such a line.
    pub signature: Option<Result<Signature, Flaw>>,
    pub doc: Doc,
    pub params: Vec<SaidParam<'a>>,
    /// The type of the result, as written.
    pub returns: Option<Line<'a>>,
    pub records: Vec<Result<Record, Flaw>>,
    pub typedefs: Vec<Typedef<'a>>,
    /// Type variables, from `@template`.
    pub variables: Vec<&'a str>,
    /// For the compiler.
    pub flags: Vec<String>,
    /// Directives that can't be read: of interest if there is a function.
    pub flaws: Vec<Flaw>,
    pub mentions: Vec<Mention>,
}

impl Said<'_> {
    /// Puts another comment about the same function before this one: what it says wins.
    pub fn precede(&mut self, other: Self) {
        self.signature = other.signature.or(self.signature.take());
        let doc = std::mem::replace(&mut self.doc, other.doc);
        if self.doc.desc.is_empty() {
            self.doc.desc = doc.desc;
        }
        if self.doc.returns.is_empty() {
            self.doc.returns = doc.returns;
        }
        self.doc.name = self.doc.name.take().or(doc.name);
        self.doc.group = self.doc.group.take().or(doc.group);
        self.doc.timeout_ms = self.doc.timeout_ms.or(doc.timeout_ms);
        self.doc.examples.extend(doc.examples);
        let params = std::mem::replace(&mut self.params, other.params);
        for param in params {
            if !self.params.iter().any(|known| known.name == param.name) {
                self.params.push(param);
            }
        }
        self.returns = other.returns.or(self.returns);
        self.records.extend(other.records);
        self.variables.extend(other.variables);
        self.flags.extend(other.flags);
        self.flaws.extend(other.flaws);
        self.mentions.extend(other.mentions);
    }
}

/// What is said about a parameter.
pub(super) struct SaidParam<'a> {
    pub name: &'a str,
    pub place: Place,
    /// As written.
    pub ty: Option<Line<'a>>,
    /// It stands in brackets: it need not be given.
    pub is_optional: bool,
    pub doc: ParamDoc,
}

/// `@typedef {Object} Person` with its `@property` lines, or `@typedef {T} Name`.
pub(super) struct Typedef<'a> {
    pub name: Line<'a>,
    pub ty: Option<Line<'a>>,
    pub properties: Vec<SaidParam<'a>>,
}

/// Where a language says a type at the beginning of what it says of a parameter or a result: how many bytes that takes, and
/// where the text goes on.
pub(super) type Typed<'t> = &'t dyn Fn(Line<'_>, Subject) -> Option<(usize, usize)>;

/// Of what something is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Function,
    Param(usize),
    /// Of the last typedef.
    Property,
    Returns,
    /// Examples, notes: what no command line shows.
    Nothing,
}

/// Titles of sections, as Google's and NumPy's styles have them.
const SECTIONS: [(&str, Subject); 22] = [
    ("Args", Subject::Param(0)),
    ("Arguments", Subject::Param(0)),
    ("Parameters", Subject::Param(0)),
    ("Params", Subject::Param(0)),
    ("Other Parameters", Subject::Param(0)),
    ("Keyword Args", Subject::Param(0)),
    ("Keyword Arguments", Subject::Param(0)),
    ("Attributes", Subject::Param(0)),
    ("Returns", Subject::Returns),
    ("Return", Subject::Returns),
    ("Yields", Subject::Nothing),
    ("Raises", Subject::Nothing),
    ("Warns", Subject::Nothing),
    ("Example", Subject::Nothing),
    ("Examples", Subject::Nothing),
    ("Note", Subject::Nothing),
    ("Notes", Subject::Nothing),
    ("See Also", Subject::Nothing),
    ("References", Subject::Nothing),
    ("Todo", Subject::Nothing),
    ("Warning", Subject::Nothing),
    ("Warnings", Subject::Nothing),
];

struct Section {
    subject: Subject,
    /// Where its title stands.
    column: u32,
    /// Where its entries stand: in NumPy's style below the title, in Google's further in.
    entries: Option<u32>,
}

struct Reader<'a, 't> {
    lines: &'t [Line<'a>],
    at: usize,
    said: Said<'a>,
    /// What the function's parameters are called.
    names: &'t [&'a str],
    typed: Typed<'t>,
    section: Option<Section>,
    subject: Subject,
    /// The column of the line that began the subject, if only what stands further in goes on with it.
    column: Option<u32>,
}

/// Reads the lines of a comment above a function with these parameters.
pub(super) fn read<'a>(lines: &[Line<'a>], names: &[&'a str], typed: Typed<'_>) -> Said<'a> {
    let mut reader = Reader {
        lines,
        at: 0,
        said: Said::default(),
        names: &names[..names.len().min(PARAMS_MAX)],
        typed,
        section: None,
        subject: Subject::Function,
        column: None,
    };
    while reader.at < lines.len() {
        reader.line();
    }
    reader.said
}

/// A word at the beginning of a line, and the line behind it.
fn first_word(line: Line<'_>) -> (&str, Line<'_>) {
    let end = line.text.find(char::is_whitespace).unwrap_or(line.text.len());
    (&line.text[..end], line.skip(end).trim())
}

/// `{...}` at the beginning of a line, without its braces, and the line behind it.
fn braced(line: Line<'_>) -> (Option<Line<'_>>, Line<'_>) {
    let mut open = 0usize;
    for (at, letter) in line.text.char_indices() {
        match letter {
            '{' => open += 1,
            '}' if open == 1 => {
                let inner = Line {
                    text: &line.text[..at],
                    ..line
                };
                return (Some(inner.skip(1).trim()), line.skip(at + 1).trim());
            }
            '}' => open = open.saturating_sub(1),
            _ if open == 0 => break,
            _ => {}
        }
    }
    (None, line)
}

/// A line like `name ::`: nothing that people write otherwise.
fn is_signature(text: &str) -> bool {
    let Some((name, _)) = text.split_once(" ::") else {
        return false;
    };
    name.trim_end().split("::").all(is_name)
}

/// `record Person = ...`, `record Person where`.
pub(super) fn record_name(line: Line<'_>) -> Option<&str> {
    let (word, rest) = first_word(line);
    let (name, rest) = first_word(rest);
    let is_declared = rest.text.starts_with(['=', '{']) && rest.text.contains('{');
    let is_begun = rest.text.is_empty() || rest.text.starts_with('=') || rest.text == "where";
    let is_record = is_declared || is_begun && name.starts_with(char::is_uppercase);
    (word == "record" && is_record && !name.is_empty()).then_some(name)
}

/// The title of a section and how many lines it takes.
fn title(line: Line<'_>, next: Option<&Line<'_>>) -> Option<(Section, usize)> {
    let (title, taken) = match line.text.strip_suffix(':') {
        Some(title) => (title, 1),
        None if next.is_some_and(|next| is_rule(next.text)) => (line.text, 2),
        None => return None,
    };
    let subject = match SECTIONS.iter().find(|row| row.0 == title) {
        Some(row) => row.1,
        None if taken == 2 => Subject::Nothing,
        None => return None,
    };
    let column = line.place.column;
    let entries = (taken == 2).then_some(column);
    Some((
        Section {
            subject,
            column,
            entries,
        },
        taken,
    ))
}

/// What NumPy's style puts below its titles.
fn is_rule(text: &str) -> bool {
    text.len() >= 3 && text.bytes().all(|byte| byte == b'-')
}

/// Whether a line of a description is read as one wherever it stands.
pub(super) fn is_prose(text: &str) -> bool {
    let line = Line {
        text,
        place: Place::default(),
    };
    let is_tagged =
        text.starts_with(['@', '\\', ':']) || text.starts_with("param ") || text.starts_with("flags:");
    !(is_tagged
        || is_rule(text)
        || is_signature(text)
        || record_name(line).is_some()
        || title(line, None).is_some())
}

impl<'a> Reader<'a, '_> {
    fn line(&mut self) {
        let line = self.lines[self.at];
        if line.text.is_empty() {
            self.at += 1;
            self.empty();
            return;
        }
        if let Some((section, taken)) = title(line, self.lines.get(self.at + 1)) {
            self.at += taken;
            self.subject = match section.subject {
                Subject::Param(_) => Subject::Nothing,
                subject => subject,
            };
            self.column = None;
            self.section = Some(section);
            return;
        }
        if let Some(section) = &mut self.section {
            let is_below = section.entries == Some(section.column);
            if is_below || line.place.column > section.column {
                self.at += 1;
                self.in_section(line);
                return;
            }
            self.section = None;
            self.subject = Subject::Function;
        }
        if record_name(line).is_some() {
            let lines = self.take(true);
            let record = read_record(&lines, &mut self.said.mentions);
            self.said.records.push(record);
            return;
        }
        if is_signature(line.text) {
            let lines = self.take(false);
            let signature = read_signature(&lines, &mut self.said.mentions);
            let flaw = line.flaw("this is the second signature of one function");
            self.said.signature = match self.said.signature.take() {
                Some(_) => Some(Err(flaw)),
                None => Some(signature),
            };
            self.subject = Subject::Function;
            return;
        }
        self.at += 1;
        self.prose(line);
    }

    /// The line and those that go on with it: further in, or what can't begin anything.
    fn take(&mut self, is_record: bool) -> Vec<Line<'a>> {
        let first = self.lines[self.at];
        let mut taken = vec![first];
        let mut open = 0usize;
        loop {
            let last = taken[taken.len() - 1].text;
            let last = last.split("--").next().unwrap_or_default();
            open += last.matches('{').count();
            open = open.saturating_sub(last.matches('}').count());
            self.at += 1;
            let Some(next) = self.lines.get(self.at).filter(|line| !line.text.is_empty()) else {
                return taken;
            };
            let goes_on = next.place.column > first.place.column
                || next.text.starts_with("->")
                || (is_record && (open > 0 || next.text.starts_with('{')));
            if !goes_on {
                return taken;
            }
            taken.push(*next);
        }
    }

    fn empty(&mut self) {
        match self.subject {
            Subject::Function => self.said.doc.desc.push(String::new()),
            // What follows a paragraph about a parameter is about the function again, unless a tag or a title began it.
            _ if self.column.is_some() && self.section.is_none() => self.subject = Subject::Function,
            _ => self.add(self.lines[self.at - 1]),
        }
    }

    fn in_section(&mut self, line: Line<'a>) {
        let Some(section) = &mut self.section else { return };
        let entries = *section.entries.get_or_insert(line.place.column);
        let is_entry = line.place.column <= entries;
        let is_below = entries == section.column;
        match section.subject {
            Subject::Param(_) if is_entry && is_below => self.numpy_param(line),
            Subject::Param(_) if is_entry => self.google_param(line),
            Subject::Returns if is_entry && is_below && self.said.returns.is_none() => {
                let named = line
                    .text
                    .split_once(" : ")
                    .map(|(name, _)| line.skip(name.len() + 3).trim());
                self.said.returns = Some(named.unwrap_or(line));
            }
            Subject::Returns if self.said.returns.is_none() && self.said.doc.returns.is_empty() => {
                self.returns(line)
            }
            _ => self.add(line),
        }
    }

    /// `xs : list of float`
    fn numpy_param(&mut self, line: Line<'a>) {
        let (name, ty) = match line.text.find(':') {
            Some(colon) => (&line.text[..colon], Some(line.skip(colon + 1).trim())),
            None => (line.text, None),
        };
        self.begin(name.trim_end(), line.place, ty.map(without_optional));
    }

    /// `xs: The numbers`, `xs (list[float]): The numbers`
    fn google_param(&mut self, line: Line<'a>) {
        let name_end = line.text.find([' ', ':', '(']).unwrap_or(line.text.len());
        let mut rest = line.skip(name_end).trim();
        let mut ty = None;
        if let Some(inner) = rest.text.strip_prefix('(')
            && let Some(end) = inner.find("):")
        {
            ty = Some(without_optional(
                Line {
                    text: &rest.text[..=end],
                    ..rest
                }
                .skip(1)
                .trim(),
            ));
            rest = rest.skip(end + 2);
        }
        if !rest.text.starts_with(':') {
            self.add(line);
            return;
        }
        self.begin(&line.text[..name_end], line.place, ty);
        self.describe(rest.skip(1).trim());
    }

    /// From here on a parameter is meant.
    fn begin(&mut self, name: &'a str, place: Place, ty: Option<Line<'a>>) {
        let name = name.trim_start_matches('*');
        if self.said.params.len() >= PARAMS_MAX {
            self.subject = Subject::Nothing;
            return;
        }
        let known = self.said.params.iter().position(|param| param.name == name);
        let position = known.unwrap_or(self.said.params.len());
        match known {
            Some(position) => self.said.params[position].ty = ty.or(self.said.params[position].ty),
            None => self.said.params.push(SaidParam {
                name,
                place,
                ty,
                is_optional: false,
                doc: ParamDoc::default(),
            }),
        }
        self.subject = Subject::Param(position);
    }

    /// What is said of a parameter or a result on the line that begins with it: it may have its type in it.
    fn describe(&mut self, text: Line<'a>) {
        match (self.typed)(text, self.subject) {
            Some((end, begin)) => {
                let ty = Line {
                    text: &text.text[..end],
                    ..text
                };
                let text = text.skip(begin).trim();
                match self.subject {
                    Subject::Param(position) => self.said.params[position].ty = Some(ty),
                    _ => self.said.returns = Some(ty),
                }
                self.add(text);
            }
            None => self.add(text),
        }
    }

    fn returns(&mut self, line: Line<'a>) {
        self.subject = Subject::Returns;
        self.describe(line);
    }

    /// A line of text about the subject.
    fn add(&mut self, line: Line<'a>) {
        let added = match self.subject {
            Subject::Function => describe_function(&mut self.said.doc, line),
            Subject::Param(position)
                if !line.text.is_empty() || !self.said.params[position].doc.desc.is_empty() =>
            {
                describe_param(&mut self.said.params[position].doc, line)
            }
            Subject::Property => match self
                .said
                .typedefs
                .last_mut()
                .and_then(|last| last.properties.last_mut())
            {
                Some(property) => describe_param(&mut property.doc, line),
                None => Ok(()),
            },
            Subject::Returns if !line.text.is_empty() => {
                self.said.doc.returns.push(line.text.to_string());
                Ok(())
            }
            _ => Ok(()),
        };
        self.said.flaws.extend(added.err());
    }

    /// A line outside of sections that is no signature.
    fn prose(&mut self, line: Line<'a>) {
        let first = line.text.chars().next();
        if matches!(first, Some('@' | '\\')) {
            return self.tag(line);
        }
        if first == Some(':')
            && let Some(end) = line.text[1..].find(':')
        {
            let head = Line {
                text: &line.text[..=end],
                ..line
            }
            .skip(1);
            return self.field(head, line.skip(end + 2).trim());
        }
        let goes_on = self.column.is_some_and(|column| line.place.column > column);
        if let Some((name, rest)) = line.text.split_once(':') {
            let text = line.skip(line.text.len() - rest.len()).trim();
            if let Some(name) = name.strip_prefix("param ") {
                self.column = Some(line.place.column);
                self.begin(name.trim(), line.skip("param ".len()).place, None);
                return self.describe(text);
            }
            if name == "flags" {
                let flags = text.text.split_whitespace().map(str::to_string);
                return self.said.flags.extend(flags);
            }
            if self.names.contains(&name) && !goes_on && rest.starts_with(' ') {
                self.column = Some(line.place.column);
                self.begin(name, line.place, None);
                return self.describe(text);
            }
        }
        if (self.column.is_some() && !goes_on) || is_directive(line) {
            self.subject = Subject::Function;
            self.column = None;
        }
        self.add(line);
    }

    /// `@param {number} k - How many`, `@returns {string} The name`
    fn tag(&mut self, line: Line<'a>) {
        let word_end = line.text[1..].find(|letter: char| !letter.is_alphanumeric());
        let word_end = word_end.map_or(line.text.len(), |end| end + 1);
        let word = &line.text[1..word_end];
        let mut rest = line.skip(word_end);
        // Doxygen's directions.
        if let Some((_, text)) = rest
            .text
            .strip_prefix('[')
            .and_then(|inner| inner.split_once(']'))
        {
            rest = rest.skip(rest.text.len() - text.len());
        }
        let (ty, rest) = braced(rest.trim());
        self.column = None;
        self.subject = Subject::Nothing;
        match word {
            "param" | "arg" | "argument" => self.tagged(ty, rest, false),
            "property" | "prop" => self.tagged(ty, rest, true),
            "return" | "returns" => match ty {
                Some(_) => {
                    self.said.returns = ty;
                    self.subject = Subject::Returns;
                    self.add(rest);
                }
                None => self.returns(rest),
            },
            "typedef" => self.said.typedefs.push(Typedef {
                name: Line {
                    text: first_word(rest).0,
                    ..rest
                },
                ty,
                properties: Vec::new(),
            }),
            "template" => {
                let names = rest
                    .text
                    .split(|letter: char| letter == ',' || letter.is_whitespace());
                self.said.variables.extend(names.filter(|name| !name.is_empty()));
            }
            "brief" | "description" | "desc" | "title" | "summary" => {
                self.subject = Subject::Function;
                self.add(rest);
            }
            _ => {}
        }
    }

    /// What stands behind `@param` and `@property`.
    fn tagged(&mut self, ty: Option<Line<'a>>, rest: Line<'a>, is_property: bool) {
        let in_brackets = rest.text.strip_prefix('[').and_then(|inner| inner.find(']'));
        let (name, text) = match in_brackets {
            Some(end) => {
                let inner = &rest.text[1..=end];
                (
                    inner.split('=').next().unwrap_or(inner).trim(),
                    rest.skip(end + 2).trim(),
                )
            }
            None => first_word(rest),
        };
        let name = name.trim_end_matches([':', ',']);
        // Properties of parameters, several at once: what has no parameter of its own.
        if name.is_empty() || name.contains(['.', ',']) && !self.names.contains(&name) {
            return;
        }
        let text = match text.text.strip_prefix("- ") {
            Some(_) => text.skip(2).trim(),
            None => text,
        };
        if !is_property {
            self.begin(name, rest.place, ty);
            if let Subject::Param(position) = self.subject {
                self.said.params[position].is_optional |= in_brackets.is_some();
            }
            return match ty {
                Some(_) => self.add(text),
                None => self.describe(text),
            };
        }
        if let Some(typedef) = self.said.typedefs.last_mut() {
            typedef.properties.push(SaidParam {
                name,
                place: rest.place,
                ty,
                is_optional: in_brackets.is_some(),
                doc: ParamDoc::default(),
            });
            self.subject = Subject::Property;
            self.add(text);
        }
    }

    /// `:param float x: The number`, `:rtype: float`
    fn field(&mut self, head: Line<'a>, text: Line<'a>) {
        let (word, rest) = first_word(head);
        self.column = None;
        self.subject = Subject::Nothing;
        match word {
            "param" | "parameter" | "arg" | "argument" | "key" | "keyword" => {
                let name = rest.text.rsplit(char::is_whitespace).next().unwrap_or_default();
                let ty = Line {
                    text: rest.text[..rest.text.len() - name.len()].trim_end(),
                    ..rest
                };
                self.begin(name, head.place, (!ty.text.is_empty()).then_some(ty));
                self.add(text);
            }
            "type" => {
                self.begin(rest.text, head.place, Some(text));
                self.subject = Subject::Nothing;
            }
            "return" | "returns" => {
                self.subject = Subject::Returns;
                self.add(text);
            }
            "rtype" => self.said.returns = Some(text),
            _ => {}
        }
    }
}

/// A type without the words that Google's and NumPy's styles put behind it.
fn without_optional(line: Line<'_>) -> Line<'_> {
    let end = line
        .text
        .find(", optional")
        .or_else(|| line.text.find(", default"));
    Line {
        text: line.text[..end.unwrap_or(line.text.len())].trim_end(),
        ..line
    }
}

/// Whether one of the lines is a signature.
pub(super) fn has_signature(lines: &[Line<'_>]) -> bool {
    lines.iter().any(|line| is_signature(line.text))
}
