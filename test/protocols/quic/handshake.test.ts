import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ALERT, type Judged, type QuicEndpointOptions } from '../../../src/protocols/quic/endpoint-options.ts';
import { identity, join, type Name, Network, readAll, text } from './network.ts';

/** Dials and runs until one side has said how it ended or both are connected. */
function dial(
  alice: Partial<QuicEndpointOptions>,
  bob: Partial<QuicEndpointOptions>,
  names: [Name, Name] = ['alice', 'bob'],
) {
  const net = new Network(1);
  const a = net.add(names[0], alice);
  const b = net.add(names[1], bob);
  const there = a.endpoint.connect(net.now, b.address);
  net.pass(2000);
  return { net, a, b, there };
}

describe('identity', () => {
  for (const name of ['alice', 'p256', 'p384', 'rsa', 'leaf'] as const) {
    it(`both sides judge the whole chain of the other: ${name}`, () => {
      const judged: Judged[] = [];
      const judge = (it: Judged): undefined => void judged.push(it);
      const { a, b, there } = dial({ judge }, { judge }, [name, name]);
      const connected = b.saw('connected');
      assert.ok(a.saw('connected') && connected);
      assert.equal(judged.length, 2);
      assert.deepEqual(judged[0]!.chain, identity(name).chain);
      assert.deepEqual(judged[1]!.chain, identity(name).chain);
      assert.deepEqual([judged[0]!.connection, judged[1]!.connection], [there, connected.connection]);
      assert.deepEqual(there.peerChain, identity(name).chain);
      assert.deepEqual(connected.connection.peerChain, identity(name).chain);
    });
  }

  it('a client that refuses tells the alert, and shows nothing of itself', () => {
    let asked = 0;
    const { a, b, there } = dial({ judge: () => ALERT.UNKNOWN_CA }, { judge: () => void asked++ });
    assert.equal(there.closed?.by, 'local_transport');
    assert.equal(there.closed.alert, ALERT.UNKNOWN_CA);
    assert.deepEqual(
      b.all('closed').map(({ closed: { by, alert } }) => [by, alert]),
      [['peer_transport', ALERT.UNKNOWN_CA]],
    );
    assert.equal(asked, 0);
    assert.equal(a.saw('connected') ?? b.saw('connected'), undefined);
  });

  it('a server that refuses tells the alert, and delivers nothing of what the client sent', () => {
    for (const [verdict, alert] of [
      [ALERT.BAD_CERTIFICATE, 42],
      [ALERT.UNSUPPORTED_CERTIFICATE, 43],
      [ALERT.CERTIFICATE_REVOKED, 44],
      [ALERT.CERTIFICATE_EXPIRED, 45],
      [ALERT.CERTIFICATE_UNKNOWN, 46],
      [ALERT.UNKNOWN_CA, 48],
      [ALERT.ACCESS_DENIED, 49],
      [300, 49],
      [Number.NaN, 49],
    ] as const) {
      const net = new Network(1);
      const a = net.add('alice');
      const b = net.add('bob', { judge: () => verdict });
      const there = a.endpoint.connect(net.now, b.address);
      // TLS lets the client go on while the server still judges: RFC 8446 §2.
      a.react = (event) => {
        if (event.type === 'connected') there.open('uni')!.write(text('secret'), true);
        if (event.type === 'connected') there.sendDatagram(text('secret'));
      };
      net.pass(2000);
      assert.deepEqual([there.closed?.by, there.closed?.alert], ['peer_transport', alert]);
      assert.deepEqual(
        b.events.map(({ type }) => type).filter((type) => type !== 'negotiated' && type !== 'mtu_changed'),
        ['closed'],
      );
    }
  });

  it('a judge that throws has refused, and what it threw is the cause', () => {
    const thrown = new Error('no database');
    const { there } = dial(
      {
        judge: () => {
          throw thrown;
        },
      },
      {},
    );
    assert.deepEqual([there.closed?.by, there.closed?.alert, there.closed?.cause], ['local_transport', 49, thrown]);
  });

  it('clients without a certificate are refused, let in or not asked, as the server says', () => {
    const nobody = { identity: undefined };
    const required = dial(nobody, { clientCertificates: 'required' });
    assert.deepEqual([required.there.closed?.by, required.there.closed?.alert], ['peer_transport', 116]);
    for (const clientCertificates of ['optional', 'none'] as const) {
      let asked = 0;
      const { b } = dial(nobody, { clientCertificates, judge: () => void asked++ });
      assert.deepEqual(b.saw('connected')?.connection.peerChain, []);
      assert.equal(asked, 0);
    }
    const shown = dial({}, { clientCertificates: 'optional' });
    assert.deepEqual(shown.b.saw('connected')?.connection.peerChain, identity('alice').chain);
    const unasked = dial({}, { clientCertificates: 'none' });
    assert.deepEqual(unasked.b.saw('connected')?.connection.peerChain, []);
  });

  it('a certificate of somebody else cannot be presented', () => {
    const stolen = { chain: identity('bob').chain, privateKey: identity('alice').privateKey };
    assert.throws(() => new Network(1).add('alice', { identity: stolen }), TypeError);
  });

  it('an endpoint without an identity does not listen', () => {
    const net = new Network(1);
    const a = net.add('alice');
    const b = net.add('bob', { identity: undefined });
    const there = a.endpoint.connect(net.now, b.address);
    net.pass(12_000);
    assert.equal(there.closed?.by, 'handshake_timeout');
    assert.equal(b.events.length, 0);
  });
});

