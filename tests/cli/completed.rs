//! What may stand at the cursor: as the program says it, and as real shells take it.

use super::{directory, run};
use std::path::Path;

fn words(directory: &Path, line: &str) -> String {
    let asked = run(directory, &format!("forms --complete-line '{line}'"));
    let text = String::from_utf8(asked.stdout).unwrap();
    let words: Vec<&str> = text
        .lines()
        .map(|line| line.split_once('\t').map_or(line, |(word, _)| word))
        .collect();
    words.join(" ")
}

#[test]
fn the_program_knows_what_may_come() {
    let directory = directory("completed");
    let check = |line: &str, expected: &str| assert_eq!(words(&directory, line), expected, "{line}");
    check("forms m", "must maybe math");
    check("forms math ", "twice same");
    check("forms --f", "--format");
    check("forms --format ", "json pretty jsonl msgpack csv tsv table");
    check("forms --format=js", "json jsonl");
    check("forms --format json --raw wo", "words");
    check("forms text ", ":files");
    check("forms words @", ":files");
    check("forms words", "words");
    check("forms \"ma", "maybe math");
    check("forms nonsense ", "");
    check("forms text one two ", "");
    check("forms all --", &every_option(&directory));
}

/// The words that the help of `all` begins its lines with, in the order in which they are declared.
fn every_option(directory: &Path) -> String {
    let all = words(directory, "forms all --");
    let help = String::from_utf8(run(directory, "forms all --help").stdout).unwrap();
    for word in all.split(' ').filter(|word| *word != "--help") {
        assert!(help.contains(word), "{word} is not in the help");
    }
    assert!(all.split(' ').count() > 4, "{all}");
    all
}

/// In bash: the function that the script defines is called as bash does when the tab key is hit.
#[test]
fn bash_takes_the_script() {
    let directory = directory("completed_bash");
    let check = |line: &str, word: &str, expected: &str| {
        let script = format!(
            "source <(forms --completions bash); COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}}; \
             _nexus_forms forms '{word}' x; echo \"${{COMPREPLY[*]}}\"; complete -p forms >/dev/null"
        );
        let ran = run(
            &directory,
            &format!(
                "bash --norc -c \"{}\"",
                script.replace('"', "\\\"").replace('$', "\\$")
            ),
        );
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{line}: {stderr}");
        assert_eq!(
            String::from_utf8_lossy(&ran.stdout).trim_end(),
            expected,
            "{line} {stderr}"
        );
    };
    check("forms ma", "ma", "maybe math");
    check("forms math ", "", "twice same");
    check("forms --format=js", "js", "json jsonl");
    check("forms words @numbers.j", "@numbers.j", "@numbers.json");
    check("forms text num", "numbers.m", "numbers.msgpack");
}

/// Where they are installed, the other shells too: fish completes a line, zsh reads the script.
#[test]
fn fish_and_zsh_take_the_script() {
    let directory = directory("completed_fish");
    let has = |shell: &str| run(&directory, &format!("command -v {shell}")).status.success();
    if has("fish") {
        let line = "HOME=. fish --no-config -c 'source (forms --completions fish | psub); complete -C \"forms math \"'";
        let ran = run(&directory, line);
        let found = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(found, "same\tThe number\ntwice\tA number twice\n", "{ran:?}");
    } else {
        eprintln!("skipped: fish is not installed");
    }
    if has("zsh") {
        let ran = run(&directory, "forms --completions zsh > _forms && zsh -n _forms");
        assert!(ran.status.success(), "{ran:?}");
    } else {
        eprintln!("skipped: zsh is not installed");
    }
}
