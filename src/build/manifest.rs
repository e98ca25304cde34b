//! The manifest of a program as JSON text: the same program gives the same bytes. Checks nothing; the builder reads it back.

use crate::codec::json::write_string;
use crate::compose::compiled::{Body, Command, Compiled, Pool};
use crate::source::signature::{Param, ParamDoc, Record};
use crate::source::types::{Base, Type};

/// The manifest of the program that is installed under that name.
pub fn write(name: &str, compiled: &Compiled) -> Vec<u8> {
    let mut out = Json::default();
    out.open(b'{');
    out.line(1);
    out.key("version").raw("1");
    out.key("name").string(name);
    out.strings("desc", &compiled.desc);
    out.line(1);
    out.key("pools").open(b'[');
    for pool in &compiled.pools {
        out.line(2);
        write_pool(&mut out, name, pool);
    }
    out.close(b']');
    out.line(1);
    out.key("commands").open(b'[');
    for command in &compiled.commands {
        out.line(2);
        write_command(&mut out, compiled, command);
    }
    out.close(b']');
    out.close(b'}');
    out.text.push(b'\n');
    out.text
}

fn write_pool(out: &mut Json, name: &str, pool: &Pool) {
    out.open(b'{');
    out.key("lang").string(&pool.lang);
    let folder = format!("{name}.pools");
    let file = |file: &str| format!("{folder}/{file}");
    let exec = match pool.lang.as_str() {
        "py" => vec!["python3".into(), file("pool.py")],
        "r" => {
            let options = ["R", "--vanilla", "--no-echo", "--max-ppsize=500000", "-f"];
            let mut words: Vec<String> = options.iter().map(|word| word.to_string()).collect();
            words.extend([file("nexus_pool.R"), "--args".into(), file("pool.R")]);
            words
        }
        "js" => vec!["node".into(), file("pool.cjs")],
        _ => vec![file("pool-cpp")],
    };
    out.strings("exec", &exec);
    match pool.lang.as_str() {
        "js" => out.key("transport").string("direct"),
        lang => out.key("socket").string(&format!("pipe-{lang}")),
    }
    if pool.lang == "r" {
        // 80 ms less of each start: packages are loaded when they are used.
        out.key("env").raw("{\"R_DEFAULT_PACKAGES\": \"NULL\"}");
    }
    if pool.at_once > 1 {
        out.key("workers").raw(&pool.at_once.to_string());
    }
    out.close(b'}');
}

fn write_command(out: &mut Json, compiled: &Compiled, command: &Command) {
    out.open(b'{');
    out.key("name").string(&command.name);
    let mut expression = None;
    match &command.body {
        Body::Remote(position) => {
            let instance = &compiled.instances[*position];
            out.key("type").string("remote");
            out.key("pool").raw(&instance.pool.to_string());
            out.key("mid").raw(&instance.mid.to_string());
            // What the function calls by itself nobody knows; nexus starts those pools when they are called.
            out.numbers("needed_pools", &[instance.pool]);
        }
        Body::Pure(expr) => {
            out.key("type").string("pure");
            expression = Some(expr);
        }
        Body::Composed { expr, needed_pools } => {
            out.key("type").string("composed");
            out.numbers("needed_pools", needed_pools);
            expression = Some(expr);
        }
    }
    if command.is_internal {
        out.key("internal").raw("true");
    }
    if let Some(group) = &command.doc.group {
        out.key("group").string(group);
    }
    if let Some(timeout_ms) = command.doc.timeout_ms {
        out.key("timeout_ms").raw(&timeout_ms.to_string());
    }
    out.line(3);
    out.strings("desc", &command.doc.desc);
    out.line(3);
    out.strings("arg_schemas", &command.arg_schemas);
    out.line(3);
    out.key("args").open(b'[');
    let mut letters = Letters::of(command);
    for param in &command.params {
        out.line(4);
        write_param(out, &compiled.records, param, &mut letters);
    }
    out.close(b']');
    out.line(3);
    out.key("return_schema").string(&command.return_schema);
    out.key("return_type").string(&command.returns.to_string());
    out.strings("return_desc", &command.doc.returns);
    if !command.doc.examples.is_empty() {
        out.line(3);
        out.strings("examples", &command.doc.examples);
    }
    if let Some(expression) = expression {
        out.line(3);
        out.key("expr").raw(expression);
    }
    out.close(b'}');
}

/// The letters that the options of a command have.
struct Letters(Vec<char>);

impl Letters {
    /// Those that an author chose, which no other parameter gets; and that of help.
    fn of(command: &Command) -> Letters {
        let chosen = command
            .params
            .iter()
            .filter(|param| !has_own_letter(&param.doc, name_of(param)));
        Letters(chosen.filter_map(|param| param.doc.short).chain(['h']).collect())
    }

