// A client of the hub `chat`: node client.mjs NAME
//
// Environment: GATEWAY (public URL of the service), RT_KEY (its first key).
import { WebPubSubServiceClient } from '@azure/web-pubsub';
import { WebPubSubClient } from '@azure/web-pubsub-client';

const gateway = process.env.GATEWAY ?? 'http://127.0.0.1:8080';
const key = process.env.RT_KEY ?? 'an-example-key-of-at-least-32-bytes';
const user = process.argv[2] ?? 'ann';

// A server would issue the token; this example does it in place.
const service = new WebPubSubServiceClient(`Endpoint=${gateway};AccessKey=${key};Version=1.0;`, 'chat', {
  allowInsecureConnection: true,
});
const { url } = await service.getClientAccessToken({ userId: user });

const client = new WebPubSubClient(url);
const received = [];
client.on('group-message', ({ message }) => {
  received.push(message.data);
  console.log(`${message.group}: ${message.fromUserId ?? 'server'}: ${message.data}`);
});
client.on('server-message', ({ message }) => console.log('time:', JSON.stringify(message.data)));
await client.start();
await client.sendToGroup('hall', `hello from ${user}`, 'text');
await client.sendEvent('time', '', 'text');

const end = Date.now() + 5000;
const expected = [`hello from ${user}`, `${user} is here`];
while (!expected.every((text) => received.includes(text)) && Date.now() < end) {
  await new Promise((resolve) => setTimeout(resolve, 50));
}
client.stop();
console.log(expected.every((text) => received.includes(text)) ? 'done' : `missing: ${expected}, received: ${received}`);
process.exit(0);
