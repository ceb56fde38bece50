// Official clients over all transports and protocols through one gateway to two instances of an application, of which one is killed.
//
// node signalr-load.mjs MARGAY [CLIENTS]      default: 500 clients
//
// Runs in a folder with the library of the cases (`lib/`). The gateway and the instances are started on free ports. The last line is
// `passed` if no request reached the wrong instance, no call was made twice, reloads disturbed nobody, and the clients of the killed
// instance were on the other one within ten seconds.
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { backend } from './lib/backend.mjs';
import { WAYS, hubClient } from './lib/sr.mjs';

const SELF = fileURLToPath(import.meta.url);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// An instance: the application of the cases in a separate process, which reports the calls it received.
if (process.argv[2] === '--instance') {
  const [name, port] = process.argv.slice(3);
  const instance = await backend(name, Number(port), {
    handle(request, response, url) {
      if (!url.pathname.endsWith('/seen')) return false;
      response.end(JSON.stringify({ refused: instance.seen.refused, requests: instance.seen.requests.length }));
      return true;
    },
  });
  await new Promise(() => {});
}

const [binary, count = '500'] = process.argv.slice(2);
const CLIENTS = Number(count), MAX_MOVE_MS = 10000;
const folder = mkdtempSync(join(tmpdir(), 'signalr-load-'));
const processes = [];
process.on('exit', () => processes.forEach((child) => child.kill('SIGKILL')));

async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function start(name, command, args) {
  const log = openSync(join(folder, `${name}.log`), 'w');
  const child = spawn(command, args, { stdio: ['ignore', log, log] });
  processes.push(child);
  return child;
}

async function until(check, what, ms = 30000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(25)) if (await check()) return;
  throw new Error(`not within ${ms} ms: ${what}`);
}

const isOk = (url) => fetch(url).then((response) => response.ok, () => false);
const [gatewayPort, adminPort, ...ports] = [await freePort(), await freePort(), await freePort(), await freePort()];
const instances = ['one', 'two'].map((name, i) => start(name, process.execPath, [SELF, '--instance', name, ports[i]]));
const configuration = join(folder, 'gateway.json');
const write = (connectTimeout) => writeFileSync(configuration, JSON.stringify({
  Limits: { ConnectTimeout: connectTimeout },
  Listeners: [{ Name: 'main', Address: `127.0.0.1:${gatewayPort}` }],
  Administration: { Address: `127.0.0.1:${adminPort}` },
  Routes: [{
    Key: 'app', UpstreamPathTemplate: '/app/{everything}', DownstreamPathTemplate: '/app/{everything}', DownstreamScheme: 'http',
    DownstreamHostAndPorts: ports.map((Port) => ({ Host: '127.0.0.1', Port })),
    LoadBalancerOptions: { Type: 'RoundRobin' }, HealthCheckOptions: { Passive: {} },
    SignalROptions: { Key: 'affinity-affinity-affinity-affin' },
  }],
}));
write('1s');
for (const port of ports) await until(() => isOk(`http://127.0.0.1:${port}/app/plain`), 'the instances');
const gateway = start('gateway', binary, ['run', '--config', configuration]);
await until(() => isOk(`http://127.0.0.1:${gatewayPort}/app/plain`), 'the gateway');

// A client counts how often each of its calls came back, and which of them returned.
async function open(number) {
  const [transport, protocol] = WAYS[number % WAYS.length];
  const options = { transport, protocol, reconnect: [0, 100, 200, 400, 800, 1600, 3200] };
  const client = hubClient(`http://127.0.0.1:${gatewayPort}/app/hub`, options);
  Object.assign(client, { transport, calls: 0, returned: new Set(), pushed: new Map(), failures: 0 });
  client.on('Pushed', (instance, call) => client.pushed.set(call, (client.pushed.get(call) ?? 0) + 1));
  client.onreconnected(() => { client.movedAt = Date.now(); });
  await client.start();
  client.instance = await client.invoke('Who');
  return client;
}