    /// The names of an option. A letter that a parameter has only because it is its name may be another's.
    fn choose(&mut self, doc: &ParamDoc, long: Option<String>, name: &str) -> (Option<char>, Option<String>) {
        let short = match doc.short {
            Some(letter) if has_own_letter(doc, name) => {
                let is_free = !self.0.contains(&letter);
                self.0.push(letter);
                is_free.then_some(letter)
            }
            short => short,
        };
        let word = || name.trim_matches(['_', '.']).replace(['_', '.'], "-");
        let is_nameless = short.is_none() && long.is_none() && doc.long.is_none() && doc.long_rev.is_none();
        (short, if is_nameless { Some(word()) } else { long })
    }
}

/// Whether the only name of an option is the letter that its parameter is called.
fn has_own_letter(doc: &ParamDoc, name: &str) -> bool {
    doc.long.is_none() && doc.short.is_some_and(|short| name.chars().eq([short]))
}

fn name_of(param: &Param) -> &str {
    param.name.as_deref().unwrap_or_default()
}

fn write_param(out: &mut Json, records: &[Record], param: &Param, letters: &mut Letters) {
    let doc = &param.doc;
    let name = name_of(param);
    let record = fields_of(&param.ty, records).filter(|_| doc.is_unrolled);
    if let Some(record) = record {
        return write_group(out, record, param, letters);
    }
    let is_named = doc.short.is_some() || doc.long.is_some() || doc.long_rev.is_some();
    match is_named || doc.default.is_some() || param.is_keyword {
        true => write_option(out, &param.ty, doc, name, letters),
        false => {
            out.open(b'{');
            out.key("kind").string("pos");
            write_input(out, &param.ty, doc, name);
            out.close(b'}');
        }
    }
}

/// What stands for a value in the usage line, and what it is.
fn write_input(out: &mut Json, ty: &Type, doc: &ParamDoc, name: &str) {
    match &doc.metavar {
        Some(metavar) => out.key("metavar").string(metavar),
        None if name.is_empty() => {}
        // The tables of all letters' cases would be a fiftieth of the binary.
        None if name.is_ascii() => out.key("metavar").string(&name.to_ascii_uppercase()),
        None => out.key("metavar").string(name),
    }
    out.key("type_desc").string(&ty.to_string());
    if is_text(ty) {
        out.key("quoted").raw("true");
    }
    out.strings("desc", &doc.desc);
}

fn write_option(out: &mut Json, ty: &Type, doc: &ParamDoc, name: &str, letters: &mut Letters) {
    out.open(b'{');
    match doc.flag_words() {
        Some(words) => {
            out.key("kind").string("flag");
            let (short, long) = letters.choose(doc, words.long, name);
            write_names(out, short, long.as_deref());
            if let Some(reverse) = &words.long_rev {
                out.key("long_rev").string(reverse);
            }
            out.key("default")
                .raw(if words.default { "true" } else { "false" });
            out.strings("desc", &doc.desc);
        }
        None => {
            out.key("kind").string("opt");
            let (short, long) = letters.choose(doc, doc.long.clone(), name);
            write_names(out, short, long.as_deref());
            if let Some(default) = &doc.default {
                out.key("default").raw(default);
            }
            write_input(out, ty, doc, name);
        }
    }
    out.close(b'}');
}

fn write_names(out: &mut Json, short: Option<char>, long: Option<&str>) {
    if let Some(short) = short {
        out.key("short").string(short.encode_utf8(&mut [0; 4]));
    }
    if let Some(long) = long {
        out.key("long").string(long);
    }
}

/// A record whose fields are options.
fn write_group(out: &mut Json, record: &Record, param: &Param, letters: &mut Letters) {
    let doc = &param.doc;
    out.open(b'{');
    out.key("kind").string("grp");
    let name = param.name.as_deref().unwrap_or(&record.name);
    write_input(out, &param.ty, doc, name);
    if doc.short.is_some() || doc.long.is_some() {
        out.key("group_opt").open(b'{');
        write_names(out, doc.short, doc.long.as_deref());
        out.close(b'}');
    }
    out.key("entries").open(b'[');
    for field in &record.fields {
        out.line(5);
        out.open(b'{');
        out.key("key").string(&field.name);
        out.key("arg");
        write_option(out, &field.ty, &field.doc, &field.name, letters);
        out.close(b'}');
    }
    out.close(b']');
    out.close(b'}');
}

fn is_text(ty: &Type) -> bool {
    match ty {
        Type::Optional(inner) => is_text(inner),
        ty => *ty == Type::Base(Base::Str),
    }
}

/// The record that a type names, also where it may be missing.
fn fields_of<'r>(ty: &Type, records: &'r [Record]) -> Option<&'r Record> {
    match ty {
        Type::Optional(inner) => fields_of(inner, records),
        Type::Named(name) => records.iter().find(|record| record.name == *name),
        _ => None,
    }
}

/// JSON text in the making: commas come by themselves, lines where they are asked for.
#[derive(Default)]
struct Json {
    text: Vec<u8>,
}

impl Json {
    /// A comma, unless it is the first of its list or follows its key.
    fn separate(&mut self) {
        match self.text.last() {
            None | Some(b'{' | b'[' | b':' | b'\n') => {}
            Some(b' ') => {}
            Some(_) => self.text.extend_from_slice(b", "),
        }
    }

