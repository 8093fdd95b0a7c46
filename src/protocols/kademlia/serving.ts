/** Answers to requests, from the table and what is stored for others. */

import type { Bytes } from '../../base/bytes.ts';
import type { Incoming, KadDrop, NodeOptions, TakenRecord, Times } from './node-types.ts';
import {
  MAX_ANSWER_CONTACTS,
  MAX_ANSWER_RECORDS,
  MAX_VALUE_BYTES,
  type PutEntry,
  type Query,
  type RecordVerdict,
  type Reply,
  type WireContact,
} from './messages.ts';
import type { KeyText } from './position.ts';
import { ProviderStore, type StoreRefusal, ValueStore } from './stores.ts';
import type { Table } from './table.ts';

/** What serving needs of the node. */
export interface ServingHooks {
  readonly drop: (reason: KadDrop) => void;
  /** An address of a record is to be probed before it is handed on. */
  readonly probe: (times: Times, id: KeyText, addr: string, source: string) => void;
}

const RECORD_DROPS: Readonly<Record<Exclude<RecordVerdict, 'none' | 'taken'>, KadDrop>> = {
  stale: 'stale_record',
  from_the_future: 'future_record',
  expired: 'expired_record',
  refused: 'bad_record',
};

/** Addresses of a record that are probed. */
const MAX_PROBED_ADDRS = 3;

export class Serving {
  readonly values: ValueStore;
  readonly providers: ProviderStore;
  readonly #options: NodeOptions;
  readonly #table: Table;
  readonly #hooks: ServingHooks;

  constructor(options: NodeOptions, table: Table, hooks: ServingHooks) {
    const own = options.space.ofPeer(options.self);
    this.#options = options;
    this.#table = table;
    this.#hooks = hooks;
    this.values = new ValueStore(own, options);
    this.providers = new ProviderStore(own, options);
  }

  /** The answer to a query. */
  reply(times: Times, from: Omit<Incoming, 'payload'>, query: Query): Reply {
    const { space } = this.#options;
    const { op } = query;
    switch (op) {
      case 'ping':
        return { op };
      case 'find':
        return { op, contacts: this.#contacts(query.position, from.id, query.limit) };
      case 'get': {
        const position = space.ofKey(query.key);
        const stored = this.values.get(times.now, position);
        return {
          op,
          value: stored?.value,
          ttlMs: stored === undefined ? 0 : Math.ceil(stored.ttlMs),
          contacts: this.#contacts(position, from.id),
        };
      }
      case 'put':
        return { op, accepted: query.entries.map((entry) => this.put(times, from, entry) === undefined) };
      case 'announce':
        return { op, ...this.announce(times, from, query) };
      case 'record':
        return {
          op,
          record: this.#record(times, query.peer),
          contacts: this.#contacts(space.ofPeer(query.peer), from.id),
        };
      case 'providers':
        break;
    }
    return {
      op,
      records: this.providers
        .get(times.now, query.position)
        .slice(0, MAX_ANSWER_RECORDS)
        .flatMap((id) => this.#record(times, id) ?? []),
      contacts: this.#contacts(query.position, from.id),
    };
  }

  /** Stores a value of a peer. @returns why not, if not */
  put(
    times: Times,
    from: Omit<Incoming, 'payload'>,
    { key, value, ttlMs }: PutEntry,
  ): StoreRefusal | 'invalid' | undefined {
    if (key.length === 0 || value.length > MAX_VALUE_BYTES || !this.#options.validate(key, value)) {
      this.#hooks.drop('invalid_value');
      return 'invalid';
    }
    const { id: by, source } = from;
    const refusal = this.values.put(times.now, this.#options.space.ofKey(key), { value, ttlMs, by, source });
    if (refusal !== undefined) this.#hooks.drop('value_refused');
    return refusal;
  }

  /** Notes a peer's record and the keys that it provides. */
  announce(
    times: Times,
    from: Omit<Incoming, 'payload'>,
    {
      record,
      positions,
      ttlMs,
    }: { readonly record: Bytes | undefined; readonly positions: readonly KeyText[]; readonly ttlMs: number },
  ): { readonly record: RecordVerdict; readonly accepted: number } {
    const verdict = record === undefined ? 'none' : this.#takeOwn(times, from, record);
    let accepted = 0;
    for (const position of positions) {
      if (this.providers.add(times.now, position, from.id, from.source, ttlMs) === undefined) accepted++;
      else this.#hooks.drop('key_refused');
    }
    return { record: verdict, accepted };
  }

  /**
   * Takes a record that a lookup found; drops of what is merely known already are not counted.
   *
   * @param subject - whose record it must be; `undefined`: anybody's
   */
  take(wallMs: number, bytes: Bytes, subject: KeyText | undefined, from: KeyText): TakenRecord | undefined {
    const taken = this.#options.records.add(wallMs, bytes, subject, from, from);
    if (typeof taken !== 'string') return taken;
    this.#hooks.drop(RECORD_DROPS[taken]);
    return undefined;
  }

  /** Takes the record that its subject announces, and has its addresses probed. */
  #takeOwn(times: Times, { id, source }: Omit<Incoming, 'payload'>, bytes: Bytes): RecordVerdict {
    const taken = this.#options.records.add(times.wallMs, bytes, id, id, source);
    if (typeof taken === 'string') {
      this.#hooks.drop(RECORD_DROPS[taken]);
      return taken;
    }
    for (const addr of taken.unproven.slice(0, MAX_PROBED_ADDRS)) this.#hooks.probe(times, id, addr, source);
    return taken.isNew ? 'taken' : 'stale';
  }

  #record({ wallMs }: Times, id: KeyText): Bytes | undefined {
    const { records, self } = this.#options;
    return id === self ? records.own() : records.handOn(wallMs, id);
  }

  /** Healthy contacts near a position; not the asker, which knows itself. */
  #contacts(position: KeyText, asker: KeyText, limit = 0): readonly WireContact[] {
    const { k } = this.#options;
    const count = limit > 0 ? Math.min(limit, MAX_ANSWER_CONTACTS) : k;
    const contacts = this.#table.closest(position, count + 1, 'healthy').filter(({ id }) => id !== asker);
    return contacts.slice(0, count);
  }
}
