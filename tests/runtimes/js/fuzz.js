'use strict';
/* Breaks the bytes of values and reads them again: whatever they are, the answer is a value that can be written, or one of
the runtime's own errors. Run as `node fuzz.js RUNTIME SEED CASES`. It knows nothing of frames and calls. */
process.env.NEXUS_WORKER_FD = '9'; // never used: serve() is not called
const nexus = require(process.argv[2]);
const [seed, cases] = process.argv.slice(3).map(Number);

const TREE = '&4Tree{value:i8,kids:[^4Tree]}';
const VALUES = [
  ['z', null], ['b', true], ['i1', -5], ['i8', 2n ** 60n], ['u8', 2n ** 64n - 1n], ['j', -(3n ** 100n)], ['f4', 1.5],
  ['f8', 0.1], ['s', 'h\u00e9llo'], ['y', Uint8Array.of(1, 2)], ['?s', 'x'], ['[f8]', [1, 2]], ['[u1]', [1]],
  ['[s]', ['a', 'b']], ['(b,j,y,f4)', [true, 1n, new Uint8Array(3), 2]], ['[[i8]]', [[1], [2n]]],
  ['{name:s,age:?u1,tags:[s]}', { name: 'a', age: 3, tags: ['q'] }], [TREE, { value: 1, kids: [{ value: 2, kids: [] }] }],
  ['\\(i8)i8', (x) => x], ['a:3i4', [1, 2, 3]], ['a:2(s,?j)', [['a', 1], ['b', null]]],
].map(([schema, value]) => [schema, nexus.encode(schema, value)]);
const TAGS = [0xc1, 0xdd, 0xdf, 0xc9, 0xdb, 0xc6, 0xff, 0x91]; // those that claim the most
const EXPECTED = ['Mismatch', 'Malformed', 'RemoteError']; // the last: a function value of a worker that is gone

let state = seed;
function below(limit) {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return (state >> 16) % limit;
}

let read = 0;
for (let i = 0; i < cases; i++) {
  const [schema, encoded] = VALUES[below(VALUES.length)];
  let bytes = Buffer.from(encoded);
  if (below(3)) {
    for (let left = 1 + below(3); left; left--) bytes[below(bytes.length)] = below(4) ? below(256) : TAGS[below(8)];
    if (!below(4)) bytes = bytes.subarray(0, below(bytes.length + 1));
  } else bytes = Buffer.from(Array.from({ length: below(24) }, () => below(256)));
  try {
    nexus.encode(schema, nexus.decode(schema, bytes));
    read++;
  } catch (error) {
    if (EXPECTED.includes(error.name) && error.message) continue;
    console.error(`case ${i} of seed ${seed}, schema ${schema}, bytes ${bytes.toString('hex')}:`, error);
    process.exit(1);
  }
}
console.log(`${read} of ${cases} could be read`);
