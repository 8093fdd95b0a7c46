import assert from 'node:assert/strict';
import { it } from 'node:test';
import { EngineFailure } from '../../../src/protocols/quic/engine.ts';
import { identity, join, Network, pattern, readAll, text } from './network.ts';

// A real trap in the real file: quinn-proto cannot begin a handshake without random bytes, and panics. Nothing that a
// peer sends is known to do the same; this shows what happens if something ever does.

function noEntropy(): Uint8Array {
  throw new Error('no entropy');
}

it('a trap closes every connection with engine_failure, and the endpoint goes on with a fresh engine', () => {
  let broken = false;
  const net = new Network(1);
  const a = net.add('alice', {
    random: (length) => (broken ? noEntropy() : net.random.bytes(length)),
  });
  const b = net.add('bob');
  readAll(b);
  const first = a.endpoint.connect(net.now, b.address);
  const second = a.endpoint.connect(net.now, b.address);
  assert.ok(net.run(() => first.state === 'open' && second.state === 'open' && b.all('connected').length === 2));
  const stream = first.open('bidi')!;

  broken = true;
  // The fresh engine cannot be made without random bytes either, and that is not hidden.
  assert.throws(() => a.endpoint.connect(net.now, b.address), EngineFailure);
  broken = false;
  const third = a.endpoint.connect(net.now, b.address);
  assert.deepEqual([first.closed?.by, second.closed?.by], ['engine_failure', 'engine_failure']);
  assert.ok(first.closed?.cause instanceof EngineFailure);
  assert.match(first.closed.reason, /panicked at .*quinn-proto/);
  assert.deepEqual([stream.sendState, stream.receiveState, stream.write(text('x'))], ['lost', 'lost', 0]);
  assert.equal(first.stats(), undefined);

  assert.ok(net.run(() => third.state === 'open', 2000));
  assert.equal(a.all('closed').length, 2);
  assert.ok(a.saw('engine_failed')?.failure instanceof EngineFailure);
  third.open('uni')!.write(text('as if nothing had happened'), true);

  // The peers of the lost connections learn of it from the first answer to a packet of theirs.
  for (const { connection } of b.all('connected').slice(0, 2)) connection.open('uni')?.write(pattern(300), true);
  net.pass(3000);
  assert.deepEqual(
    b.all('closed').map(({ closed }) => closed.by),
    ['stateless_reset', 'stateless_reset'],
  );
  assert.equal(third.state, 'open');
});

it('an endpoint for which there is no engine says so when it is made', () => {
  const net = new Network(1);
  assert.throws(() => net.add('alice', { random: noEntropy, resetKey: pattern(64) }), EngineFailure);
  assert.throws(
    () => net.add('alice', { identity: { ...identity('alice'), privateKey: pattern(10) } }),
    /Cannot make a QUIC endpoint: /,
  );
});

it('a judge that calls the engine gets an error, and the peer is refused', () => {
  const net = new Network(1);
  const a = net.add('alice', {
    judge: ({ connection }) => {
      connection.ping();
      return undefined;
    },
  });
  const b = net.add('bob');
  const there = a.endpoint.connect(net.now, b.address);
  net.pass(1000);
  assert.equal(there.closed?.alert, 49);
  assert.match(String(there.closed?.cause), /the judge of a certificate called the engine/);
  assert.equal(join().there.state, 'open');
});
