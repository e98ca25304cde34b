// Opens the page of a server, finds a command, fills its form and reads the answer: page.js BROWSER URL PROFILE. Speaks the
// DevTools protocol over two pipes, so that it needs no port and no package.
const { spawn } = require('child_process');

const [browser, url, profile] = process.argv.slice(2);
const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-crash-reporter',
  `--user-data-dir=${profile}`, '--remote-debugging-pipe', 'about:blank'];
const child = spawn(browser, options, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
const waiting = new Map(), problems = [];
let said = '', told = '', count = 0;
child.stderr.on('data', (piece) => { said += piece; });
child.on('exit', () => fail('the browser ended\n' + said));
child.stdio[4].on('data', (piece) => {
  const messages = (told + piece).split('\0');
  told = messages.pop();
  for (const { id, method, params, error, result } of messages.map((text) => JSON.parse(text))) {
    if (method === 'Runtime.exceptionThrown') problems.push(params.exceptionDetails.exception.description);
    if (method === 'Log.entryAdded' && params.entry.level === 'error') problems.push(params.entry.text);
    if (waiting.has(id)) error ? fail(error.message) : waiting.get(id)(result);
  }
});

function fail(reason) {
  console.log(reason);
  child.removeAllListeners('exit');
  child.kill('SIGKILL');
  process.exit(1);
}

const send = (method, params = {}, sessionId) => new Promise((done) => {
  waiting.set(++count, done);
  child.stdio[3].write(JSON.stringify({ id: count, method, params, sessionId }) + '\0');
});

async function main() {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  for (const domain of ['Runtime', 'Log', 'Page']) await send(`${domain}.enable`, {}, sessionId);
  await send('Page.navigate', { url }, sessionId);
  // The value of an expression of the page, once it has one.
  const once = async (what, expression) => {
    for (let round = 0; round < 300; round++) {
      const { result, exceptionDetails } = await send('Runtime.evaluate', { expression, returnByValue: true }, sessionId);
      if (!exceptionDetails && result.value) return result.value;
      await new Promise((done) => setTimeout(done, 100));
    }
    fail(`not on the page: ${what}\n${problems.join('\n')}\n${await page()}`);
  };
  const page = async () =>
    (await send('Runtime.evaluate', { expression: 'document.body.innerText' }, sessionId)).result.value;
  const check = (what, found, expected) => found.includes(expected) || fail(`${what}: ${found}, not ${expected}`);

  const card = '[...document.querySelectorAll("details")].find((one) => one.firstChild.textContent.startsWith("centre"))';
  const commands = await once('the commands', `${card} && document.querySelectorAll("details").length`);
  await once('an open command', `(${card}.open = true, ${card}.querySelector("form").checkVisibility())`);
  check('its signature', await once('a signature', `${card}.querySelector("code").textContent`), 'centre(points: [');

  const fill = async (at, text) => {
    await once('a field', `(${card}.querySelectorAll("textarea, input")[${at}].focus(), document.activeElement.select(), true)`);
    await send('Input.insertText', { text }, sessionId);
  };
  const answer = async () => {
    await once('a button', `(${card}.querySelector("output").replaceChildren(), ${card}.querySelector("button").click(), true)`);
    return once('an answer', `${card}.querySelector("output").textContent`);
  };
  await fill(0, '[{"x": 1, "y": 2}, {"x": 2, "y": 5}]');
  await fill(1, '1');
  check('the answer', await answer(), '{"x":1.5,"y":3.5}');
  await fill(0, '[{"x": 1, "z": 2}]');
  check('the answer to a mistake', await answer(), 'unknown key');
  const unexpected = problems.filter((problem) => !problem.includes('status of 400'));
  if (unexpected.length) fail(unexpected.join('\n'));
  console.log(`${commands} commands, one of them called`);
  child.removeAllListeners('exit');
  child.on('exit', () => process.exit(0));
  await send('Browser.close');
}
main().catch((error) => fail(error.stack));
