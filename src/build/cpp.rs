//! The pool of C++: a program that includes the sources, describes their records and registers their functions; and what is
//! compiled with it. Compiles nothing.

use crate::build::declarations::{Declared, declared};
use crate::build::folder::File;
use crate::build::pool::{Part, Pool, Written};
use crate::build::text::quoted;
use crate::compose::compiled::Instance;
use crate::source::signature::Record;
use crate::source::types::{Base, Type};
use std::fmt::Write;

/// Writes the program's text.
pub fn write(pool: &Pool<'_>) -> Written {
    let declared: Vec<Declared> = pool
        .sources
        .iter()
        .flat_map(|file| declared(&String::from_utf8_lossy(&file.content)))
        .collect();
    let mut writer = Writer {
        records: pool.records,
        declared,
        done: Vec::new(),
        structs: String::new(),
        described: String::new(),
    };
    for instance in pool.parts.iter().flat_map(|part| &part.instances) {
        instance
            .params
            .iter()
            .for_each(|param| writer.describe(&param.ty));
        writer.describe(&instance.returns);
    }
    let mut text = format!(
        "// The C++ pool of {}: which functions it offers, under which numbers. Written by nexus build.\n\
         #include \"nexus.hpp\"\n\n{}",
        pool.program, writer.structs
    );
    for part in &pool.parts {
        let _ = writeln!(text, "#include {}", quoted(&part.file.path));
    }
    let gap = if writer.described.is_empty() { "" } else { "\n" };
    let _ = write!(text, "{gap}{}\nint main() {{\n", writer.described);
    for part in &pool.parts {
        for instance in &part.instances {
            let _ = writeln!(text, "    {}", writer.registration(part, instance));
        }
    }
    text.push_str("    return nexus::serve();\n}\n");
    Written::new("pool.cpp", text)
}

struct Writer<'w> {
    records: &'w [Record],
    declared: Vec<Declared>,
    /// Names of records that were looked at.
    done: Vec<&'w str>,
    /// Structs of records for which the sources have none.
    structs: String,
    /// Descriptions of structs that the sources have.
    described: String,
}

impl<'w> Writer<'w> {
    /// Describes the records in a type: first those that others hold.
    fn describe(&mut self, ty: &Type) {
        match ty {
            Type::Named(name) => {
                let Some(record) = self.records.iter().find(|record| record.name == *name) else {
                    return;
                };
                if self.done.contains(&record.name.as_str()) {
                    return;
                }
                self.done.push(&record.name);
                record.fields.iter().for_each(|field| self.describe(&field.ty));
                self.describe_record(record);
            }
            Type::List(inner) | Type::Optional(inner) => self.describe(inner),
            Type::Tuple(parts) => parts.iter().for_each(|part| self.describe(part)),
            Type::Function(params, result) => {
                params.iter().for_each(|param| self.describe(param));
                self.describe(result);
            }
            Type::Base(_) | Type::Variable(_) | Type::Worker(..) => {}
        }
    }

    fn describe_record(&mut self, record: &Record) {
        let keys: Vec<&str> = record.fields.iter().map(|field| field.name.as_str()).collect();
        let description = format!("NEXUS_RECORD({}, {})\n", record.name, keys.join(", "));
        let own = self.full_name(&record.name).map(String::from);
        if let Some(own) = own {
            let _ = match own.rsplit_once("::") {
                Some((namespace, _)) => writeln!(self.described, "namespace {namespace} {{\n{description}}}"),
                None => write!(self.described, "{description}"),
            };
            return;
        }
        let mut text = format!("struct {} {{\n", record.name);
        for field in &record.fields {
            let _ = writeln!(text, "    {} {}{{}};", self.spelled(&field.ty), field.name);
        }
        let _ = write!(self.structs, "{text}}};\n{description}\n");
    }

    /// A struct of the sources, with its namespaces.
    fn full_name(&self, name: &str) -> Option<&str> {
        let is_meant = |found: &&Declared| {
            let own = found.name.rsplit("::").next();
            found.params.is_none() && !found.is_template && own == Some(name)
        };
        self.declared
            .iter()
            .find(is_meant)
            .map(|found| found.name.as_str())
    }

    /// A type in C++.
    fn spelled(&self, ty: &Type) -> String {
        let list = |types: &[Type]| {
            let types: Vec<String> = types.iter().map(|ty| self.spelled(ty)).collect();
            types.join(", ")
        };
        match ty {
            Type::Base(base) => match base {
                Base::Unit => "nexus::nil",
                Base::Bool => "bool",
                Base::Int | Base::I64 => "std::int64_t",
                Base::Real | Base::F64 => "double",
                Base::Str | Base::Json => "std::string",
                Base::Bytes => "nexus::bytes",
                Base::I8 => "std::int8_t",
                Base::I16 => "std::int16_t",
                Base::I32 => "std::int32_t",
                Base::U8 => "std::uint8_t",
                Base::U16 => "std::uint16_t",
                Base::U32 => "std::uint32_t",
                Base::U64 => "std::uint64_t",
                Base::F32 => "float",
            }
            .to_string(),
            Type::List(inner) => format!("std::vector<{}>", self.spelled(inner)),
            Type::Optional(inner) => format!("std::optional<{}>", self.spelled(inner)),
            Type::Tuple(parts) => format!("std::tuple<{}>", list(parts)),
            Type::Function(params, result) => {
                let result = match **result {
                    Type::Base(Base::Unit) => "void".to_string(),
                    ref result => self.spelled(result),
                };
                format!("std::function<{result}({})>", list(params))
            }
            Type::Named(name) => self.full_name(name).unwrap_or(name).to_string(),
            // A worker is its number; a variable is at no place that is registered.
            Type::Worker(..) | Type::Variable(_) => "std::uint64_t".to_string(),
        }
    }

