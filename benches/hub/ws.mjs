// A bare fan-out on npm `ws`: every text message goes to all members of the group in the URL.
import { WebSocketServer } from 'ws';

const groups = new Map();
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.env.BENCH_PORT), perMessageDeflate: false });
server.on('connection', (socket, request) => {
  const name = new URL(request.url, 'http://x').searchParams.get('group');
  const group = groups.get(name) ?? new Set();
  groups.set(name, group.add(socket));
  socket.on('message', (data) => { for (const member of group) member.send(data, { binary: false }); });
  socket.on('close', () => group.delete(socket));
  socket.on('error', () => {});
});
