//! Completion of command lines: a small script for each shell, which asks the program itself what may stand at the
//! cursor, so that it stays true when the program changes. Starts no pool.
//!
//! The program answers `--complete WORDS...` (the words up to the cursor, the last of which is the one to complete, maybe
//! empty) and `--complete-line LINE` (for bash, which cuts words at `=`, `:` and `@`) with lines of a word, a tab and its
//! description; the line `:files` stands for the files that the shell finds.

use crate::cli::options::{Effect, Named, OWN_OPTIONS, Part, options};
use crate::cli::output::FORMATS;
use crate::cli::request::{Found, find, groups, only_command};
use crate::codec::schema::{Type, Types};
use crate::error::{self, Error, Kind};
use crate::ids::TypeId;
use crate::manifest::model::{Arg, Command, Manifest};
use crate::manifest::names::full_name;

const BASH: &str = r#"# Completion for PROGRAM; for every shell from now on: PROGRAM --completions bash >> ~/.bash_completion
_nexus_FUNCTION() {
    local line word=$2 start=
    [[ $word == @* ]] && start=@ word=${word:1}
    [[ $word == [=:] ]] && word=
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            # As file names, @ would be quoted.
            [[ $start ]] && compopt -o nospace 2>/dev/null || compopt -o filenames 2>/dev/null
            while IFS= read -r line; do COMPREPLY+=("$start$line"); done < <(compgen -f -- "$word")
        else
            COMPREPLY+=("${line%%$'\t'*}")
        fi
    done < <("$1" --complete-line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -F _nexus_FUNCTION PROGRAM ./PROGRAM
"#;

const ZSH: &str = r#"#compdef PROGRAM
# Completion for PROGRAM; for every shell from now on: PROGRAM --completions zsh > a directory of $fpath/_PROGRAM
_nexus_FUNCTION() {
    local line
    local -a found
    local -i files=0
    while IFS= read -r line; do
        if [[ $line == :files ]]; then
            files=1
        elif [[ $line == *$'\t'?* ]]; then
            found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            found+=("${${line%%$'\t'*}//:/\\:}")
        fi
    done < <("${(Q)words[1]}" --complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)
    compset -P '--*='
    compset -P '@'
    (( $#found )) && _describe PROGRAM found
    (( files )) && _files
}
if [ "$funcstack[1]" = "_PROGRAM" ]; then
    _nexus_FUNCTION "$@"
else
    compdef _nexus_FUNCTION PROGRAM ./PROGRAM
fi
"#;

const FISH: &str = r#"# Completion for PROGRAM; for every shell from now on: PROGRAM --completions fish > ~/.config/fish/completions/PROGRAM.fish
function _nexus_FUNCTION
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l start (string match -r '^--[^=]*=@?|^@' -- $word)
    for line in ($words[1] --complete $words[2..-1] "$word" 2>/dev/null)
        if test $line = :files
            for file in (__fish_complete_path (string replace -- "$start" '' $word))
                echo "$start$file"
            end
        else
            echo "$start$line"
        end
    end
end
complete -c PROGRAM -f -a '(_nexus_FUNCTION)'
"#;

/// The script for a shell.
///
/// # Errors
/// Kind `usage`: there is none for it.
pub fn script(shell: &str, program: &str) -> error::Result<String> {
    let script = match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        _ => {
            let message = format!("there are no completions for '{shell}', expected bash, zsh or fish");
            let hint = format!("in bash: source <({program} --completions bash)");
            return Err(Error::new(Kind::Usage, message).hint(hint));
        }
    };
    let function: String = program
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    Ok(script.replace("FUNCTION", &function).replace("PROGRAM", program))
}

/// What may stand at the end of these words, of which the first is the one after the program.
pub fn complete(manifest: &Manifest, words: &[String]) -> String {
    let mut found = Candidates::default();
    if let Some((word, before)) = words.split_last() {
        match after_own(before) {
            Ok(rest) => found.in_program(manifest, rest, word),
            Err("--format") => found.formats(word),
            Err(_) => {}
        }
    }
    found.lines
}

/// The words of a line up to the cursor but for the first, the program. Quotes and backslashes count as in a shell.
pub fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        let last = words.len() - 1;
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None | Some('"'), '\\') => words[last].extend(chars.next()),
            (None, c) if c.is_whitespace() => {
                if !words[last].is_empty() {
                    words.push(String::new());
                }
            }
            (_, c) => words[last].push(c),
        }
    }
    words.split_off(1.min(words.len()))
}

/// What comes after nexus's own options, which stand first; or the last of them, if it waits for its value.
fn after_own(words: &[String]) -> Result<&[String], &str> {
    let mut rest = words;
    while let Some((word, after)) = rest.split_first() {
        rest = match (word.as_str(), after) {
            (option @ ("--format" | "--timeout"), []) => return Err(option),
            ("--format" | "--timeout", [_, after @ ..]) => after,
            (word, after) if is_own(word) => after,
            _ => break,
        };
    }
    Ok(rest)
}

