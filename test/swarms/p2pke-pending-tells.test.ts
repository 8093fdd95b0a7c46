/** How many tells of p2pke wait for handshakes, at the exact bounds. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type UdpAddr, parseUdpAddr } from '../../src/net/socket-address.ts';
import type { PeerSession, PendingTell } from '../../src/swarms/p2pke/peer-session.ts';
import type { ResolvedP2pke } from '../../src/swarms/p2pke/options.ts';
import { PendingTells } from '../../src/swarms/p2pke/pending-tells.ts';

type Counts = ResolvedP2pke<UdpAddr>['counts'];

const LIMITS = {
  maxWaitingMessagesPerPeer: 4,
  maxWaitingBytesPerPeer: 100,
  maxWaitingMessages: 16,
  maxWaitingBytes: 1600,
};

function pendingTells(limits: Partial<typeof LIMITS> = {}) {
  const strangers = new Set<unknown>();
  const waiting = new PendingTells<UdpAddr>({ ...LIMITS, ...limits } as unknown as Counts, (session) =>
    strangers.has(session),
  );
  return {
    waiting,
    session: (at: string, stranger = false): PeerSession<UdpAddr> => {
      const inner = parseUdpAddr(at);
      const session = {
        addr: { text: at, inner },
        tells: new Set(),
        waitingBytes: 0,
      } as unknown as PeerSession<UdpAddr>;
      if (stranger) strangers.add(session);
      return session;
    },
    /** Adds so many tells, as far as they are let in; answers them. */
    fill: (session: PeerSession<UdpAddr>, count: number, bytes = 1): PendingTell[] => {
      const all: PendingTell[] = [];
      for (let i = 0; i < count && waiting.refusal(session, bytes) === undefined; i++) {
        const tell = { payload: new Uint8Array(bytes), sent: false, source: undefined } as unknown as PendingTell;
        waiting.add(session, tell);
        all.push(tell);
      }
      return all;
    },
  };
}

describe('tells that wait for handshakes', () => {
  it('are bounded for each peer in messages and bytes, and a first one has any size', () => {
    const { waiting, session, fill } = pendingTells();
    const a = session('192.0.2.1:1');
    assert.equal(fill(a, 9).length, 4);
    assert.match(waiting.refusal(a, 1)!.message, /4 messages wait for its handshake, limit is 4/);
    const b = session('192.0.2.2:1');
    fill(b, 1, 60);
    assert.equal(waiting.refusal(b, 40), undefined);
    assert.match(waiting.refusal(b, 41)!.message, /60 bytes wait for its handshake, limit is 100/);
    const c = session('192.0.2.3:1');
    assert.equal(fill(c, 1, 500).length, 1);
    assert.deepEqual([waiting.messages, waiting.bytes, c.waitingBytes], [6, 564, 500]);
  });

  it('are bounded in all, and a first one has any size', () => {
    const { waiting, session, fill } = pendingTells({ maxWaitingMessages: 6 });
    fill(session('192.0.2.1:1'), 4);
    const b = session('192.0.2.2:1');
    assert.equal(fill(b, 9).length, 2);
    assert.match(waiting.refusal(b, 1)!.message, /6 messages wait for handshakes, limit is 6/);

    const other = pendingTells({ maxWaitingBytes: 100 });
    const [x, y] = [other.session('192.0.2.1:1'), other.session('192.0.2.2:1')];
    other.fill(x, 1, 60);
    assert.equal(other.waiting.refusal(y, 40), undefined);
    assert.match(other.waiting.refusal(y, 41)!.message, /60 bytes wait for handshakes, limit is 100/);
    const first = pendingTells({ maxWaitingBytes: 100 });
    assert.equal(first.fill(first.session('192.0.2.1:1'), 1, 999).length, 1);
  });

  it('of strangers take an eighth for each network and half in all, and give it back', () => {
    const { waiting, session, fill } = pendingTells();
    const a = session('192.0.2.1:1', true);
    const tells = fill(a, 9);
    assert.equal(tells.length, 2);
    const near = session('192.0.2.200:1', true);
    assert.match(waiting.refusal(near, 1)!.message, /2 messages and 2 bytes wait for peers of its network/);
    const others = [1, 2, 3].map((i) => session(`198.51.${i}.1:1`, true));
    for (const each of others) assert.equal(fill(each, 9).length, 2);
    const late = session('203.0.113.1:1', true);
    assert.match(waiting.refusal(late, 1)!.message, /8 messages and 8 bytes wait for peers that called us/);
    assert.equal(waiting.refusal(session('203.0.113.1:1'), 1), undefined, 'it is called from here');
    for (const tell of tells) {
      waiting.remove(a, tell);
      waiting.remove(a, tell);
    }
    assert.deepEqual([waiting.messages, waiting.bytes, a.waitingBytes], [6, 6, 0]);
    assert.equal(fill(late, 9).length, 2);
    assert.equal(waiting.refusal(near, 1) === undefined, false, 'all strangers have their half again');
  });

  it('of strangers take an eighth and a half of the bytes likewise', () => {
    const { waiting, session, fill } = pendingTells({ maxWaitingBytesPerPeer: 1600 });
    const a = session('192.0.2.1:1', true);
    fill(a, 1, 150);
    assert.equal(waiting.refusal(a, 50), undefined);
    assert.match(waiting.refusal(a, 51)!.message, /1 messages and 150 bytes wait for peers of its network/);
    fill(session('198.51.1.1:1', true), 1, 600);
    const late = session('203.0.113.1:1', true);
    assert.equal(waiting.refusal(late, 50), undefined);
    assert.match(waiting.refusal(late, 51)!.message, /2 messages and 750 bytes wait for peers that called us/);
  });

  it('tell those who wait for the last one', () => {
    const { waiting, session, fill } = pendingTells();
    let empty = 0;
    waiting.onEmpty.add(() => empty++);
    const a = session('192.0.2.1:1');
    const [one, two] = fill(a, 2) as [PendingTell, PendingTell];
    waiting.remove(a, one);
    assert.equal(empty, 0);
    waiting.remove(a, two);
    assert.equal(empty, 1);
    waiting.remove(a, two);
    assert.equal(empty, 1);
  });
});
