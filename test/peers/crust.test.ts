/** What crust did, each by name; docs/coming-from-crust.md says which row is which. The rest is in tests of the parts. */

import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import { encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { openPeers, openPeersFromFile, type Peers, type PeersOptions } from '../../src/peers/index.ts';
import { loadQuicEngine } from '../../src/swarms/quic/index.ts';
import { testKey } from '../../src/testing/test-key.ts';
import { idOf, PeersWorld } from '../support/peers-world.ts';
import { reading, saying } from '../support/virtual-world.ts';
import { candidateFor, failureOf, pair, portOf, watch } from './crust-world.ts';

before(() => loadQuicEngine());

describe('openPeers as a service', () => {
  it('tells what happens as events from when it opens, and ends them and its listeners when it closes', async () => {
    const { w, alice, bob, b } = await pair();
    const [atAlice, atBob] = [watch(alice), watch(bob)];
    await w.run(alice.connect(bob.id));
    await w.advance(100);
    const port = portOf(bob);
    await w.run(bob.close());
    await w.advance(1000);
    assert.deepEqual(
      [atAlice.types, atBob.types],
      [
        ['connected', 'lost'],
        ['connected', 'lost'],
      ],
    );
    assert.ok(atBob.isOver && !atAlice.isOver);
    await assert.rejects(w.run(w.dial(w.net.host(), { ip: b.ip, port })), /nobody listens/);
    await w.close();
  });

  it('refuses to connect to itself, by PeerID and by an address that is its own', async () => {
    const { w, alice } = await pair();
    const own = await failureOf(w, alice.connect(alice.id));
    assert.match(own.message, /it is this node/);
    alice.add(candidateFor(alice, alice.addrs[0]!));
    // Somebody says that another peer is at this node's own address.
    w.directory.addrs.set(idOf(9), [alice.addrs[0]!.replace(alice.id, idOf(9))]);
    const other = await failureOf(w, alice.connect(idOf(9)));
    assert.match(other.message, /not_allowed|wrong_key|self|no source knows/);
    assert.deepEqual(alice.list(), []);
    await w.close();
  });

  it('listens on the port that is chosen, says when it is taken, and on a random one above 1024 otherwise', async () => {
    const w = new PeersWorld({ trace: undefined });
    const host = w.net.host();
    const chosen = await w.open(1, host, { bind: '0.0.0.0:5483' });
    assert.equal(portOf(chosen), 5483);
    const taken = await failureOf(w, w.open(2, host, { bind: '0.0.0.0:5483' }));
    assert.equal(taken.code, 'in_use');
    const random = await w.open(3, host);
    assert.ok(portOf(random) > 1024 && portOf(random) !== 5483);
    await w.run(chosen.close());
    await w.open(2, host, { bind: '0.0.0.0:5483' });
    await w.close();
  });

  it('listens on several addresses at once, and names them all', async () => {
    const w = new PeersWorld({ trace: undefined });
    const host = w.net.host();
    const bob = await w.open(2, host, { bind: ['0.0.0.0:4001', '0.0.0.0:4002'], transports: ['tcp'] });
    bob.serve(({ payload }) => payload);
    assert.deepEqual(
      bob.addrs.map((addr) => addr.replace(/^.*@/, '')),
      [`${host.ip}:4001`, `${host.ip}:4002`],
    );
    for (const [i, addr] of bob.addrs.entries()) {
      const guest = await w.open(10 + i, w.net.host(), { sources: [] });
      guest.add(candidateFor(bob, addr));
      await w.run(guest.ask(bob.id, encodeText('hi')));
    }
    await w.close();
  });

  it('names the peer’s IP, and where its address came from', async () => {
    const { w, alice, bob, b } = await pair();
    const connection = await w.run(alice.connect(bob.id));
    assert.ok(connection.path!.addr.startsWith(`${bob.id}@${b.ip}:`));
    const { candidates } = alice.explain(bob.id).reach!;
    assert.ok(candidates.some(({ source }) => source === 'directory'));
    await w.close();
  });
});

describe('openPeers: calls that fail', () => {
  it('a dial ends by its time limit, or with what came of each address', async () => {
    const { w, alice, b } = await pair({ transports: ['tcp'] });
    // One that accepts and says nothing; at another port nothing listens.
    await w.listener(b, 9000);
    w.directory.addrs.set(idOf(7), [`tcp://${idOf(7)}@${b.ip}:9000`]);
    const started = w.realm.nowMs();
    const late = await failureOf(w, alice.connect(idOf(7), { timeoutMs: 700 }));
    assert.deepEqual([late.code, w.realm.nowMs() - started], ['timeout', 700]);
    w.directory.addrs.set(idOf(8), [`tcp://${idOf(8)}@${b.ip}:1`, `tcp://${idOf(8)}@${b.ip}:9000`]);
    const failed = await failureOf(w, alice.connect(idOf(8), { timeoutMs: 120_000 }));
    assert.equal(failed.code, 'unreachable');
    assert.match(failed.message, /:1: refused/);
    assert.match(failed.message, /:9000: silent/);
    await w.close();
  });

  it('explains every attempt at a peer: where, by which transport, how long, what came of it', async () => {
    const { w, alice, bob, b } = await pair();
    w.directory.addrs.set(bob.id, [`tcp://${bob.id}@${b.ip}:1`, ...bob.addrs]);
    await w.run(alice.connect(bob.id));
    const { attempts } = alice.explain(bob.id).reach!;
    const refused = attempts.find(({ addr }) => addr.endsWith(':1'));
    assert.equal(refused?.result, 'refused');
    const open = attempts.find(({ result }) => result === 'open')!;
    assert.ok(open.endMs - open.startMs >= 80, `${open.endMs - open.startMs} ms`);
    assert.equal(open.transport, 'tcp');
    assert.match(alice.explain(bob.id).text, /refused/);
    await w.close();
  });

  it('a node that takes no bootstrap requests says so, and still lets in who knows it by PeerID', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(2, w.net.host(), { acceptBootstrap: false });
    const alice = await w.open(1, w.net.host(), { contacts: [bob.addrs[0]!], fallbackAfterMs: 0 });
    const { peers, refused } = await w.run(alice.ready);
    assert.deepEqual([peers.length, refused.length], [0, 1]);
    assert.match(refused[0]!.text, /this node takes no bootstrap requests/);
    assert.equal((await w.run(alice.connect(bob.id))).state, 'connected');
    await w.close();
  });

  it('reasons of a denial can be read: lists, network name, room', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(1);
    const denying = await w.open(2, w.net.host(), { lists: { deny: [{ target: idOf(1), reason: 'spams' }] } });
    const full = await w.open(3, w.net.host(), { maxPeers: 1 });
    const guest = await w.open(4);
    await w.run(guest.connect(full.id));
    const detail = async (id: Peers['id']): Promise<string> => {
      assert.equal((await failureOf(w, alice.connect(id))).code, 'refused');
      return alice.explain(id).text;
    };
    // What its transports refuse gets no hello, so it gets no reason either.
    assert.match(await detail(denying.id), /denied|refus/);
    assert.match(await detail(full.id), /too many peers/);
    await w.close();
  });
});

