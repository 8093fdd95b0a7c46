/** What `shoal send` and `receive` are measured by: a file over node:tls, hashed at both ends, written and synced. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { tlsIdentity } from './harness/tls-identity.ts';

const [role, file, port] = process.argv.slice(2) as [string, string, string | undefined];

/** Hashes the file, as `send` does before it prints a ticket, and serves it to whoever connects. */
async function send(): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk);
  const server = createServer({ ...tlsIdentity(1), minVersion: 'TLSv1.3' }, (socket) => {
    createReadStream(file, { highWaterMark: 262_144 }).pipe(socket);
  });
  server.listen(0, '127.0.0.1', () => {
    process.send!({ port: (server.address() as AddressInfo).port, sha256: hash.digest('hex') });
  });
}

async function receive(): Promise<void> {
  const startMs = performance.now();
  const socket = connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false });
  const hash = createHash('sha256');
  const handle = await open(file, 'w');
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const writing = handle.write(chunk);
    hash.update(chunk);
    await writing;
  }
  await handle.sync();
  await handle.close();
  process.send!({ ms: performance.now() - startMs, sha256: hash.digest('hex') });
}

await (role === 'send' ? send() : receive());