    /// The line that registers a function. Where its name means several, the types of its parameters say which.
    fn registration(&self, part: &Part<'_>, instance: &Instance) -> String {
        let (name, mid) = (&instance.function, instance.mid);
        let line = part
            .signature(instance)
            .map_or(1, |signature| signature.place.line);
        let file = quoted(&part.file.path);
        if !self.is_ambiguous(name) {
            return format!(
                "nexus::add<&{name}>({mid}, {{{}, {file}, {line}}});",
                quoted(name)
            );
        }
        let params = instance.params.iter().enumerate();
        let params: Vec<String> = params
            .map(|(at, param)| format!("{} x{at}", self.spelled(&param.ty)))
            .collect();
        let args: Vec<String> = (0..params.len()).map(|at| format!("x{at}")).collect();
        let returns = match instance.returns {
            Type::Base(Base::Unit) => "void".to_string(),
            ref returns => self.spelled(returns),
        };
        format!(
            "nexus::add({mid}, {}, []({}) -> {returns} {{ return {name}({}); }}, {file}, {line});",
            quoted(name),
            params.join(", "),
            args.join(", ")
        )
    }

    /// Whether a name is one of several functions, or of a template.
    fn is_ambiguous(&self, name: &str) -> bool {
        let mut found = self
            .declared
            .iter()
            .filter(|found| found.params.is_some() && found.name == name);
        let first = found.next();
        first.is_some_and(|first| first.is_template || found.any(|other| other.params != first.params))
    }
}

/// What is compiled.
#[derive(Debug)]
pub struct Units<'u> {
    /// The pool's text.
    pub pool: &'u [u8],
    /// All sources in C++.
    pub sources: &'u [&'u File],
    /// Those that the pool includes.
    pub included: Vec<&'u str>,
    /// Those that are compiled by themselves: the other halves of headers.
    pub others: Vec<&'u str>,
    /// What the sources say for the compiler.
    pub flags: Vec<String>,
}

impl<'u> Units<'u> {
    /// What belongs to the sources that a pool includes.
    pub fn of(pool: &'u [u8], parts: &'u [Part<'u>], sources: &'u [&'u File]) -> Units<'u> {
        let included: Vec<&str> = parts.iter().map(|part| part.file.path.as_str()).collect();
        let mut reached: Vec<&File> = parts.iter().map(|part| part.file).collect();
        let mut others = Vec::new();
        let mut at = 0;
        while let Some(file) = reached.get(at).copied() {
            at += 1;
            let mut found: Vec<&File> = includes(&file.content)
                .filter_map(|path| resolve(file, path, sources))
                .collect();
            // What is not included by anybody, but has the name of a header that is, is its other half.
            if let Some(half) = other_half(file, sources)
                && !is_included(half, sources)
                && !included.contains(&half.path.as_str())
            {
                others.push(half.path.as_str());
                found.push(half);
            }
            for file in found {
                if !reached.iter().any(|known| known.path == file.path) {
                    reached.push(file);
                }
            }
        }
        others.sort_unstable();
        others.dedup();
        Units {
            pool,
            sources,
            included,
            others,
            flags: parts
                .iter()
                .flat_map(|part| part.library.flags.iter().cloned())
                .collect(),
        }
    }

    /// All that decides what is made.
    pub fn inputs(&self) -> impl Iterator<Item = &[u8]> {
        let files = self
            .sources
            .iter()
            .flat_map(|file| [file.path.as_bytes(), &file.content]);
        let flags = self.flags.iter().map(|flag| flag.as_bytes());
        std::iter::once(self.pool).chain(files).chain(flags)
    }

    /// For people.
    pub fn told(&self) -> String {
        self.included.join(", ")
    }
}

/// The paths that a text includes in quotes.
fn includes(text: &[u8]) -> impl Iterator<Item = &str> {
    text.split(|byte| *byte == b'\n').filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?.trim_start().strip_prefix('#')?;
        let path = line
            .trim_start()
            .strip_prefix("include")?
            .trim_start()
            .strip_prefix('"')?;
        path.split_once('"').map(|(path, _)| path)
    })
}

/// The source that a path means: from the folder of the file that names it, or from the top.
fn resolve<'f>(from: &File, path: &str, sources: &[&'f File]) -> Option<&'f File> {
    let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let path = path.trim_start_matches("./");
    let beside = match folder {
        "" => path.to_string(),
        folder => format!("{folder}/{path}"),
    };
    let find = |path: &str| sources.iter().find(|file| file.path == path).copied();
    find(&beside).or_else(|| find(path))
}

fn is_included(file: &File, sources: &[&File]) -> bool {
    let names = |other: &&File| {
        includes(&other.content)
            .any(|path| resolve(other, path, sources).is_some_and(|found| found.path == file.path))
    };
    sources.iter().copied().any(|other| names(&other))
}

/// `a/b.cpp` of `a/b.hpp`.
fn other_half<'f>(header: &File, sources: &[&'f File]) -> Option<&'f File> {
    let (name, extension) = header.path.rsplit_once('.')?;
    if !extension.starts_with('h') {
        return None;
    }
    let is_half = |file: &&&File| {
        let half = file
            .path
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'));
        half.is_some_and(|extension| extension.starts_with('c'))
    };
    sources.iter().find(is_half).copied()
}