describe('openPeers: bytes of strangers', () => {
  it('a connection that says nothing is closed after the time of the handshake, and disturbs nobody', async () => {
    const { w, alice, bob, b } = await pair();
    const silent = reading(await w.run(w.dial(w.net.host(), { ip: b.ip, port: portOf(bob) })));
    await w.advance(11_000);
    assert.notEqual(silent.end, undefined);
    await w.run(alice.ask(bob.id, encodeText('hi')));
    await w.close();
  });

  it('a first message that is none closes the connection', async () => {
    const { w, alice, bob, b } = await pair();
    const connection = await w.run(w.dial(w.net.host(), { ip: b.ip, port: portOf(bob) }));
    const read = reading(connection);
    saying(connection, '\u0000\u0005hello');
    await w.advance(1000);
    assert.notEqual(read.end, undefined);
    assert.deepEqual(bob.list(), []);
    await w.run(alice.ask(bob.id, encodeText('hi')));
    await w.close();
  });

  it('nothing that is sent can be read on the way, over TCP with TLS, TCP with Noise, and QUIC', async () => {
    const secret = 'what nobody else may read';
    for (const more of [{ security: 'tls' }, { security: 'noise' }, { transports: ['quic'] }] as const) {
      const w = new PeersWorld({ latencyMs: 20, trace: undefined });
      const heard: string[] = [];
      const note = (bytes: Uint8Array): void => void heard.push(Buffer.from(bytes).toString('latin1'));
      const host = w.net.host();
      const network = new Proxy(host.network, {
        get: (target, name) => {
          const value = Reflect.get(target, name) as unknown;
          if (typeof value !== 'function') return value;
          if (name === 'dial') {
            return async (...given: Parameters<typeof host.network.dial>) => {
              const connection = await target.dial(...given);
              const write = connection.pipe.write.bind(connection.pipe);
              connection.pipe.write = (pieces, done) => {
                pieces.forEach(note);
                write(pieces, done);
              };
              return connection;
            };
          }
          if (name === 'bindUdp') {
            return async (...given: Parameters<typeof host.network.bindUdp>) => {
              const socket = await target.bindUdp(...given);
              const send = socket.send.bind(socket);
              socket.send = (payload, ...to) => {
                note(payload);
                send(payload, ...to);
              };
              return socket;
            };
          }
          return (value as (...given: unknown[]) => unknown).bind(target);
        },
      });
      const options = { transports: ['tcp'], ...more } as Partial<PeersOptions>;
      const alice = await w.open(1, host, { ...options, network });
      const bob = await w.open(2, w.net.host(), options);
      bob.serve(({ payload }) => payload);
      await w.run(alice.ask(bob.id, encodeText(secret.repeat(10))));
      assert.ok(heard.join('').length > 500, 'something was sent');
      assert.ok(!heard.join('').includes(secret));
      await w.close();
    }
  });

  it('logs the keys of QUIC connections for packet analysis, only when asked to', async () => {
    const lines: string[] = [];
    const { w, alice, bob } = await pair({ transports: ['quic'], onKeyLog: (line) => lines.push(line) });
    await w.run(alice.ask(bob.id, encodeText('hi')));
    assert.ok(
      lines.some((line) => /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/i.test(line)),
      String(lines[0]),
    );
    await w.close();
    assert.throws(() => openPeers({ privateKey: testKey(1), onKeyLog: 7 as never }), /onKeyLog/);
  });
});

