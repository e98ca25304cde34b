//! Reads what a pool may use and do: how long its processes live, their limits, their user, what they may ask of nexus.
//! Enforces nothing. Unlike elsewhere in a manifest, an unknown key is an error here: a misspelt limit that nobody keeps
//! is worse than none.

use crate::codec::document::Node;
use crate::codec::nearest::nearest;
use crate::ids::PoolId;
use crate::limits::{LIMIT_MAX, TIMEOUT_MS_MAX};
use crate::manifest::checker::{Checker, optional, quoted};
use crate::manifest::model::{CallTargets, Host, Identity, Lifetime, Limits, Recycle, Transport};

impl Checker<'_> {
    pub fn transport(&mut self, node: Node) -> Transport {
        match self.choice(node, "transport", &["unix", "direct", "stdio"]) {
            Some(1) => Transport::Direct,
            Some(2) => Transport::Stdio,
            _ => Transport::Unix,
        }
    }

    pub fn lifetime(&mut self, node: Node) -> Lifetime {
        match self.choice(node, "lifetime", &["shared", "oneshot"]) {
            Some(1) => Lifetime::Oneshot,
            _ => Lifetime::Shared,
        }
    }

    pub fn recycle(&mut self, node: Node) -> Recycle {
        let keys = ["max_calls", "max_age_ms", "max_rss_bytes", "idle_exit_ms"];
        let Some(found) = self.policy(node, "recycle", &keys) else {
            return Recycle::default();
        };
        Recycle {
            max_calls: self.optional_integer(found, "max_calls", 1..=LIMIT_MAX),
            max_age_ms: self.optional_integer(found, "max_age_ms", 1..=TIMEOUT_MS_MAX),
            max_rss_bytes: self.optional_integer(found, "max_rss_bytes", 1..=LIMIT_MAX),
            idle_exit_ms: self.optional_integer(found, "idle_exit_ms", 1..=TIMEOUT_MS_MAX),
        }
    }

    pub fn limits(&mut self, node: Node) -> Limits {
        let keys = ["memory_bytes", "cpu_s", "open_files", "processes"];
        let Some(found) = self.policy(node, "limits", &keys) else {
            return Limits::default();
        };
        let mut limit = |key| self.optional_integer(found, key, 1..=LIMIT_MAX);
        Limits {
            memory_bytes: limit("memory_bytes"),
            cpu_s: limit("cpu_s"),
            open_files: limit("open_files"),
            processes: limit("processes"),
        }
    }

    /// A user or group.
    pub fn identity(&mut self, node: Node, key: &str) -> Option<Identity> {
        let found = optional(node, key)?;
        if found.as_str().is_some() {
            return self.text(found).map(|name| Identity::Name(name.into()));
        }
        // The highest number means "leave it as it is" to the system.
        let id = found.as_number().and_then(|text| text.parse().ok());
        let id = id.filter(|id| *id != u32::MAX);
        if id.is_none() {
            self.wrong(found, format!("a name, or a number from 0 to {}", u32::MAX - 1));
        }
        id.map(Identity::Id)
    }

    /// What the pool may ask of nexus. `names` are those of all pools, by position.
    pub fn host(&mut self, node: Node, names: &[Option<&str>]) -> Option<Host> {
        let list = optional(node, "host")?;
        let mut host = Host {
            calls: CallTargets::Only(Vec::new()),
            command: false,
            log: false,
            progress: false,
            run: false,
        };
        for element in self.elements(list)? {
            let Some(word) = self.string(element) else {
                continue;
            };
            match word.strip_prefix("call:") {
                Some(name) => match names.iter().position(|known| *known == Some(name)) {
                    Some(position) => host.calls.add(PoolId(position as u32)),
                    None => self.no_such_pool(element, name, names),
                },
                None => match word {
                    "call" => host.calls = CallTargets::All,
                    "command" => host.command = true,
                    "log" => host.log = true,
                    "progress" => host.progress = true,
                    "run" => host.run = true,
                    _ => {
                        let words = ["call", "command", "log", "progress", "run"];
                        let expected = r#""call", "call:POOL", "command", "log", "progress" or "run""#;
                        self.wrong_with_hint(element, expected, did_you_mean(word, &words));
                    }
                },
            }
        }
        Some(host)
    }

    fn no_such_pool(&mut self, element: Node, name: &str, names: &[Option<&str>]) {
        let known: Vec<&str> = names.iter().copied().flatten().collect();
        let list: Vec<String> = known.iter().map(|name| quoted(name)).collect();
        let expected = format!("the name of a pool behind \"call:\", one of {}", list.join(", "));
        let hint = nearest(name, known).map(|near| format!("did you mean \"call:{near}\"?"));
        self.wrong_with_hint(element, expected, hint);
    }

    /// Which of some words it is; none when it is absent or another.
    pub fn choice(&mut self, node: Node, key: &str, words: &[&str]) -> Option<usize> {
        let found = optional(node, key)?;
        let word = self.string(found)?;
        let choice = words.iter().position(|known| *known == word);
        if choice.is_none() {
            let quoted: Vec<String> = words.iter().map(|known| quoted(known)).collect();
            let (last, others) = quoted.split_last()?;
            let expected = format!("{} or {last}", others.join(", "));
            self.wrong_with_hint(found, expected, did_you_mean(word, words));
        }
        choice
    }

    /// The object of that key, whose own keys are among those given.
    fn policy<'d, 'a>(&mut self, node: Node<'d, 'a>, key: &str, keys: &[&str]) -> Option<Node<'d, 'a>> {
        let found = optional(node, key).filter(|found| self.is_object(*found))?;
        for (key, value) in found.members().into_iter().flatten() {
            if !keys.contains(&key) {
                let message = format!("{} is no key, expected one of {}", quoted(key), keys.join(", "));
                self.note(value, value.offset(), message, did_you_mean(key, keys));
            }
        }
        Some(found)
    }
}

impl CallTargets {
    fn add(&mut self, pool: PoolId) {
        match self {
            CallTargets::Only(pools) if !pools.contains(&pool) => pools.push(pool),
            _ => {}
        }
    }
}

fn did_you_mean(word: &str, words: &[&str]) -> Option<String> {
    nearest(word, words.iter().copied()).map(|near| format!("did you mean \"{near}\"?"))
}