async function call(client) {
  const number = ++client.calls;
  try {
    await client.invoke('Push', number);
    client.returned.add(number);
  } catch {
    client.failures++;
  }
}

const traffic = { isOn: false, loops: [] };
function startTraffic(clients) {
  traffic.isOn = true;
  traffic.loops = clients.map(async (client) => {
    for (; traffic.isOn; await sleep(1000 + Math.random() * 1000)) if (client.state === 'Connected') await call(client);
  });
}
async function stopTraffic() {
  traffic.isOn = false;
  await Promise.all(traffic.loops);
}

const refused = async (port) => (await (await fetch(`http://127.0.0.1:${port}/app/seen`)).json()).refused.filter((id) => id !== null);
const failures = [];
const expect = (isTrue, what) => { if (!isTrue) failures.push(what); };
const sum = (clients, value) => clients.reduce((total, client) => total + value(client), 0);

try {
  const clients = [];
  for (let i = 0; i < CLIENTS; i += 25) {
    clients.push(...await Promise.all(Array.from({ length: Math.min(25, CLIENTS - i) }, (_, k) => open(i + k))));
  }
  const lost = clients.filter((client) => client.instance === 'two');
  const kept = clients.filter((client) => client.instance === 'one');
  console.log(`${clients.length} clients: ${kept.length} at one, ${lost.length} at two`);
  expect(lost.length && kept.length, 'both instances have clients');

  startTraffic(clients);
  await sleep(3000);
  for (let i = 0; i < 3; i++) {
    write(`${1001 + i}ms`);
    gateway.kill('SIGHUP');
    await sleep(1000);
  }
  await sleep(1000);
  const wrong = [...await refused(ports[0]), ...await refused(ports[1])];
  console.log(`before the kill: ${sum(clients, (client) => client.returned.size)} calls, ${sum(clients, (client) => client.failures)} failed, `
    + `${sum(clients, (client) => client.reconnects)} reconnects, ${wrong.length} requests at the wrong instance`);
  expect(!wrong.length, 'no request is at the wrong instance');
  expect(!sum(clients, (client) => client.failures + client.reconnects), 'reloads disturb nobody');

  const killedAt = Date.now();
  instances[1].kill('SIGKILL');
  await until(() => lost.every((client) => client.reconnects >= 1 && client.state === 'Connected'), 'all clients have moved', 40000);
  const took = Date.now() - killedAt;
  for (const transport of new Set(lost.map((client) => client.transport))) {
    const times = lost.filter((client) => client.transport === transport).map((client) => client.movedAt - killedAt).sort((a, b) => a - b);
    console.log(`${transport}: moved after ${times[times.length >> 1]} ms (median), ${times.at(-1)} ms (last)`);
  }
  await sleep(2000);
  await stopTraffic();
  const names = await Promise.all(clients.map((client) => client.invoke('Who')));
  expect(took <= MAX_MOVE_MS, `clients move within ${MAX_MOVE_MS} ms`);
  expect(names.every((name) => name === 'one'), 'all clients are at the instance that is left');
  expect(!sum(kept, (client) => client.failures + client.reconnects), 'clients of the other instance are not disturbed');

  await sleep(500);
  const twice = sum(clients, (client) => [...client.pushed.values()].filter((times) => times > 1).length);
  const missing = sum(clients, (client) => [...client.returned].filter((number) => !client.pushed.has(number)).length);
  const calls = sum(clients, (client) => client.returned.size);
  console.log(`after the kill: moved in ${took} ms, ${calls} calls returned, ${twice} made twice, ${missing} without their message`);
  expect(!twice, 'no call is made twice');
  expect(!missing, 'each call that returned was made');
} catch (error) {
  failures.push(error.message);
}
for (const failure of failures) console.log(`FAILED: ${failure}`);
if (failures.length) console.log(`logs: ${folder}`);
else rmSync(folder, { recursive: true });
console.log(failures.length ? 'failed' : 'passed');
process.exit(failures.length ? 1 : 0);
