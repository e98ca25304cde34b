//! Commands as tools: their names, which may hold less than those of commands, and what a client is told of each. Calls
//! none.

use super::message::Revision;
use super::signature::write_schemas;
use crate::codec::json_text::JsonText;
use crate::codec::nearest::nearest;
use crate::codec::schema::Types;
use crate::ids::TypeId;
use crate::limits::{MCP_PAGE_BYTES_MAX, MCP_TOOLS_PER_PAGE, TOOL_NAME_BYTES_MAX};
use crate::manifest::model::{Arg, Body, Command, Manifest};

/// A program whose commands are tools.
#[derive(Clone, Copy)]
pub struct Program<'p> {
    /// What stands before the names of its tools where those of another program are the same.
    pub name: &'p str,
    /// What it can do.
    pub manifest: &'p Manifest,
}

/// A command under the name of a tool.
#[derive(Debug, PartialEq, Eq)]
pub struct Tool {
    /// Unique among all.
    pub name: String,
    /// The program, by its position.
    pub program: usize,
    /// The command, by its position in the manifest.
    pub command: usize,
}

/// The tools of some programs. Made anew whenever the programs change.
pub struct Tools {
    list: Vec<Tool>,
    /// Positions in `list`, in the order of the names.
    by_name: Vec<usize>,
}

/// What a client can use now.
#[derive(Clone, Copy)]
pub struct Offer<'p> {
    /// The programs that the tools were made of.
    pub programs: &'p [Program<'p>],
    /// Their commands.
    pub tools: &'p Tools,
}

