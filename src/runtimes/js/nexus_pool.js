'use strict';
/* The JavaScript side of a Nexus pool: one CommonJS file, standard library only, node 18 or later on Linux.

A pool's script requires this file first, then the user's code, registers functions and serves:

    const nexus = require('./nexus_pool.js');          // import nexus from './nexus_pool.js' in an ES module
    const stats = require('./stats.js');
    const largest = nexus.foreign('cpp', 1, { args: ['[f8]'], returns: 'f8' });    // function 1 of the pool cpp

    nexus.register(1, stats.mean, { args: ['[f8]'], returns: 'f8' });
    nexus.register(2, async (xs) => await largest(xs) - Math.min(...xs), { args: ['[f8]'], returns: 'f8' });
    nexus.serve();

In the manifest: "exec": ["node", "stats.pools/pool.js"], "transport": "direct" (or "stdio"). Options of V8 there make the
start slower, even those that should not: with any of them node's own compiled code is not used.

Functions may be sync or async. Calls run side by side on the event loop; which of them makes a foreign call is known
through AsyncLocalStorage. Inside a function:

    await largest(xs)                    a foreign call; rejects with nexus.RemoteError (kind, message, trace)
    await nexus.command(name, ...args)   a command of the program, without schemas: records are objects
    nexus.log('info', text)              a line in nexus's log
    nexus.progress(done, total, label)   how far the call is, as often as one likes: 20 a second are sent
    nexus.signal()                       the AbortSignal of the call: aborted when nexus cancels it

    const w = await nexus.run(['jq', '-c', '.items[]'], { json: true });   a program as a worker process, or a command of
    const w = await nexus.run('mean');                                     this program, which takes item after item
    await w.send(x); await w.receive({ timeout: 500 });    messages to and from it, each a line; undefined at the end
    await w.call(x); await w.close(); await w.wait();      w.kill(), w.alive(), w.exitCode() likewise; w.pid
    for await (const x of w) { ... }                       until its output ends

A cancelled call is answered at once, what it waits for is rejected with kind `cancelled`, and what it still returns is
dropped. Nothing in node can interrupt a synchronous loop: nexus ends the process (SIGTERM) when its grace is over.

    schema               to JavaScript                          from JavaScript
    z                    null                                   null, undefined
    b                    boolean                                boolean
    i1 i2 i4 u1 u2 u4    number                                 number or BigInt, integral and in range
    i8 u8 j              BigInt                                 BigInt, or number that is a safe integer
    f4 f8                number                                 number
    s                    string                                 string without lone surrogates
    <Json>s              what JSON.parse makes of the text      what JSON.stringify takes; undefined is null
    y                    Uint8Array                             Uint8Array, Buffer, ArrayBuffer
    ?X                   null or X                              null, undefined or X; in a record also a missing key
    [i1] ... [f8]        Int8Array Int16Array Int32Array        the same, copied as it lies in memory; any other typed
                         BigInt64Array Uint8Array Uint16Array   array or array, element by element
                         Uint32Array BigUint64Array
                         Float32Array Float64Array
    [X]                  array                                  array, typed array
    (X,Y)                array                                  array of that length
    {k:X,l:Y}            object                                 object with these own keys, or Map; undefined is missing
    \(X,Y)Z              async function                         function, sync or async; lives as long as the worker

Typed arrays and Uint8Arrays own their memory: they are copied out of the frame, so their `buffer` is theirs alone.

What it does not do: start without nexus, interrupt synchronous code, restart a worker that died, answer from
worker_threads (only the main thread speaks to nexus). In a package of type "module" name it nexus_pool.cjs.
It requires little, because the start of a pool is the start of a command. */

const { AsyncLocalStorage } = require('async_hooks');
const fs = require('fs');

const PROTOCOL = 1;
const RUNTIME = 'node ' + process.versions.node;

// The length of a frame is a u32; nexus keeps 1 KiB of it for the envelope under which it passes the frame on.
const FRAME_BYTES_MAX = 2 ** 32 - 1 - 1024;
// Read at once. A larger frame gets a buffer that grows with what has arrived, not with what is claimed.
const READ_BYTES = 1 << 16;
const READ_GROWTH = 16;
// Parts of a frame being written; a list of numbers, bytes or a text above BLOB_BYTES is a part of its own.
const PART_BYTES = 1 << 20;
const BLOB_BYTES = 1 << 14;
// With more than this waiting to be written no further call is started, and above the next no line is logged.
const WAITING_BYTES_HIGH = 16 << 20;
const WAITING_BYTES_MAX = 64 << 20;
// Calls held back by it; above this nothing more is read. High, since what is not read can be what the others wait for.
const HELD_BYTES_MAX = 256 << 20;
// What nexus lets through; deeper values would end on the stack.
const DEPTH_MAX = 512;
const CLOSURES_MAX = 65536;
const PROGRESS_MS = 50;
// What an error carries at most: it stays readable, and small to relay.
const TRACE_ENTRIES_MAX = 100;
const STACK_FRAMES = 50;
const MESSAGE_CHARS_MAX = 10000;
const QUOTED_CHARS_MAX = 60;

const HAND = 'this is a pool of a nexus program: run the program, not the pool';
const LITTLE = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

// ---- the interface --------------------------------------------------------------------------------------------------

const functions = new Map(); // by mid: { fn, signature, slow }
const mids = new Map(); // of registered functions
const context = new AsyncLocalStorage(); // the Call that the code runs in
let poolName = process.env.NEXUS_POOL || 'js';

/** Makes `fn` callable as `mid`. `args` and `returns` are schemas; they are read when first used. */
function register(mid, fn, { args, returns }) {
  if (typeof fn !== 'function') throw new TypeError(`register(${mid}): expected a function, found ${quote(fn)}`);
  functions.set(mid, entry(fn, new Signature(fn.name || `function ${mid}`, args, returns)));
  mids.set(fn, mid);
}

/** Serves nexus from now on. It returns at once; the process ends when nexus closes the connection. */
function serve() {
  if (!descriptors) {
    console.error(HAND);
    process.exit(1);
  }
  if (!connection) connection = new Connection(...descriptors);
}

/** An async function that calls function `mid` of another pool. It rejects with RemoteError if that one fails. */
function foreign(pool, mid, { args, returns }) {
  return remote({ pool, pid: null, mid, bound: null, count: 0 },
    new Signature(`function ${mid} of pool ${pool}`, args, returns));
}

/** The result of a command of this program, without schemas: integers are numbers where they are safe, else BigInts. */
async function command(name, ...args) {
  return request('command', command, (out, parent) => {
    out.array(1 + args.length);
    out.array(2);
    out.text(String(name));
    out.integer(parent);
    for (const arg of args) writeAny(out, arg);
  }, readAny);
}

/** Sends a line to nexus's log; before serve() it goes to standard error. */
function log(level, text) {
  if (!connection) console.error(`${level}: ${text}`);
  else if (connection.waiting > WAITING_BYTES_MAX) connection.dropped++;
  else connection.send(notification('log', (out) => out.array(2).loose(level).loose(text)), true);
}

/** Tells nexus that `done` of `total` steps are done. The first, the last and at most 20 a second are sent. */
function progress(done, total = null, label = '') {
  const call = context.getStore();
  if (!call || call.ended || !connection) return;
  const now = Date.now();
  call.progress = [done, total, label];
  if (done >= total && total !== null || Math.abs(now - call.progressMs) >= PROGRESS_MS) {
    call.progressMs = now;
    call.tell();
  }
}

/** Starts a process beside this one: a Worker.
 *
 * An array is a program and its arguments, never a shell. Its messages are lines: strings; Uint8Arrays, with `bytes`; JSON
 * texts of any values, with `json`. With `whole`, what is sent goes as it is, and all of its output is one message. A
 * string is a command of this program: its messages are arguments and results, by the schemas `args` and `returns` as for
 * `foreign`, or without.
 *
 * It is ended after `timeout` ms, and with the call that started it, unless `detach`. `stdin`, `stdout` ('pipe') and
 * `stderr` ('inherit') are 'pipe', 'inherit' or 'null'; `env` is added to the environment, `cwd` the directory. */
async function run(what, options = {}) {
  const worker = new Worker(what, options);
  const { timeout: timeout_ms, env, cwd, stdin, stdout, stderr, detach, whole } = options;
  const start = {
    [worker.isCommand ? 'command' : 'argv']: what, timeout_ms, env, cwd, stdin, stdout, stderr, detach,
    framing: whole ? 'whole' : undefined,
  };
  [worker.handle, worker.pid] = await ask('run', run, [start], (out, parent) => out.integer(parent));
  return worker;
}

/** The first of these workers that has a message, and the message: [worker, message]. Undefined if its output ended. */
async function select(workers, { timeout } = {}) {
  return ask('select', select, [workers.map(({ handle }) => handle), timeout], null, (reader, site) => {
    reader.array();
    const worker = workers[reader.integer()];
    return [worker, worker.read(reader, site)];
  });
}

