/**
 * Two knights who are sleepy, and speak in single bytes: a codec of one's own, a handshake that needs more than its five
 * seconds, and a volley of messages that are answered as long as both live.
 */

import { type Codec, createNode, handshake, onConnect, reading, writing } from 'shoal/node';

type Cry = 'for the king' | 'for the other king';
const CRIES: readonly Cry[] = ['for the king', 'for the other king'];
const BLOWS = 10_000;

/** One byte a message, 0 or 1; anything else is malformed. */
const cries: Codec<Cry> = {
  encoder: () => ({ encode: (cry, out) => out.uint8(CRIES.indexOf(cry)) }),
  decoder: () => {
    let bytes = new Uint8Array(0);
    let at = 0;
    return {
      push: (chunk) => {
        bytes = chunk; // All that came before was given out: there is no half of a byte.
        at = 0;
      },
      next: () => {
        if (at === bytes.length) return undefined;
        const cry = CRIES[bytes[at++]!];
        if (cry === undefined) throw new Error('no knight says that');
        return cry;
      },
      get bufferedBytes() {
        return bytes.length - at;
      },
    };
  },
};

const { promise: over, resolve } = Promise.withResolvers<void>();

function knight(cry: Cry, sleepMs: number) {
  const waking = handshake(
    async ({ stream }) => {
      await new Promise((awake) => void setTimeout(awake, sleepMs));
      await stream.write(Uint8Array.of(1));
      await stream.read(1);
    },
    { timeoutMs: 10_000 },
  );
  const node = createNode({ security: waking, codec: cries, name: cry, bind: '127.0.0.1:0' });
  node.enable(writing());
  let blows = 0;
  node.enable(
    reading({
      onMessage: (peer) => {
        if (++blows < BLOWS) peer.send(cry);
        else resolve();
      },
    }),
  );
  node.enable(onConnect((peer) => peer.side === 'responder' && peer.send(cry)));
  return node;
}

await using here = knight('for the king', 100);
await using there = knight('for the other king', 300);
const peer = await there.connect(await here.listen());
const from = performance.now();
await over;
const perSecond = (2 * BLOWS * 1000) / (performance.now() - from);
console.log(`${peer.stats.received.messages} blows each way, ${perSecond.toFixed(0)} a second`);
