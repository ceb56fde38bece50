// The backend of the serverless hub `chat`: responds to the method `Add`, and announces new clients to all.
//
// Environment: GATEWAY (public URL of the service), SR_KEY (its first key), PORT.
import { createHmac, timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import jwt from 'jsonwebtoken';

const gateway = process.env.GATEWAY ?? 'http://127.0.0.1:8080/sr';
const key = process.env.SR_KEY ?? 'an-example-key-of-at-least-32-bytes';
const port = Number(process.env.PORT ?? 8090);

/** Whether the request was signed with the key of the service. */
function isSigned(request) {
  const digest = createHmac('sha256', key).update(request.headers['x-asrs-connection-id'] ?? '').digest('hex');
  const expected = Buffer.from(`sha256=${digest}`);
  const signatures = (request.headers['x-asrs-signature'] ?? '').split(',').map((text) => Buffer.from(text.trim()));
  return signatures.some((given) => given.length === expected.length && timingSafeEqual(given, expected));
}

/** Calls a method of all clients. */
async function sendToAll(target, ...args) {
  const url = `${gateway}/api/hubs/chat/:send`;
  const token = jwt.sign({ aud: url }, key, { expiresIn: 60 });
  await fetch(`${url}?api-version=2022-06-01`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ target, arguments: args }),
  });
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    if (!isSigned(request)) return response.writeHead(401).end();
    const event = request.headers['x-asrs-event'];
    if (event === 'connected') await sendToAll('announce', `${request.headers['x-asrs-user-id']} is here`);
    if (event !== 'Add') return response.writeHead(request.headers['x-asrs-category'] === 'messages' ? 404 : 204).end();
    const { invocationId, arguments: numbers } = JSON.parse(Buffer.concat(chunks));
    const result = numbers.reduce((sum, number) => sum + number, 0);
    response.setHeader('content-type', 'application/json');
    response.end(`${JSON.stringify({ type: 3, invocationId, result })}\u001e`);
  });
});
server.listen(port, '127.0.0.1', () => console.log(`event handler on http://127.0.0.1:${port}`));
