// The page /live of the demo in a headless Chromium: two pages chat, the ticker moves, a cut connection is recovered; then two pages
// chat over each transport of SignalR.
//
// node demo.mjs URL FOLDER: URL of the demo, FOLDER for screenshots. Prints `passed`, or what is missing.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import WebSocket from 'ws';

const [url, folder] = process.argv.slice(2);
const profile = mkdtempSync(join(tmpdir(), 'live-'));
const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run', '--remote-debugging-port=0'];
const browser = spawn(process.env.CHROMIUM ?? 'chromium', [...flags, `--user-data-dir=${profile}`, 'about:blank'], { stdio: ['ignore', 'ignore', 'pipe'] });
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The address of the DevTools protocol, which the browser prints. */
const endpoint = await new Promise((resolve, reject) => {
  let text = '';
  browser.stderr.on('data', (data) => {
    text += data;
    const found = text.match(/DevTools listening on (ws:\/\/\S+)/);
    if (found) resolve(found[1]);
  });
  browser.on('exit', () => reject(new Error(`the browser ended: ${text}`)));
});

/** A page with the expressions that it evaluates. */
async function open(name, transport = '') {
  const origin = endpoint.replace('ws:', 'http:').replace(/\/devtools.*/, '');
  const target = await (await fetch(`${origin}/json/new?${encodeURIComponent(`${url}/live?name=${name}&transport=${transport}`)}`, { method: 'PUT' })).json();
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve) => socket.on('open', resolve));
  let next = 0;
  const pending = new Map();
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    pending.get(message.id)?.(message);
  });
  const call = (method, params) => new Promise((resolve) => {
    pending.set(++next, resolve);
    socket.send(JSON.stringify({ id: next, method, params }));
  });
  const evaluate = async (expression) => (await call('Runtime.evaluate', { expression, returnByValue: true })).result?.result?.value;
  return {
    name,
    evaluate,
    until: async (expression, what) => {
      for (const end = Date.now() + 15000; Date.now() < end; await sleep(50)) if (await evaluate(expression)) return;
      throw new Error(`${name}: ${what}; the page contains: ${await evaluate('document.body.innerText')}`);
    },
    close: () => call('Page.close', {}),
    say: (text) => evaluate(`document.getElementById('text').value = ${JSON.stringify(text)}; document.getElementById('form').requestSubmit()`),
    screenshot: async (file) => {
      const { result } = await call('Page.captureScreenshot', { format: 'png' });
      writeFileSync(join(folder, file), Buffer.from(result.data, 'base64'));
    },
  };
}

const lines = `[...document.querySelectorAll('#log p')].map((line) => line.textContent)`;
const status = `document.getElementById('status').value`;
try {
  const ann = await open('ann'), ben = await open('ben');
  for (const page of [ann, ben]) {
    await page.until(`${status} === 'connected'`, 'it does not connect');
    await page.until(`['ann', 'ben'].every((user) => document.getElementById('users').textContent.includes(user))`, 'it does not show both users');
  }
  await ann.say('hello from ann');
  await ben.say('hello from ben');
  for (const page of [ann, ben]) {
    for (const text of ['annhello from ann', 'benhello from ben']) await page.until(`${lines}.includes('${text}')`, `it does not show "${text}"`);
  }
  const first = await ann.evaluate(`document.getElementById('ticker').value`);
  await ann.until(`document.getElementById('ticker').value.startsWith('20') && document.getElementById('ticker').value !== '${first}'`, 'the ticker does not move');
  await ann.screenshot('live-chat.png');
  await ben.evaluate(`document.getElementById('cut').click()`);
  for (let n = 1; n <= 5; n++) await ann.say(`while cut ${n}`);
  await ben.until(`${status} === 'connected again'`, 'it does not recover');
  await ann.say('the end');
  await ben.until(`${lines}.includes('annthe end')`, 'it does not show the last message');
  const received = JSON.parse(await ben.evaluate(`JSON.stringify(${lines})`)).filter((line) => line.includes('while cut'));
  const expected = [1, 2, 3, 4, 5].map((n) => `annwhile cut ${n}`);
  if (JSON.stringify(received) !== JSON.stringify(expected)) throw new Error(`ben received ${JSON.stringify(received)}`);
  await ben.screenshot('live-recovered.png');
  for (const transport of ['WebSockets', 'ServerSentEvents', 'LongPolling']) {
    const names = ['cem', 'dea'].map((name) => `${name}-${transport}`);
    const [cem, dea] = [await open(names[0], transport), await open(names[1], transport)];
    for (const page of [cem, dea]) {
      await page.until(`${status} === 'connected'`, 'it does not connect');
      await page.until(`${JSON.stringify(names)}.every((user) => document.getElementById('users').textContent.includes(user))`, 'it does not show both users');
    }
    await cem.say('hello');
    await dea.say('hello');
    for (const page of [cem, dea]) for (const user of names) await page.until(`${lines}.includes('${user}hello')`, `it does not show what ${user} says`);
    await dea.until(`document.getElementById('ticker').value.startsWith('20')`, 'the ticker does not move');
    await dea.evaluate(`document.getElementById('cut').click()`);
    await dea.until(`${status} === 'reconnecting'`, 'it is not cut');
    await dea.until(`${status} === 'connected'`, 'it does not connect again');
    await cem.say('again');
    await dea.until(`${lines}.includes('${names[0]}again')`, 'it does not show the last message');
    await dea.screenshot(`live-signalr-${transport}.png`);
    for (const page of [cem, dea]) await page.close();
  }
  console.log('passed');
} catch (error) {
  console.log(error.message);
  process.exitCode = 1;
} finally {
  browser.kill();
  await sleep(300);
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  process.exit();
}