/** A request with these params, and with one that `more` writes. */
function ask(method, above, params, more, read) {
  return request(method, above, (out, parent) => {
    out.array(params.length + !!more);
    for (const param of params) writeAny(out, param);
    if (more) more(out, parent);
  }, read || readAny);
}

/** A program or command that runs in a process of its own. */
class Worker {
  constructor(what, { json, bytes, args, returns }) {
    this.isCommand = typeof what === 'string';
    this.json = json;
    this.bytes = bytes;
    if (this.isCommand && (args || returns)) this.signature = new Signature(`command ${what}`, args || [], returns || 'z');
  }

  /** Rejects with kind `io` if a thousand messages wait already, or its input is closed. */
  async send(...message) {
    await ask('send', this.send, [this.handle], (out) => this.write(out, message));
  }

  /** The next message, waited for at most `timeout` ms: then rejects with kind `timeout`. Undefined at the end. */
  async receive({ timeout } = {}) {
    return ask('receive', this.receive, [this.handle, timeout], null, (reader, site) => this.read(reader, site));
  }

  /** Sends, and receives one message. */
  async call(...message) {
    await this.send(...message);
    return this.receive();
  }

  /** Its input ends. It may have been closed before. */
  async close() {
    await ask('close', this.close, [this.handle]);
  }

  async kill(signal = 9) {
    await ask('kill', this.kill, [this.handle, signal]);
  }

  /** Its exit code, once it has ended; 128 and the signal's number if one ended it. */
  async wait({ timeout } = {}) {
    return codeOf(await ask('wait', this.wait, [this.handle, timeout]));
  }

  async alive() {
    return (await ask('status', this.alive, [this.handle])).alive;
  }

  /** Undefined while it runs. */
  async exitCode() {
    return codeOf(await ask('status', this.exitCode, [this.handle]));
  }

  async* [Symbol.asyncIterator]() {
    for (let message; (message = await this.receive()) !== undefined;) yield message;
  }

  write(out, message) {
    if (!this.isCommand) {
      if (message.length !== 1) throw new Mismatch('one message', String(message.length));
      const [value] = this.json ? [JSON.stringify(message[0])] : message;
      if (typeof value !== 'string' && !(value instanceof Uint8Array)) throw new Mismatch('a string or Uint8Array', quote(value));
      out.bytes(typeof value === 'string' ? Buffer.from(value) : value);
    } else if (this.signature) {
      this.signature.types(message.length);
      out.array(message.length);
      this.signature.writeArguments(out, message);
    } else writeAny(out, message);
  }

  /** One that a command wrote is its error and its result. */
  read(reader, site) {
    if (!reader.array()) return undefined;
    if (this.isCommand) {
      reader.array();
      if (!reader.skip(0xc0)) throw new RemoteError(readAny(reader), site);
      return this.signature ? this.signature.readResult(reader) : readAny(reader);
    }
    const data = reader.blob();
    if (this.bytes && !this.json) return data;
    const text = Buffer.from(data.buffer).toString();
    return this.json ? JSON.parse(text) : text;
  }
}

function codeOf({ exit_code: code, signal }) {
  return signal ? 128 + signal : code;
}

/** The AbortSignal of the call that this code runs in. */
function signal() {
  return here().abort().signal;
}

/** The bytes of a value of that schema, as they go over the wire; and the value in such bytes. For tests of types. */
function encode(schema, value) {
  const frame = framed((out) => new SchemaReader(schema).whole().write(out, value));
  return Buffer.concat(frame).subarray(4);
}

function decode(schema, bytes) {
  const reader = new Reader(Buffer.from(bytes), 0, bytes.length);
  const value = new SchemaReader(schema).whole().read(reader);
  reader.finish();
  return value;
}

// ---- errors ---------------------------------------------------------------------------------------------------------

/** A foreign call, command or worker that failed. `error` is all of it; `kind`, `message`, `trace`, `pid` and `exitCode`
 * are its parts. */
class RemoteError extends Error {
  constructor(error, site) {
    if (error === null || typeof error !== 'object') error = { message: 'an error that is not a map' };
    const { kind, message, trace } = error;
    super(typeof message === 'string' ? message : 'an error without a message');
    this.kind = typeof kind === 'string' ? kind : 'protocol';
    this.trace = Array.isArray(trace) ? trace : [];
    [this.pid, this.exitCode] = [error.pid, error.exit_code];
    this.error = { ...error, kind: this.kind, message: this.message, trace: this.trace };
    // What made the call is on the stack when it is made, not when the answer arrives.
    if (site) this.stack = `RemoteError: ${this.message}${/\n[^]*|$/.exec(site.stack)[0]}`;
  }
}

/** A schema that can't be read, or that JavaScript has no value for. */
class SchemaError extends Error {}

/** Bytes that are not the message they should be. */
class Malformed extends Error {}

/** A value that does not have the declared type; the path leads to it. */
class Mismatch extends TypeError {
  constructor(expected, found) {
    super();
    this.path = '';
    this.expected = expected;
    this.found = found;
  }

  get message() {
    return `${this.path.replace(/, $/, '') || 'a value'}: expected ${this.expected}, found ${this.found}`;
  }
}
for (const kind of [RemoteError, SchemaError, Malformed, Mismatch]) {
  Object.defineProperty(kind.prototype, 'name', { value: kind.name, configurable: true, writable: true });
}

/** The same error, seen from the container of the value. */
function within(step, error) {
  if (error instanceof Mismatch) error.path = step + error.path;
  return error;
}

/** A value in an error: its type, and its text where that is cheap to make. */
function quote(value) {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') {
    return `string ${JSON.stringify(value.slice(0, QUOTED_CHARS_MAX))}${value.length > QUOTED_CHARS_MAX ? '...' : ''}`;
  }
  if (typeof value === 'bigint') {
    return BigInt.asIntN(256, value) === value ? `BigInt ${value}` : 'a BigInt beyond 256 bits';
  }
  if (typeof value === 'number') return `number ${Object.is(value, -0) ? '-0' : value}`;
  if (typeof value === 'boolean') return `boolean ${value}`;
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value === 'symbol') return 'symbol';
  const name = nameOf(value);
  if (!Array.isArray(value) && !ArrayBuffer.isView(value)) return name;
  return `${name} of length ${value.length ?? value.byteLength}`;
}

function nameOf(value) {
  try {
    return String(value.constructor.name || 'object');
  } catch {
    return 'object';
  }
}

/** An error as one of a response; its trace is innermost first and leaves this file's frames and node's own out. */
function describe(error, name, plain) {
  try {
    return described(error, name, plain);
  } catch {
    // A hostile proxy.
    return failure('raised', 'an error whose message can\'t be made', { function: clean(name), trace: [] });
  }
}

function described(error, name, plain) {
  const trace = stackOf(error);
  if (error instanceof RemoteError) return { ...error.error, trace: cut([...error.trace, ...trace]) };
  // What this file found wrong around the function is a sentence by itself, without the name of a JavaScript type.
  const sentence = plain && (error instanceof Mismatch || error instanceof Malformed);
  return failure('raised', sentence ? error.message : said(error), { function: clean(name), trace: cut(trace) });
}

function failure(kind, message, more) {
  return { kind, message: clean(message), pool: poolName, pid: process.pid, ...more };
}

/** What an error, or whatever else was thrown, says; and what caused it. */
function said(error) {
  try {
    if (!(error instanceof Error)) return typeof error === 'string' ? error : `threw ${quote(error)}`;
    let text = '';
    for (let depth = 0; error instanceof Error && depth < 5; depth++, error = error.cause) {
      text += (depth ? '\ncaused by ' : '') + String(error);
    }
    return text;
  } catch {
    return 'an error whose message can\'t be made';
  }
}

function stackOf(error) {
  const trace = [];
  let text = '';
  try {
    if (typeof error.stack === 'string') text = error.stack;
  } catch {
    // A getter of the user's: there is no trace then.
  }
  for (const row of text.split('\n')) {
    const parts = /^\s+at (?:async )?(?:(.+?) \((.+):(\d+):\d+\)|(.+):(\d+):\d+)$/.exec(row);
    if (!parts) continue;
    let file = parts[2] || parts[4];
    if (file === __filename || file.startsWith('node:') || file.startsWith('eval at ')) continue;
    if (file.startsWith('file://')) file = require('url').fileURLToPath(file);
    if (file.startsWith(__dirname + '/')) file = file.slice(__dirname.length + 1); // below the pool's folder
    const line = +(parts[3] || parts[5]);
    trace.push({ lang: 'js', function: clean(parts[1] || '<anonymous>'), file: clean(file), line });
  }
  return trace;
}

function cut(trace) {
  const half = TRACE_ENTRIES_MAX / 2;
  return trace.length > 2 * half ? [...trace.slice(0, half), ...trace.slice(-half)] : trace;
}

function clean(text) {
  return String(text).slice(0, MESSAGE_CHARS_MAX);
}