/** What two lists of names come to. */
const agreed = (a: readonly string[], b: readonly string[]) => {
  const { there, b: bob } = dial({ alpn: a }, { alpn: b });
  return { closed: there.closed, alpn: [there.alpn, bob.saw('connected')?.connection.alpn] };
};

describe('ALPN', () => {
  it('the server takes the first of its names that the client has', () => {
    assert.deepEqual(agreed(['x', 'y', 'z'], ['z', 'y']).alpn, ['z', 'z']);
  });

  it('nothing in common is no_application_protocol', () => {
    assert.equal(agreed(['x'], ['y']).closed?.alert, 120);
    assert.equal(agreed([], ['y']).closed?.alert, 120);
  });

  it('without names there is no ALPN', () => {
    const { closed, alpn } = agreed([], []);
    assert.deepEqual([closed, alpn], [undefined, [undefined, undefined]]);
  });

  it('one dial can bring names of its own', () => {
    const net = new Network(1);
    const a = net.add('alice', { alpn: ['x'] });
    const b = net.add('bob', { alpn: ['y'] });
    const c = net.add('p256', { alpn: [] });
    const y = a.endpoint.connect(net.now, b.address, { alpn: ['w', 'y'] });
    const none = a.endpoint.connect(net.now, c.address, { alpn: [] });
    net.pass(1000);
    assert.deepEqual([y.state, y.alpn, none.state, none.alpn], ['open', 'y', 'open', undefined]);
  });
});

describe('server name', () => {
  it('the server sees the name that the client asked for, and no name of an IP', () => {
    for (const [serverName, seen] of [
      ['maidsafe.net', 'maidsafe.net'],
      ['127.0.0.1', undefined],
      [undefined, undefined],
    ] as const) {
      const net = new Network(1);
      const a = net.add('alice');
      const b = net.add('bob');
      const there = a.endpoint.connect(net.now, b.address, { serverName });
      net.pass(1000);
      assert.equal(b.saw('connected')?.connection.serverName, seen);
      assert.equal(there.serverName, serverName);
    }
  });

  it('a name that no certificate can have is misuse', () => {
    const net = new Network(1);
    const a = net.add('alice');
    for (const serverName of ['', 'not a name', 'x'.repeat(254)]) {
      assert.throws(() => a.endpoint.connect(net.now, 5, { serverName }), RangeError);
    }
  });
});

describe('dialling', () => {
  it('a dead address ends in handshake_timeout at the deadline', () => {
    const net = new Network(1);
    const a = net.add('alice', { handshakeTimeoutMs: 3000 });
    const began = net.now;
    const there = a.endpoint.connect(net.now, 77);
    assert.ok(net.run(() => there.closed !== undefined));
    assert.deepEqual([there.closed?.by, net.now - began], ['handshake_timeout', 3000]);
    assert.equal(a.all('closed').length, 1);
  });

  it('two that dial each other at once get two connections, and both work', () => {
    const net = new Network(1);
    const a = net.add('alice');
    const b = net.add('bob');
    const read = [readAll(a), readAll(b)];
    const one = a.endpoint.connect(net.now, b.address);
    const two = b.endpoint.connect(net.now, a.address);
    assert.ok(net.run(() => one.state === 'open' && two.state === 'open'));
    one.open('uni')!.write(text('one'), true);
    two.open('uni')!.write(text('two'), true);
    net.pass(100);
    const got = read.map((readers) => [...readers.values()].map(({ bytes }) => bytes.toString()));
    assert.deepEqual(got, [['two'], ['one']]);
  });

  it('0.5-RTT: a server sends before it knows the client only where that is allowed', () => {
    for (const halfRtt of [true, false]) {
      const net = new Network(1);
      const a = net.add('alice');
      const b = net.add('bob', { halfRtt });
      const got = readAll(a);
      let early: boolean | undefined;
      b.react = (event) => {
        if (event.type !== 'negotiated') return;
        assert.equal(event.connection.state, 'handshake');
        const stream = event.connection.open('uni');
        early = stream !== undefined;
        stream?.write(text('welcome'), true);
      };
      const there = a.endpoint.connect(net.now, b.address);
      // One round trip: the greeting is there together with the server's certificate.
      net.run(() => there.state === 'open');
      net.settle();
      assert.equal(early, halfRtt);
      assert.equal(b.saw('connected'), undefined);
      assert.deepEqual(
        [...got.values()].map(({ bytes }) => bytes.toString()),
        halfRtt ? ['welcome'] : [],
      );
    }
  });

  it('key log lines come only when asked for, with the secrets of both directions', () => {
    const { alice, bob } = join({ alice: { keyLog: true } });
    const labels = alice.all('key_log').map(({ line }) => line.split(' ')[0]);
    for (const label of ['CLIENT_TRAFFIC_SECRET_0', 'SERVER_TRAFFIC_SECRET_0']) assert.ok(labels.includes(label));
    assert.match(alice.saw('key_log')!.line, /^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64}$/);
    assert.equal(bob.saw('key_log'), undefined);
  });
});
