// Two gateways on one Redis: official clients with stateful reconnect move to the other node when theirs is stopped, and lose nothing.
//
// node signalr-nodes.mjs MARGAY [CLIENTS]      default: 30 clients
//
// Redis, both gateways, the event handler and a relay in front are started on free ports. The last line is `N of N`: clients that
// received every message once and in order, and whose calls returned.
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as signalR from '@microsoft/signalr';
import { MessagePackHubProtocol } from '@microsoft/signalr-protocol-msgpack';
import jwt from 'jsonwebtoken';

const [binary, count = '30'] = process.argv.slice(2);
const clients = Number(count), KEY = 'primary-primary-primary-primary-1';
const folder = mkdtempSync(join(tmpdir(), 'signalr-nodes-'));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const processes = [];

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

async function until(check, what, ms = 15000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(25)) if (await check()) return;
  throw new Error(`not within ${ms} ms: ${what}`);
}

const redis = await freePort();
start('redis', 'redis-server', ['--port', redis, '--save', '', '--appendonly', 'no', '--dir', folder]);
await until(() => new Promise((resolve) => {
  const socket = net.connect(redis, '127.0.0.1', () => { socket.end(); resolve(true); });
  socket.on('error', () => resolve(false));
}), 'Redis');

// The event handler of the method `Echo`.
const called = new Map();
const handler = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    if (request.headers['x-asrs-category'] !== 'messages') return response.writeHead(204).end();
    const id = request.headers['x-asrs-connection-id'];
    called.set(id, (called.get(id) ?? 0) + 1);
    return response.writeHead(204).end();
  });
});
await new Promise((resolve) => handler.listen(0, '127.0.0.1', resolve));

async function gateway(name) {
  const [port, admin] = [await freePort(), await freePort()];
  const UrlTemplate = `http://127.0.0.1:${handler.address().port}/{category}/{event}`;
  const config = {
    Listeners: [{ Name: 'hubs', Address: `127.0.0.1:${port}` }],
    Administration: { Address: `127.0.0.1:${admin}` },
    SharedState: { Type: 'Redis', Url: `redis://127.0.0.1:${redis}/0` },
    Limits: { DrainTimeout: '6s' },
    Realtime: { NodeName: name },
    HubServices: { sr: { Type: 'SignalR', Keys: [KEY], PublicUrls: ['http://hubs.test'], Hubs: { chat: { EventHandlers: [{ UrlTemplate }] } } } },
    Routes: [{ UpstreamPathTemplate: '/{everything}', DownstreamHubService: 'sr' }],
  };
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(config));
  const child = start(name, binary, ['run', '--config', file]);
  await until(async () => (await fetch(`http://127.0.0.1:${admin}/ready`).catch(() => ({}))).ok, `${name} is ready`);
  return { child, port };
}

const one = await gateway('one'), two = await gateway('two');
// New connections go to the target.
let target = one.port;
const relay = net.createServer((client) => {
  const server = net.connect(target, '127.0.0.1');
  client.pipe(server).pipe(client);
  for (const [socket, other] of [[client, server], [server, client]]) socket.on('error', () => other.destroy());
});
await new Promise((resolve) => relay.listen(0, '127.0.0.1', resolve));

async function sendToAll(number) {
  const path = '/api/hubs/chat/:send';
  const token = jwt.sign({ aud: `http://hubs.test${path}` }, KEY, { expiresIn: 60 });
  const response = await fetch(`http://127.0.0.1:${two.port}${path}?api-version=2022-06-01`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ target: 'note', arguments: [number] }),
  });
  if (response.status !== 202) throw new Error(`the data plane responded with ${response.status}`);
}

const all = [];
for (let n = 0; n < clients; n++) {
  const token = jwt.sign({ aud: 'http://hubs.test/client/?hub=chat' }, KEY, { expiresIn: 600 });
  let builder = new signalR.HubConnectionBuilder()
    .withUrl(`http://127.0.0.1:${relay.address().port}/client/?hub=chat`, { accessTokenFactory: () => token, transport: signalR.HttpTransportType.WebSockets })
    .configureLogging(signalR.LogLevel.None)
    .withStatefulReconnect();
  if (n % 2) builder = builder.withHubProtocol(new MessagePackHubProtocol());
  const connection = builder.build();
  const client = { connection, received: [], error: undefined };
  connection.on('note', (number) => client.received.push(number));
  connection.onclose((error) => { client.error = error ?? new Error('closed'); });
  await connection.start();
  await connection.invoke('Echo');
  client.id = connection.connectionId;
  all.push(client);
}

let sent = 0, isSending = true;
const sending = (async () => { for (; isSending; await sleep(20)) await sendToAll(sent++); })();
await sleep(1000);
target = two.port;
one.child.kill('SIGTERM');
await new Promise((resolve) => one.child.on('exit', resolve));
await sleep(1000);
isSending = false;
await sending;
await until(() => all.every((client) => client.error || client.received.length >= sent), 'all messages', 5000).catch(() => {});
const calls = await Promise.allSettled(all.map((client) => Promise.race([client.connection.invoke('Echo'), sleep(3000).then(() => { throw new Error('no result'); })])));
const failures = all.map((client, n) => {
  const inOrder = client.received.length === sent && client.received.every((number, at) => number === at);
  if (client.error) return `closed: ${client.error.message}`;
  if (!inOrder) return `received ${client.received.length} of ${sent}`;
  if (client.connection.connectionId !== client.id) return 'another connection';
  if (calls[n].status === 'rejected') return `the call failed: ${calls[n].reason.message}`;
  return called.get(client.id) === 2 ? undefined : `called ${called.get(client.id)} times`;
}).filter(Boolean);
failures.slice(0, 5).forEach((failure) => console.log(failure));
console.log(`${clients - failures.length} of ${clients}`);
processes.forEach((child) => child.kill());
await sleep(200);
rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
process.exit(failures.length ? 1 : 0);
