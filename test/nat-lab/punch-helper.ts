/**
 * Carries offers between hosts that punch, and tells how it went. Each round pairs every first host with another second one, so that no NAT has two
 * punches at a time.
 */

import { createInterface } from 'node:readline';
import { createServer, type Socket } from 'node:net';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { pause } from '../support/nat-probe.ts';
import type { PunchOrder, PunchReport } from './punch-orders.ts';
import { report } from './report-line.ts';
import type { PunchedPair } from './scenario.ts';

class Peer {
  readonly ip: string;
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.ip = socket.remoteAddress!;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  say(order: PunchOrder): void {
    this.#socket.write(`${JSON.stringify(order)}\n`);
  }

  async next(): Promise<PunchReport> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('A host has gone');
    return JSON.parse(value) as PunchReport;
  }
}

const [at, protocol, timeout, ...names] = process.argv.slice(2);
const first = names.slice(0, names.length / 2);
const second = names.slice(names.length / 2);
const peers = new Map<string, Peer>();
const { promise: all, resolve } = Promise.withResolvers<void>();
const { ip, port } = parseSocketAddress(at!)!;
const server = createServer((socket) => {
  const peer = new Peer(socket);
  void peer.next().then((said) => {
    if (said.report === 'name') peers.set(said.name, peer);
    if (peers.size === names.length) resolve();
  });
});
server.listen({ host: ip, port }, () => report({ listening: true }));
await all;

const timeoutMs = Number(timeout);
/** What the exchange of offers takes, one way. */
const ONE_WAY_MS = 5;

async function pair(a: string, b: string): Promise<PunchedPair> {
  const [near, far] = [peers.get(a)!, peers.get(b)!];
  for (const peer of [near, far]) peer.say({ order: 'offer', protocol: protocol as 'udp' });
  const [own, theirs] = await Promise.all([near.next(), far.next()]);
  const failed = [own, theirs].find((one) => one.report === 'failed');
  if (failed?.report === 'failed') return { a, b, why: failed.why };
  if (own.report !== 'offer' || theirs.report !== 'offer') throw new Error('Expected offers');
  const order = { order: 'punch', timeoutMs } as const;
  far.say({ ...order, side: 'responder', theirs: own.bytes, proven: [near.ip] });
  await pause(systemRealm, ONE_WAY_MS);
  near.say({ ...order, side: 'initiator', theirs: theirs.bytes, proven: [far.ip] });
  const ends = await Promise.all([near.next(), far.next()]);
  const [left, right] = ends;
  if (left.report === 'punched' && right.report === 'punched') {
    const { tookMs, probes, rttMs } = left;
    return { a, b, tookMs, probes, rttMs, heard: [left.heard, right.heard] };
  }
  return {
    a,
    b,
    why: ends.map((end) => (end.report === 'failed' ? end.why : 'the other side is through')).join(' | '),
  };
}

for (let round = 0; round < first.length; round++) {
  const pairs = first.map((a, i) => pair(a, second[(i + round) % second.length]!));
  for (const done of await Promise.all(pairs)) report(done);
}
report({ over: true });
process.exit(0);
