/** `@chainsafe/libp2p-quic` by its native binding, without the layers of libp2p on top: the best case for it. */

import { generateKeyPairSync } from 'node:crypto';

import { defaultOptions } from '@chainsafe/libp2p-quic';

const napi = await import(new URL('napi.js', import.meta.resolve('@chainsafe/libp2p-quic')).href);

function config() {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { d, x } = privateKey.export({ format: 'jwk' });
  // libp2p's PrivateKey message: type Ed25519, 64 bytes of seed and public key.
  const privateKeyProto = Buffer.concat([
    Buffer.from([0x08, 0x01, 0x12, 0x40]),
    Buffer.from(d, 'base64url'),
    Buffer.from(x, 'base64url'),
  ]);
  return new napi.QuinnConfig({ ...defaultOptions, maxIdleTimeout: 60_000, privateKeyProto });
}

const CHUNK_BYTES = 65_536;

async function readAll(stream) {
  const parts = [];
  for (;;) {
    const part = await stream.read(CHUNK_BYTES);
    if (part === null || part === undefined) return parts.length === 1 ? parts[0] : Buffer.concat(parts);
    parts.push(part);
  }
}

export async function serve(answer) {
  const server = new napi.Server(config(), '127.0.0.1', 0);
  const handle = async (stream) => {
    await stream.write(answer(await readAll(stream)));
    await stream.finishWrite();
  };
  const streams = async (connection) => {
    for (;;) handle(await connection.inboundStream()).catch(() => {});
  };
  const accept = async () => {
    for (;;) streams(await server.inboundConnection()).catch(() => {});
  };
  accept().catch(() => {});
  return String(server.port());
}

export async function client() {
  const initiator = new napi.Client(config(), 0);
  return {
    connect: async (info) => {
      const connection = await initiator.outboundConnection('127.0.0.1', Number(info));
      return {
        ask: async (bytes) => {
          const stream = await connection.outboundStream();
          await stream.write(bytes);
          await stream.finishWrite();
          return readAll(stream);
        },
        close: () => connection.abort(),
      };
    },
    close: () => initiator.abort(),
  };
}
