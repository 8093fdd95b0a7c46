/** Requests over a hyperdht connection: Noise over UDX, found through a DHT of this process on loopback. */

import { once } from 'node:events';
import createTestnet from 'hyperdht/testnet.js';
import DHT from 'hyperdht';

const frame = (bytes) => {
  const framed = Buffer.allocUnsafe(4 + bytes.length);
  framed.writeUInt32BE(bytes.length);
  framed.set(bytes, 4);
  return framed;
};

/** Calls back for each frame. */
function deframe(stream, onFrame) {
  let rest = Buffer.alloc(0);
  stream.on('data', (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE()) {
      const end = 4 + rest.readUInt32BE();
      onFrame(rest.subarray(4, end));
      rest = rest.subarray(end);
    }
  });
}

export async function serve() {
  const testnet = await createTestnet(3, { host: '127.0.0.1' });
  const node = testnet.createNode({ host: '127.0.0.1' });
  const server = node.createServer((stream) => {
    stream.on('error', () => {});
    deframe(stream, (bytes) => stream.write(frame(bytes)));
  });
  await server.listen(DHT.keyPair());
  return JSON.stringify({ bootstrap: testnet.bootstrap, key: server.publicKey.toString('hex') });
}

export async function connect(addr) {
  const { bootstrap, key } = JSON.parse(addr);
  const node = new DHT({ bootstrap, host: '127.0.0.1' });
  const stream = node.connect(Buffer.from(key, 'hex'));
  await once(stream, 'open');
  const waiting = [];
  deframe(stream, () => waiting.shift()());
  return (request) =>
    new Promise((resolve) => {
      waiting.push(resolve);
      stream.write(frame(request));
    });
}
