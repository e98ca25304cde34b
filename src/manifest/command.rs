//! Reads a command of either dialect: who runs it, what it takes and what it gives back.

use crate::codec::document::Node;
use crate::codec::schema::Type;
use crate::error::{Error, Kind};
use crate::expr::load::{LoadError, load_composed};
use crate::ids::{ExprId, PoolId, TypeId};
use crate::limits::TIMEOUT_MS_MAX;
use crate::manifest::checker::{Checker, Dialect, optional, quoted};
use crate::manifest::model::{Body, Command, Returns};

impl Checker<'_> {
    pub fn command(&mut self, node: Node) -> Option<Command> {
        if !self.is_object(node) {
            return None;
        }
        let name = self
            .required(node, "name")
            .and_then(|name| self.command_name(name));
        let body = self.body(node, name.unwrap_or_default());
        let is_unsupported = matches!(body, Some(Body::Unsupported(_)));
        let args = self.args(node, is_unsupported);
        let returns = self.returns(node);
        let desc = self.optional_strings(node, "desc");
        let group = self.optional_string(node, "group").map(String::from);
        let internal = self.optional_boolean(node, "internal");
        let timeout_ms = self.optional_integer(node, "timeout_ms", 1..=TIMEOUT_MS_MAX);
        let examples = self.optional_strings(node, "examples");
        Some(Command {
            name: name?.into(),
            desc,
            group,
            internal,
            args,
            returns: returns?,
            body: body?,
            timeout_ms,
            examples,
        })
    }

    fn command_name<'d>(&mut self, node: Node<'d, '_>) -> Option<&'d str> {
        let name = self.string(node)?;
        if name.is_empty() || name.starts_with('-') {
            self.wrong(node, "a word without a leading dash");
            return None;
        }
        Some(name)
    }

    fn returns(&mut self, node: Node) -> Option<Returns> {
        let (node, [schema, type_name, desc]) = match self.dialect {
            Dialect::Version1 => (node, ["return_schema", "return_type", "return_desc"]),
            Dialect::Morloc => {
                let found = self
                    .required(node, "return")
                    .filter(|found| self.is_object(*found))?;
                (found, ["schema", "type", "desc"])
            }
        };
        let schema = self.required(node, schema);
        let ty = schema.and_then(|found| self.schema(found));
        let type_name = self.optional_string(node, type_name);
        let hint = schema.and_then(|found| found.as_str()).and_then(|text| {
            let (hint, _) = text.strip_prefix('<')?.split_once('>')?;
            Some(hint)
        });
        let desc = self.optional_strings(node, desc);
        let ty = ty?;
        Some(Returns {
            ty,
            type_name: type_name.map_or_else(|| self.types.spell(ty), String::from),
            media_type: self.media_type(ty, [hint, type_name]),
            desc,
        })
    }

    /// The first of the words that is a media type, for a type that can have one.
    fn media_type(&self, ty: TypeId, words: [Option<&str>; 2]) -> Option<String> {
        const MAIN_TYPES: [&str; 7] = ["application", "audio", "font", "image", "model", "text", "video"];
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        let is_media_type = |word: &&str| {
            let (main, sub) = word.split_once('/').unwrap_or_default();
            MAIN_TYPES.contains(&main) && !sub.is_empty() && sub.bytes().all(is_byte)
        };
        let found = words.into_iter().flatten().find(is_media_type);
        match self.types.node(self.types.inner(ty)) {
            Type::Bytes => found.map(String::from),
            Type::Str => found.map(|word| format!("{word}; charset=utf-8")),
            _ => None,
        }
    }

    fn body(&mut self, node: Node, command: &str) -> Option<Body> {
        let kind = self.required(node, "type")?;
        match self.string(kind)? {
            "remote" => self.remote(node, command),
            "pure" => Some(match self.expr(node, command, None)? {
                Ok(expr) => Body::Pure(expr),
                Err(unsupported) => Body::Unsupported(unsupported),
            }),
            "composed" => {
                let needed = optional(node, "needed_pools").map_or_else(Vec::new, |list| self.pool_ids(list));
                // If the list of pools is itself wrong, that was noted.
                let pools = self.pool_count.unwrap_or(usize::MAX);
                Some(match self.expr(node, command, Some(pools))? {
                    Ok(expr) => Body::Composed { expr, needed },
                    Err(unsupported) => Body::Unsupported(unsupported),
                })
            }
            _ => {
                self.wrong(kind, "\"remote\", \"pure\" or \"composed\"");
                None
            }
        }
    }

    fn remote(&mut self, node: Node, command: &str) -> Option<Body> {
        let pool = self.required(node, "pool").and_then(|found| self.pool_id(found));
        let mid = self.required(node, "mid").and_then(|found| self.mid(found));
        let mut needed = optional(node, "needed_pools").map_or_else(Vec::new, |list| self.pool_ids(list));
        let (pool, mid) = (pool?, mid?);
        if self.dialect == Dialect::Morloc {
            let message = format!(
                "command {} runs in a pool that speaks morloc's protocol, which nexus does not",
                quoted(command)
            );
            let hint = "build the program again for nexus; its pure commands run as they are";
            return Some(Body::Unsupported(Error::new(Kind::Manifest, message).hint(hint)));
        }
        // That a command needs the pool it runs in need not be said.
        if !needed.contains(&pool) {
            needed.push(pool);
        }
        Some(Body::Remote { pool, mid, needed })
    }

    fn mid(&mut self, node: Node) -> Option<i64> {
        let mid = node.as_number().and_then(|text| text.parse().ok());
        if mid.is_none() {
            self.wrong(node, "a whole number of 64 bits");
        }
        mid
    }

    /// The pools of a list, each once; what is none is left out.
    fn pool_ids(&mut self, list: Node) -> Vec<PoolId> {
        let mut pools = Vec::new();
        for element in self.elements(list).into_iter().flatten() {
            pools.extend(self.pool_id(element).filter(|pool| !pools.contains(pool)));
        }
        pools
    }

    fn pool_id(&mut self, node: Node) -> Option<PoolId> {
        let position: Option<u32> = node.as_number().and_then(|text| text.parse().ok());
        let expected = match (position, self.pool_count) {
            (Some(position), Some(count)) if (position as usize) < count => return Some(PoolId(position)),
            // The list of pools is itself wrong, which was noted.
            (Some(_), None) => return None,
            (_, None) => "the position of a pool".into(),
            (_, Some(0)) => "no pool, for the manifest has none".into(),
            (_, Some(1)) => "0, the position of the only pool".into(),
            (_, Some(count)) => format!("the position of a pool, 0 to {}", count - 1),
        };
        self.wrong(node, expected);
        None
    }

    /// The command's expression, or why it can't be run here.
    fn expr(
        &mut self,
        node: Node,
        command: &str,
        pools: Option<usize>,
    ) -> Option<Result<ExprId, Box<Error>>> {
        let found = self.required(node, "expr")?;
        match load_composed(found, &mut self.types, &mut self.exprs, pools) {
            Ok(expr) => Some(Ok(expr)),
            Err(LoadError::Unsupported { tag, flaw }) => {
                let message = format!(
                    "command {} has an expression of the tag {}, which nexus does not support",
                    quoted(command),
                    quoted(&tag)
                );
                let place = self.place(flaw.offset, &flaw.path);
                Some(Err(Error::new(Kind::Manifest, message).at(place)))
            }
            Err(LoadError::Malformed(flaws)) => {
                for flaw in flaws {
                    self.error_at(flaw.offset, &flaw.path, flaw.message);
                }
                None
            }
        }
    }
}
