// An instance of an application with a hub at /app/hub: what `MapHub` of ASP.NET Core provides, reduced to long polling and the
// method `Who`. It knows only its own connections.
//
// Environment: NAME, PORT.
import { randomBytes } from 'node:crypto';
import http from 'node:http';

const name = process.env.NAME ?? 'one';
const port = Number(process.env.PORT ?? 8091);
const connections = new Map();

/** Sends a message to a connection, with its next poll. */
function send(connection, message) {
  connection.messages.push(`${JSON.stringify(message)}\u001e`);
  connection.respond?.();
}

/** Processes what a client posted. */
function receive(connection, text) {
  for (const record of text.split('\u001e').filter(Boolean)) {
    const message = JSON.parse(record);
    if (message.protocol) send(connection, {});
    else if (message.target === 'Who') send(connection, { type: 3, invocationId: message.invocationId, result: name });
  }
}

/** Responds as soon as there are messages; to the first poll at once. */
function poll(connection, response) {
  connection.respond = () => {
    connection.respond = undefined;
    response.end(connection.messages.splice(0).join(''));
  };
  if (connection.messages.length > 0 || !connection.isPolled) connection.respond();
  connection.isPolled = true;
}

const server = http.createServer((request, response) => {
  const url = new URL(request.url, 'http://app');
  if (url.pathname === '/app/hub/negotiate') {
    const [connectionId, connectionToken] = [randomBytes(8).toString('hex'), randomBytes(16).toString('base64url')];
    connections.set(connectionToken, { messages: [], isPolled: false });
    response.setHeader('content-type', 'application/json');
    const availableTransports = [{ transport: 'LongPolling', transferFormats: ['Text'] }];
    return response.end(JSON.stringify({ negotiateVersion: 1, connectionId, connectionToken, availableTransports }));
  }
  const connection = connections.get(url.searchParams.get('id'));
  if (!connection) return response.writeHead(404).end('No Connection with that ID');
  if (request.method === 'GET') return poll(connection, response);
  if (request.method === 'DELETE') {
    connections.delete(url.searchParams.get('id'));
    connection.respond?.();
    return response.writeHead(202).end();
  }
  let text = '';
  request.on('data', (chunk) => { text += chunk; });
  return request.on('end', () => {
    receive(connection, text);
    response.end();
  });
});
server.listen(port, '127.0.0.1', () => console.log(`application ${name} on http://127.0.0.1:${port}`));
