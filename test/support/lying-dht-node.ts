/** A node of a memory realm that answers the requests of a DHT as a test wants. */

import type { Bytes } from '../../src/base/bytes.ts';
import { decodePeerId } from '../../src/core/peer-id.ts';
import type { PublicKey, SecureAskSwarm } from '../../src/core/secure.ts';
import { peerIdOfKey } from '../../src/identity/fingerprints.ts';
import { decodeRequest, encodeAnswer, encodeRequest } from '../../src/protocols/kademlia/binary-messages.ts';
import { decodeJsonRequest } from '../../src/protocols/kademlia/json-messages.ts';
import { FORM, type Query, type Reply, type WireContact } from '../../src/protocols/kademlia/messages.ts';
import { KeySpace, keyText } from '../../src/protocols/kademlia/position.ts';
import type { MemoryAddr, MemoryRealm } from '../../src/swarms/memory/index.ts';
import type { VirtualClock } from '../../src/runtime/virtual-clock.ts';
import { testKey } from '../../src/testing/test-key.ts';

/** A node that lies. */
export interface LyingNode {
  readonly id: string;
  /** How it is to be named to others. */
  readonly contact: WireContact;
  readonly swarm: SecureAskSwarm<MemoryAddr>;
  /** Requests that it got. */
  readonly asked: Query[];
  /** Asks a node, as one of the DHT would. */
  ask(dst: MemoryAddr | string, query: Query): Promise<Bytes>;
}

export const SPACE: KeySpace = new KeySpace('test');

/**
 * Opens a lying node.
 *
 * @param answer - what it answers; bytes go out as they are, `undefined` is an ordinary empty answer
 */
export function lyingNode(
  realm: MemoryRealm<VirtualClock>,
  addr: number,
  answer: (query: Query) => Reply | Uint8Array | undefined,
  wallMs: () => number = () => realm.wallMs(),
  publicKey: PublicKey = testKey(addr).publicKey,
): LyingNode {
  const id = peerIdOfKey(publicKey);
  const swarm = realm.secureSwarm(publicKey, addr);
  const asked: Query[] = [];
  swarm.serve(({ payload }) => {
    const json = payload[0] === 0x7b ? decodeJsonRequest('test', payload, (peer) => SPACE.ofPeer(peer)) : undefined;
    const request = typeof json === 'object' ? json.request : decodeRequest(SPACE.tag, payload);
    const query: Query = typeof request === 'object' ? request.query : { op: 'ping' };
    asked.push(query);
    const reply = answer(query) ?? empty(query);
    return reply instanceof Uint8Array ? reply : encodeAnswer({ reply, isClient: false, wallMs: wallMs() });
  });
  return {
    id,
    contact: { id: keyText(decodePeerId(id)!), addr: `\u0000@${addr}`, form: FORM.binary },
    swarm,
    asked,
    ask: (dst, query) => swarm.ask(dst, encodeRequest(SPACE.tag, { query, isClient: false, addr: '' })),
  };
}

function empty(query: Query): Reply {
  switch (query.op) {
    case 'ping':
      return { op: 'ping' };
    case 'find':
      return { op: 'find', contacts: [] };
    case 'get':
      return { op: 'get', value: undefined, ttlMs: 0, contacts: [] };
    case 'put':
      return { op: 'put', accepted: query.entries.map(() => true) };
    case 'announce':
      return { op: 'announce', record: 'taken', accepted: query.positions.length };
    case 'record':
      return { op: 'record', record: undefined, contacts: [] };
    case 'providers':
      break;
  }
  return { op: 'providers', records: [], contacts: [] };
}
