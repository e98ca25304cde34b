'use strict';
/* The conformance functions in JavaScript: what every language's pool has under the same numbers, so that one test drives
them all. It needs nexus_pool.js beside it, and does nothing that a user's pool could not do. */
const nexus = require('./nexus_pool.js');

const INTEGERS = { args: ['i8'], returns: 'i8' };
const FUNCTION = '\\(i8)i8';
const delay = (ms) => new Promise((done) => { setTimeout(done, ms); });

async function relay(pool, mid, n) {
  return await nexus.foreign(pool, Number(mid), INTEGERS)(n) + 1n;
}

async function fan(pool, mid, n) {
  const call = nexus.foreign(pool, Number(mid), INTEGERS);
  const results = await Promise.all(Array.from({ length: Number(n) }, (_, i) => call(i + 1)));
  return results.reduce((sum, result) => sum + result, 0n);
}

async function kindOf(pool, mid, n) {
  try {
    await nexus.foreign(pool, Number(mid), INTEGERS)(n);
    return '';
  } catch (error) {
    if (error instanceof nexus.RemoteError) return error.kind;
    throw error;
  }
}

async function chain(pools, n) {
  if (n === 0n) return 0n;
  const next = nexus.foreign(pools[Number(n % BigInt(pools.length))], 21, { args: ['[s]', 'i8'], returns: 'i8' });
  return 1n + await next(pools, n - 1n);
}

function spin(seconds) {
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end);
}

function treeSum(tree) {
  let sum = 0n;
  for (const left = [tree]; left.length;) {
    const { value, kids } = left.pop();
    sum += value;
    left.push(...kids);
  }
  return sum;
}

async function crew(words, name, n) {
  const sort = await nexus.run(['sort']);
  for (const word of words) await sort.send(word);
  await sort.close();
  const found = [];
  for await (const line of sort) found.push(line);
  const twice = await nexus.run(name);
  return [found, await twice.call(await twice.call(n))];
}

async function mishap(argv, ms) {
  try {
    return await (await nexus.run(argv)).receive({ timeout: Number(ms) }) ?? 'end';
  } catch (error) {
    return error.kind;
  }
}

const RECORD = '{name:s,age:?u1,tags:[s]}';
const TUPLE = '(b,j,y,f4)';

for (const [mid, name, fn, args, returns] of [
  [1, 'echo_floats', (xs) => xs, ['[f8]'], '[f8]'],
  [2, 'add', (a, b) => a + b, ['i8', 'i8'], 'i8'],
  [3, 'echo_record', (record) => record, [RECORD], RECORD],
  [4, 'echo_tuple', (tuple) => tuple, [TUPLE], TUPLE],
  [5, 'fail', (message) => { throw new Error(message); }, ['s'], 'z'],
  [6, 'relay', relay, ['s', 'i8', 'i8'], 'i8'],
  [7, 'sleep', async (seconds) => { await delay(1000 * seconds); }, ['f8'], 'z'],
  [8, 'say', (text) => { console.log(text); }, ['s'], 'z'],
  [9, 'note', (level, text) => { nexus.log(level, text); }, ['s', 's'], 'z'],
  [10, 'step', (done, total, label) => { nexus.progress(done, total, label); }, ['f8', 'f8', 's'], 'z'],
  [11, 'fan', fan, ['s', 'i8', 'i8'], 'i8'],
  [12, 'apply', async (f, n) => f(n), [FUNCTION, 'i8'], 'i8'],
  [13, 'adder', (n) => (x) => x + n, ['i8'], FUNCTION],
  [14, 'quit', (code) => process.exit(Number(code)), ['i8'], 'z'],
  [15, 'spin', spin, ['f8'], 'z'],
  [16, 'echo_lists', (...lists) => lists, ['[i4]', '[u1]', '[i8]', '[f4]'], '([i4],[u1],[i8],[f4])'],
  [17, 'echo_bytes', (bytes) => bytes, ['y'], 'y'],
  [18, 'echo_text', (text) => text, ['s'], 's'],
  [19, 'via', async (name, n) => nexus.command(name, n), ['s', 'i8'], 'i8'],
  [20, 'kind_of', kindOf, ['s', 'i8', 'i8'], 's'],
  [21, 'chain', chain, ['[s]', 'i8'], 'i8'],
  [22, 'compose', (f, g) => async (x) => f(await g(x)), [FUNCTION, FUNCTION], FUNCTION],
  [23, 'total', (xs) => xs.reduce((sum, x) => sum + x, 0), ['[f8]'], 'f8'],
  [24, 'blob', (n) => Float64Array.from({ length: Number(n) }, (_, i) => i), ['i8'], '[f8]'],
  [25, 'double', (n) => 2n * n, ['i8'], 'i8'],
  [26, 'nap', async (ms) => { await delay(Number(ms)); return ms; }, ['i8'], 'i8'],
  [27, 'echo_big', (n) => n, ['j'], 'j'],
  [28, 'own_pid', () => process.pid, [], 'i8'],
  [29, 'tree', treeSum, ['&4Tree{value:i8,kids:[^4Tree]}'], 'i8'],
  [30, 'crew', crew, ['[s]', 's', 'i8'], '([s],i8)'],
  [31, 'mishap', mishap, ['[s]', 'i8'], 's'],
]) {
  Object.defineProperty(fn, 'name', { value: name }); // by which errors name it
  nexus.register(mid, fn, { args, returns });
}
nexus.serve();