    fn key(&mut self, key: &str) -> &mut Json {
        self.separate();
        write_string(key, &mut self.text);
        self.text.extend_from_slice(b": ");
        self
    }

    fn string(&mut self, text: &str) {
        self.separate();
        write_string(text, &mut self.text);
    }

    /// What is JSON already.
    fn raw(&mut self, text: &str) {
        self.separate();
        self.text.extend_from_slice(text.as_bytes());
    }

    fn open(&mut self, bracket: u8) {
        self.separate();
        self.text.push(bracket);
    }

    fn close(&mut self, bracket: u8) {
        self.text.push(bracket);
    }

    /// What follows stands on a line of its own.
    fn line(&mut self, depth: usize) {
        if !matches!(self.text.last(), Some(b'{' | b'[')) {
            self.text.push(b',');
        }
        self.text.push(b'\n');
        self.text.extend(std::iter::repeat_n(b' ', 2 * depth));
    }

    fn strings(&mut self, key: &str, texts: &[String]) {
        self.key(key).open(b'[');
        texts.iter().for_each(|text| self.string(text));
        self.close(b']');
    }

    fn numbers(&mut self, key: &str, numbers: &[usize]) {
        self.key(key).open(b'[');
        numbers.iter().for_each(|number| self.raw(&number.to_string()));
        self.close(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::compiled::Instance;
    use crate::manifest::parse::parse;
    use crate::source::read;

    /// The arguments of a function in Python, as the manifest has them. The whole manifest is checked.
    fn check(source: &str, expected: &[&str]) {
        let library = read("py", source).unwrap();
        let function = library.functions.last().unwrap().clone();
        let command = Command {
            name: function.name,
            is_internal: false,
            doc: function.doc,
            arg_schemas: function.params.iter().map(|param| schema(&param.ty)).collect(),
            params: function.params,
            return_schema: schema(&function.returns),
            returns: function.returns,
            body: Body::Remote(0),
        };
        let compiled = Compiled {
            pools: vec![Pool {
                lang: "py".into(),
                at_once: 1,
            }],
            instances: vec![Instance {
                pool: 0,
                mid: 1,
                file: "a.py".into(),
                function: command.name.clone(),
                params: Vec::new(),
                returns: command.returns.clone(),
                arg_schemas: Vec::new(),
                return_schema: String::new(),
            }],
            commands: vec![command],
            records: library.records,
            ..Compiled::default()
        };
        let text = String::from_utf8(write("stats", &compiled)).unwrap();
        let start = text.find("\"args\": [").unwrap() + "\"args\": [".len();
        let end = text.find("],\n      \"return_schema\"").unwrap();
        let found: Vec<&str> = text[start..end]
            .split("\n")
            .map(|line| line.trim().trim_end_matches(','))
            .collect();
        assert_eq!(
            found.iter().filter(|line| !line.is_empty()).collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>()
        );
        if let Err(errors) = parse(text.as_bytes(), "stats.manifest") {
            panic!("{errors:?}");
        }
    }

    fn schema(ty: &Type) -> String {
        match ty {
            Type::Base(base) => base.schema().into(),
            Type::List(inner) => format!("[{}]", schema(inner)),
            Type::Optional(inner) => format!("?{}", schema(inner)),
            _ => "{x:f8,many:i8}".into(),
        }
    }

    #[test]
    fn parameters() {
        check(
            "def f(xs: list[float], name: str) -> None: pass",
            &[
                r#"{"kind": "pos", "metavar": "XS", "type_desc": "[Real]", "desc": []}"#,
                r#"{"kind": "pos", "metavar": "NAME", "type_desc": "Str", "quoted": true, "desc": []}"#,
            ],
        );
        // A letter of its own, that of help, and one that another has chosen.
        check(
            "# f :: Int -> Int -> Int -> Int\n# param k: [arg: -n]\ndef f(k: int, n: int = 1, h: int = 2) -> int: pass",
            &[
                r#"{"kind": "opt", "short": "n", "metavar": "K", "type_desc": "Int", "desc": []}"#,
                r#"{"kind": "opt", "long": "n", "default": 1, "metavar": "N", "type_desc": "Int", "desc": []}"#,
                r#"{"kind": "opt", "long": "h", "default": 2, "metavar": "H", "type_desc": "Int", "desc": []}"#,
            ],
        );
        check(
            "def f(*, loud: bool = False, dry_run: bool = True, word: str = 'a\"b') -> None: pass",
            &[
                r#"{"kind": "flag", "long": "loud", "long_rev": "no-loud", "default": false, "desc": []}"#,
                r#"{"kind": "flag", "long": "no-dry-run", "long_rev": "dry-run", "default": true, "desc": []}"#,
                r#"{"kind": "opt", "long": "word", "default": "a\"b", "metavar": "WORD", "type_desc": "Str", "quoted": true, "desc": []}"#,
            ],
        );
    }
}
