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
  let program;
  try {
    program = programOf(code);
  } catch (error) {
    if (!isModule(code)) throw error;
    const loaded = load(code, error);
    loaded.catch(() => kept.get(code) === loaded && kept.delete(code));
    return loaded;
  }
  const module = { exports: {} };
  return checked(program(module.exports, module, required));
}

function isModule(code) {
  return /\bexport\b|^\s*import\b/m.test(code);
}

/** The code as a function that returns what is called with the argument. Runs nothing of it. */
function programOf(code) {
  if (isModule(code)) return compiled(asFunction(code), true);
  if (/\bexports\b/.test(code)) return compiled(`${code}\n;return module.exports.default || module.exports`);
  try {
    return compiled(`return (${code.trim().replace(/;$/, '')}\n)`);
  } catch {
    return compiled(`${code}\n;return typeof main === "function" ? main : undefined`);
  }
}

/** Why each of the codes can't be compiled, or null. Runs none. */
function check(codes) {
  return Promise.all(codes.map(flaw));
}

async function flaw(code) {
  try {
    programOf(code);
    return null;
  } catch (error) {
    const found = isModule(code) ? await flawOfModule(code, error) : error;
    return found && `${found.name}: ${found.message}`;
  }
}

/** A module is compiled before what it imports is looked for, and runs only if all of that is there: here it never is. */
async function flawOfModule(code, before) {
  try {
    await imported(`import "nexus:nowhere";${code}`);
  } catch (error) {
    return error instanceof SyntaxError ? told(code, error, before) : null;
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
  const text = isStrict ? `"use strict";${body}` : body;
  try {
    return vm.compileFunction(text, ['exports', 'module', 'require'], options);
  } catch (error) {
    throw placed(error);
  }
}

/** As node loads modules. */
async function load(code, before) {
  let loaded;
  try {
    loaded = await imported(code);
  } catch (error) {
    throw told(code, error, before);
  }
  return checked(loaded.default);
}

function imported(code) {
  const text = Buffer.from(`${code}\n//# sourceURL=${NAME}`).toString('base64');
  return import(`data:text/javascript;base64,${text}`);
}

/** Where the loader's error says nothing better, what stood in the way of the usual. */
function told(code, error, before) {
  return error instanceof SyntaxError && !/^\s*import\b/m.test(code) ? before : placed(error);
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
nexus.register(2, check, { args: ['[s]'], returns: '<Json>s' });
nexus.serve();