// ---- types ----------------------------------------------------------------------------------------------------------
// A type is a schema, compiled: `write(out, value)` checks a value and appends its bytes, `read(reader)` the reverse.
// That of a number also has `check(value)`: the value as it should be, undefined if it does not fit.

/** `meaning` is for errors. */
function scalar(text, meaning, check, put, take) {
  const expected = `${text} (${meaning})`;
  return {
    text,
    check,
    write(out, value) {
      const checked = check(value);
      if (checked === undefined) throw new Mismatch(expected, quote(value));
      put(out, checked);
    },
    read(reader) {
      const at = reader.at;
      const value = take(reader);
      const checked = value === undefined ? undefined : check(value);
      if (checked === undefined) throw new Mismatch(expected, found(reader, at));
      return checked;
    },
    wrong: (value) => new Mismatch(expected, quote(value)),
  };
}

/** What stands at a place where something else was expected. */
function found(reader, at) {
  reader.at = at;
  return quote(readAny(reader));
}

// The msgpack ext types of packed lists: the typed arrays, and the types of their elements.
const ELEMENTS = [null, Int8Array, Int16Array, Int32Array, BigInt64Array, Uint8Array, Uint16Array, Uint32Array,
  BigUint64Array, Float32Array, Float64Array];
const NAMES = ['', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f4', 'f8'];
const BIG_INTEGER = 11;
const FUNCTION = 12;

function small(text) {
  const bits = 8 * +text[1];
  const low = text[0] === 'i' ? -(2 ** (bits - 1)) : 0;
  const high = low + 2 ** bits - 1;
  return scalar(text, `an integer from ${low} to ${high}`, (value) => {
    if (typeof value === 'bigint') value = Number(value);
    return Number.isInteger(value) && value >= low && value <= high ? value : undefined;
  }, (out, value) => out.integer(value), (reader) => reader.integer());
}

function wide(text, low, high) {
  return scalar(text, low === undefined ? 'an integer' : `an integer from ${low} to ${high}`, (value) => {
    if (typeof value === 'number' && Number.isSafeInteger(value)) value = BigInt(value);
    return typeof value === 'bigint' && (low === undefined || value >= low && value <= high) ? value : undefined;
  }, (out, value) => out.big(value), (reader) => reader.integer());
}

function real(text, meaning, check, put) {
  return scalar(text, meaning, (value) => (typeof value === 'number' ? check(value) : undefined), put, (reader) => {
    const value = reader.number();
    return typeof value === 'bigint' ? Number(value) : value;
  });
}

// Made when first used: a command needs few of them.
const SCALARS = {
  i1: small, i2: small, i4: small, u1: small, u2: small, u4: small,
  i8: (text) => wide(text, -(2n ** 63n), 2n ** 63n - 1n),
  u8: (text) => wide(text, 0n, 2n ** 64n - 1n),
  j: (text) => wide(text),
  f4: (text) => real(text, 'a number in single precision', (value) => {
    const single = Math.fround(value);
    return Math.abs(single) === Infinity && Math.abs(value) !== Infinity ? undefined : single;
  }, (out, value) => out.single(value)),
  f8: (text) => real(text, 'a number', (value) => value, (out, value) => out.double(value)),
  b: (text) => scalar(text, 'a boolean', (value) => (typeof value === 'boolean' ? value : undefined),
    (out, value) => out.byte(value ? 0xc3 : 0xc2), (reader) => ({ 0xc2: false, 0xc3: true })[reader.byte()]),
  z: (text) => scalar(text, 'null', (value) => (value === null || value === undefined ? null : undefined),
    (out) => out.byte(0xc0), (reader) => (reader.byte() === 0xc0 ? null : undefined)),
  s: (text) => scalar(text, 'a string without lone surrogates',
    (value) => (typeof value === 'string' && wellFormed(value) ? value : undefined),
    (out, value) => out.text(value), (reader) => reader.text()),
  '<Json>s': (text) => ({
    text,
    write(out, value) {
      let json;
      try {
        json = value === undefined ? 'null' : JSON.stringify(value);
      } catch {}
      if (json === undefined) throw new Mismatch(`${text} (what JSON can hold)`, quote(value));
      out.text(json);
    },
    read: (reader) => JSON.parse(reader.text()),
  }),
  y: (text) => scalar(text, 'a Uint8Array', (value) => {
    if (value instanceof Uint8Array) return value;
    return value instanceof ArrayBuffer ? new Uint8Array(value) : undefined;
  }, (out, value) => out.bytes(value), (reader) => reader.blob()),
};
const made = new Map();

function scalarOf(text) {
  if (!made.has(text)) made.set(text, SCALARS[text](text));
  return made.get(text);
}

function wellFormed(text) {
  return text.isWellFormed ? text.isWellFormed() : !/\p{Surrogate}/u.test(text);
}

function optionalOf(inner) {
  return {
    text: '?' + inner.text,
    optional: true,
    write(out, value) {
      if (value === null || value === undefined) out.byte(0xc0);
      else inner.write(out, value);
    },
    read: (reader) => (reader.skip(0xc0) ? null : inner.read(reader)),
  };
}

/** Writes or reads `count` elements at their places; a failure says which. */
function each(out, count, element, step = (i) => `[${i}]`) {
  let i = 0;
  if (++out.depth > DEPTH_MAX) throw new Mismatch(`at most ${DEPTH_MAX} levels`, 'more');
  try {
    for (; i < count; i++) element(i);
  } catch (error) {
    throw within(step(i), error);
  }
  out.depth--;
}

function sequence(text, value, length) {
  if (!(Array.isArray(value) || ArrayBuffer.isView(value) && value.length !== undefined)
    || length !== undefined && value.length !== length) throw new Mismatch(text, quote(value));
  return value;
}

/** The length of the array that comes next, which is that of the type. */
function head(reader, text, length) {
  const at = reader.at;
  const count = reader.array();
  if (count === undefined || length !== undefined && count !== length) throw new Mismatch(text, found(reader, at));
  return count;
}

function listOf(inner, length) {
  const text = length === undefined ? `[${inner.text}]` : `a:${length}${inner.text}`;
  const code = NAMES.indexOf(inner.text);
  if (code > 0) return packed(text, code, inner, length);
  return {
    text,
    write(out, values) {
      const { length: count } = sequence(text, values, length);
      out.array(count);
      each(out, count, (i) => inner.write(out, values[i]));
    },
    read(reader) {
      const values = [];
      each(reader, head(reader, text, length), () => values.push(inner.read(reader)));
      return values;
    },
  };
}

/** A list of numbers of one width: sent packed, read packed or as the plain list that it also is. */
function packed(text, code, inner, length) {
  const Elements = ELEMENTS[code];
  const kind = Elements.name;

  function converted(values) {
    const numbers = new Elements(values.length);
    for (let i = 0; i < numbers.length; i++) {
      const number = inner.check(values[i]);
      if (number === undefined) throw within(`[${i}]`, inner.wrong(values[i]));
      numbers[i] = number;
    }
    return numbers;
  }

  return {
    text,
    write(out, values) {
      sequence(text, values, length);
      const numbers = values[Symbol.toStringTag] === kind ? values : converted(values);
      out.extension(code, swapped(Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength), Elements));
    },
    read(reader) {
      const at = reader.at;
      const numbers = reader.elements();
      if (numbers) {
        if (length !== undefined && numbers.length !== length) throw new Mismatch(text, quote(numbers));
        return numbers instanceof Elements ? numbers : converted(loosened(numbers, inner.text));
      }
      reader.at = at;
      const values = [];
      each(reader, head(reader, text, length), () => values.push(inner.read(reader)));
      return Elements.from(values);
    },
  };
}

/** Elements of another type for a list of floats, which takes integers of any size from the wire. */
function loosened(numbers, text) {
  return text[0] === 'f' && typeof numbers[0] === 'bigint' ? Array.from(numbers, Number) : numbers;
}

/** A copy in the other byte order, on a machine that needs one. */
function swapped(bytes, Elements) {
  if (LITTLE || Elements.BYTES_PER_ELEMENT === 1) return bytes;
  return Buffer.from(bytes)[`swap${8 * Elements.BYTES_PER_ELEMENT}`]();
}

function tupleOf(inners) {
  const text = `(${inners.map((inner) => inner.text).join()})`;
  return {
    text,
    write(out, values) {
      sequence(text, values, inners.length);
      out.array(inners.length);
      each(out, inners.length, (i) => inners[i].write(out, values[i]));
    },
    read(reader) {
      const values = [];
      each(reader, head(reader, text, inners.length), (i) => values.push(inners[i].read(reader)));
      return values;
    },
  };
}

