/** What nodes say to each other, in either form: `binary-messages.ts` and `json-messages.ts` write and read it. */

import type { Bytes } from '../../base/bytes.ts';
import type { KeyText } from './position.ts';

/** Contacts that are read of one answer; more are dropped. */
export const MAX_ANSWER_CONTACTS = 64;
/** Entries of one put. */
export const MAX_PUT_ENTRIES = 1024;
/** Keys of one announcement. */
export const MAX_ANNOUNCED_KEYS = 1024;
/** Records in an answer with providers. */
export const MAX_ANSWER_RECORDS = 16;
/** UTF-8 bytes of a contact's address. */
export const MAX_CONTACT_BYTES = 512;
/** Bytes of a key. */
export const MAX_KEY_BYTES = 256;
/** The largest value that may be configured. */
export const MAX_VALUE_BYTES = 16_384;
/** The longest time that a value may be asked to live: a week. */
export const MAX_TTL_MS = 604_800_000;
/** The largest request and answer that is read. */
export const MAX_MESSAGE_BYTES = 262_144;

/** Which form a node is known to speak. */
export const FORM = { unknown: 0, binary: 1, json: 2 } as const;
/** One of {@link FORM}. */
export type Form = (typeof FORM)[keyof typeof FORM];

/** A node as others name it. */
export interface WireContact {
  /** The raw PeerID. */
  readonly id: KeyText;
  /** Its address, in which U+0000 stands for the PeerID; see `packAddr`. Several have U+000A between them. */
  readonly addr: string;
  readonly form: Form;
}

/** A value to store. */
export interface PutEntry {
  readonly key: Bytes;
  readonly value: Bytes;
  readonly ttlMs: number;
}

/** What a request asks. */
export type Query =
  | { readonly op: 'ping' }
  /** The nodes closest to a position. `peer` is the raw PeerID at that position where there is one: the JSON form needs it. */
  | { readonly op: 'find'; readonly position: KeyText; readonly peer?: KeyText | undefined; readonly limit: number }
  | { readonly op: 'get'; readonly key: Bytes }
  | { readonly op: 'put'; readonly entries: readonly PutEntry[] }
  /** The asker's own signed record, and positions of keys that it provides. */
  | {
      readonly op: 'announce';
      readonly record: Bytes | undefined;
      readonly positions: readonly KeyText[];
      readonly ttlMs: number;
    }
  /** The signed record of a peer. */
  | { readonly op: 'record'; readonly peer: KeyText }
  /** The records of the peers that provide a key. */
  | { readonly op: 'providers'; readonly position: KeyText };

/** A request with what its sender says of itself. */
export interface KadRequest {
  readonly query: Query;
  /** Others cannot ask the sender: it is not taken into tables. */
  readonly isClient: boolean;
  /** Where the sender can be asked, packed; empty: where the request came from. */
  readonly addr: string;
}

/** What a node did with an announced record. */
export const RECORD_VERDICTS = ['none', 'taken', 'stale', 'from_the_future', 'expired', 'refused'] as const;
/** One of {@link RECORD_VERDICTS}. */
export type RecordVerdict = (typeof RECORD_VERDICTS)[number];

/** What an answer says. */
export type Reply =
  | { readonly op: 'ping' }
  | { readonly op: 'find'; readonly contacts: readonly WireContact[] }
  | {
      readonly op: 'get';
      readonly value: Bytes | undefined;
      /** How long the value lives from now on. */
      readonly ttlMs: number;
      readonly contacts: readonly WireContact[];
    }
  | { readonly op: 'put'; readonly accepted: readonly boolean[] }
  | { readonly op: 'announce'; readonly record: RecordVerdict; readonly accepted: number }
  | { readonly op: 'record'; readonly record: Bytes | undefined; readonly contacts: readonly WireContact[] }
  | { readonly op: 'providers'; readonly records: readonly Bytes[]; readonly contacts: readonly WireContact[] }
  /** The asked node is in a network with another name. */
  | { readonly op: 'wrong_network' };

/** An answer with what its sender says of itself. */
export interface KadAnswer {
  readonly reply: Reply;
  readonly isClient: boolean;
  /** Whether the sender speaks the binary form. */
  readonly isBinary: boolean;
  /** The sender's clock; milliseconds since the Unix epoch. Absent in JSON answers other than to a ping. */
  readonly wallMs: number | undefined;
  /** Contacts beyond {@link MAX_ANSWER_CONTACTS} that were not read. */
  readonly surplus: number;
}

/** Stands for the PeerID in an address that is stored and sent. */
const SELF = '\u0000';

/** An address text with its PeerID as one character. */
export function packAddr(text: string, id: string): string {
  return text.replaceAll(id, SELF);
}

/** The text of a packed address. */
export function unpackAddr(addr: string, id: string): string {
  return addr.replaceAll(SELF, id);
}