impl Tools {
    /// The tools of these programs, in the order of their manifests. Internal commands are none, nor are those that can't be
    /// run here or whose values have no form in JSON.
    pub fn of(programs: &[Program<'_>]) -> Tools {
        let mut commands = Vec::new();
        for (program, Program { manifest, .. }) in programs.iter().enumerate() {
            for (position, command) in manifest.commands.iter().enumerate() {
                if is_tool(&manifest.types, command) {
                    commands.push((plain_name(command), program, position));
                }
            }
        }
        // In which programs each name stands.
        let mut owners: Vec<(String, usize)> = Vec::with_capacity(commands.len());
        owners.extend(commands.iter().map(|(name, program, _)| (name.clone(), *program)));
        owners.sort_unstable();
        owners.dedup();
        let mut tools = Tools {
            list: Vec::with_capacity(commands.len()),
            by_name: Vec::with_capacity(commands.len()),
        };
        for (plain, program, command) in commands {
            let first = owners.partition_point(|(name, _)| *name < plain);
            let is_shared = owners.get(first + 1).is_some_and(|(name, _)| *name == plain);
            let wanted = match is_shared {
                false => plain,
                true => allowed(&[programs[program].name, &plain]),
            };
            let name = tools.free_name(wanted);
            let place = tools.place(&name).unwrap_or_else(|place| place);
            tools.by_name.insert(place, tools.list.len());
            tools.list.push(Tool {
                name,
                program,
                command,
            });
        }
        tools
    }

    /// All of them, in order.
    pub fn list(&self) -> &[Tool] {
        &self.list
    }

    /// The tool of that name.
    ///
    /// # Errors
    /// There is none; the nearest name, if one is near.
    pub fn find(&self, name: &str) -> Result<&Tool, Option<&str>> {
        match self.position(name) {
            Some(position) => Ok(&self.list[position]),
            None => Err(nearest(name, self.list.iter().map(|tool| tool.name.as_str()))),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.place(name).ok().map(|place| self.by_name[place])
    }

    /// Where a name stands in `by_name`, or would.
    fn place(&self, name: &str) -> std::result::Result<usize, usize> {
        self.by_name
            .binary_search_by(|position| self.list[*position].name.as_str().cmp(name))
    }

    /// The name, or the first that is free with a number at its end.
    fn free_name(&self, wanted: String) -> String {
        let (mut name, mut number) = (wanted.clone(), 1);
        while self.position(&name).is_some() {
            number += 1;
            let end = format!("_{number}");
            let kept = wanted.len().min(TOOL_NAME_BYTES_MAX - end.len());
            name = format!("{}{end}", &wanted[..kept]);
        }
        name
    }
}

fn is_tool(types: &Types, command: &Command) -> bool {
    let is_data = |ty: TypeId| !types.has_functions(ty);
    !command.internal
        && !matches!(command.body, Body::Unsupported(_))
        && is_data(command.returns.ty)
        && command.args.iter().map(Arg::ty).all(is_data)
}

fn plain_name(command: &Command) -> String {
    match &command.group {
        Some(group) => allowed(&[group, &command.name]),
        None => allowed(&[&command.name]),
    }
}

/// Words joined to a name that clients take: letters, digits, `_` and `-`, not too many.
fn allowed(words: &[&str]) -> String {
    let letter = |letter: char| match letter {
        'A'..='Z' | 'a'..='z' | '0'..='9' | '_' | '-' => letter,
        _ => '_',
    };
    let mut name: String = words.join("_").chars().map(letter).collect();
    name.truncate(TOOL_NAME_BYTES_MAX);
    match name.as_str() {
        "" => "_".into(),
        _ => name,
    }
}

impl Offer<'_> {
    /// Appends a page of the list of tools, as JSON: that after the tool of the name that the page before has given as its
    /// cursor. False if there is no such tool, or no more.
    pub fn write_page(&self, revision: Revision, cursor: Option<&str>, out: &mut Vec<u8>) -> bool {
        let list = self.tools.list();
        let start = match cursor.map(|cursor| self.tools.position(cursor)) {
            None => 0,
            Some(Some(position)) => position + 1,
            Some(None) => return false,
        };
        let mut page = JsonText::new(out);
        page.begin(b'{').key("tools").begin(b'[');
        let (mut end, mut written) = (start, 0);
        for tool in &list[start..] {
            if end - start == MCP_TOOLS_PER_PAGE || written > MCP_PAGE_BYTES_MAX {
                break;
            }
            let mut text = Vec::new();
            self.write_tool(tool, revision, &mut JsonText::new(&mut text));
            page.raw(&text);
            written += text.len();
            end += 1;
        }
        page.end(b']');
        if end < list.len() {
            page.key("nextCursor").string(&list[end - 1].name);
        }
        page.end(b'}');
        true
    }

    fn write_tool(&self, tool: &Tool, revision: Revision, page: &mut JsonText) {
        let manifest = self.programs[tool.program].manifest;
        let command = &manifest.commands[tool.command];
        page.begin(b'{').key("name").string(&tool.name);
        let summary = command.desc.first().filter(|line| !line.is_empty());
        let title = summary.map(|line| line.strip_suffix('.').unwrap_or(line));
        if let Some(title) = title.filter(|_| revision >= Revision::V2025_06_18) {
            page.key("title").string(title);
        }
        let description = description(command);
        if !description.is_empty() {
            page.key("description").string(&description);
        }
        write_schemas(&manifest.types, command, revision, page);
        // Of a function nobody knows what it does; an expression can only compute.
        if revision >= Revision::V2025_03_26 && matches!(command.body, Body::Pure(_)) {
            page.key("annotations").begin(b'{');
            for (hint, value) in [
                ("readOnlyHint", true),
                ("idempotentHint", true),
                ("openWorldHint", false),
            ] {
                page.key(hint).boolean(value);
            }
            page.end(b'}');
        }
        page.end(b'}');
    }
}

/// What the tool does and what its result means.
fn description(command: &Command) -> String {
    let mut text = command.desc.join("\n");
    if !command.returns.desc.is_empty() {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str("Returns: ");
        text.push_str(&command.returns.desc.join("\n"));
    }
    text
}
