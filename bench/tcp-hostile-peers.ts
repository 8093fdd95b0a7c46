/**
 * What many hostile peers make a TCP swarm, or a node, hold: `node tools/launch.mjs bench/tcp-hostile-peers.ts [swarm | node] [peers]`.
 *
 * One process is the victim. Another one has a thousand peers with keys of their own, from eight networks of loopback, who send
 * messages that nobody reads, begin large ones that never end, and ask for answers that they do not read. It is ended with
 * SIGKILL. Prints the victim's resident memory before, at most, and after a collection a minute later; exits with 1 when it
 * was more than 256 MiB, or more than 64 MiB above the start in the end, or when honest peers were not served.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { concatBytes } from '../src/base/bytes.ts';
import { inspect } from '../src/core/inspect.ts';
import { generateKey } from '../src/identity/keys.ts';
import { type Codec, createNode, lengthDelimited, reading, tls, writing } from '../src/node/index.ts';
import { FrameWriter } from '../src/protocols/tcp/frame-writer.ts';
import { openTcpSwarm } from '../src/swarms/tcp/index.ts';

const MIB = 2 ** 20;
const LIMITS = { maxConnections: 4000, maxConnectionsPerIp: 4000, maxConnecting: 500 };
const [role = 'swarm', count = '1000', addr = ''] = process.argv.slice(2);
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const rss = (): number => Math.round(process.memoryUsage().rss / MIB);

/** Bytes as they are, from peers that follow no protocol. */
const raw: Codec<never, Uint8Array> = {
  decoder: () => ({ push: () => undefined, next: () => undefined, bufferedBytes: 0 }),
  encoder: () => ({ encode: (bytes, out) => out.bytes(bytes) }),
};

/** What one hostile peer says. */
function hostileBytes(kind: string, i: number): Uint8Array {
  if (kind === 'node') return concatBytes(Uint8Array.of(1, 0, 0, 0), new Uint8Array(i % 2 === 0 ? 12 * MIB : 500_000));
  const writer = new FrameWriter();
  writer.hello([1, 16_777_216, 20_000_000, 20_000_000, 0]);
  if (process.env['IDLE'] !== undefined) return concatBytes(...writer.take());
  if (i % 3 === 0) for (let n = 0; n < 300; n++) writer.tell(new Uint8Array(30_000));
  if (i % 3 === 1) {
    writer.begin(1, 16_000_000, { type: 'tell' });
    for (let n = 0; n < 400; n++) writer.chunk(1, new Uint8Array(30_000));
  }
  if (i % 3 === 2) {
    for (let id = 1; id <= 300; id++)
      writer.message({ type: 'request', id, maxResponseBytes: 1_000_000 }, new Uint8Array(30_000));
  }
  return concatBytes(...writer.take());
}

async function attack(kind: string): Promise<void> {
  const messages = [0, 1, 2].map((i) => hostileBytes(kind, i));
  const open = async (i: number): Promise<void> => {
    // A node of its own for each key: what proves who we are is the node's.
    const own = createNode({ security: tls({ privateKey: generateKey() }), codec: raw, bind: '0.0.0.0:0', ...LIMITS });
    own.enable(writing({ timeoutMs: Infinity }));
    const peer = await own.connect(addr, { bind: `127.0.${i % 8}.${(i >> 3) + 1 > 250 ? 250 : (i >> 3) + 1}:0` });
    peer.send(messages[i % 3]!);
  };
  for (let i = 0; i < Number(count); i += 10) {
    await Promise.allSettled(Array.from({ length: 10 }, (_, n) => open(i + n)));
  }
  process.send?.({ attacked: true });
  await delay(600_000);
}

async function openVictim(
  kind: string,
): Promise<{ readonly addr: string; state(): string; honest(): Promise<boolean>; close(): Promise<void> }> {
  if (kind === 'swarm') {
    const swarm = await openTcpSwarm({ bind: '0.0.0.0:0', privateKey: generateKey(), ...LIMITS });
    swarm.listen(() => new Promise(() => undefined)); // Nobody reads.
    swarm.serve(({ payload }) => (payload.length < 1000 ? payload : new Uint8Array(900_000)));
    const [own] = swarm.localAddrs();
    const port = own!.inner.port;
    return {
      addr: `127.0.0.1:${port}`,
      state: () => JSON.stringify(inspect(swarm).state),
      honest: async () => {
        const other = await openTcpSwarm({ bind: '127.0.9.1:0', privateKey: generateKey() });
        const to = other.parseAddr(`${own!.id}@127.0.0.1:${port}`);
        const answer = await other.ask(to, Uint8Array.of(7), { timeoutMs: 5000 }).catch(() => undefined);
        await other.close();
        return answer?.[0] === 7;
      },
      close: () => swarm.close(),
    };
  }
  const key = generateKey();
  const codec = lengthDelimited();
  const node = createNode({ security: tls({ privateKey: key }), codec, bind: '0.0.0.0:0', ...LIMITS });
  node.enable(writing());
  node.enable(
    reading({
      idleTimeoutMs: 600_000,
      progressTimeoutMs: 600_000,
      onMessage: (peer, message) => (message.length === 1 ? void peer.send(message) : new Promise(() => undefined)),
    }),
  );
  const listening = await node.listen();
  const at = `127.0.0.1:${listening.split(':').at(-1)}`;
  return {
    addr: at,
    state: () => `connected ${node.connected}`,
    honest: async () => {
      const other = createNode({ security: tls({ privateKey: generateKey() }), codec, bind: '127.0.9.1:0' });
      const { promise, resolve } = Promise.withResolvers<boolean>();
      other.enable(reading({ onMessage: (_, message) => resolve(message[0] === 7) }));
      other.enable(writing());
      const timer = setTimeout(() => resolve(false), 5000);
      try {
        (await other.connect(at, { bind: '127.0.9.1:0' })).send(Uint8Array.of(7));
        return await promise;
      } catch {
        return false;
      } finally {
        clearTimeout(timer);
        await other.close();
      }
    },
    close: () => node.close(),
  };
}

async function main(kind: string): Promise<void> {
  const victim = await openVictim(kind);
  collectGarbage();
  const start = rss();
  let most = start;
  let what = '';
  const watch = setInterval(() => {
    if (rss() <= most) return;
    most = rss();
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    what = [heapUsed, external, arrayBuffers].map((bytes) => Math.round(bytes / MIB)).join(' ');
  }, 50);
  const attacker: ChildProcess = fork(new URL(import.meta.url), [`attack-${kind}`, count, victim.addr], {
    execArgv: ['--conditions=shoal-source'],
  });
  await new Promise((resolve) => void attacker.once('message', resolve));
  let served = 0;
  for (let i = 0; i < 10; i++) {
    await delay(1000);
    if (await victim.honest()) served++;
  }
  console.log(
    `${kind}, ${count} peers: start ${start} MiB, most ${most} MiB (heap, external, buffers ${what}), honest ${served} of 10; ${victim.state()}`,
  );
  attacker.kill('SIGKILL');
  await delay(60_000);
  for (let i = 0; i < 5; i++) {
    collectGarbage();
    await delay(100);
  }
  clearInterval(watch);
  const end = rss();
  console.log(`${kind}: 60 s after they are gone ${end} MiB; ${victim.state()}`);
  await victim.close();
  process.exit(most <= 256 && end - start <= 64 && served >= 9 ? 0 : 1);
}

if (role.startsWith('attack-')) await attack(role.slice('attack-'.length));
else await main(role);
