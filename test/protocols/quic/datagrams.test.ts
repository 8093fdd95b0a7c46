import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Node, join, pattern, text } from './network.ts';

/** Collects the datagrams that a node gets. */
function collect(node: Node): string[] {
  const got: string[] = [];
  node.react = (event) => {
    if (event.type !== 'datagrams') return;
    for (let bytes; (bytes = event.connection.receiveDatagram()) !== undefined;)
      got.push(Buffer.from(bytes).toString());
  };
  return got;
}

it('datagrams go both ways', () => {
  const { net, alice, bob, there, back } = join();
  const got = [collect(alice), collect(bob)];
  assert.equal(there.sendDatagram(text('to bob')), 'sent');
  assert.equal(back.sendDatagram(text('to alice')), 'sent');
  assert.equal(back.sendDatagram(text('')), 'sent');
  net.pass(100);
  assert.deepEqual(got, [['to alice', ''], ['to bob']]);
});

it('the largest datagram goes, one byte more does not, and the limit follows the MTU', () => {
  const { net, bob, there } = join({ both: { maxMtuBytes: 1200 } });
  const max = there.maxDatagramBytes!;
  assert.ok(max > 1100 && max < 1200, String(max));
  const got = collect(bob);
  assert.equal(there.sendDatagram(pattern(max)), 'sent');
  assert.equal(there.sendDatagram(pattern(max + 1)), 'too_large');
  net.pass(100);
  assert.equal(got.length, 1);
  const wide = join({ both: { maxMtuBytes: 9000 } });
  wide.net.pass(2000);
  assert.ok(wide.there.maxDatagramBytes! > 8000, String(wide.there.maxDatagramBytes));
});

it('a full queue says so and tells when it has room, or drops the oldest', () => {
  const { net, alice, bob, there } = join({ both: { maxMtuBytes: 1200, datagramSendBufferBytes: 5000 } });
  const send = (n: number, dropOld = false): string => there.sendDatagram(text(String(n).padEnd(1000, '.')), dropOld);
  const got = collect(bob);
  const results = Array.from({ length: 6 }, (_, n) => send(n));
  assert.deepEqual(results, ['sent', 'sent', 'sent', 'sent', 'blocked', 'blocked']);
  assert.equal(send(6, true), 'sent');
  net.pass(100);
  assert.deepEqual(
    got.map((bytes) => Number.parseInt(bytes, 10)),
    [1, 2, 3, 6],
  );
  assert.equal(alice.all('datagrams_writable').length, 1);
  assert.equal(send(7), 'sent');
});

it('those who take no datagrams say so', () => {
  const { there, back } = join({ bob: { datagramReceiveBufferBytes: 0 } });
  assert.equal(there.sendDatagram(text('x')), 'unsupported');
  assert.equal(back.sendDatagram(text('x')), 'unsupported');
  assert.equal(there.maxDatagramBytes, undefined);
});

it('datagrams that nobody takes cost no more than their buffer', () => {
  const { net, there, back } = join({ both: { maxMtuBytes: 1200, datagramReceiveBufferBytes: 5000 } });
  for (let n = 0; n < 50; n++) {
    there.sendDatagram(text(String(n).padEnd(1000, '.')));
    net.pass(20);
  }
  const left: number[] = [];
  for (let bytes; (bytes = back.receiveDatagram()) !== undefined;)
    left.push(Number.parseInt(Buffer.from(bytes).toString(), 10));
  assert.deepEqual(left, [46, 47, 48, 49]);
});
