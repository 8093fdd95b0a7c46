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
import { type Bench, type Figures, median, type Round } from './harness/bench.ts';
import { quicEngine as loadedEngine } from '../src/quic/load-engine.ts';

const BULK_BYTES = 40_000_000;
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

let engines: EngineFactory | undefined;

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
        engines: engines!,
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

/** So many operations, a CPU second of this thread. */
function perCpu(operations: number, act: () => void): Round {
  const before = process.threadCpuUsage();
  act();
  const { user, system } = process.threadCpuUsage(before);
  return { figure: (operations * 1e6) / (user + system), operations, cpuUs: user + system };
}

function bulk(mtu: number): Round {
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
  return perCpu(BULK_BYTES / 1e6, () => run(a, b, () => got - from > BULK_BYTES));
}

function asks(inFlight: number): Round {
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
  const count = inFlight === 1 ? 50_000 : 250_000;
  return perCpu(count, () => run(a, b, () => answered - from >= count));
}

function handshakes(): Round {
  const [a, b] = [new Side('alice', 1, 1200), new Side('bob', 2, 1200)];
  connect(a, b);
  const count = 800;
  return perCpu(count, () => {
    for (let i = 0; i < count; i++) connect(a, b).close();
  });
}

/** What a handshake cannot do without: one signature and one check on each side. */
function signatures(): Round {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const message = randomBytes(130);
  const count = 7000;
  return perCpu(count, () => {
    for (let i = 0; i < count; i++) verify(null, message, publicKey, sign(null, message, privateKey));
  });
}

function copy(size: number): Round {
  const [from, to] = [new Uint8Array(size).fill(7), new Uint8Array(BULK_BYTES / 10)];
  const times = 1000;
  return perCpu((times * to.length) / 1e6, () => {
    for (let round = 0; round < times; round++) for (let at = 0; at + size <= to.length; at += size) to.set(from, at);
  });
}

/** @param each - MB that an operation counts for. */
function seal(size: number, each: number): Round {
  const [key, nonce, plain] = [randomBytes(32), randomBytes(12), new Uint8Array(size).fill(7)];
  const count = 100_000;
  return perCpu(count * each, () => {
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
}

const MEASURES: Readonly<Record<string, readonly [unit: string, round: () => Round]>> = {
  'copy, pieces of 1200 B': ['MB/CPU s', () => copy(1200)],
  'seal + open, 1200 B': ['MB/CPU s', () => seal(1200, 1200 / 1e6)],
  'bulk, datagrams of 1200 B': ['MB/CPU s', () => bulk(1200)],
  'bulk, datagrams of 9000 B': ['MB/CPU s', () => bulk(9000)],
  'seal + open, 32 B': ['/CPU s', () => seal(32, 1)],
  'asks 32 B, one at a time': ['/CPU s', () => asks(1)],
  'asks 32 B, 64 in flight': ['/CPU s', () => asks(64)],
  'handshakes, both certificates': ['/CPU s', handshakes],
  'Ed25519 signatures made and checked': ['/CPU s', signatures],
};

/** Where the time of a bulk transfer goes, by calls into the engine. */
function profileLines(): readonly string[] {
  const { figure } = bulk(1200);
  const total = [...spent.values()].reduce((sum, { ms }) => sum + ms, 0);
  const lines = [...spent]
    .toSorted(([, x], [, y]) => y.ms - x.ms)
    .map(([name, { calls, ms }]) => {
      const each = ((1000 * ms) / datagrams).toFixed(2);
      return `${name.padEnd(14)} ${String(calls).padStart(8)} calls ${each.padStart(6)} µs a datagram ${((100 * ms) / total).toFixed(1).padStart(5)} %`;
    });
  return [`bulk at 1200 B: ${figure.toFixed(0)} MB a CPU second, ${datagrams} datagrams`, ...lines];
}

export const quicEngine: Bench = {
  name: 'quic-engine',
  question: 'QUIC without a network, both ends in one thread; a CPU second of both together',
  prepare: () => {
    const base = 'seal + open, 1200 B';
    return {
      measures: Object.entries(MEASURES).map(([name, [unit, round]]) => ({
        name,
        unit,
        round: () => {
          engines ??= loadedEngine();
          return round();
        },
      })),
      claims: [
        { subject: 'bulk, datagrams of 1200 B', baseline: base },
        { subject: 'bulk, datagrams of 9000 B', baseline: base },
        { subject: 'asks 32 B, one at a time', baseline: 'seal + open, 32 B' },
        { subject: 'asks 32 B, 64 in flight', baseline: 'seal + open, 32 B' },
        { subject: 'handshakes, both certificates', baseline: 'Ed25519 signatures made and checked' },
      ],
      controls: [
        {
          what: 'copying is faster than sealing',
          needs: ['copy, pieces of 1200 B', base],
          holds: (figures) => of(figures, 'copy, pieces of 1200 B') > of(figures, base),
        },
        {
          what: 'QUIC is not faster than twice its cipher',
          needs: [base, 'bulk, datagrams of 1200 B'],
          holds: (figures) => of(figures, base) > of(figures, 'bulk, datagrams of 1200 B') * 0.5,
        },
      ],
    };
  },
};

const of = (figures: Figures, name: string): number => median(figures.get(name)!);

if (import.meta.main) {
  engines = timed(loadedEngine());
  console.log(profileLines().join('\n'));
}
