/** What a lookup did, for people and for tests. */

import { toHex } from '../../base/bytes.ts';
import { encodePeerId, type PeerId } from '../../core/peer-id.ts';
import type { LookupEnd } from '../../protocols/kademlia/lookup.ts';
import { unpackAddr } from '../../protocols/kademlia/messages.ts';
import type { LookupReport, NodeRef } from '../../protocols/kademlia/node-types.ts';
import { keyBytes } from '../../protocols/kademlia/position.ts';

/** A node of the DHT and where it answered. */
export interface DhtPeer {
  readonly id: PeerId;
  /** An address of the swarm, as text. */
  readonly addr: string;
}

/** How a lookup went, and why it ended. Plain data. */
export interface LookupExplanation {
  /** `find`, `get`, `record`, `providers`, `store`, `join` or `refresh`. */
  readonly what: string;
  /** The looked-up position, 64 hexadecimal digits. */
  readonly target: string;
  /** The longest chain of answers that led to a node that answered. */
  readonly hops: number;
  /** Requests sent, repeated ones included. */
  readonly asked: number;
  readonly answered: number;
  /** Nodes that were given up. */
  readonly failed: number;
  readonly ended: LookupEnd;
  readonly tookMs: number;
  /** Contacts that answers named and that were not taken, by reason. */
  readonly untaken: {
    /** This node, or the node that answered. */
    readonly self: number;
    /** Farther than the closest that have answered. */
    readonly farther: number;
    /** Of a network of IPs that has as many among them as it may. */
    readonly network: number;
    /** Beyond the 64 that are read of an answer. */
    readonly surplus: number;
  };
  /** How many times closer the closest nodes are than expected. @default unknown, in a network that is small or new */
  readonly density?: number | undefined;
  /** Whether there were suspiciously many nodes, so that the whole region was searched. */
  readonly isCrowded: boolean;
  /** The closest nodes that answered, from the closest on. */
  readonly nearest: readonly DhtPeer[];
  /** All of it as a sentence. */
  readonly text: string;
}

const ENDS: Readonly<Record<LookupEnd, string>> = {
  converged: 'the closest nodes have all answered',
  found: 'it was found',
  no_peers: 'no node is known: join with the address of one',
  no_answer: 'no node answered',
  too_many_asks: 'the limit of requests was reached',
  deadline: 'its time was over (lookupTimeoutMs)',
  stopped: 'it was stopped',
};

/** @internal The explanation of a report. */
export function explain(report: LookupReport, peerOf: (ref: NodeRef) => DhtPeer): LookupExplanation {
  const { what, hops, asked, answered, failed, ended, tookMs, untaken, density, isCrowded, nearest } = report;
  const left = Object.entries(untaken).filter(([, count]) => count > 0);
  const notes = [
    `${what}: ${hops} hops, ${asked} requests, ${answered} nodes answered, ${failed} did not, ${Math.round(tookMs)} ms`,
    `ended because ${ENDS[ended]}`,
    ...(left.length === 0 ? [] : [`not taken: ${left.map(([why, count]) => `${count} ${why}`).join(', ')}`]),
    ...(isCrowded
      ? [`suspiciously many nodes (${density?.toFixed(1) ?? '?'} times the density): searched the region`]
      : []),
  ];
  return {
    what,
    target: toHex(keyBytes(report.target)),
    hops,
    asked,
    answered,
    failed,
    ended,
    tookMs,
    untaken,
    density,
    isCrowded,
    nearest: nearest.map(peerOf),
    text: notes.join('; '),
  };
}

/** @internal A reference as its PeerID and the text of its address, PeerID included. */
export function peerOf({ id, addr }: NodeRef): DhtPeer {
  const text = encodePeerId(keyBytes(id));
  return { id: text, addr: unpackAddr(addr, text) };
}

/** @internal The report of a join that was not begun. */
export const NOTHING: LookupReport = {
  what: 'join',
  target: '\0'.repeat(32),
  hops: 0,
  asked: 0,
  answered: 0,
  failed: 0,
  ended: 'stopped',
  tookMs: 0,
  untaken: { self: 0, farther: 0, network: 0, surplus: 0 },
  density: undefined,
  isCrowded: false,
  nearest: [],
};
