'use strict';
/* The pool that runs snippets of flows in JavaScript: compiles each code once, and calls it with what stands at its port.

A snippet is one of
    export default function (args) { ... }      also async, a named function, a class's method, any expression
    module.exports = (args) => ...              with require, which looks where nexus was started
    function main(args) { ... }
    (args) => ...                               an expression that is a function

`args` is any JSON; an error that came over a port is a Failure. What a code keeps outside of its function stays from call to
call, and is gone when the code has not been used for long.

A module whose only export is its default is compiled as the body of a function, and collected as any other. What else a
module may have (import, await outside of a function) takes node's own loader, which never lets go of what it has loaded:
some kilobytes for each such code that there ever was, until nexus replaces the worker for its size.

What it does not do: touch the disk, keep snippets from each other or from the system. */

const nexus = require('./nexus_pool.cjs');
const vm = require('vm');

// Codes that are kept, the last used; a flow has a few dozen. Compiled they take some ten times their bytes.
const CODES_MAX = 1000;
const CODE_CHARS_MAX = 8 << 20;

const NAME = 'snippet';
const DEFAULT = /(^|[;}\n])([ \t]*)export\s+default\s+/;
const FUNCTION = /^((?:async\s+)?function\s*\*?\s*)([\w$]*)(?=\s*\()/;

const kept = new Map(); // what calls a code, by the code; the one that was used last stands last
let keptChars = 0;

/** An error as its map: kind, message and what else is known. As a result it is that map. */
class Failure {
  constructor(error) {
    Object.assign(this, error);
  }

  error() {
    return this.message;
  }
}

/** The result of a code. `arg` is {"value": any} or {"error": {kind, message, ...}}. */
function snippet(code, arg) {
  const args = arg.error ? new Failure(arg.error) : arg.value;
  try {
    let run = kept.get(code);
    if (run) kept.delete(code);
    else run = keep(code);
    kept.set(code, run);
    const result = typeof run === 'function' ? run(args) : run.then((loaded) => loaded(args));
    return result instanceof Promise ? result.catch(fail) : result;
  } catch (error) {
    return fail(error);
  }
}

/** The frames of this file are none of the snippet's. */
function fail(error) {
  if (error instanceof Error && typeof error.stack === 'string') {
    error.stack = error.stack.split('\n').filter((line) => !line.includes(__filename)).join('\n');
  }
  throw error;
}

function keep(code) {
  const run = functionOf(code);
  keptChars += code.length;
  for (const oldest of kept.keys()) {
    if (kept.size < CODES_MAX && keptChars <= CODE_CHARS_MAX) break;
    kept.delete(oldest);
    keptChars -= oldest.length;
  }
  return run;
}

/** What is called with the argument, or a promise of it. */
function functionOf(code) {
  const hasModule = /\bexport\b|^\s*import\b/m.test(code);
  if (!hasModule && !/\bexports\b/.test(code)) {
    try {
      return checked(compiled(`return (${code.trim().replace(/;$/, '')}\n)`));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    return checked(compiled(`${code}\n;return typeof main === "function" ? main : undefined`));
  }
  if (!hasModule) return checked(compiled(`${code}\n;return module.exports.default || module.exports`));
  try {
    return checked(compiled(asFunction(code), true));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const loaded = load(code, error);
    loaded.catch(() => kept.get(code) === loaded && kept.delete(code));
    return loaded;
  }
}

/** The code of a module as the body of a function that returns its default: the same code at the same lines. */
function asFunction(code) {
  let result = 'exports.default';
  const body = code.replace(DEFAULT, (match, before, space, offset) => {
    const named = FUNCTION.exec(code.slice(offset + match.length));
    if (!named) return `${before}${space}exports.default = `;
    result = named[2] || NAME;
    return before + space;
  });
  // A function stays a declaration, which needs no semicolon behind it; it needs a name.
  const start = result === NAME ? body.replace(/((?:async\s+)?function\s*\*?)(\s*\()/, `$1 ${NAME}$2`) : body;
  return `${start}\n;return ${result}`;
}

function compiled(body, isStrict) {
  const options = { filename: NAME };
  if (vm.constants) options.importModuleDynamically = vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  const module = { exports: {} };
  const text = isStrict ? `"use strict";${body}` : body;
  let made;
  try {
    made = vm.compileFunction(text, ['exports', 'module', 'require'], options);
  } catch (error) {
    throw placed(error);
  }
  return made(module.exports, module, required);
}

/** As node loads modules. */
async function load(code, before) {
  let loaded;
  try {
    const text = Buffer.from(`${code}\n//# sourceURL=${NAME}`).toString('base64');
    loaded = await import(`data:text/javascript;base64,${text}`);
  } catch (error) {
    // Where it says nothing better, what stood in the way of the usual.
    throw error instanceof SyntaxError && !/^\s*import\b/m.test(code) ? before : placed(error);
  }
  return checked(loaded.default);
}

/** A syntax error with its line in its message. */
function placed(error) {
  const line = error instanceof SyntaxError && /^(?:snippet|data:[^\n]*):(\d+)\n/.exec(error.stack);
  if (line) {
    error.message += ` at ${NAME}:${line[1]}`;
    error.stack = String(error);
  }
  return error;
}

function checked(found) {
  if (typeof found === 'function') return found;
  throw new TypeError('the snippet gives no function, expected export default function (args) { ... }');
}

let look;
function required(name) {
  look = look || require('module').createRequire(`${process.cwd()}/`);
  return look(name);
}

nexus.register(1, snippet, { args: ['s', '<Json>s'], returns: '<Json>s' });
nexus.serve();