function recordOf(fields) {
  const text = `{${fields.map(([key, inner]) => `${key}:${inner.text}`).join()}}`;
  const keys = fields.map(([key]) => key);
  const inners = fields.map(([, inner]) => inner);
  const places = new Map(keys.map((key, i) => [key, i]));
  if (places.size !== keys.length) throw new SchemaError(`record ${text} repeats a key`);
  const encoded = keys.map((key) => Buffer.concat(framed((out) => out.text(key))).subarray(4));
  const step = (i) => '.' + keys[i];
  const missing = (key) => new Mismatch(text, `no key ${JSON.stringify(key)}`);
  const unknown = (key) => new Mismatch(text, `an unknown key, ${quote(key)}`);

  function made(values) {
    const record = {};
    for (let i = 0; i < keys.length; i++) {
      if (values[i] === undefined) {
        if (!inners[i].optional) throw missing(keys[i]);
        values[i] = null;
      }
      if (keys[i] === '__proto__') {
        const value = values[i];
        Object.defineProperty(record, keys[i], { value, writable: true, enumerable: true, configurable: true });
      } else record[keys[i]] = values[i];
    }
    return record;
  }

  return {
    text,
    write(out, record) {
      const map = record instanceof Map;
      if (record === null || typeof record !== 'object' || Array.isArray(record) || ArrayBuffer.isView(record)) {
        throw new Mismatch(text, quote(record));
      }
      let count = 0;
      let absent = false;
      out.map(keys.length);
      each(out, keys.length, (i) => {
        const has = map ? record.has(keys[i]) : Object.hasOwn(record, keys[i]);
        const value = !has ? undefined : map ? record.get(keys[i]) : record[keys[i]];
        count += has;
        absent = !has && !inners[i].optional;
        if (absent) throw missing(keys[i]);
        out.raw(encoded[i]);
        inners[i].write(out, value);
      }, (i) => (absent ? '' : step(i)));
      const own = map ? [...record.keys()] : Object.keys(record);
      if (own.length === count) return;
      for (const key of own) {
        if (!places.has(key) && (map ? record.get(key) : record[key]) !== undefined) throw unknown(key);
      }
    },
    read(reader) {
      const at = reader.at;
      const values = new Array(keys.length);
      let count = reader.array();
      if (count !== undefined) {
        if (count !== keys.length) throw new Mismatch(text, found(reader, at));
        each(reader, count, (i) => { values[i] = inners[i].read(reader); }, step);
        return made(values);
      }
      count = reader.map();
      if (count === undefined) throw new Mismatch(text, found(reader, at));
      let place;
      each(reader, count, (i) => {
        place = i;
        if (i >= keys.length || !reader.skipAll(encoded[i])) {
          place = undefined;
          const key = reader.text();
          if (!places.has(key)) throw unknown(key);
          place = places.get(key);
        }
        if (values[place] !== undefined) throw new Mismatch(text, `the key ${JSON.stringify(keys[place])} twice`);
        values[place] = inners[place].read(reader);
      }, () => (place === undefined ? '' : step(place)));
      return made(values);
    },
  };
}

const DIGITS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';

/** Reads a schema in the spelled-out form, the compact one, or a mixture. */
class SchemaReader {
  constructor(schema) {
    // One character per byte: lengths count bytes.
    this.schema = Buffer.from(String(schema)).toString('latin1');
    this.at = 0;
    this.depth = 0;
    this.declared = new Map();
  }

  whole() {
    const type = this.type();
    return this.at === this.schema.length ? type : this.fail('the end');
  }

  type() {
    if (++this.depth > DEPTH_MAX) this.fail(`at most ${DEPTH_MAX} levels`);
    const type = this.one();
    this.depth--;
    return type;
  }

  one() {
    if (this.skip('<Json>s')) return scalarOf('<Json>s');
    while (this.skip('<')) {
      for (let depth = 1; depth;) depth += { '<': 1, '>': -1 }[this.take()] || 0;
    }
    let tag = this.take();
    if ('iuf'.includes(tag)) tag += this.take();
    if (Object.hasOwn(SCALARS, tag)) return scalarOf(tag);
    switch (tag) {
      case '?': return optionalOf(this.type());
      case 'a': {
        const length = this.skip(':') ? this.length() : undefined;
        this.skip(' ');
        return listOf(this.type(), length);
      }
      case '[': {
        const inner = this.type();
        return this.skip(']') ? listOf(inner) : this.fail("']'");
      }
      case 't': return tupleOf(Array.from({ length: this.size() }, () => this.type()));
      case '(': return tupleOf(this.items(')', () => this.type()));
      case 'm': return recordOf(Array.from({ length: this.size() }, () => [this.name(), this.type()]));
      case '{': return recordOf(this.items('}', () => [this.key(), this.type()]));
      case '\\': {
        if (!this.skip('(')) this.fail("'('");
        return functionOf(this.items(')', () => this.type()), this.type());
      }
      case '&': {
        const name = this.name();
        let outer;
        this.declared.set(name, {
          text: '^' + name,
          write: (out, value) => outer.write(out, value),
          read: (reader) => outer.read(reader),
          get optional() { return outer.optional; },
        });
        outer = this.type();
        return outer;
      }
      case '^': return this.declared.get(this.name()) || this.fail("a name declared with '&'");
      default:
        this.at -= tag.length;
        return this.fail('a type that JavaScript can hold');
    }
  }

  items(end, item) {
    const items = [];
    while (!this.skip(end)) {
      if (items.length && !this.skip(',')) this.fail(`',' or '${end}'`);
      items.push(item());
    }
    return items;
  }

  key() {
    const key = this.name(Math.max(this.schema.indexOf(':', this.at) - this.at, 0));
    return this.skip(':') ? key : this.fail("a key and ':'");
  }

  name(size = this.size()) {
    return Buffer.from(this.take(size), 'latin1').toString();
  }

  /** Of a list: a decimal number, or one base-62 digit that is a letter; no type starts with a decimal digit. */
  length() {
    const digits = /^[0-9]*/.exec(this.schema.slice(this.at, this.at + 20))[0];
    return digits ? +this.take(digits.length) : this.size();
  }

  size() {
    const size = DIGITS.indexOf(this.take());
    return size >= 0 ? size : this.fail('a base-62 digit');
  }

  skip(expected) {
    if (!this.schema.startsWith(expected, this.at)) return false;
    this.at += expected.length;
    return true;
  }

  take(count = 1) {
    if (this.at + count > this.schema.length) this.fail(`${count} more characters`);
    this.at += count;
    return this.schema.slice(this.at - count, this.at);
  }

  fail(expected) {
    throw new SchemaError(`schema ${JSON.stringify(this.schema)} at ${this.at}: expected ${expected}`);
  }
}

/** The types of a function's arguments and result, read from their schemas when first used. */
class Signature {
  constructor(name, args, returns) {
    this.name = name;
    this.args = args;
    this.returns = returns;
    this.compiled = false;
  }

  compile() {
    const type = (schema) => (typeof schema === 'object' ? schema : new SchemaReader(schema).whole());
    const args = Array.from(this.args, type);
    this.returns = type(this.returns);
    this.args = args;
    this.compiled = true;
  }

  /** The types of `count` arguments. */
  types(count) {
    if (!this.compiled) this.compile();
    const expected = this.args.length;
    if (count !== expected) {
      throw within(this.name, new Mismatch(expected === 1 ? '1 argument' : `${expected} arguments`, String(count)));
    }
    return this.args;
  }

  step(i) {
    return `argument ${i + 1} of ${this.name}, `;
  }

  writeArguments(out, values) {
    const types = this.types(values.length);
    each(out, types.length, (i) => types[i].write(out, values[i]), (i) => this.step(i));
  }

  readArguments(reader, count) {
    const types = this.types(count);
    const values = [];
    each(reader, count, (i) => values.push(types[i].read(reader)), (i) => this.step(i));
    return values;
  }

  writeResult(out, value) {
    each(out, 1, () => this.returns.write(out, value), () => `the result of ${this.name}, `);
  }

  readResult(reader) {
    let value;
    each(reader, 1, () => { value = this.returns.read(reader); }, () => `the result of ${this.name}, `);
    return value;
  }
}

// ---- function values ------------------------------------------------------------------------------------------------
// On the wire ext type 12 around an array [pool, pid or nil, mid, bound arguments...].

const closures = new Map(); // given away by this worker: by mid
const handles = new WeakMap(); // of functions that have one: its bytes; for those given away by schema
// Numbers of closures differ from worker to worker: one of a dead worker is never another's function.
const MARK = BigInt(1 + Math.floor(Math.random() * (2 ** 30 - 1))) << 32n;

function entry(fn, signature) {
  return { fn, signature, slow: true };
}

/** An async function that calls the one at `target`: { pool, pid, mid, bound (bytes), count (of bound) }. */
function remote({ pool, pid, mid, bound, count }, signature) {
  async function call(...values) {
    return request('call', call, (out, parent) => {
      signature.types(values.length);
      out.array(2 + count + values.length);
      out.array(pid === null ? 2 : 3);
      out.text(pool);
      out.integer(parent);
      if (pid !== null) out.whole(pid);
      out.whole(mid);
      if (bound) out.raw(bound);
      signature.writeArguments(out, values);
    }, (reader) => signature.readResult(reader));
  }
  handles.set(call, Buffer.concat(framed((out) => {
    out.array(3 + count).text(pool);
    writeAny(out, pid);
    out.whole(mid);
    if (bound) out.raw(bound);
  })).subarray(4));
  return call;
}

