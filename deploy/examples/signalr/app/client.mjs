// A client of the serverless hub, and clients of the application.
//
// Environment: GATEWAY (public URL of the service), SR_KEY (its first key).
import * as signalR from '@microsoft/signalr';
import jwt from 'jsonwebtoken';

const gateway = process.env.GATEWAY ?? 'http://127.0.0.1:8080/sr';
const key = process.env.SR_KEY ?? 'an-example-key-of-at-least-32-bytes';

const builder = (url, options) =>
  new signalR.HubConnectionBuilder().withUrl(url, options).configureLogging(signalR.LogLevel.Error).build();

// A server would issue the token; this example does it in place.
const url = `${gateway}/client/?hub=chat`;
const token = jwt.sign({ aud: url, nameid: 'ann' }, key, { expiresIn: 600 });
const hub = builder(url, { accessTokenFactory: () => token });
const announced = new Promise((resolve) => hub.on('announce', resolve));
await hub.start();
console.log('2 + 3 =', await hub.invoke('Add', 2, 3));
console.log(await announced);
await hub.stop();

const names = new Set();
for (let i = 0; i < 4; i++) {
  const app = builder(new URL('/app/hub', gateway).href);
  await app.start();
  const name = await app.invoke('Who');
  for (let n = 0; n < 3; n++) {
    if ((await app.invoke('Who')) !== name) throw new Error('the connection moved to another instance');
  }
  names.add(name);
  await app.stop();
}
console.log(`instances: ${[...names].sort().join(', ')}`);
console.log(names.size === 2 ? 'done' : 'one instance was not used');
process.exit(0);
