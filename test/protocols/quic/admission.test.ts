import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { admitByDefault, type Incoming, type Verdict } from '../../../src/protocols/quic/admission.ts';
import { Network, type Node, readAll, text } from './network.ts';

describe('admitByDefault', () => {
  const limits = {
    addressValidation: 'under_load',
    retryFromHandshakes: 2,
    maxHandshakes: 4,
    maxConnections: 6,
  } as const;
  const stranger = { number: 1, address: 1, addressValidated: false, mayRetry: true };
  const proven = { ...stranger, addressValidated: true, mayRetry: false };

  it('decides by load, limits and proof of the address', () => {
    const table: [Incoming, { connections?: number; handshakes?: number; closing?: boolean }, object, Verdict][] = [
      [stranger, {}, {}, 'accept'],
      [stranger, { handshakes: 1 }, {}, 'accept'],
      [stranger, { handshakes: 2 }, {}, 'retry'],
      [proven, { handshakes: 2 }, {}, 'accept'],
      [proven, { handshakes: 4 }, {}, 'ignore'],
      [stranger, { handshakes: 4 }, { addressValidation: 'never' }, 'ignore'],
      [stranger, {}, { addressValidation: 'always' }, 'retry'],
      [proven, {}, { addressValidation: 'always' }, 'accept'],
      [proven, { connections: 6 }, {}, 'refuse'],
      [stranger, { connections: 6 }, { addressValidation: 'always' }, 'retry'],
      [stranger, { closing: true }, {}, 'refuse'],
    ];
    for (const [incoming, load, change, verdict] of table) {
      const full = { connections: 0, handshakes: 0, closing: false, ...load };
      assert.equal(
        admitByDefault(incoming, full, { ...limits, ...change }),
        verdict,
        JSON.stringify([incoming, load, change]),
      );
    }
  });
});

function dial(net: Network, a: Node, b: Node) {
  const there = a.endpoint.connect(net.now, b.address);
  net.pass(1000);
  return there;
}

