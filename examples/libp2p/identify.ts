/** Asking a libp2p peer who it is. */

import { decodeText } from 'shoal/bytes';
import { IDENTIFY, type Identified, type Libp2pPeer } from './host.ts';
import { decodeLibp2pKey, libp2pPeerId } from './keys.ts';
import { decodeFields } from './protobuf.ts';

/** @throws {Error} when the answer is none, or names another key than the one that the peer has proven. */
export async function identify(peer: Libp2pPeer): Promise<Identified> {
  const stream = await peer.open(IDENTIFY);
  const message = await stream.readDelimited();
  stream.end();
  const fields = message === undefined ? undefined : decodeFields(message);
  const text = (number: number): readonly string[] =>
    (fields?.bytes.get(number) ?? []).map((bytes) => decodeText(bytes) ?? '');
  const named = fields?.bytes.get(1)?.[0];
  const key = named === undefined ? undefined : decodeLibp2pKey(named);
  if (key === undefined || libp2pPeerId(key) !== peer.id) throw new Error(`${peer.id} does not say who it is`);
  return { agent: text(6)[0], protocols: text(3) };
}
