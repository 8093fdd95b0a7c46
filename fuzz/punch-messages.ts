/** Real messages of a punch, to be spoilt, and a punch that reads them. */

import { type Bytes, fromHex } from '../src/base/bytes.ts';
import { PunchMachine } from '../src/protocols/punch/machine.ts';
import { decodePunchMessage, PunchCodec } from '../src/protocols/punch/message.ts';
import vectors from '../test/vectors/punch.json' with { type: 'json' };

export const punchOffers: readonly Bytes[] = vectors.offers.map(({ bytes }) => fromHex(bytes));
export const punchMessages: readonly Bytes[] = vectors.messages.map(({ bytes }) => fromHex(bytes));

const peer = { ip: '192.0.2.9', port: 5000 };
const target = { to: peer, isNear: false, maxProbes: 10 };
const tokens = [fromHex(vectors.initiatorToken), fromHex(vectors.responderToken)] as const;

/** Has a punch of either side read a message, and run to its end. */
export function feedPunch(bytes: Bytes): void {
  const message = decodePunchMessage(bytes);
  if (message === undefined) return;
  for (const side of ['initiator', 'responder'] as const) {
    const [own, theirs] = side === 'initiator' ? tokens : [tokens[1], tokens[0]];
    const machine = new PunchMachine(0, {
      codec: new PunchCodec(own, theirs, side),
      plan: { targets: [target], guess: undefined, openTo: undefined, left: '' },
      side,
      proven: [],
      rttMs: 40,
      seed: new Uint8Array(32),
    });
    machine.handleMessage(1, 0, peer, message);
    machine.handleMessage(2, 0, { ip: '192.0.2.10', port: 1 }, message);
    for (const now of [100, 1000, 10_000, 20_000]) {
      while (machine.poll().type !== 'wait');
      machine.handleTimeout(now);
    }
  }
}