function functionOf(args, returns) {
  const text = `\\(${args.map((arg) => arg.text).join()})${returns.text}`;
  return {
    text,
    write(out, fn) {
      if (typeof fn !== 'function') throw new Mismatch(text, quote(fn));
      out.extension(FUNCTION, handleOf(fn, text, args, returns));
    },
    read(reader) {
      const at = reader.at;
      const handle = reader.extension(FUNCTION);
      if (!handle) throw new Mismatch(text, found(reader, at));
      const count = handle.array();
      const pool = handle.text();
      const pid = handle.skip(0xc0) ? null : handle.integer();
      const mid = handle.integer();
      if (!(count >= 3) || pool === undefined || pid === undefined || mid === undefined) {
        throw new Malformed('a function value is [pool, pid, mid, bound...]');
      }
      if (pool === poolName && pid === process.pid && count === 3) {
        if (!closures.has(BigInt(mid))) throw gone(mid);
        return closures.get(BigInt(mid)).fn;
      }
      const bound = count > 3 ? Buffer.from(handle.bytes.subarray(handle.at, handle.end)) : null;
      return remote({ pool, pid, mid, bound, count: count - 3 },
        new Signature(`a function of pool ${pool}`, args, returns));
    },
  };
}

/** The bytes under which a function is given away. */
function handleOf(fn, text, args, returns) {
  const handle = handles.get(fn);
  if (handle instanceof Uint8Array) return handle;
  if (!handle && !mids.has(fn)) handles.set(fn, new Map());
  const known = handles.get(fn)?.get(text);
  if (known) return known;
  let mid = mids.get(fn);
  const pid = mid === undefined ? process.pid : null;
  if (mid === undefined) {
    if (closures.size >= CLOSURES_MAX) {
      throw new RangeError(`this worker has given away ${CLOSURES_MAX} functions, the limit: register them instead`);
    }
    // From the first one on, this worker has to stay as long as the command runs.
    if (closures.size === 0) connection?.send(notification('holds', (out) => writeAny(out.array(1), 1)), true);
    mid = -(MARK + BigInt(closures.size + 1));
    closures.set(mid, entry(fn, new Signature(fn.name || 'a function', args, returns)));
  }
  const bytes = Buffer.concat(framed((out) => {
    out.array(3).text(poolName);
    writeAny(out, pid);
    out.whole(mid);
  })).subarray(4);
  handles.get(fn)?.set(text, bytes);
  return bytes;
}

function gone(mid) {
  return new RemoteError(failure('terminated', `the function value ${mid} is no longer there: its worker has ended`));
}

// ---- msgpack --------------------------------------------------------------------------------------------------------

/** Collects the bytes of one frame: large parts stay apart, so that nothing is copied twice. */
class Writer {
  constructor() {
    this.segment(1 << 13);
    this.reset();
  }

  reset() {
    this.parts = [];
    this.size = 0; // of the parts
    this.at = 4; // in the segment; the length comes first
    this.depth = 0;
  }

  segment(size) {
    this.buffer = Buffer.allocUnsafeSlow(size);
    this.view = new DataView(this.buffer.buffer);
    this.at = 0;
  }

  /** The place of the next `count` bytes, few of them. */
  take(count) {
    const at = this.at;
    if (at + count <= this.buffer.length) {
      this.at = at + count;
      return at;
    }
    const old = this.buffer;
    if (at < PART_BYTES) {
      this.segment(Math.max(2 * old.length, at + count));
      old.copy(this.buffer, 0, 0, at);
      this.at = at + count;
      return at;
    }
    this.close();
    this.segment(PART_BYTES + count);
    this.at = count;
    return 0;
  }

  close() {
    if (this.at) this.parts.push(this.buffer.subarray(0, this.at));
    this.size += this.at;
  }

  /** The frame, in parts. */
  finish() {
    const size = this.size + this.at - 4;
    if (size > FRAME_BYTES_MAX) throw new RangeError(`a message of ${size} bytes can't be sent: the limit is 4 GiB`);
    if (!this.parts.length) {
      this.view.setUint32(0, size);
      return [Buffer.from(this.buffer.subarray(0, this.at))];
    }
    this.parts[0].writeUInt32BE(size);
    this.close();
    this.segment(1 << 13);
    return this.parts;
  }

  byte(value) {
    this.buffer[this.take(1)] = value;
    return this;
  }

  /** A number or BigInt. */
  whole(value) {
    return typeof value === 'bigint' ? this.big(value) : this.integer(value);
  }

  integer(value) {
    if (value >= 0) {
      if (value < 0x80) return this.byte(value);
      if (value < 0x100) return this.sized(0xcc, 1, value);
      if (value < 0x10000) return this.sized(0xcd, 2, value);
      if (value < 0x100000000) return this.sized(0xce, 4, value);
    } else {
      if (value >= -32) return this.byte(value + 256);
      if (value >= -0x80) return this.sized(0xd0, 1, value + 0x100);
      if (value >= -0x8000) return this.sized(0xd1, 2, value + 0x10000);
      if (value >= -0x80000000) return this.sized(0xd2, 4, value + 0x100000000);
    }
    return this.wide(BigInt(value));
  }

  wide(value) {
    const at = this.take(9);
    this.buffer[at] = value < 0n ? 0xd3 : 0xcf;
    this.view.setBigInt64(at + 1, BigInt.asIntN(64, value));
    return this;
  }

  big(value) {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return this.integer(number);
    if (BigInt.asIntN(64, value) === value || BigInt.asUintN(64, value) === value) return this.wide(value);
    const digits = (value < 0n ? ~value : value).toString(16);
    const bits = 4 * digits.length - Math.clz32(parseInt(digits[0], 16)) + 28;
    const size = (bits >> 3) + 1; // a bit for the sign
    const text = BigInt.asUintN(8 * size, value).toString(16).padStart(2 * size, '0');
    return this.extension(BIG_INTEGER, Buffer.from(text, 'hex'));
  }

  single(value) {
    const at = this.take(5);
    this.buffer[at] = 0xca;
    this.view.setFloat32(at + 1, value);
  }

  double(value) {
    const at = this.take(9);
    this.buffer[at] = 0xcb;
    this.view.setFloat64(at + 1, value);
  }

  /** A tag and an unsigned number of that many bytes. */
  sized(tag, width, value) {
    const at = this.take(1 + width);
    this.buffer[at] = tag;
    if (width === 1) this.buffer[at + 1] = value;
    else if (width === 2) this.view.setUint16(at + 1, value);
    else this.view.setUint32(at + 1, value);
    return this;
  }

  /** What precedes `size` bytes or elements: `tag` is the one with an 8-bit length, which arrays and maps lack. */
  head(size, fixed, room, tag) {
    if (size < room) return this.byte(fixed | size);
    if (size < 0x100 && tag !== 0xdb && tag !== 0xdd) return this.sized(tag, 1, size);
    if (size < 0x10000) return this.sized(tag + 1, 2, size);
    if (size < 0x100000000) return this.sized(tag + 2, 4, size);
    throw new RangeError(`a value of ${size} bytes or elements can't be sent: the limit is 4 GiB`);
  }

  array(count) {
    return this.head(count, 0x90, 16, 0xdb);
  }

  map(count) {
    return this.head(count, 0x80, 16, 0xdd);
  }

  text(value) {
    if (value.length < 32) {
      // Most are short and ASCII: a loop costs less than a call out of JavaScript.
      const at = this.take(1 + value.length);
      let i = 0;
      for (; i < value.length; i++) {
        const unit = value.charCodeAt(i);
        if (unit >= 0x80) break;
        this.buffer[at + 1 + i] = unit;
      }
      this.buffer[at] = 0xa0 | i;
      if (i === value.length) return this;
      this.at = at;
    }
    const size = Buffer.byteLength(value);
    this.head(size, 0xa0, 32, 0xd9);
    if (size > BLOB_BYTES) return this.part(Buffer.from(value));
    const at = this.take(size);
    this.buffer.write(value, at);
    return this;
  }

  /** Whatever it is, as a text: what has no place in UTF-8 is replaced. */
  loose(value) {
    return this.text(Buffer.from(String(value)).toString());
  }

  bytes(value) {
    this.head(value.length, 0, 0, 0xc4);
    return this.blob(value);
  }

  extension(code, data) {
    this.head(data.length, 0, 0, 0xc7).byte(code);
    return this.blob(data);
  }

  blob(data) {
    return data.length > BLOB_BYTES ? this.part(Buffer.concat([data])) : this.raw(data);
  }

  raw(data) {
    const at = this.take(data.length);
    this.buffer.set(data, at);
    return this;
  }

