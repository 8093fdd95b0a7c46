/** Real messages of a DHT, to be spoilt, and a node that answers them and takes them for answers. */

import { type Bytes, encodeText } from '../src/base/bytes.ts';
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from '../src/protocols/kademlia/binary-messages.ts';
import { decodeJsonAnswer, decodeJsonRequest } from '../src/protocols/kademlia/json-messages.ts';
import { FORM, type Query, type Reply } from '../src/protocols/kademlia/messages.ts';
import { KademliaNode } from '../src/protocols/kademlia/node.ts';
import { KeySpace, keyText } from '../src/protocols/kademlia/position.ts';

const space = new KeySpace('fuzz');
const self = keyText(new Uint8Array(32).fill(1));
const other = keyText(new Uint8Array(32).fill(2));
const position = keyText(new Uint8Array(32).fill(3));
const key = encodeText('key');
const contacts = [{ id: other, addr: '\u0000@127.0.0.1:4000', form: FORM.binary }];
const queries: readonly Query[] = [
  { op: 'ping' },
  { op: 'find', position, limit: 16 },
  { op: 'get', key },
  { op: 'put', entries: [{ key, value: key, ttlMs: 1000 }] },
  { op: 'announce', record: undefined, positions: [position], ttlMs: 1000 },
  { op: 'record', peer: other },
  { op: 'providers', position },
];
const replies: readonly Reply[] = [
  { op: 'ping' },
  { op: 'find', contacts },
  { op: 'get', value: key, ttlMs: 1000, contacts },
  { op: 'put', accepted: [true] },
  { op: 'announce', record: 'taken', accepted: 1 },
  { op: 'record', record: key, contacts },
  { op: 'providers', records: [key], contacts },
];
const texts = [
  '{"network":"fuzz"}',
  '{"network":"fuzz","target":"--31-kF40VR71FcA2-oD2l-G3WBJ4GNM50ZP5lkS6Ww","limit":3}',
  '{"network":"fuzz","key":"AQID","value":"dg==","ttl_ms":300000}',
  '{"nodes":[{"id":"--31-kF40VR71FcA2-oD2l-G3WBJ4GNM50ZP5lkS6Ww","info":"aW5mbw=="}]}',
  '{"value":"dg==","expires_at":{"s":4611686020127387941,"ns":123456789},"closer":null}',
];

/** Requests and answers of both forms. */
export const kademliaSeeds: readonly Bytes[] = [
  ...queries.map((query) => encodeRequest(space.tag, { query, isClient: false, addr: '\u0000@127.0.0.1:4000' })),
  ...replies.map((reply) => encodeAnswer({ reply, isClient: false, wallMs: 1_700_000_000_000 })),
  ...texts.map(encodeText),
];

const limits = { maxValues: 64, maxValueBytes: 4096, maxStoredBytes: 65_536, maxProvidedKeys: 64 };
const times = { now: 0, wallMs: 1_700_000_000_000 };

function makeNode(): KademliaNode {
  return new KademliaNode(times, {
    ...limits,
    self,
    space,
    networkName: 'fuzz',
    k: 16,
    alpha: 3,
    paths: 1,
    maxTries: 2,
    maxPerNetwork: 10,
    maxPerNetworkInBucket: 2,
    refreshMs: 600_000,
    republishMs: 600_000,
    lookupMs: 30_000,
    maxPublished: 16,
    maxProvidersPerKey: 8,
    maxTtlMs: 86_400_000,
    maxMessageBytes: 65_536,
    form: 'auto',
    isReachable: () => true,
    isClient: () => false,
    ownAddr: () => '',
    networkOf: () => '',
    validate: () => true,
    records: { own: () => undefined, add: () => 'refused', handOn: () => undefined, reached: () => undefined },
    answersProve: true,
    seed: 'fuzz',
  });
}

/** What a run of the fuzzer keeps: its tables must stay in their bounds. */
const node = makeNode();
node.join(times, []);

/** Has every decoder read it, and a node take it as a request and as an answer to each of its own. */
export function feedKademlia(bytes: Bytes): void {
  decodeRequest(space.tag, bytes);
  decodeAnswer(bytes);
  decodeJsonRequest('fuzz', bytes, (peer) => peer);
  for (const { op } of queries) decodeJsonAnswer(op, bytes, times.wallMs);
  node.handleRequest(times, { id: other, addr: '\u0000@1', source: 'fuzz', payload: bytes });
  node.ping(times, { id: other, addr: '\u0000@1' });
  for (let output = node.poll(); output.type !== 'wait'; output = node.poll()) {
    if (output.type === 'transmit') node.handleAnswer(times, output.transmit.ask, bytes);
  }
}