fn is_own(word: &str) -> bool {
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    OWN_OPTIONS.contains(&name)
}

#[derive(Default)]
struct Candidates {
    lines: String,
}

impl Candidates {
    fn add(&mut self, start: &str, word: &str, desc: Option<&String>) {
        if word.starts_with(start) {
            let desc = desc.map_or("", String::as_str);
            self.lines.push_str(&format!("{word}\t{desc}\n"));
        }
    }

    fn files(&mut self) {
        self.lines.push_str(":files\n");
    }

    fn formats(&mut self, word: &str) {
        for (name, _) in FORMATS {
            self.add(word, name, None);
        }
    }

    fn in_program(&mut self, manifest: &Manifest, before: &[String], word: &str) {
        if let Some(value) = word.strip_prefix("--format=").filter(|_| before.is_empty()) {
            return self.formats(value);
        }
        let only = only_command(manifest);
        if before.is_empty() {
            if word.starts_with('-') {
                for option in OWN_OPTIONS {
                    self.add(word, option, None);
                }
            }
            for command in manifest.commands.iter().filter(|command| !command.internal) {
                if command.group.is_none() {
                    self.add(word, &command.name, command.desc.first());
                }
            }
            let mut seen = Vec::new();
            for group in groups(manifest) {
                if !seen.contains(&group) {
                    seen.push(group);
                    let described = manifest.groups.iter().find(|described| described.name == group);
                    self.add(
                        word,
                        group,
                        described.and_then(|described| described.desc.first()),
                    );
                }
            }
        }
        match find("", manifest, only, before) {
            Ok(Found::Command(command, words)) => self.in_command(&manifest.types, command, words, word),
            Ok(Found::Nothing(_) | Found::Described(_)) if !before.is_empty() => {
                let group = before[0].as_str();
                for command in manifest.commands.iter().filter(|command| !command.internal) {
                    if command.group.as_deref() == Some(group) {
                        self.add(word, &command.name, command.desc.first());
                    }
                }
            }
            _ => {}
        }
    }

    fn in_command(&mut self, types: &Types, command: &Command, before: &[String], word: &str) {
        let named = options(command);
        let is_of = |option: &Named<'_>, word: &str| {
            option
                .long
                .is_some_and(|long| word.strip_prefix("--") == Some(long))
                || option
                    .short
                    .is_some_and(|short| word.strip_prefix('-') == Some(&short.to_string()))
        };
        let takes = |word: &str| {
            named.iter().find_map(|option| match option.effect {
                Effect::Takes(form) if is_of(option, word) => Some(form.ty),
                _ => None,
            })
        };
        let mut positional = 0;
        let mut waits = None;
        let mut is_literal = false;
        for word in before {
            if waits.take().is_some() {
                continue;
            }
            if is_literal || !word.starts_with('-') || word.len() == 1 {
                positional += 1;
            } else if word == "--" {
                is_literal = true;
            } else {
                waits = takes(word);
            }
        }
        if let Some(ty) = waits {
            return self.value(types, ty, word);
        }
        if let Some((option, value)) = word.split_once('=')
            && let Some(ty) = takes(option)
        {
            return self.value(types, ty, value);
        }
        if word.starts_with('-') && !is_literal {
            for option in &named {
                let is_given = before.iter().any(|word| is_of(option, word));
                if !is_given && let Some(long) = option.long {
                    self.add(word, &format!("--{long}"), described(command, option));
                }
            }
            return self.add(word, "--help", Some(&format!("Explains {}", full_name(command))));
        }
        let mut inputs = command.args.iter().filter_map(|arg| match arg {
            Arg::Positional(input) => Some(input.ty),
            _ => None,
        });
        if let Some(ty) = inputs.nth(positional) {
            self.value(types, ty, word);
        }
    }

    fn value(&mut self, types: &Types, ty: TypeId, word: &str) {
        if types.is_text(ty) {
            return self.files();
        }
        if word.starts_with('@') {
            return self.files();
        }
        if let Type::Bool = types.node(types.inner(ty)) {
            self.add(word, "true", None);
            self.add(word, "false", None);
        }
    }
}

/// The first line of what is said about an option.
fn described<'m>(command: &'m Command, option: &Named<'_>) -> Option<&'m String> {
    let arg = &command.args[option.slot.arg];
    let arg = match (arg, option.slot.part) {
        (Arg::Record(record), Part::Entry(entry)) => &record.entries[entry].1,
        _ => arg,
    };
    match arg {
        Arg::Positional(input) => input.desc.first(),
        Arg::Option(opt) => opt.input.desc.first(),
        Arg::Flag(flag) => flag.desc.first(),
        Arg::Record(record) => record.desc.first(),
    }
}