describe('admission', () => {
  it('Retry: with address validation a connection takes a round trip more, and works', () => {
    const net = new Network(1);
    const a = net.add('alice');
    const seen: Incoming[] = [];
    const b = net.add('bob', { addressValidation: 'always', admit: (incoming) => void seen.push(incoming) });
    const got = readAll(b);
    const there = dial(net, a, b);
    assert.equal(there.state, 'open');
    assert.deepEqual(
      b.all('turned_away').map(({ address, how }) => [address, how]),
      [[a.address, 'retried']],
    );
    assert.deepEqual(
      seen.map(({ addressValidated, mayRetry }) => [addressValidated, mayRetry]),
      [[true, false]],
    );
    there.open('uni')!.write(text('proven'), true);
    net.pass(100);
    assert.equal([...got.values()][0]?.bytes.toString(), 'proven');
  });

  it('a Retry token is good for its address and its time only', () => {
    for (const spoil of ['address', 'time'] as const) {
      const net = new Network(1);
      const a = net.add('alice', { handshakeTimeoutMs: 0 });
      const b = net.add('bob', { addressValidation: 'always', retryTokenLifetimeMs: 1000 });
      let retried = false;
      b.react = (event) => {
        if (event.type !== 'turned_away' || event.how !== 'retried') return;
        // The token comes back from elsewhere.
        if (spoil === 'address') net.tap = (flight) => (flight.from === a.address ? { ...flight, from: 555 } : flight);
        if (!retried && spoil === 'time') net.link = { ...net.link, latencyMs: 1500 };
        retried = true;
      };
      a.endpoint.connect(net.now, b.address);
      net.pass(8000);
      assert.ok(retried);
      assert.equal(b.saw('connected'), undefined, spoil);
    }
  });

  it('admit can accept, refuse, demand proof, ignore', () => {
    for (const [verdict, outcome, told] of [
      ['accept', 'open', []],
      [undefined, 'open', []],
      ['retry', 'open', ['retried']],
      ['refuse', 'peer_transport', ['refused']],
      ['ignore', 'handshake_timeout', ['ignored']],
    ] as const) {
      const net = new Network(1);
      const a = net.add('alice', { handshakeTimeoutMs: 900 });
      const b = net.add('bob', { admit: () => verdict });
      const there = dial(net, a, b);
      assert.equal(there.closed?.by ?? there.state, outcome);
      if (verdict === 'refuse') assert.equal(there.closed?.code, 2);
      assert.deepEqual([...new Set(b.all('turned_away').map(({ how }) => how))], told);
    }
  });

  it('an admit hook that answers no verdict, or throws, admits nobody', () => {
    for (const admit of [
      () => Promise.resolve('accept'),
      () => true,
      () => null,
      () => {
        throw new Error('broken');
      },
    ]) {
      const net = new Network(1);
      const a = net.add('alice');
      const b = net.add('bob', { admit: admit as unknown as () => Verdict });
      assert.equal(dial(net, a, b).closed?.by, 'peer_transport');
      assert.deepEqual(
        b.all('turned_away').map(({ how }) => how),
        ['refused'],
      );
    }
  });

  it('a full house refuses, and has room again when somebody leaves', () => {
    const net = new Network(1);
    const a = net.add('alice');
    const b = net.add('bob', { maxConnections: 2 });
    const [first, second, third] = [dial(net, a, b), dial(net, a, b), dial(net, a, b)];
    assert.deepEqual([first.state, second.state, third.closed?.by], ['open', 'open', 'peer_transport']);
    first.close();
    net.pass(5000);
    assert.equal(dial(net, a, b).state, 'open');
  });

  it('a flood from forged addresses costs bounded memory, and honest peers get through', () => {
    const net = new Network(3);
    const flood = net.add('p256');
    const b = net.add('bob', { retryFromHandshakes: 8, maxHandshakes: 32, handshakeTimeoutMs: 5000 });
    const a = net.add('alice');
    // Initials of real handshakes, each from an address where nobody listens.
    net.tap = (flight) =>
      flight.from === flood.address ? { ...flight, from: flood.address * 1000 + flight.order } : flight;
    for (let wave = 0; wave < 20; wave++) {
      for (let i = 0; i < 50; i++) flood.endpoint.connect(net.now, b.address);
      net.pass(20);
    }
    const { connections, incoming, incomingBufferBytes, memoryBytes } = b.endpoint.gauges()!;
    assert.equal(connections, 8);
    assert.deepEqual([incoming, incomingBufferBytes], [0, 0]);
    assert.ok(memoryBytes < 8_000_000, String(memoryBytes));
    assert.ok(b.all('turned_away').filter(({ how }) => how === 'retried').length > 500);
    const there = a.endpoint.connect(net.now, b.address);
    assert.ok(net.run(() => there.state === 'open', 1000));
    // Whoever does not answer is forgotten.
    net.detach(flood);
    net.pass(20_000);
    assert.equal(b.endpoint.gauges()!.connections, 1);
  });

  /** Keeps `count` handshakes half open: it proves its address where it must, and answers nothing else. */
  function halfOpen(net: Network, flood: Node, victim: Node, count: number): () => void {
    const isRetry = (bytes: Uint8Array): boolean => (bytes[0]! & 0xf0) === 0xf0;
    net.tap = (flight) =>
      flight.from === victim.address && flight.to === flood.address && !isRetry(flight.bytes) ? undefined : flight;
    return () => {
      const open = [...flood.endpoint.connections].filter(({ state }) => state === 'handshake').length;
      for (let i = open; i < count; i++) flood.endpoint.connect(net.now, victim.address);
    };
  }

  it('300 half-open handshakes of one host: peers of other hosts, and of the same one, get in meanwhile', () => {
    for (const honestHost of ['192.0.2.7', '198.51.100.1', '198.51.100.77']) {
      const net = new Network(7);
      const flood = net.add('p256', { handshakeTimeoutMs: 20_000 });
      const hosts = new Map([[flood.address, '198.51.100.1']]);
      const b = net.add('bob', { hostOf: (address) => hosts.get(address) });
      const attack = halfOpen(net, flood, b, 300);
      attack();
      net.pass(2000);
      let open = 0;
      for (let i = 0; i < 20; i++) {
        attack();
        const a = net.add('alice');
        hosts.set(a.address, honestHost);
        const there = a.endpoint.connect(net.now, b.address);
        if (net.run(() => there.state === 'open' && b.all('connected').length > open, 3000)) open++;
        there.close();
        net.pass(500);
        net.detach(a);
      }
      assert.ok(
        b.all('turned_away').some(({ how }) => how === 'displaced'),
        'the bound was reached',
      );
      assert.ok(open >= 19, `${open} of 20 from ${honestHost}`);
      assert.ok(b.endpoint.gauges()!.connections <= 256 + 20);
    }
  });

  it('a network proves its addresses from an eighth of retryFromHandshakes on, others at the whole', () => {
    const limits = {
      addressValidation: 'under_load',
      retryFromHandshakes: 64,
      maxHandshakes: 256,
      maxConnections: 9,
    } as const;
    const stranger = { number: 1, address: 1, addressValidated: false, mayRetry: true };
    const load = { connections: 0, closing: false };
    assert.equal(admitByDefault(stranger, { ...load, handshakes: 63, fromSource: 7 }, limits), 'accept');
    assert.equal(admitByDefault(stranger, { ...load, handshakes: 8, fromSource: 8 }, limits), 'retry');
    assert.equal(admitByDefault(stranger, { ...load, handshakes: 64, fromSource: 0 }, limits), 'retry');
  });

  it('one source that holds every connection makes room for others, one at a time, and is refused itself', () => {
    const net = new Network(1);
    const [a, c] = [net.add('alice'), net.add('p256')];
    const hosts = new Map([
      [a.address, '198.51.100.1'],
      [c.address, '203.0.113.9'],
    ]);
    const b = net.add('bob', { maxConnections: 4, displacedCode: 77, hostOf: (address) => hosts.get(address) });
    const held = Array.from({ length: 4 }, () => dial(net, a, b));
    assert.equal(dial(net, a, b).closed?.by, 'peer_transport');
    assert.equal(dial(net, c, b).state, 'open');
    assert.deepEqual(
      held.map(({ closed }) => closed?.code),
      [77, undefined, undefined, undefined],
    );
    net.pass(5000);
    assert.equal(dial(net, c, b).state, 'open', 'three against one: the oldest goes');
    net.pass(5000);
    assert.equal(dial(net, c, b).closed?.by, 'peer_transport', 'two against two: nobody goes');
    assert.deepEqual(
      held.map(({ state }) => state),
      ['closed', 'closed', 'open', 'open'],
    );
  });

  it('nothing that is sent to a forged address is more than three times what came from it', () => {
    const net = new Network(3);
    const flood = net.add('p256');
    const b = net.add('bob');
    net.tap = (flight) => (flight.from === flood.address ? { ...flight, from: 9999 } : flight);
    flood.endpoint.connect(net.now, b.address);
    net.pass(30_000);
    const bytes = (from: number): number =>
      net.sent.filter((flight) => flight.from === from).reduce((sum, flight) => sum + flight.bytes.length, 0);
    assert.ok(bytes(b.address) > 0 && bytes(b.address) <= 3 * bytes(9999), `${bytes(b.address)} for ${bytes(9999)}`);
  });
});
