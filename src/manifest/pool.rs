//! Reads the pools of a manifest: what they are and how they are started. Knows no command.

use crate::codec::document::Node;
use crate::limits::{POOLS_MAX, SOCKET_NAME_BYTES_MAX, TIMEOUT_MS_MAX, WORKERS_MAX};
use crate::manifest::checker::{Checker, optional, quoted};
use crate::manifest::model::{Output, Pool, Timeouts, Transport};

/// Variables that tell a pool how to reach nexus.
const ENV_PREFIX: &str = "NEXUS_";

impl Checker<'_> {
    /// The pools; those that are wrong are left out.
    pub fn pools(&mut self, root: Node) -> Vec<Pool> {
        let Some(list) = self.required(root, "pools") else {
            return Vec::new();
        };
        let Some(nodes) = self.elements(list) else {
            return Vec::new();
        };
        if nodes.len() > POOLS_MAX {
            self.error(
                list,
                format!("{} pools, expected at most {POOLS_MAX}", nodes.len()),
            );
            return Vec::new();
        }
        self.pool_count = Some(nodes.len());
        let names: Vec<_> = list.elements().into_iter().flatten().map(pool_name).collect();
        let mut pools: Vec<Pool> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let Some(pool) = self.pool(node, &names) else {
                continue;
            };
            if pools.iter().any(|other| other.name == pool.name) {
                let message = format!("pool name {} stands twice", quoted(&pool.name));
                self.error_with_hint(node, message, "give one of the two pools another \"name\"");
            }
            let has_socket = pool.transport == Transport::Unix;
            if has_socket && pools.iter().any(|other| other.socket == pool.socket) {
                let message = format!("socket {} stands twice", quoted(&pool.socket));
                self.error(node.member("socket").unwrap_or(node), message);
            }
            pools.push(pool);
        }
        pools
    }

    fn pool(&mut self, node: Node, names: &[Option<&str>]) -> Option<Pool> {
        if !self.is_object(node) {
            return None;
        }
        let lang = self.required(node, "lang").and_then(|lang| self.text(lang));
        let name = optional(node, "name").map_or(lang, |name| self.text(name));
        let exec = self.exec(node);
        let transport = self.transport(node);
        let socket = match transport {
            Transport::Unix => self.socket(node),
            Transport::Direct | Transport::Stdio => Some(""),
        };
        let workers = self.optional_integer(node, "workers", 1..=WORKERS_MAX.into());
        let timeouts = self.timeouts(node);
        let env = self.env(node);
        let clear_env = self.optional_boolean(node, "clear_env");
        let cwd = optional(node, "cwd").and_then(|cwd| self.text(cwd));
        let stdout = self.output(node, "stdout");
        let stderr = self.output(node, "stderr");
        let lifetime = self.lifetime(node);
        let recycle = self.recycle(node);
        let limits = self.limits(node);
        let user = self.identity(node, "user");
        let group = self.identity(node, "group");
        let host = self.host(node, names);
        Some(Pool {
            name: name?.into(),
            lang: lang?.into(),
            exec: exec?,
            transport,
            socket: socket?.into(),
            workers: workers.and_then(|workers| workers.try_into().ok()),
            timeouts,
            env,
            clear_env,
            cwd: cwd.map(String::from),
            stdout,
            stderr,
            lifetime,
            recycle,
            limits,
            user,
            group,
            host,
        })
    }

    fn exec(&mut self, node: Node) -> Option<Vec<String>> {
        let list = self.required(node, "exec")?;
        let words = self.elements(list)?;
        if words.len() == 0 {
            self.error(list, "exec is empty, expected a program and its arguments");
            return None;
        }
        let mut exec = Vec::with_capacity(words.len());
        for (position, word) in words.enumerate() {
            // Arguments may be empty, a program's name not.
            let word = match position {
                0 => self.text(word),
                _ => self.argument(word),
            };
            exec.extend(word.map(String::from));
        }
        Some(exec)
    }

    fn socket<'d>(&mut self, node: Node<'d, '_>) -> Option<&'d str> {
        let found = self.required(node, "socket")?;
        let socket = self.text(found)?;
        if socket.contains('/') || socket == "." || socket == ".." {
            self.wrong(found, "a file name without a slash");
            return None;
        }
        if socket.len() > SOCKET_NAME_BYTES_MAX {
            self.wrong(found, format!("at most {SOCKET_NAME_BYTES_MAX} bytes"));
            return None;
        }
        Some(socket)
    }

    fn timeouts(&mut self, node: Node) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let Some(found) = optional(node, "timeouts") else {
            return timeouts;
        };
        if !self.is_object(found) {
            return timeouts;
        }
        if let Some(hello_ms) = self.optional_integer(found, "hello_ms", 1..=TIMEOUT_MS_MAX) {
            timeouts.hello_ms = hello_ms;
        }
        timeouts.call_ms = self.optional_integer(found, "call_ms", 1..=TIMEOUT_MS_MAX);
        if let Some(shutdown_ms) = self.optional_integer(found, "shutdown_ms", 0..=TIMEOUT_MS_MAX) {
            timeouts.shutdown_ms = shutdown_ms;
        }
        timeouts
    }

    fn env(&mut self, node: Node) -> Vec<(String, String)> {
        let mut env = Vec::new();
        let Some(found) = optional(node, "env") else {
            return env;
        };
        if !self.is_object(found) {
            return env;
        }
        for (key, value) in found.members().into_iter().flatten() {
            if key.is_empty() || key.contains(['=', '\0']) {
                let message = format!("{} can't name a variable of the environment", quoted(key));
                self.error(value, message);
            } else if key.starts_with(ENV_PREFIX) {
                let message = format!(
                    "{} can't be set: nexus itself sets the variables {ENV_PREFIX}*",
                    quoted(key)
                );
                self.error(value, message);
            }
            if let Some(value) = self.argument(value) {
                env.push((key.into(), value.into()));
            }
        }
        env
    }

    fn output(&mut self, node: Node, key: &str) -> Output {
        match self.choice(node, key, &["stderr", "inherit", "null", "log"]) {
            Some(1) => Output::Inherit,
            Some(2) => Output::Null,
            Some(3) => Output::Log,
            _ => Output::Stderr,
        }
    }

    /// A string that isn't empty and that the system can pass on.
    pub fn text<'d>(&mut self, node: Node<'d, '_>) -> Option<&'d str> {
        let text = self.argument(node)?;
        if text.is_empty() {
            self.wrong(node, "at least one character");
            return None;
        }
        Some(text)
    }

    /// A string without a NUL character, which ends a string for the system.
    fn argument<'d>(&mut self, node: Node<'d, '_>) -> Option<&'d str> {
        let text = self.string(node)?;
        if text.contains('\0') {
            self.wrong(node, "a text without a NUL character");
            return None;
        }
        Some(text)
    }
}

/// By which foreign calls name a pool, as far as that is known before it is checked.
fn pool_name<'d>(node: Node<'d, '_>) -> Option<&'d str> {
    optional(node, "name").or_else(|| node.member("lang"))?.as_str()
}