describe('openPeers: who may, live', () => {
  it('lists of nodes and of clients are told apart, and apply to connections that exist', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const bob = await w.open(1);
    const node = await w.open(2, w.net.host(), { maintain: undefined } as Partial<PeersOptions>);
    const client = await w.open(3, w.net.host(), { kind: 'client' });
    for (const peers of [node, client]) {
      peers.serve(({ payload }) => payload);
      await w.run(peers.connect(bob.id));
    }
    await w.advance(5000);
    const kinds = (): string[] => bob.list().map(({ kind }) => kind);
    assert.deepEqual(kinds().toSorted(), ['client', 'node']);
    bob.lists.deny({ target: '0.0.0.0/0', kind: 'client' });
    await w.advance(1000);
    assert.deepEqual(kinds(), ['node']);
    assert.equal((await failureOf(w, client.connect(bob.id))).code, 'refused');
    bob.lists.remove('deny', '0.0.0.0/0');
    await w.run(client.connect(bob.id));
    bob.lists.allow({ target: client.id });
    await w.advance(1000);
    assert.deepEqual(
      bob.list().map(({ id }) => id),
      [client.id],
    );
    await w.close();
  });

  it('a client is not dialled back, and a node counts as one only where dialBack proves it', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const [proving, trusting] = [await w.open(1), await w.open(2, w.net.host(), { dialBack: false })];
    const [node, client] = [await w.open(3), await w.open(4, w.net.host(), { kind: 'client' })];
    for (const peers of [node, client]) {
      for (const { id } of [proving, trusting]) await w.run(peers.connect(id));
    }
    await w.advance(10_000);
    const kinds = (peers: Peers) => Object.fromEntries(peers.list().map(({ id, kind }) => [id, kind]));
    assert.deepEqual(kinds(proving), { [node.id]: 'node', [client.id]: 'client' });
    assert.deepEqual(kinds(trusting), { [node.id]: 'client', [client.id]: 'client' });
    await w.close();
  });

  it('a configuration file is followed while the node runs: lists at once, a fault changes nothing', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    let file: unknown = { networkName: 'blue' };
    let stamp = 1;
    const write = async (next: unknown): Promise<void> => {
      [file, stamp] = [next, stamp + 1];
      await w.advance(2000);
    };
    const faults: string[] = [];
    const { realm, network } = w.net.host();
    const bob = await w.run(
      openPeersFromFile('peers.json', {
        reader: {
          stamp: () => Promise.resolve(String(stamp)),
          read: () => Promise.resolve(typeof file === 'string' ? file : JSON.stringify(file)),
        },
        onFault: ({ message }) => faults.push(message),
        privateKey: testKey(2),
        security: 'noise',
        realm,
        network,
      }),
    );
    w.opened.push(bob);
    w.directory.addrs.set(bob.id, bob.addrs);
    const alice = await w.open(1, w.net.host(), { networkName: 'blue' });
    await w.run(alice.connect(bob.id));
    await write('{ "lists": { "deny": [');
    await write({ networkName: 'blue', lists: { deny: ['no target'] } });
    assert.deepEqual([bob.list().length, faults.length], [1, 2]);
    await write({ networkName: 'blue', lists: { deny: [alice.id] } });
    assert.deepEqual(bob.list(), []);
    assert.equal((await failureOf(w, alice.connect(bob.id))).code, 'refused');
    await write({ networkName: 'red', lists: {} });
    assert.match(faults.at(-1)!, /networkName changed; restart to apply it/);
    await w.run(alice.connect(bob.id));
    await w.close();
  });

  it('the configuration file is the one that the program names, and one without a key is refused', async () => {
    await assert.rejects(openPeersFromFile('/no/such/folder/peers.json'), /there is no such file/);
    const reader = { stamp: () => Promise.resolve('1'), read: () => Promise.resolve('{}') };
    await assert.rejects(openPeersFromFile('peers.json', { reader }), (error) => P2PError.is(error, 'not_found'));
  });

  it('a node keeps what it is told to maintain, through restarts of the peer, until it drops it', async () => {
    const w = new PeersWorld({ latencyMs: 20, trace: undefined });
    const alice = await w.open(1);
    alice.maintain(idOf(2)); // It is not there yet.
    await w.advance(30_000);
    for (let life = 0; life < 3; life++) {
      const bob = await w.open(2);
      for (let i = 0; i < 60 && alice.list()[0]?.state !== 'connected'; i++) await w.advance(1000);
      assert.equal(alice.list()[0]?.state, 'connected', `life ${life}`);
      await w.run(bob.close());
      await w.advance(10_000);
      assert.notEqual(alice.list()[0]?.state, 'connected');
    }
    alice.drop(idOf(2));
    await w.advance(1000);
    assert.deepEqual(alice.list(), []);
    await w.close();
  });
});