  /** Bytes that nobody else will change, as a part of their own. */
  part(data) {
    this.close();
    this.parts.push(data);
    this.size += data.length;
    this.segment(1 << 13);
    return this;
  }
}

let spare = new Writer();

/** A frame with what `fill` writes into it. */
function framed(fill) {
  const out = spare || new Writer(); // the user's code may run meanwhile (a getter), and send something
  spare = null;
  try {
    fill(out);
    return out.finish();
  } finally {
    if (out.buffer.length > PART_BYTES) out.segment(1 << 13);
    out.reset();
    spare = out;
  }
}

function notification(method, fill) {
  return framed((out) => fill(out.array(3).byte(2).text(method)));
}

/** A response: an error, or what `fill` writes. */
function response(id, error, fill) {
  return framed((out) => {
    out.array(4).byte(1);
    writeAny(out, id);
    writeAny(out, error);
    if (fill) fill(out);
    else out.byte(0xc0);
  });
}

/** Writes a value where no schema says its type: it says so itself. */
function writeAny(out, value) {
  if (value === null || value === undefined) out.byte(0xc0);
  else if (typeof value === 'boolean') out.byte(value ? 0xc3 : 0xc2);
  else if (typeof value === 'bigint') out.big(value);
  else if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) out.integer(value);
    else out.double(value);
  } else if (typeof value === 'string') {
    if (!wellFormed(value)) throw new Mismatch('a string without lone surrogates', quote(value));
    out.text(value);
  } else if (value instanceof Uint8Array) out.bytes(value);
  else if (Array.isArray(value)) {
    out.array(value.length);
    each(out, value.length, (i) => writeAny(out, value[i]));
  } else if (ArrayBuffer.isView(value)) {
    const code = ELEMENTS.findIndex((kind) => kind && kind.name === value[Symbol.toStringTag]);
    if (code < 0) throw new Mismatch('a value that can be sent without a schema', quote(value));
    listOf(scalarOf(NAMES[code])).write(out, value);
  } else if (typeof value === 'object') {
    const pairs = value instanceof Map ? [...value] : Object.entries(value).filter(([, field]) => field !== undefined);
    out.map(pairs.length);
    each(out, pairs.length, (i) => {
      out.loose(pairs[i][0]);
      writeAny(out, pairs[i][1]);
    }, (i) => '.' + String(pairs[i][0]));
  } else throw new Mismatch('a value that can be sent without a schema', quote(value));
}

/** Reads msgpack from `at` to `end`. What is not there is undefined, and the place is lost then. */
class Reader {
  constructor(bytes, at, end, view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)) {
    this.bytes = bytes;
    this.view = view;
    this.at = at;
    this.end = end;
    this.depth = 0;
  }

  /** The place of the next `count` bytes. */
  take(count) {
    const at = this.at;
    if (count > this.end - at) throw new Malformed(`the message ends ${count - this.end + at} bytes early`);
    this.at = at + count;
    return at;
  }

  finish() {
    if (this.at !== this.end) throw new Malformed(`${this.end - this.at} bytes follow the last value of the message`);
  }

  byte() {
    return this.bytes[this.take(1)];
  }

  skip(byte) {
    if (this.at >= this.end || this.bytes[this.at] !== byte) return false;
    this.at++;
    return true;
  }

  skipAll(data) {
    if (data.length > this.end - this.at) return false;
    for (let i = 0; i < data.length; i++) if (this.bytes[this.at + i] !== data[i]) return false;
    this.at += data.length;
    return true;
  }

  /** An unsigned number of 1, 2 or 4 bytes. */
  unsigned(width) {
    const at = this.take(width);
    return width === 1 ? this.bytes[at] : width === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  integer() {
    const tag = this.byte();
    if (tag < 0x80) return tag;
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xcc: return this.unsigned(1);
      case 0xcd: return this.unsigned(2);
      case 0xce: return this.unsigned(4);
      case 0xcf: return plain(this.view.getBigUint64(this.take(8)));
      case 0xd0: return this.view.getInt8(this.take(1));
      case 0xd1: return this.view.getInt16(this.take(2));
      case 0xd2: return this.view.getInt32(this.take(4));
      case 0xd3: return plain(this.view.getBigInt64(this.take(8)));
      default: {
        this.at--;
        const data = this.extension(BIG_INTEGER);
        if (!data) return undefined;
        const size = data.end - data.at;
        return plain(BigInt.asIntN(8 * size, size ? BigInt('0x' + data.bytes.toString('hex', data.at, data.end)) : 0n));
      }
    }
  }

  number() {
    if (this.skip(0xcb)) return this.view.getFloat64(this.take(8));
    if (this.skip(0xca)) return this.view.getFloat32(this.take(4));
    return this.integer();
  }

  /** The length after a tag: `tag` has one of 8 bits (which arrays and maps lack), the next of 16, then of 32. */
  count(fixed, room, tag) {
    const first = this.byte();
    if (first >= fixed && first < fixed + room) return first - fixed;
    if (first === tag && tag !== 0xdb && tag !== 0xdd) return this.unsigned(1);
    return first === tag + 1 ? this.unsigned(2) : first === tag + 2 ? this.unsigned(4) : undefined;
  }

  array() {
    const { at } = this;
    const count = this.count(0x90, 16, 0xdb);
    if (count === undefined) this.at = at;
    return count;
  }

  map() {
    return this.count(0x80, 16, 0xdd);
  }

  text() {
    const size = this.count(0xa0, 32, 0xd9);
    if (size === undefined) return undefined;
    const at = this.take(size);
    const text = this.bytes.toString('utf8', at, at + size);
    if (text.includes('\ufffd')) {
      try {
        new TextDecoder('utf-8', { fatal: true }).decode(this.bytes.subarray(at, at + size));
      } catch {
        throw new Malformed('a text is not valid UTF-8');
      }
    }
    return text;
  }

  blob() {
    const size = this.count(0, 0, 0xc4);
    return size === undefined ? undefined : this.copied(size, Uint8Array);
  }

  /** The next `size` bytes as elements with memory of their own. */
  copied(size, Elements) {
    const at = this.take(size);
    const copy = Buffer.allocUnsafeSlow(size);
    this.bytes.copy(copy, 0, at, at + size);
    return new Elements(swapped(copy, Elements).buffer, 0, size / Elements.BYTES_PER_ELEMENT);
  }

  /** The code and size of an ext type, its data being next. */
  extensionHead() {
    const tag = this.byte();
    let size;
    if (tag >= 0xd4 && tag <= 0xd8) size = 1 << (tag - 0xd4);
    else if (tag >= 0xc7 && tag <= 0xc9) size = this.unsigned(1 << (tag - 0xc7));
    else return undefined;
    return { code: this.byte(), size };
  }

  /** The data of an ext type of that code. */
  extension(code) {
    const head = this.extensionHead();
    if (!head || head.code !== code) return undefined;
    const at = this.take(head.size);
    return new Reader(this.bytes, at, at + head.size, this.view);
  }

  /** A packed list. */
  elements() {
    const head = this.extensionHead();
    const Elements = head && ELEMENTS[head.code];
    if (!Elements) return undefined;
    if (head.size % Elements.BYTES_PER_ELEMENT) throw new Malformed(`${head.size} bytes are no ${Elements.name}`);
    return this.copied(head.size, Elements);
  }
}

