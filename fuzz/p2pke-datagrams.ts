/** Real datagrams of P2PKE: a handshake and some messages, to be spoilt. */

import type { Bytes } from '../src/base/bytes.ts';
import { generateKey } from '../src/identity/keys.ts';
import { Channel, createP2pkeIdentity } from '../src/protocols/p2pke/index.ts';

const WALL_MS = 1_700_000_000_000;

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

function newChannel(): Channel {
  return new Channel({ identity: createP2pkeIdentity({ privateKey: generateKey(), random }) });
}

/** Everything that two channels send each other until both are ready, and a message each way. */
export function p2pkeDatagrams(): readonly Bytes[] {
  const [a, b] = [newChannel(), newChannel()];
  const sent: Bytes[] = [];
  const carry = (from: Channel, to: Channel): boolean => {
    let any = false;
    for (let output = from.poll(); output.type !== 'wait'; output = from.poll()) {
      if (output.type === 'event' && output.event.type === 'accept') {
        from.answer(0, WALL_MS, output.event.publicKey, 'accepted');
      }
      if (output.type !== 'transmit') continue;
      any = true;
      sent.push(output.transmit);
      to.handleDatagram(0, WALL_MS, output.transmit);
    }
    return any;
  };
  a.open(0, WALL_MS);
  for (let busy = true; busy;) busy = [carry(a, b), carry(b, a)].includes(true);
  for (const end of [a, b]) {
    const sealed = end.seal(0, WALL_MS, new Uint8Array(30));
    if (sealed !== undefined) sent.push(sealed);
  }
  return sent;
}
