//! Reads what the user gives to a command: positional arguments, options, flags and records of options. Parses no
//! command line.

use crate::codec::document::Node;
use crate::codec::json::{Reader, write_string};
use crate::codec::nearest::nearest;
use crate::codec::schema::Type;
use crate::codec::transcode::json_to_msgpack;
use crate::ids::TypeId;
use crate::manifest::checker::{Checker, Dialect, optional, quoted};
use crate::manifest::model::{Arg, Flag, GroupOpt, Input, Opt, RecordArg};
use crate::map::Names;

/// What the arguments of one command share.
struct CommandLine {
    /// The names that options have already.
    shorts: Names,
    longs: Names,
    /// The command is only shown in the help, and a compiler may mean more by a default than its type says.
    is_unsupported: bool,
}

impl Checker<'_> {
    /// The arguments of a command; those that are wrong are left out.
    pub fn args(&mut self, command: Node, is_unsupported: bool) -> Vec<Arg> {
        let Some(list) = self.required(command, "args") else {
            return Vec::new();
        };
        let Some(nodes) = self.elements(list) else {
            return Vec::new();
        };
        let types = match self.dialect {
            Dialect::Version1 => self.arg_schemas(command, list, nodes.len()),
            Dialect::Morloc => Vec::new(),
        };
        let mut line = CommandLine {
            shorts: Names::new(),
            longs: Names::new(),
            is_unsupported,
        };
        let mut args = Vec::with_capacity(nodes.len());
        for (position, node) in nodes.enumerate() {
            if !self.is_object(node) {
                continue;
            }
            let ty = match self.dialect {
                Dialect::Version1 => types.get(position).copied().flatten(),
                Dialect::Morloc => self.own_schema(node),
            };
            args.extend(self.arg(node, ty, &mut line));
        }
        args
    }

    /// Version 1: one schema per argument, in a list of their own.
    fn arg_schemas(&mut self, command: Node, args: Node, arg_count: usize) -> Vec<Option<TypeId>> {
        let list = self.required(command, "arg_schemas");
        let Some(schemas) = list.and_then(|list| self.elements(list)) else {
            return Vec::new();
        };
        if schemas.len() != arg_count {
            let schema_count = schemas.len();
            let message = format!(
                "args holds {arg_count} and arg_schemas {schema_count}, expected one schema for each argument"
            );
            self.error(args, message);
        }
        schemas.map(|schema| self.schema(schema)).collect()
    }

    /// The morloc dialect: each argument has its own schema, except that a flag is always boolean.
    fn own_schema(&mut self, node: Node) -> Option<TypeId> {
        let is_flag = node.member("kind").and_then(Node::as_str) == Some("flag");
        match is_flag {
            true => self.types.parse("b").ok(),
            false => self
                .required(node, "schema")
                .and_then(|schema| self.schema(schema)),
        }
    }

    fn arg(&mut self, node: Node, ty: Option<TypeId>, line: &mut CommandLine) -> Option<Arg> {
        let kind = self.required(node, "kind")?;
        match self.string(kind)? {
            "pos" => self.input(node, ty).map(Arg::Positional),
            "opt" => self.option(node, ty, line).map(Arg::Option),
            "flag" => self.flag(node, ty, line).map(Arg::Flag),
            "grp" => self.record(node, ty, line).map(Arg::Record),
            _ => {
                self.wrong(kind, "\"pos\", \"opt\", \"flag\" or \"grp\"");
                None
            }
        }
    }

    fn input(&mut self, node: Node, ty: Option<TypeId>) -> Option<Input> {
        let type_name = self.type_name(node, ty);
        let metavar = self.optional_string(node, "metavar").map(String::from);
        let literal = self.optional_boolean(node, "quoted");
        let desc = self.optional_strings(node, "desc");
        let ty = ty?;
        let is_text = self.is_text(ty);
        if literal && !is_text && self.dialect == Dialect::Version1 {
            let message = format!(
                "quoted is true for the schema {}, expected s or ?s",
                self.types.spell(ty)
            );
            self.error(node.member("quoted").unwrap_or(node), message);
        }
        Some(Input {
            ty,
            type_name: type_name?,
            metavar,
            literal: literal && is_text,
            desc,
        })
    }

    fn option(&mut self, node: Node, ty: Option<TypeId>, line: &mut CommandLine) -> Option<Opt> {
        self.check_named(node, &["short", "long"]);
        let short = self.short(node, line);
        let long = self.long(node, "long", line);
        let input = self.input(node, ty);
        let default = match optional(node, "default") {
            Some(default) => Some(self.default(default, ty?, line.is_unsupported)?),
            None => None,
        };
        Some(Opt {
            input: input?,
            short,
            long,
            default,
        })
    }

    fn flag(&mut self, node: Node, ty: Option<TypeId>, line: &mut CommandLine) -> Option<Flag> {
        self.check_named(node, &["short", "long", "long_rev"]);
        let short = self.short(node, line);
        let long = self.long(node, "long", line);
        let long_rev = self.long(node, "long_rev", line);
        let default = optional(node, "default").map_or(Some(false), |default| match default.as_str() {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => self.boolean(default),
        });
        let desc = self.optional_strings(node, "desc");
        let ty = ty?;
        if self.types.node(ty) != Type::Bool {
            let message = format!("flag has the schema {}, expected b", self.types.spell(ty));
            self.error(node, message);
        }
        Some(Flag {
            ty,
            short,
            long,
            long_rev,
            default: default?,
            desc,
        })
    }

    fn record(&mut self, node: Node, ty: Option<TypeId>, line: &mut CommandLine) -> Option<RecordArg> {
        let type_name = self.type_name(node, ty);
        let metavar = self.optional_string(node, "metavar").map(String::from);
        let desc = self.optional_strings(node, "desc");
        let whole = optional(node, "group_opt").and_then(|whole| self.group_opt(whole, line));
        let ty = ty.and_then(|ty| self.record_type(node, ty));
        let entries = self.entries(node, ty, line);
        let (ty, entries, type_name) = (ty?, entries?, type_name?);
        if optional(node, "group_opt").is_none() {
            self.check_reachable(node, ty, &entries);
        }
        Some(RecordArg {
            ty,
            metavar: metavar.unwrap_or_else(|| type_name.clone()),
            type_name,
            desc,
            whole,
            entries,
        })
    }

    /// The record that a group of options fills; an optional one always gets a value.
    fn record_type(&mut self, node: Node, ty: TypeId) -> Option<TypeId> {
        let mut record = ty;
        while let Type::Optional(inner) = self.types.node(record) {
            record = inner;
        }
        if let Type::Record(_) = self.types.node(record) {
            return Some(record);
        }
        let message = format!("grp has the schema {}, expected a record", self.types.spell(ty));
        self.error(node, message);
        None
    }

    fn group_opt(&mut self, node: Node, line: &mut CommandLine) -> Option<GroupOpt> {
        if !self.is_object(node) {
            return None;
        }
        self.check_named(node, &["short", "long"]);
        let short = self.short(node, line);
        let long = self.long(node, "long", line);
        Some(GroupOpt { short, long })
    }

    /// The entries of a group, none if one is wrong.
    fn entries(
        &mut self,
        group: Node,
        record: Option<TypeId>,
        line: &mut CommandLine,
    ) -> Option<Vec<(usize, Arg)>> {
        let Some(list) = optional(group, "entries") else {
            return Some(Vec::new());
        };
        let nodes = self.elements(list)?;
        let mut entries = Vec::with_capacity(nodes.len());
        let mut is_whole = true;
        for node in nodes {
            let entry = self.entry(node, record, line);
            if let Some((position, _)) = &entry
                && has_entry(&entries, *position)
            {
                self.error(node, "entry is for a key that has one already");
            }
            is_whole &= entry.is_some();
            entries.extend(entry);
        }
        is_whole.then_some(entries)
    }

    fn entry(&mut self, node: Node, record: Option<TypeId>, line: &mut CommandLine) -> Option<(usize, Arg)> {
        if !self.is_object(node) {
            return None;
        }
        let field = self
            .required(node, "key")
            .and_then(|key| self.field(key, record?));
        let arg = self.required(node, "arg").filter(|arg| self.is_object(*arg))?;
        let ty = field.map(|(_, ty)| ty);
        let kind = self.required(arg, "kind")?;
        let arg = match self.string(kind)? {
            "opt" => self.option(arg, ty, line).map(Arg::Option),
            "flag" => self.flag(arg, ty, line).map(Arg::Flag),
            _ => {
                self.wrong(kind, "\"opt\" or \"flag\"");
                None
            }
        };
        Some((field?.0, arg?))
    }

    /// The position and type of the field of that key.
    fn field(&mut self, node: Node, record: TypeId) -> Option<(usize, TypeId)> {
        let key = self.string(node)?;
        let Type::Record(span) = self.types.node(record) else {
            return None;
        };
        let mut fields = self.types.fields(span).iter().enumerate();
        let found = fields.find(|(_, field)| *field.key == *key);
        let found = found.map(|(position, field)| (position, field.ty));
        if found.is_none() {
            let spelled = self.types.spell(record);
            let fields = self.types.fields(span).iter().map(|field| &*field.key);
            let hint = nearest(key, fields).map(|near| format!("did you mean \"{near}\"?"));
            let message = format!("key is {}, expected one of {spelled}", quoted(key));
            self.note(node, node.offset(), message, hint);
        }
        found
    }

    /// Without an option for the record as a whole, each field needs its own, or nobody could run the command.
    fn check_reachable(&mut self, node: Node, record: TypeId, entries: &[(usize, Arg)]) {
        let Type::Record(span) = self.types.node(record) else {
            return;
        };
        let is_optional = |ty| matches!(self.types.node(ty), Type::Optional(_));
        let mut fields = self.types.fields(span).iter().enumerate();
        let missing =
            fields.find(|(position, field)| !has_entry(entries, *position) && !is_optional(field.ty));
        if let Some((_, field)) = missing {
            let message = format!(
                "grp has no entry for the key {}, so it can't be given",
                quoted(&field.key)
            );
            self.error_with_hint(
                node,
                message,
                "add the entry, or a \"group_opt\" that takes the record whole",
            );
        }
    }

    /// The default as JSON text. In the manifest it is any JSON value, or a string that holds JSON text or, for a string,
    /// the bare text.
    fn default(&mut self, node: Node, ty: TypeId, is_unsupported: bool) -> Option<String> {
        let is_json = self.types.node(self.types.inner(ty)) == Type::Json;
        let text = match node.as_str() {
            Some(text) if !is_json => text,
            _ => {
                let value = Reader::new(self.text_from(node)).skip().unwrap_or_default();
                std::str::from_utf8(value).unwrap_or_default()
            }
        };
        match json_to_msgpack(&self.types, ty, text.as_bytes(), &mut Vec::new()) {
            Ok(()) => Some(text.into()),
            Err(_) if node.as_str().is_some() && self.is_text(ty) => {
                let mut json = Vec::new();
                write_string(text, &mut json);
                String::from_utf8(json).ok()
            }
            Err(_) if is_unsupported => Some(text.into()),
            Err(error) => {
                let message = format!("default{}: {}", error.path, error.message);
                self.error_inside(node, error.offset, text, message, error.hint);
                None
            }
        }
    }

    /// Notes when an option has none of these names.
    fn check_named(&mut self, node: Node, keys: &[&str]) {
        if keys.iter().all(|key| optional(node, key).is_none()) {
            let keys: Vec<String> = keys.iter().map(|key| quoted(key)).collect();
            self.error(
                node,
                format!("option has no name, expected {}", keys.join(" or ")),
            );
        }
    }

    fn short(&mut self, node: Node, line: &mut CommandLine) -> Option<char> {
        let found = optional(node, "short")?;
        let word = self.string(found)?;
        let mut letters = word.chars();
        match (letters.next(), letters.next()) {
            // A dash begins a long option, and a digit a negative number.
            (Some(letter), None) if letter != '-' && !letter.is_ascii_digit() && !letter.is_whitespace() => {
                if line.shorts.insert(word.into(), 0).is_some() {
                    self.error(found, format!("option -{letter} stands twice in one command"));
                }
                Some(letter)
            }
            _ => {
                self.wrong(found, "one character that is no dash, digit or white space");
                None
            }
        }
    }

    fn long(&mut self, node: Node, key: &str, line: &mut CommandLine) -> Option<String> {
        let found = optional(node, key)?;
        let word = self.string(found)?;
        if word.is_empty() || word.starts_with('-') || word.contains(|c: char| c == '=' || c.is_whitespace())
        {
            self.wrong(found, "a word without a leading dash, '=' or white space");
            return None;
        }
        if word == "help" {
            self.error(
                found,
                "option --help can't be declared, for nexus answers it itself",
            );
        }
        if line.longs.insert(word.into(), 0).is_some() {
            self.error(found, format!("option --{word} stands twice in one command"));
        }
        Some(word.into())
    }

    /// The type's name for people; without one, the schema.
    fn type_name(&mut self, node: Node, ty: Option<TypeId>) -> Option<String> {
        let key = match self.dialect {
            Dialect::Version1 => "type_desc",
            Dialect::Morloc => "type",
        };
        match self.optional_string(node, key) {
            Some(name) => Some(name.into()),
            None => Some(self.types.spell(ty?)),
        }
    }

    fn is_text(&self, ty: TypeId) -> bool {
        match self.types.node(ty) {
            Type::Str => true,
            Type::Optional(inner) => self.types.node(inner) == Type::Str,
            _ => false,
        }
    }
}

/// Whether the field at that position has an entry; a record has few.
fn has_entry(entries: &[(usize, Arg)], position: usize) -> bool {
    entries.iter().any(|(other, _)| *other == position)
}
