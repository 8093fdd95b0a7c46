/**
 * What does QUIC cost without a network? Two endpoints in one thread, datagrams handed over by reference.
 *
 * Baselines of the same run: `copy` carries the same bytes in pieces of one datagram through one memcpy; `seal` does what
 * no QUIC can do without, ChaCha20-Poly1305 by node:crypto, once to seal and once to open. Control: `copy` must be faster
 * than `seal`, and `seal` faster than QUIC at 1200 bytes, or the run says that it cannot be trusted.
 * Run by itself, this file counts where the time of a bulk transfer goes, by calls into the engine.
 */

import { createCipheriv, createDecipheriv, generateKeyPairSync, randomBytes, sign, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { QuicEndpoint } from '../src/protocols/quic/endpoint.ts';
import type { EngineFactory, QuicEngine } from '../src/protocols/quic/engine.ts';
import type { QuicConnection } from '../src/protocols/quic/connection.ts';
import type { QuicEvent } from '../src/protocols/quic/events.ts';
import { type Bench, median } from './harness/bench.ts';
import { quicEngine as loadedEngine } from '../src/quic/load-engine.ts';

let bulkBytes = 40_000_000;
const identities: Record<string, { chain: string[]; privateKey: string }> = JSON.parse(
  readFileSync(new URL('../test/vectors/quic-identities.json', import.meta.url), 'utf8'),
);

const spent = new Map<string, { calls: number; ms: number }>();

/** Times every method of an engine. */
function timed(factory: EngineFactory): EngineFactory {
  return (host, settings, now) =>
    new Proxy(factory(host, settings, now), {
      get(engine, name: keyof QuicEngine) {
        const method: unknown = Reflect.get(engine, name, engine);
        if (typeof method !== 'function') return method;
        return (...args: unknown[]): unknown => {
          const began = performance.now();
          const result: unknown = Reflect.apply(method, engine, args);
          const entry = spent.get(name) ?? { calls: 0, ms: 0 };
          entry.calls++;
          entry.ms += performance.now() - began;
          spent.set(name, entry);
          return result;
        };
      },
    });
}

let engines: EngineFactory;

const fromBase64 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64'));

class Side {
  readonly endpoint: QuicEndpoint;
  readonly address: number;
  on: (event: QuicEvent) => void = () => {};

  constructor(name: string, address: number, mtu: number) {
    const { chain, privateKey } = identities[name]!;
    this.address = address;
    this.endpoint = new QuicEndpoint(
      {
        engines,
        random: (length) => new Uint8Array(randomBytes(length)),
        judge: () => undefined,
        identity: { chain: chain.map(fromBase64), privateKey: fromBase64(privateKey) },
        initialMtuBytes: mtu,
        maxMtuBytes: mtu,
        maxBidiStreams: 256,
        streamWindowBytes: 2 ** 22,
        connectionWindowBytes: 2 ** 23,
        sendWindowBytes: 2 ** 23,
      },
      performance.now(),
    );
  }
}

let datagrams = 0;

/** Takes what one side has, and gives it to the other; answers whether there was anything. */
function move(from: Side, to: Side): boolean {
  const batch: { address: number; bytes: Uint8Array }[] = [];
  let any = false;
  for (;;) {
    const output = from.endpoint.poll();
    if (output.type === 'wait') break;
    any = true;
    if (output.type === 'event') from.on(output.event);
    else {
      const { bytes, segmentBytes } = output.transmit;
      for (let at = 0; at < bytes.length; at += segmentBytes) {
        batch.push({ address: from.address, bytes: bytes.subarray(at, at + segmentBytes) });
      }
    }
  }
  datagrams += batch.length;
  if (batch.length > 0) to.endpoint.handleDatagrams(performance.now(), batch);
  return any;
}

function run(a: Side, b: Side, done: () => boolean): void {
  while (!done()) {
    const forth = move(a, b);
    const back = move(b, a);
    if (forth || back) continue;
    // Pacing and delayed acknowledgements wait for real milliseconds.
    a.endpoint.handleTimeout(performance.now());
    b.endpoint.handleTimeout(performance.now());
  }
}

function connect(a: Side, b: Side): QuicConnection {
  const connection = a.endpoint.connect(performance.now(), b.address);
  run(
    a,
    b,
    () => connection.state === 'open' && [...b.endpoint.connections].every(({ state }) => state !== 'handshake'),
  );
  return connection;
}

/** CPU seconds that `act` takes in this thread. */
function cpu(act: () => void): number {
  const before = process.threadCpuUsage();
  act();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1e6;
}

function bulk(mtu: number): number {
  const [a, b] = [new Side('alice', 1, mtu), new Side('bob', 2, mtu)];
  const stream = connect(a, b).open('uni')!;
  const chunk = new Uint8Array(262_144).fill(7);
  let got = 0;
  let open = true;
  const fill = (): void => {
    while (open) open = stream.write(chunk) === chunk.length;
  };
  a.on = (event) => {
    if (event.type !== 'writable') return;
    open = true;
    fill();
  };
  b.on = (event) => {
    if (event.type !== 'stream' && event.type !== 'readable') return;
    for (let bytes; (bytes = event.stream.read(262_144)) !== undefined;) got += bytes.length;
  };
  fill();
  run(a, b, () => got > 5_000_000);
  const from = got;
  datagrams = 0;
  spent.clear();
  const seconds = cpu(() => run(a, b, () => got - from > bulkBytes));
  return (got - from) / 1e6 / seconds;
}

function asks(inFlight: number): number {
  const [a, b] = [new Side('alice', 1, 1200), new Side('bob', 2, 1200)];
  const connection = connect(a, b);
  const request = new Uint8Array(32);
  let answered = 0;
  const ask = (): void => {
    connection.open('bidi')?.write(request, true);
  };
  a.on = (event) => {
    if (event.type !== 'readable') return;
    while (event.stream.read() !== undefined);
    if (event.stream.receiveState !== 'finished') return;
    answered++;
    ask();
  };
  b.on = (event) => {
    if (event.type !== 'stream') return;
    const bytes = event.stream.read();
    if (bytes !== undefined) event.stream.write(bytes, true);
  };
  for (let i = 0; i < inFlight; i++) ask();
  run(a, b, () => answered > 1000);
  const from = answered;
  const count = inFlight === 1 ? 3000 : 20_000;
  return count / cpu(() => run(a, b, () => answered - from >= count));
}

function handshakes(): number {
  const [a, b] = [new Side('alice', 1, 1200), new Side('bob', 2, 1200)];
  connect(a, b);
  const count = 100;
  return (
    count /
    cpu(() => {
      for (let i = 0; i < count; i++) connect(a, b).close();
    })
  );
}

/** What a handshake cannot do without: one signature and one check on each side. */
function signatures(): number {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const message = randomBytes(130);
  const count = 1000;
  return (
    count /
    cpu(() => {
      for (let i = 0; i < count; i++) verify(null, message, publicKey, sign(null, message, privateKey));
    })
  );
}

function copy(size: number): number {
  const [from, to] = [new Uint8Array(size).fill(7), new Uint8Array(bulkBytes / 10)];
  const seconds = cpu(() => {
    for (let round = 0; round < 10; round++) for (let at = 0; at + size <= to.length; at += size) to.set(from, at);
  });
  return bulkBytes / 1e6 / seconds;
}

function seal(size: number): number {
  const [key, nonce, plain] = [randomBytes(32), randomBytes(12), new Uint8Array(size).fill(7)];
  const count = Math.floor(bulkBytes / 4 / size);
  const seconds = cpu(() => {
    for (let i = 0; i < count; i++) {
      const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
      const sealed = cipher.update(plain);
      cipher.final();
      const decipher = createDecipheriv('chacha20-poly1305', key, nonce, { authTagLength: 16 });
      decipher.setAuthTag(cipher.getAuthTag());
      decipher.update(sealed);
      decipher.final();
    }
  });
  return (count * size) / 1e6 / seconds;
}

const MEASURES: Readonly<Record<string, readonly [unit: string, round: () => number]>> = {
  'copy, pieces of 1200 B': ['MB/CPU s', () => copy(1200)],
  'seal + open, 1200 B': ['MB/CPU s', () => seal(1200)],
  'bulk, datagrams of 1200 B': ['MB/CPU s', () => bulk(1200)],
  'bulk, datagrams of 9000 B': ['MB/CPU s', () => bulk(9000)],
  'seal + open, 32 B': ['/CPU s', () => (seal(32) * 1e6) / 32],
  'asks 32 B, one at a time': ['/CPU s', () => asks(1)],
  'asks 32 B, 64 in flight': ['/CPU s', () => asks(64)],
  'handshakes, both certificates': ['/CPU s', handshakes],
  'Ed25519 signatures made and checked': ['/CPU s', signatures],
};

/** Where the time of a bulk transfer goes, by calls into the engine. */
function profileLines(): readonly string[] {
  const rate = bulk(1200);
  const total = [...spent.values()].reduce((sum, { ms }) => sum + ms, 0);
  const lines = [...spent]
    .toSorted(([, x], [, y]) => y.ms - x.ms)
    .map(([name, { calls, ms }]) => {
      const each = ((1000 * ms) / datagrams).toFixed(2);
      return `${name.padEnd(14)} ${String(calls).padStart(8)} calls ${each.padStart(6)} µs a datagram ${((100 * ms) / total).toFixed(1).padStart(5)} %`;
    });
  return [`bulk at 1200 B: ${rate.toFixed(0)} MB a CPU second, ${datagrams} datagrams`, ...lines];
}

export const quicEngine: Bench = {
  name: 'quic-engine',
  question: 'QUIC without a network, both ends in one thread; a CPU second of both together',
  prepare: async (quick) => {
    engines = loadedEngine();
    bulkBytes = quick ? 10_000_000 : 40_000_000;
    const base = 'seal + open, 1200 B';
    return {
      measures: Object.entries(MEASURES).map(([name, [unit, round]]) => ({ name, unit, round })),
      claims: [
        { subject: 'bulk, datagrams of 1200 B', baseline: base },
        { subject: 'bulk, datagrams of 9000 B', baseline: base },
        { subject: 'asks 32 B, one at a time', baseline: 'seal + open, 32 B' },
        { subject: 'asks 32 B, 64 in flight', baseline: 'seal + open, 32 B' },
        { subject: 'handshakes, both certificates', baseline: 'Ed25519 signatures made and checked' },
      ],
      controls: (figures) => {
        const of = (name: string): number => median(figures.get(name)!);
        return [
          { what: 'copying is faster than sealing', ok: of('copy, pieces of 1200 B') > of(base) },
          { what: 'QUIC is not faster than twice its cipher', ok: of(base) > of('bulk, datagrams of 1200 B') * 0.5 },
        ];
      },
    };
  },
};

if (import.meta.main) {
  engines = timed(loadedEngine());
  console.log(profileLines().join('\n'));
}
