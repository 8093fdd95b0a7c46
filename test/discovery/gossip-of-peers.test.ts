/** Gossip over `openPeers`: whom a node hears of, it reaches by PeerID, whatever that takes. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import type { CandidateSource } from '../../src/core/candidate.ts';
import { peerExchange, type PeerExchange } from '../../src/discovery/index.ts';
import type { PeerAddr, Peers, PeersOptions } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { mux } from '../../src/wrappers/mux.ts';
import { PeersWorld } from '../support/peers-world.ts';

before(() => loadQuicEngine());

interface Node {
  readonly peers: Peers;
  readonly exchange: PeerExchange<PeerAddr>;
  say(to: Node): Promise<string | undefined>;
}

async function node(
  w: PeersWorld,
  i: number,
  contacts: readonly Node[],
  more: Partial<PeersOptions> = {},
): Promise<Node> {
  // The exchange runs over the peers that it finds addresses for.
  let exchange: PeerExchange<PeerAddr> | undefined;
  const gossip: CandidateSource = {
    candidates: (id) => exchange?.candidates(id) ?? [],
    reached: (outcome) => exchange?.reached(outcome),
    failed: (outcome) => exchange?.failed(outcome),
  };
  const list = contacts.map(({ peers }) => peers.addrs[0]!);
  const peers = await w.open(i, w.net.host(), { sources: [gossip], contacts: list, minPeers: 1, ...more });
  const channels = mux(peers, 'string');
  const options = { privateKey: testKey(i), addrs: () => peers.addrs, everyMs: 1000, kind: more.kind };
  exchange = peerExchange(channels.open('gossip'), options);
  const chat = channels.open('chat');
  chat.serve(({ payload }) => encodeText(`${decodeText(payload)} to you too`));
  const say = async (to: Node): Promise<string | undefined> =>
    decodeText(await chat.ask(chat.parseAddr(to.peers.id), encodeText('hello')));
  return { peers, exchange, say };
}

describe('gossip over openPeers', () => {
  it('makes known and reachable by PeerID whom others have reached, over several hops', async () => {
    const w = new PeersWorld({ seed: 41, trace: undefined });
    const nodes: Node[] = [];
    for (let i = 0; i < 6; i++) {
      const made = await node(w, i + 1, nodes.slice(-1));
      nodes.push(made);
      const before = nodes.at(-2);
      if (before !== undefined) await w.run(made.exchange.exchange(before.peers.id));
    }
    for (let round = 0; round < 12; round++) await w.advance(1000);
    for (const { exchange } of nodes) assert.equal(exchange.records.length, 5);
    const [first, last] = [nodes[0]!, nodes.at(-1)!];
    assert.ok(first.exchange.record(last.peers.id)!.addrs.every((addr) => last.peers.addrs.includes(addr)));
    assert.equal(await w.run(first.say(last)), 'hello to you too');
    await w.close();
  });

  it('hands on no client', async () => {
    const w = new PeersWorld({ seed: 42, trace: undefined });
    const bob = await node(w, 1, []);
    const carol = await node(w, 2, [bob]);
    const client = await node(w, 3, [bob], { kind: 'client' });
    for (const each of [carol, client]) await w.run(each.exchange.exchange(bob.peers.id));
    await w.advance(10_000);
    assert.notEqual(client.exchange.record(carol.peers.id), undefined);
    assert.equal(carol.exchange.record(client.peers.id)?.addrs.length ?? 0, 0);
    await w.close();
  });

  it('meets a peer later that no visit reached at first, although its record stays as it is', async () => {
    const w = new PeersWorld({ seed: 43, trace: undefined });
    const options = { sources: [], exchange: { everyMs: 10_000 }, resumeMs: 60_000 };
    const host = w.net.host();
    const relay = await w.open(1, host, { ...options, serveRelay: true });
    const contacts = [relay.addrs[0]!.replace(/^[a-z]+:\/\//, '')];
    const nats = [w.net.nat('random'), w.net.nat('random')];
    const behind = nats.map((nat, i) => w.open(2 + i, w.net.host({ behind: nat }), { ...options, contacts }));
    const [alice, bob] = (await Promise.all(behind)) as [Peers, Peers];
    const hasMet = (): boolean => alice.list().some(({ id, path }) => id === bob.id && path !== undefined);
    await w.advance(3000);
    w.net.partition([host], [nats[0]!], [nats[1]!]);
    await w.advance(20_000);
    assert.ok(!hasMet());
    w.net.heal();
    await w.advance(30_000);
    assert.ok(hasMet(), 'they have not met');
    await w.close();
  });
});
