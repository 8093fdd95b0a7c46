/**
 * P2PKE's machine on its own, without a swarm: two channels in one process, over a link that loses every third datagram.
 * The caller owns the clock, the randomness and the wire. Run it with `node --conditions=shoal-source`.
 */

import type { PublicKey } from 'shoal';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { Channel, createP2pkeIdentity, type P2pkeIdentity } from 'shoal/machines/p2pke';

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
const identity = (): P2pkeIdentity => createP2pkeIdentity({ privateKey: generateKey(), random });
const [alice, bob] = [identity(), identity()];
const bobId = peerIdOfKey(bob.publicKey);

const ends = {
  alice: new Channel({ identity: alice }),
  bob: new Channel({ identity: bob }),
};
/** Bob talks to everybody, Alice to Bob only. */
const accepts = (name: Name, key: PublicKey): boolean => name === 'bob' || peerIdOfKey(key) === bobId;
type Name = keyof typeof ends;

const wire: { readonly to: Name; readonly datagram: Uint8Array }[] = [];
let now = 0; // milliseconds of our own making: ten pass in each round
let sent = 0;

function send(from: Name, datagram: Uint8Array): void {
  const lost = ++sent % 3 === 0;
  console.log(`${now} ms: ${from} sends ${datagram.length} bytes${lost ? ', which are lost' : ''}`);
  if (!lost) wire.push({ to: from === 'alice' ? 'bob' : 'alice', datagram });
}

function tell(from: Name, text: string): void {
  const datagram = ends[from].seal(now, Date.now(), new TextEncoder().encode(text));
  if (datagram !== undefined) send(from, datagram);
}

const texts: string[] = [];
while (texts.length < 3 && now < 60_000) {
  for (const name of ['alice', 'bob'] as const) {
    for (let output = ends[name].poll(); ; output = ends[name].poll()) {
      if (output.type === 'transmit') send(name, output.transmit);
      else if (output.type === 'event') {
        const { event } = output;
        console.log(`${now} ms: ${name}: ${event.type}`);
        if (event.type !== 'accept') continue;
        const verdict = accepts(name, event.publicKey) ? 'accepted' : 'identity_mismatch';
        ends[name].answer(now, Date.now(), event.publicKey, verdict); // at once, or when it is known
      } else break; // 'wait': handleTimeout at output.until; below it is called every 10 ms, which is harmless
    }
    ends[name].handleTimeout(now);
  }
  const arrival = wire.shift();
  if (arrival !== undefined) {
    const message = ends[arrival.to].handleDatagram(now, Date.now(), arrival.datagram);
    if (message instanceof Uint8Array) texts.push(new TextDecoder().decode(message));
  } else if (now % 100 === 0) tell('alice', `message at ${now} ms`);
  now += 10;
}
console.log(texts);
if (texts.length < 3) throw new Error('three messages should have arrived');
