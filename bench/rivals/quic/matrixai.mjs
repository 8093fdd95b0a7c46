/** `@matrixai/quic` by its high-level API: web streams over quiche, mutual TLS, one socket for all clients. */

import { webcrypto } from 'node:crypto';

import { QUICClient, QUICServer, QUICSocket, events } from '@matrixai/quic';
import Logger, { LogLevel } from '@matrixai/logger';

const logger = new Logger('bench', LogLevel.SILENT);
const ops = {
  randomBytes: async (data) => void webcrypto.getRandomValues(new Uint8Array(data)),
  sign: async (key, data) => {
    const imported = await webcrypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
    return webcrypto.subtle.sign('HMAC', imported, data);
  },
  verify: async (key, data, signature) => {
    const imported = await webcrypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
    return webcrypto.subtle.verify('HMAC', imported, signature, data);
  },
};

const config = ({ cert, key }) => ({
  cert,
  key,
  verifyPeer: true,
  verifyCallback: async () => undefined,
  initialMaxStreamsBidi: 10_000,
  maxIdleTimeout: 60_000,
});

async function readAll(readable) {
  const parts = [];
  for await (const part of readable) parts.push(part.slice());
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

export async function serve(answer, identity) {
  const key = webcrypto.getRandomValues(new Uint8Array(32)).buffer;
  const server = new QUICServer({ crypto: { key, ops }, config: config(identity), logger });
  const handle = async (stream) => {
    const response = answer(await readAll(stream.readable));
    const writer = stream.writable.getWriter();
    await writer.write(response);
    await writer.close();
  };
  server.addEventListener(events.EventQUICServerConnection.name, ({ detail: connection }) => {
    connection.addEventListener(events.EventQUICConnectionStream.name, ({ detail: stream }) => {
      handle(stream).catch(() => {});
    });
  });
  await server.start({ host: '127.0.0.1', port: 0 });
  return String(server.port);
}

export async function client(identity) {
  const socket = new QUICSocket({ logger });
  await socket.start({ host: '127.0.0.1' });
  return {
    connect: async (info) => {
      const dialled = await QUICClient.createQUICClient({
        host: '127.0.0.1',
        port: Number(info),
        socket,
        crypto: { ops },
        config: config(identity),
        logger,
      });
      return {
        ask: async (bytes) => {
          const stream = dialled.connection.newStream();
          const writer = stream.writable.getWriter();
          await writer.write(bytes);
          await writer.close();
          return readAll(stream.readable);
        },
        close: () => void dialled.destroy({ force: true }).catch(() => {}),
      };
    },
    close: () => void socket.stop({ force: true }).catch(() => {}),
  };
}