function plain(value) {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** Reads a value whose type no schema says. */
function readAny(reader) {
  const tag = reader.bytes[reader.take(1)];
  reader.at--;
  if (tag < 0x80 || tag >= 0xe0 || tag >= 0xca && tag <= 0xd3) return reader.number();
  if (tag >= 0xa0 && tag < 0xc0 || tag >= 0xd9 && tag <= 0xdb) return reader.text();
  if (tag >= 0xc4 && tag <= 0xc6) return reader.blob();
  if (tag >= 0x90 && tag < 0xa0 || tag === 0xdc || tag === 0xdd) {
    const values = [];
    each(reader, reader.array(), () => values.push(readAny(reader)));
    return values;
  }
  if (tag < 0x90 || tag === 0xde || tag === 0xdf) {
    const pairs = [];
    each(reader, reader.map(), () => pairs.push([readAny(reader), readAny(reader)]));
    const record = Object.fromEntries(pairs); // defines, so that no key is special
    if (Object.keys(record).length !== pairs.length) throw new Malformed('a map repeats a key');
    return record;
  }
  if (tag >= 0xc7 && tag <= 0xc9 || tag >= 0xd4) {
    const { at } = reader;
    const { code } = reader.extensionHead();
    reader.at = at;
    const value = code === BIG_INTEGER ? reader.integer() : reader.elements();
    if (value === undefined) throw new Malformed(`ext type ${code} is no value without a schema`);
    return value;
  }
  reader.at++;
  if (tag === 0xc1) throw new Malformed('the byte c1 starts no value');
  return tag === 0xc0 ? null : tag === 0xc3;
}

// ---- calls ----------------------------------------------------------------------------------------------------------

const calls = new Map(); // that nexus made and that run: by id
const requests = new Map(); // that we made and that wait: by id, { call, site, resolve, reject, read }
let lastId = 0;

class Call {
  constructor(id) {
    this.id = id;
    this.name = 'a call';
    this.ended = this.cancelled = this.failed = false;
    this.controller = null;
    this.waits = new Set(); // ids of its requests
    this.progress = null; // not sent yet
    this.progressMs = 0;
  }

  abort() {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.cancelled) this.controller.abort(cancelled());
    }
    return this.controller;
  }

  /** Sends the progress that waits. */
  tell() {
    const [done, total, label] = this.progress;
    this.progress = null;
    connection.send(notification('progress', (out) => {
      writeAny(out.array(3), done);
      writeAny(out, total);
      out.loose(label);
    }), true);
  }

  succeed(signature, value) {
    if (this.ended) return;
    let frame;
    try {
      frame = response(this.id, null, (out) => signature.writeResult(out, value));
    } catch (error) {
      this.fail(error, true);
      return;
    }
    this.end(frame);
  }

  fail(error, plain) {
    if (this.ended) return;
    this.failed = true;
    this.end(response(this.id, sendable(describe(error, this.name, plain))));
  }

  /** Nexus does not want it any more: it is answered now, whenever the function may end. */
  cancel() {
    this.cancelled = this.failed = true;
    const more = { function: clean(this.name), trace: [] };
    this.end(response(this.id, failure('cancelled', 'the call was cancelled', more)));
    for (const id of this.waits) {
      const { site, reject } = requests.get(id);
      requests.delete(id);
      reject(cancelled(site));
    }
    this.waits.clear();
    if (this.controller) context.run(this, () => this.controller.abort(cancelled()));
  }

  end(frame) {
    if (this.progress) this.tell();
    this.ended = true;
    calls.delete(this.id);
    connection.send(frame);
  }
}

function cancelled(site) {
  return new RemoteError(failure('cancelled', 'the call was cancelled'), site);
}

/** An error whose parts can be sent, whatever a peer or the user put into it. */
function sendable(error) {
  try {
    framed((out) => writeAny(out, error));
    return error;
  } catch {
    return failure('raised', clean(Buffer.from(String(error.message)).toString()));
  }
}

/** The call that this code runs in. Where its trail is lost (an emitter made while loading), the only one there is. */
function here() {
  const call = context.getStore() || (calls.size === 1 ? calls.values().next().value : undefined);
  if (!call || !connection) throw new Error('nexus can be called only by a function that nexus called');
  return call;
}

/** The result of a request to nexus, as `read` reads it. `fill` writes the params, given the id of the calling call. */
function request(method, above, fill, read) {
  const site = {};
  Error.captureStackTrace(site, above);
  const call = here();
  if (call.cancelled) throw cancelled(site);
  if (call.ended) throw new Error(`${call.name} has ended already: await what it starts`);
  const id = ++lastId;
  const frame = framed((out) => {
    out.array(4).byte(0).integer(id).text(method);
    fill(out, call.id);
  });
  return new Promise((resolve, reject) => {
    requests.set(id, { call, site, resolve, reject, read });
    call.waits.add(id);
    connection.send(frame);
  });
}

/** Takes one message in. */
function receive(reader) {
  let kind, id, method, count;
  try {
    count = reader.array();
    kind = reader.integer();
    const parts = { 0: 4, 1: 4, 2: 3 }[kind];
    if (count === undefined || count !== parts) throw new Malformed('it is no message');
    if (kind !== 2) id = readAny(reader);
    if (kind !== 1) method = reader.text();
    if (kind !== 1 && (count = reader.array()) === undefined) throw new Malformed('its params are no array');
  } catch (error) {
    die(`nexus sent what can't be read: ${error.message}`);
  }
  if (kind === 1) answered(id, reader);
  else if (kind === 2) notified(method, reader, count);
  else if (method === 'ping') connection.send(response(id, null));
  else if (method === 'call') begin(id, reader, count);
  else connection.send(response(id, failure('protocol', `a worker has no method ${quote(method)}`)));
}

function notified(method, reader, count) {
  let param;
  try {
    param = count > 0 ? readAny(reader) : undefined;
  } catch {
    return; // nobody waits for an answer
  }
  if (method === 'cancel') {
    if (calls.has(param)) calls.get(param).cancel();
    else connection.unhold(param);
  } else if (method === 'hello' && param) {
    checkProtocol(param.protocol);
    if (typeof param.pool === 'string') poolName = param.pool;
  }
}

function answered(id, reader) {
  const waits = requests.get(id);
  if (!waits) return; // its call was cancelled
  requests.delete(id);
  waits.call.waits.delete(id);
  try {
    if (reader.skip(0xc0)) {
      const value = waits.read(reader, waits.site);
      reader.finish();
      waits.resolve(value);
    } else waits.reject(new RemoteError(readAny(reader), waits.site));
  } catch (error) {
    waits.reject(unreadable(error));
  }
}

function unreadable(error) {
  if (error instanceof Malformed || error instanceof RangeError) {
    return new Malformed(`the values of a message can't be read: ${error.message}`);
  }
  return error;
}

/** Runs a function for nexus. */
function begin(id, reader, count) {
  const call = new Call(id);
  calls.set(id, call);
  let called, args;
  try {
    const { at } = reader;
    const mid = count > 0 ? reader.integer() : undefined;
    called = functions.get(mid);
    if (!called && (typeof mid === 'bigint' || mid < 0)) {
      called = closures.get(BigInt(mid));
      if (!called) throw gone(mid);
    }
    if (!called) {
      call.end(response(id, failure('protocol', `the pool has no function ${count > 0 ? found(reader, at) : ''}`)));
      return;
    }
    call.name = called.signature.name;
    args = called.signature.readArguments(reader, count - 1);
    reader.finish();
  } catch (error) {
    call.fail(unreadable(error), true);
    return;
  }
  // Answers that are ready don't wait for a function that may compute for long.
  if (called.slow) connection.flush();
  const start = Date.now();
  try {
    const result = context.run(call, invoke, called.fn, args);
    if (result instanceof Promise) {
      result.then((value) => call.succeed(called.signature, value), (error) => call.fail(error));
    } else call.succeed(called.signature, result);
  } catch (error) {
    call.fail(error);
  }
  called.slow = Date.now() - start > 1;
}

function invoke(fn, args) {
  const result = fn(...args);
  // Anything with `then` counts, as in `await`.
  const awaited = result !== null && typeof result === 'object' && typeof result.then === 'function';
  return awaited ? Promise.resolve(result) : result;
}

/** What nobody caught: it ends the call that it belongs to, or else the process. */
function unhandled(reason) {
  const call = context.getStore();
  if (call && !call.ended) call.fail(reason);
  else if (!call) {
    console.error('Uncaught (in a promise)', reason);
    process.exit(1);
  } else if (!call.failed) console.error(`Uncaught (in a promise), after ${call.name} ended:`, reason);
}

function die(text) {
  console.error(text);
  process.exit(70);
}

// ---- the connection -------------------------------------------------------------------------------------------------

let connection = null;
let descriptors = null; // of the connection: [input, output]

class Connection {
  /** `wrapper` ends when the process does that passes the descriptors on. */
  constructor(input, output, wrapper) {
    this.descriptor = output;
    this.output = null;
    this.queue = [];
    this.queued = 0; // bytes in it
    this.scheduled = false;
    process.on('SIGINT', () => {}); // the cancel comes on the connection
    process.on('unhandledRejection', unhandled);
    process.on('exit', () => this.flush());
    // At once: nexus goes on while sockets are loaded here.
    this.send(notification('hello', (out) => writeAny(out.array(1), {
      protocol: PROTOCOL, lang: 'js', runtime: RUNTIME, pid: process.pid, reentrant: true, features: ['concurrent'],
    })), true);
    const { Socket } = require('net');
    this.replace(READ_BYTES);
    this.start = this.end = 0; // of what has arrived and was not taken yet
    this.held = [];
    this.heldBytes = 0;
    this.dropped = 0;
    const watch = (socket) => socket.on('error', leave).on('end', leave).on('close', leave);
    if (input === output) {
      const onread = { buffer: () => this.buffer.subarray(this.end), callback: (count) => this.arrived(count) };
      this.input = this.output = watch(new Socket({ fd: input, onread }));
    } else {
      this.input = new Watched(input, (chunk) => this.copied(chunk), leave);
      this.output = watch(new Socket({ fd: output, readable: false }));
    }
    if (wrapper) watch(new Socket({ fd: wrapper })).resume();
    this.output.on('drain', () => this.drained());
  }

  // -- in --

  replace(size) {
    this.buffer = Buffer.allocUnsafeSlow(size);
    this.view = new DataView(this.buffer.buffer);
  }

  arrived(count) {
    this.end += count;
    while (this.end - this.start >= 4) {
      const from = this.start + 4;
      const to = from + this.view.getUint32(this.start);
      if (to > this.end) break;
      this.start = to;
      if (this.waiting > WAITING_BYTES_HIGH) this.hold(from, to);
      else receive(new Reader(this.buffer, from, to, this.view));
    }
    this.makeRoom();
    return true;
  }

