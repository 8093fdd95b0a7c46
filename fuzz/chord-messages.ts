/** Messages of a ring: read, and taken by a node as requests and as answers. */

import type { Bytes } from '../src/base/bytes.ts';
import { ChordNode } from '../src/protocols/chord/node.ts';
import {
  encodeFound,
  encodeNeighbours,
  encodeRequest,
  readFound,
  readNeighbours,
  readRequest,
} from '../src/protocols/chord/messages.ts';

const tag = new Uint8Array(8).fill(7);
const place = (n: number): Bytes => new Uint8Array(32).fill(n);

export const chordSeeds: readonly Bytes[] = [
  encodeRequest(tag, { type: 'state' }),
  encodeRequest(tag, { type: 'notify', addr: '12' }),
  encodeRequest(tag, { type: 'find', key: place(90) }),
  encodeNeighbours({ predecessor: '5', successors: ['6', '70', '200'] }),
  encodeFound({ kind: 'owners', addrs: ['8', '9'] }),
  encodeFound({ kind: 'closer', addrs: ['100', '110', '120'] }),
];

const node = new ChordNode(0, {
  addr: '1',
  idOf: (addr) => (/^\d{1,3}$/.test(addr) ? place(Number(addr) % 256) : undefined),
  tag,
  maxSuccessors: 4,
  everyMs: 1000,
  callTimeoutMs: 500,
  maxLookups: 4,
});
let now = 0;
const calls: number[] = [];

/** The node never throws, and what it asks per input is bounded. */
export function feedChord(bytes: Bytes): void {
  readRequest(bytes, tag);
  readNeighbours(bytes);
  readFound(bytes);
  node.handleRequest({ addr: String(bytes[0] ?? 0), network: String((bytes[0] ?? 0) % 4) }, bytes);
  now += 100;
  node.handleTimeout(now);
  node.lookup(place(bytes.length % 256));
  for (let outputs = 0; ; outputs++) {
    const output = node.poll();
    if (output.type === 'wait') break;
    if (output.type === 'transmit') calls.push(output.transmit.call);
    if (outputs > 1000) throw new Error('a thousand outputs for one input');
  }
  const call = calls.shift();
  if (call !== undefined) node.handleAnswer(call, bytes.length % 5 === 0 ? undefined : bytes);
  if (calls.length > 200) throw new Error('calls are not bounded');
}
