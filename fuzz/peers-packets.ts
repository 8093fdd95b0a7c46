/** Real packets of sessions between connection managers, to be spoilt, and a session that reads them. */

import { type Bytes, fromHex } from '../src/base/bytes.ts';
import { decodeDenied, decodeHello } from '../src/protocols/peers/hello.ts';
import { PeerSession } from '../src/protocols/peers/session.ts';
import vectors from '../test/vectors/peers.json' with { type: 'json' };

export const peersPackets: readonly Bytes[] = Object.values(vectors).map((hex) => fromHex(hex));

const OPTIONS = {
  isSmaller: true,
  maxMessageBytes: 65_536,
  tellWindow: 65_536,
  requestWindow: 65_536,
  streamsWindow: 65_536,
  streamWindow: 16_384,
  resumeMs: 30_000,
  idleMs: 60_000,
  mayHold: (): boolean => true,
};

/** Has a session with an ask and a stream under way read a packet, and do what it wants done. */
export function feedPeersSession(packet: Bytes): void {
  decodeDenied(packet);
  const hello = decodeHello(packet) ?? decodeHello(peersPackets[0]!)!;
  const session = new PeerSession({ ...OPTIONS, session: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }, 0);
  session.handleHello(0, { ...hello, received: 0 });
  session.addPath(0, 1, { rank: 0, mtu: 1200, isReliable: false });
  session.ask(0, new Uint8Array(3000), 100);
  session.streams.write(session.streams.open()!, new Uint8Array(10));
  const act = (): void => {
    for (let output = session.poll(); output.type !== 'wait'; output = session.poll()) {
      if (output.type !== 'event') continue;
      if (output.event.type === 'tell') session.consumedTell(0, output.event.payload.length);
      if (output.event.type === 'request') session.answer(0, output.event.number, new Uint8Array(10));
      if (output.event.type === 'stream_bytes') session.streams.read(output.event.stream, output.event.bytes.length);
    }
  };
  act();
  session.handlePacket(1, 1, packet);
  act();
  session.handleTimeout(100_000);
  act();
}
