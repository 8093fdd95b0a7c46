/** Messages over two machines that are connected: with frames, and without. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { type Bytes, concatBytes, equalBytes } from '../../../src/base/bytes.ts';
import { SshSession } from '../../../src/protocols/ssh/session.ts';
import type { SshTransportOptions } from '../../../src/protocols/ssh/transport-options.ts';
import type { TcpEvent } from '../../../src/protocols/tcp/events.ts';
import { sshPair } from '../../support/ssh-pair.ts';

const OPTIONS = { maxMessageBytes: 131_072, windowBytes: 4_325_376, port: 0, idleTimeoutMs: Infinity };

/** One side: answers every request with itself, and keeps what it is told. */
class Side {
  readonly session: SshSession;
  readonly told: Bytes[] = [];
  readonly answers = new Map<number, Bytes>();
  readonly events: TcpEvent[] = [];
  #out: Bytes[] = [];
  #transmitted: number[] = [];

  constructor(transport: ConstructorParameters<typeof SshSession>[0]) {
    this.session = new SshSession(transport, OPTIONS, 0);
  }

  poll(): void {
    for (let output = this.session.poll(); output.type !== 'wait'; output = this.session.poll()) {
      if (output.type === 'transmit') {
        this.#out.push(...output.transmit);
        this.#transmitted.push(output.transmit.reduce((sum, { length }) => sum + length, 0));
      } else this.#event(output.event);
    }
  }

  take(): Bytes {
    this.poll();
    return concatBytes(...this.#out.splice(0));
  }

  /** All that was transmitted is in the kernel. */
  flushed(): void {
    for (const bytes of this.#transmitted.splice(0)) this.session.handleFlushed(bytes);
  }

  #event(event: TcpEvent): void {
    this.events.push(event);
    if (event.type === 'tell') {
      this.told.push(event.payload);
      this.session.release(event.payload.length);
    } else if (event.type === 'request') this.session.answer(0, event.id, event.payload);
    else if (event.type === 'answer') this.answers.set(event.id, event.payload);
  }
}

/** Passes bytes until both are silent. */
function converse(a: Side, b: Side): void {
  for (let rounds = 0; rounds < 10_000; rounds++) {
    const sent = [a.take(), b.take()] as const;
    if (sent[0].length + sent[1].length === 0) return;
    for (const side of [a, b]) side.flushed();
    for (const [bytes, to] of [
      [sent[0], b],
      [sent[1], a],
    ] as const) {
      if (bytes.length === 0) continue;
      let state = to.session.handleBytes(0, bytes);
      while (state !== 'done') {
        to.poll();
        state = to.session.readOn(0);
      }
    }
  }
  throw new Error('they never stop talking');
}

function sessions(options: Partial<SshTransportOptions>): readonly [Side, Side] {
  const { client, server } = sshPair({ maxPacketBytes: 262_144, ...options });
  const pair = [new Side(client.transport), new Side(server.transport)] as const;
  converse(...pair);
  return pair;
}

for (const frames of [true, false]) {
  describe(`SshSession ${frames ? 'with frames' : 'without frames'}`, () => {
    for (const rekeyBytes of [1_073_741_824, 3000]) {
      it(`carries tells and asks of every size in order, with new keys every ${rekeyBytes} bytes`, () => {
        const [a, b] = sessions({ frames, rekeyBytes });
        const sizes = [0, 1, 100, 5000, 32_767, 32_768, 70_000, 131_072];
        const payload = (size: number, i: number): Bytes => new Uint8Array(size).fill(size + i);
        const asked = new Map<number, Bytes>();
        for (let i = 0; i < 5; i++) {
          for (const size of sizes) {
            for (const side of [a, b]) side.session.tell(0, payload(size, i));
            asked.set(a.session.ask(0, payload(size, i), 131_072), payload(size, i));
          }
          if (i === 2) converse(a, b);
        }
        converse(a, b);
        const all = [0, 1, 2, 3, 4].flatMap((i) => sizes.map((size) => payload(size, i)));
        for (const side of [a, b]) {
          assert.equal(side.session.end, undefined, side.session.end?.reason ?? '');
          // Large messages go in parts, so small ones pass between them.
          const order = (list: readonly Bytes[]): readonly string[] => list.map((each) => `${each.length} ${each[0]}`);
          const [told, sent] = [order(side.told), order(all)];
          assert.deepEqual(frames ? told.toSorted() : told, frames ? sent.toSorted() : sent);
        }
        assert.equal(a.answers.size, asked.size);
        for (const [id, answer] of a.answers) assert.ok(equalBytes(answer, asked.get(id)!));
      });
    }

    it('tells the peer why it ends, and fails what is in progress', () => {
      const [a, b] = sessions({ frames });
      const id = a.session.ask(0, new Uint8Array(3), 10);
      a.take();
      b.session.close(0, 'enough');
      const bytes = b.take();
      assert.ok(a.session.handleBytes(0, bytes) === 'done');
      a.take();
      assert.deepEqual(
        a.events.filter(({ type }) => type === 'ask_failed' || type === 'closed').map((event) => event.type),
        ['ask_failed', 'closed'],
      );
      assert.deepEqual([a.session.end?.by, a.session.end?.reason], ['peer', 'enough']);
      assert.ok(a.events.some((event) => event.type === 'ask_failed' && event.id === id && event.sent === 'maybe'));
    });
  });
}
