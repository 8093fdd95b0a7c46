/** What the machine of a DHT node takes and gives. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { LookupEnd } from './lookup.ts';
import type { RecordVerdict } from './messages.ts';
import type { KeySpace, KeyText } from './position.ts';
import type { StoreLimits } from './stores.ts';

/** A node to ask: its raw PeerID and its packed address. */
export interface NodeRef {
  readonly id: KeyText;
  readonly addr: string;
}

/** What a store of signed records says of one. */
export interface TakenRecord {
  /** The raw PeerID of its subject. */
  readonly id: KeyText;
  readonly issuedMs: number;
  /** Whether it was not known: the same record again is no fault. */
  readonly isNew: boolean;
  /** Packed addresses that nobody has reached yet from here. */
  readonly unproven: readonly string[];
}

/** Signed records of peers. Signatures are checked there, each once. */
export interface Records {
  /** The own signed record; `undefined` without a key or without addresses. */
  own(): Bytes | undefined;
  /**
   * Takes a record if it is validly signed, newer than the known one, and inside its lifetime.
   *
   * @param subject - the raw PeerID whose record it must be; `undefined`: anybody's
   * @param from - the raw PeerID that sent it
   * @param source - what the sender counts as
   */
  add(
    wallMs: number,
    bytes: Bytes,
    subject: KeyText | undefined,
    from: KeyText,
    source: string,
  ): TakenRecord | Exclude<RecordVerdict, 'none' | 'taken'>;
  /** The record with those addresses that were reached from here; `undefined` without one. */
  handOn(wallMs: number, id: KeyText): Bytes | undefined;
  /** An address led to its peer. */
  reached(id: KeyText, addr: string): void;
}

/** The settings of a node. */
export interface NodeOptions extends StoreLimits {
  /** The own raw PeerID. */
  readonly self: KeyText;
  readonly networkName: string;
  readonly space: KeySpace;
  /** Contacts in a bucket, and nodes that store a value. */
  readonly k: number;
  readonly alpha: number;
  /** Disjoint paths of a lookup. */
  readonly paths: number;
  readonly maxTries: number;
  readonly maxPerNetwork: number;
  readonly maxPerNetworkInBucket: number;
  readonly refreshMs: number;
  readonly republishMs: number;
  /** How long a lookup may take. */
  readonly lookupMs: number;
  /** Keys and values that this node republishes. */
  readonly maxPublished: number;
  /** The largest message that the swarm takes. */
  readonly maxMessageBytes: number;
  /** `'json'`: speaks the form of go-p2p only. */
  readonly form: 'auto' | 'json';
  /** Whether a node that asks, or answers, can be reached by others, as far as this one knows. */
  readonly isReachable: (id: KeyText) => boolean;
  /** Whether others cannot reach this node. */
  readonly isClient: () => boolean;
  /** The own packed address; empty when requests show it. */
  readonly ownAddr: () => string;
  readonly networkOf: (addr: string, id: KeyText) => string;
  /** Whether a value may be stored and returned under a key. */
  readonly validate: (key: Bytes, value: Bytes) => boolean;
  readonly records: Records;
  /** Whether an answer proves that the asked address leads to its peer; else a probe does. */
  readonly answersProve: boolean;
  /** Random numbers for targets and delays. */
  readonly seed: string;
}

/** A request to send. */
export interface KadTransmit {
  /** For `handleAnswer` and `handleFailure`. */
  readonly ask: number;
  readonly to: NodeRef;
  readonly payload: Bytes;
  readonly timeoutMs: number;
  /** Whether the node has answered at this address before; else somebody only named it. */
  readonly isProven: boolean;
  /** Whether it repeats a request that was not answered. */
  readonly isRetry: boolean;
  /** A probe of an address: it must go to the address, whatever session there is with the peer. */
  readonly isProbe: boolean;
}

/** How a lookup went. */
export interface LookupReport {
  /** What was looked for: `find`, `get`, `record`, `providers`, `store`, `join`, `refresh`. */
  readonly what: string;
  /** The raw position. */
  readonly target: KeyText;
  readonly hops: number;
  /** Requests sent, repeated ones included. */
  readonly asked: number;
  readonly answered: number;
  readonly failed: number;
  readonly ended: LookupEnd;
  readonly tookMs: number;
  /** Contacts that were not taken, by reason. */
  readonly untaken: {
    readonly self: number;
    readonly farther: number;
    readonly network: number;
    readonly surplus: number;
  };
  /** How many times closer the closest nodes are than expected; absent when that is not known. */
  readonly density: number | undefined;
  /** Whether there were suspiciously many nodes, so that the lookup took the whole region. */
  readonly isCrowded: boolean;
  /** The closest nodes that answered, from the closest on. */
  readonly nearest: readonly NodeRef[];
}

/** What came of storing. */
export interface StoreReport {
  /** For each thing that was stored, the nodes that took it, this one included. */
  readonly accepted: readonly number[];
  /** Requests sent for it, lookups included. */
  readonly asked: number;
  readonly lookups: readonly LookupReport[];
  /** What nodes did with the record, by verdict. */
  readonly records: ReadonlyMap<RecordVerdict, number>;
}

/** What the machine reports. */
export type KadEvent =
  | { readonly type: 'found'; readonly op: number; readonly report: LookupReport }
  | {
      readonly type: 'value';
      readonly op: number;
      readonly value: Bytes | undefined;
      readonly ttlMs: number;
      readonly report: LookupReport;
    }
  /** The peers whose records the store has taken, those of which the record was issued last first. */
  | { readonly type: 'records'; readonly op: number; readonly ids: readonly KeyText[]; readonly report: LookupReport }
  | { readonly type: 'stored'; readonly op: number; readonly report: StoreReport }
  | { readonly type: 'joined'; readonly op: number; readonly report: LookupReport; readonly peers: number }
  | { readonly type: 'pong'; readonly op: number; readonly rttMs: number | undefined }
  | { readonly type: 'clock_differs'; readonly peer: NodeRef; readonly differenceMs: number }
  /** So many nodes in a row did not answer that this node itself seems to have lost its network. */
  | { readonly type: 'offline' }
  | { readonly type: 'online' }
  | { readonly type: 'dropped'; readonly reason: KadDrop; readonly count: number };

/** Why something was dropped. */
export type KadDrop =
  | 'malformed'
  | 'wrong_network'
  | 'wrong_answer'
  | 'too_many_contacts'
  | 'self_named'
  | 'farther'
  | 'crowded_network'
  | 'bad_record'
  | 'stale_record'
  | 'future_record'
  | 'expired_record'
  | 'invalid_value'
  | 'value_refused'
  | 'key_refused'
  | 'table_full'
  | 'no_signer';

/** A request that came. */
export interface Incoming {
  /** The raw PeerID that the swarm has proven for the asker. */
  readonly id: KeyText;
  /** Packed: where the request came from. */
  readonly addr: string;
  /** What the asker counts as: the network of its IP, or its PeerID. */
  readonly source: string;
  readonly payload: Bytes;
}

/** The times of an input. */
export interface Times {
  readonly now: Millis;
  /** Milliseconds since the Unix epoch. */
  readonly wallMs: number;
}
