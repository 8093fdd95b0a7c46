/** Requests over `ws`, the WebSocket library of Node: no encryption, no identity. Answers come in the order of requests. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';

/** Serves on a server of node:http or node:https. @returns its port */
export async function serveOn(server) {
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (socket) => {
    socket._socket.setNoDelay(true);
    socket.on('message', (data) => socket.send(data));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

export async function serve() {
  return `ws://127.0.0.1:${await serveOn(createServer())}`;
}

export async function connect(addr) {
  const socket = new WebSocket(addr, { perMessageDeflate: false, rejectUnauthorized: false });
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
