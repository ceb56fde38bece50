// The backend of the hub `chat`: an event handler with the official middleware, and a server that publishes with the official client.
//
// Environment: GATEWAY (public URL of the service), RT_KEY (its first key), PORT.
import express from 'express';
import { WebPubSubServiceClient } from '@azure/web-pubsub';
import { WebPubSubEventHandler } from '@azure/web-pubsub-express';

const gateway = process.env.GATEWAY ?? 'http://127.0.0.1:8080';
const key = process.env.RT_KEY ?? 'an-example-key-of-at-least-32-bytes';
const port = Number(process.env.PORT ?? 8090);

const service = new WebPubSubServiceClient(`Endpoint=${gateway};AccessKey=${key};Version=1.0;`, 'chat', {
  allowInsecureConnection: true,
});
const hall = service.group('hall');

const handler = new WebPubSubEventHandler('chat', {
  path: '/eventhandler',
  // Only this gateway may send events.
  allowedEndpoints: [gateway],
  // A client with a user joins the hall and may write there; others are refused.
  handleConnect: (request, response) => {
    const user = request.context.userId;
    if (!user) return response.fail(401, 'a user is required');
    response.success({ groups: ['hall'], roles: ['webpubsub.sendToGroup.hall', 'webpubsub.joinLeaveGroup.hall'] });
  },
  // The event `time` returns the time of the server; the number of calls is state of the connection.
  handleUserEvent: (request, response) => {
    if (request.context.eventName !== 'time') return response.fail(404, 'unknown event');
    const calls = (request.context.states.calls ?? 0) + 1;
    response.setState('calls', calls);
    response.success(JSON.stringify({ now: new Date().toISOString(), calls }), 'json');
  },
  onConnected: (request) => announce(`${request.context.userId} is here`),
  onDisconnected: (request) => announce(`${request.context.userId} has left`),
});

function announce(text) {
  hall.sendToAll(text, { contentType: 'text/plain' }).catch((error) => console.error(error.message));
}

const app = express();
app.use(handler.getMiddleware());
app.listen(port, '127.0.0.1', () => console.log(`event handler on http://127.0.0.1:${port}${handler.path}`));
