/** Requests over `ws`, the WebSocket library of Node: no encryption, no identity. Answers come in the order of requests. */

import { once } from 'node:events';
import { WebSocket, WebSocketServer } from 'ws';

export async function serve() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  server.on('connection', (socket) => {
    socket._socket.setNoDelay(true);
    socket.on('message', (data) => socket.send(data));
  });
  await once(server, 'listening');
  return `ws://127.0.0.1:${server.address().port}`;
}

export async function connect(addr) {
  const socket = new WebSocket(addr, { perMessageDeflate: false });
  await once(socket, 'open');
  socket._socket.setNoDelay(true);
  const waiting = [];
  socket.on('message', () => waiting.shift()());
  return (request) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      socket.send(request);
    });
}