  /** Takes in what arrived elsewhere. */
  copied(chunk) {
    for (let at = 0; at < chunk.length;) {
      const count = Math.min(chunk.length - at, this.buffer.length - this.end);
      this.buffer.set(chunk.subarray(at, at + count), this.end);
      at += count;
      this.arrived(count);
    }
  }

  /** Room for more of the frame that has begun to arrive; what it claims to be is believed step by step. */
  makeRoom() {
    const rest = this.end - this.start;
    if (!rest) {
      this.start = this.end = 0;
      if (this.buffer.length > PART_BYTES) this.replace(READ_BYTES);
      return;
    }
    const size = rest < 4 ? READ_BYTES : 4 + this.view.getUint32(this.start);
    if (this.start + size <= this.buffer.length) return;
    if (size <= this.buffer.length) this.buffer.copyWithin(0, this.start, this.end);
    else if (this.start || this.end === this.buffer.length) {
      const old = this.buffer;
      this.replace(Math.max(old.length, Math.min(size, READ_GROWTH * Math.max(rest, READ_BYTES))));
      old.copy(this.buffer, 0, this.start, this.end);
    } else return;
    this.start = 0;
    this.end = rest;
  }

  /** Keeps a call for later, while too much waits to be written. Everything else is taken at once. */
  hold(from, to) {
    const reader = new Reader(this.buffer, from, to, this.view);
    let id;
    try {
      if (reader.array() !== 4 || reader.integer() !== 0) throw null;
      id = readAny(reader);
      if (reader.text() !== 'call') throw null;
    } catch {
      receive(new Reader(this.buffer, from, to, this.view));
      return;
    }
    this.held.push({ id, bytes: Buffer.from(this.buffer.subarray(from, to)) });
    this.heldBytes += to - from;
    if (this.heldBytes > HELD_BYTES_MAX) this.input.pause();
  }

  unhold(id) {
    const at = this.held.findIndex((call) => call.id === id);
    if (at < 0) return;
    this.heldBytes -= this.held[at].bytes.length;
    this.held.splice(at, 1);
    this.send(response(id, failure('cancelled', 'the call was cancelled before it began')));
  }

  drained() {
    if (this.dropped) {
      const text = `${this.dropped} lines of log were dropped: they came faster than nexus could read`;
      this.dropped = 0;
      log('warn', text);
    }
    while (this.held.length && this.waiting <= WAITING_BYTES_HIGH) {
      const { bytes } = this.held.shift();
      this.heldBytes -= bytes.length;
      receive(new Reader(bytes, 0, bytes.length));
    }
    if (this.heldBytes <= HELD_BYTES_MAX && this.input.isPaused()) this.input.resume();
  }

  // -- out --

  /** Bytes that wait to be written. */
  get waiting() {
    return this.queued + (this.output ? this.output.writableLength : 0);
  }

  /** Sends a frame: with the others of this turn of the event loop, or now. */
  send(parts, now) {
    for (const part of parts) {
      this.queue.push(part);
      this.queued += part.length;
    }
    if (now) this.flush();
    else if (!this.scheduled) {
      this.scheduled = true;
      setImmediate(() => {
        this.scheduled = false;
        this.flush();
      });
    }
  }

  flush() {
    const { queue, queued } = this;
    if (!queued) return;
    this.queue = [];
    this.queued = 0;
    if (queue.length === 1) this.write(queue[0]);
    else if (queued <= PART_BYTES) this.write(Buffer.concat(queue, queued));
    else {
      this.output.cork();
      for (const part of queue) this.output.write(part);
      this.output.uncork();
    }
  }

  /** Most frames find room in the socket, and the way through the stream would cost them several times as much. */
  write(bytes) {
    if (!this.output || !this.output.writableLength) {
      try {
        const written = fs.writeSync(this.descriptor, bytes);
        if (written === bytes.length) return;
        bytes = bytes.subarray(written);
      } catch (error) {
        if (error.code !== 'EAGAIN') leave();
      }
    }
    this.output.write(bytes);
  }
}

/** Nexus has closed the connection: the process ends, whatever the user's code has open. */
function leave() {
  process.exit(0);
}

function checkProtocol(version) {
  if (version === undefined || +version === PROTOCOL) return;
  console.error(`pool ${poolName} speaks version ${PROTOCOL} of the pool protocol, nexus speaks version ${version}: `
    + 'put the runtime of this nexus beside the pool (nexus runtime js)');
  process.exit(1);
}

/** On loading, before the user's code: finds the connection. */
function attach() {
  const given = process.env.NEXUS_WORKER_FD;
  if (!given) return stdio();
  const [input, output = input, ...wrapper] = given.split(',').map(Number);
  return [input, output, ...wrapper];
}

/** Standard input and output as the connection, moved away: 0 becomes /dev/null and 1 what 2 is, so that prints and
 * children can't touch it. Null if they are none: the file is used by hand, or for a test of its functions. */
function stdio() {
  const connected = (fd) => {
    try {
      const status = fs.fstatSync(fd);
      return status.isFIFO() || status.isSocket();
    } catch {
      return false;
    }
  };
  if (!connected(0) || !connected(1) || !require('worker_threads').isMainThread) return null;
  let input, output;
  try {
    // Node can't duplicate a descriptor, but it can open a pipe again. A closed descriptor is the next to be opened.
    const { O_RDONLY, O_WRONLY, O_NONBLOCK } = fs.constants;
    input = fs.openSync('/proc/self/fd/0', O_RDONLY | O_NONBLOCK);
    output = fs.openSync('/proc/self/fd/1', O_WRONLY | O_NONBLOCK);
    fs.closeSync(fs.openSync('/proc/self/fd/2', 'a'));
    if (fs.fstatSync(2).isFile()) throw null; // opened twice, it would have two ends, and one overwrite the other
  } catch {
    for (const fd of [input, output]) if (fd !== undefined) fs.closeSync(fd);
    return again();
  }
  fs.closeSync(0);
  fs.openSync('/dev/null', 'r');
  fs.closeSync(1);
  fs.openSync('/proc/self/fd/2', 'a');
  return [input, output];
}

/** For sockets, and pipes of another user: runs the pool in a child that gets them as descriptors 3 and 4, and ends as
 * it ends. Should this process end first, the child sees it on 5. */
function again() {
  const { status, signal, error } = require('child_process').spawnSync(process.execPath,
    [...process.execArgv, ...process.argv.slice(1)],
    { stdio: ['ignore', 2, 2, 0, 1, 'pipe'], env: { ...process.env, NEXUS_WORKER_FD: '3,4,5' } });
  if (error) die(`the pool can't be started again with other descriptors: ${error.message}`);
  if (signal) process.kill(process.pid, signal);
  process.exit(status);
}

// In stdio nothing but the end of the input says that nexus is gone. A thread reads it, so that the end is seen while
// synchronous code runs; that gets half a second to finish. It reads ahead by at most AHEAD bytes.
const WATCH = `
  const { parentPort: port, workerData: fd } = require('worker_threads');
  const AHEAD = 4 << 20;
  let ahead = 0;
  const end = () => { port.postMessage(null); setTimeout(() => process.kill(process.pid, 'SIGKILL'), 500); };
  const socket = new (require('net').Socket)({ fd, writable: false });
  socket.on('data', (chunk) => {
    if ((ahead += chunk.length) > AHEAD) socket.pause();
    port.postMessage(chunk);
  }).once('end', end).once('error', end);
  port.on('message', (taken) => { if ((ahead -= taken) <= AHEAD) socket.resume(); });
`;

/** The input of a Connection in stdio. */
class Watched {
  constructor(fd, take, leave) {
    this.take = take;
    this.leave = leave;
    this.paused = false;
    this.chunks = [];
    this.thread = new (require('worker_threads').Worker)(WATCH, { eval: true, workerData: fd, execArgv: [] });
    this.thread.on('message', (chunk) => {
      this.chunks.push(chunk);
      this.run();
    });
    this.thread.on('error', (error) => die(`the input can't be read: ${error.message}`));
  }

  run() {
    while (this.chunks.length && !this.paused) {
      const chunk = this.chunks.shift();
      if (chunk === null) this.leave();
      this.take(chunk);
      this.thread.postMessage(chunk.length);
    }
  }

  pause() {
    this.paused = true;
  }

  isPaused() {
    return this.paused;
  }

  resume() {
    this.paused = false;
    this.run();
  }
}

// By names that an ES module can import, too.
module.exports = {
  register, serve, foreign, command, run, select, log, progress, signal, encode, decode, RemoteError, Mismatch, SchemaError,
  Worker,
};

checkProtocol(process.env.NEXUS_PROTOCOL);
descriptors = attach();
if (descriptors && Error.stackTraceLimit === 10) Error.stackTraceLimit = STACK_FRAMES;
