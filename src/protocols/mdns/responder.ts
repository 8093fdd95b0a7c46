/**
 * Announces a service on one interface and answers questions about it (RFC 6762 §6 to §10): probes for its names, announces twice,
 * answers, says goodbye.
 */

import type { SocketAddress } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';
import { DNS_TYPE, type DnsMessage, type DnsRecord, encodeMdns, nameKey } from './message.ts';
import { additionalFor, allRecords, isSameRecord, recordKey, recordsFor, type ServiceRecords } from './records.ts';

/** RFC 6762 §8.1. */
const PROBES = 3;
const PROBE_PAUSE_MS = 250;
/** RFC 6762 §8.3. */
const ANNOUNCEMENTS = 2;
const ANNOUNCE_PAUSE_MS = 1000;
/** RFC 6762 §6: shared answers wait, so that not all hosts answer at once. */
const SHARED_DELAY_MS = [20, 120] as const;
/** RFC 6762 §7.2: more known answers may follow. */
const TRUNCATED_DELAY_MS = [400, 500] as const;
/** RFC 6762 §6: no record is multicast more often; for defence against a probe (§6.2) more often. */
const REPEAT_MS = 1000;
const DEFENCE_MS = 250;
/** RFC 6762 §6.7: who asks from another port keeps no cache. */
const LEGACY_TTL_S = 10;
const MDNS_PORT = 5353;
/** Bytes of a unicast answer for each byte of the query, as everywhere. */
const MAX_FACTOR = 3;

/** What a responder needs of its machine. */
export interface ResponderHooks {
  /** @param to - `undefined`: the group. */
  readonly send: (message: DnsMessage, to: SocketAddress | undefined) => void;
  /** A whole number of milliseconds. */
  readonly between: (min: number, max: number) => number;
  /** The records of now; `undefined` while nothing is announced on the interface. */
  readonly records: () => ServiceRecords | undefined;
}

type State = 'idle' | 'probing' | 'announcing' | 'announced';

const NO_RECORDS: readonly DnsRecord[] = [];

/** A response of multicast DNS has no id and no questions (RFC 6762 §18.1, §6). */
export function responseOf(answers: readonly DnsRecord[], additionals: readonly DnsRecord[] = NO_RECORDS): DnsMessage {
  return { ...EMPTY_MESSAGE, isResponse: true, answers, additionals };
}

const EMPTY_MESSAGE: DnsMessage = {
  id: 0,
  isResponse: false,
  isTruncated: false,
  questions: [],
  answers: NO_RECORDS,
  authorities: NO_RECORDS,
  additionals: NO_RECORDS,
};

export class Responder {
  readonly #hooks: ResponderHooks;
  #state: State = 'idle';
  /** Probes or announcements that have been sent. */
  #sent = 0;
  #nextMs: Millis = Infinity;
  /** Answers that wait to be multicast, by key. Bounded by the records of the service. */
  readonly #pending = new Map<string, DnsRecord>();
  #pendingMs: Millis = Infinity;
  /** When each record was multicast last. Bounded by the records of the service: cleared when they change. */
  readonly #sentMs = new Map<string, Millis>();

  constructor(hooks: ResponderHooks) {
    this.#hooks = hooks;
  }

  /** When {@link Responder.handleTimeout} is due. */
  get dueMs(): Millis {
    return Math.min(this.#nextMs, this.#pendingMs);
  }

  get state(): State {
    return this.#state;
  }

  /** Begins to probe. @param delayMs - before the usual random delay. */
  start(now: Millis, delayMs = 0): void {
    this.#state = 'probing';
    this.#sent = 0;
    this.#pending.clear();
    this.#sentMs.clear();
    this.#pendingMs = Infinity;
    this.#nextMs = now + delayMs + this.#hooks.between(0, PROBE_PAUSE_MS);
  }

  /** The records have changed: announces them again. */
  refresh(now: Millis): void {
    if (this.#state !== 'announced' && this.#state !== 'announcing') return;
    this.#state = 'announcing';
    this.#sent = 0;
    this.#sentMs.clear();
    this.#nextMs = now;
  }

  /** Says that the records are gone. */
  goodbye(): void {
    const records = this.#hooks.records();
    if (records !== undefined && (this.#state === 'announced' || this.#state === 'announcing')) {
      const all = allRecords(records).filter((record) => record !== records.meta);
      this.#hooks.send(responseOf(all.map((record) => ({ ...record, ttlS: 0 }))), undefined);
    }
    this.#state = 'idle';
    this.#nextMs = this.#pendingMs = Infinity;
    this.#pending.clear();
  }

  handleTimeout(now: Millis): void {
    if (now >= this.#nextMs) this.#act(now);
    if (now >= this.#pendingMs) this.#flush(now);
  }

  /** Takes a query; `bytes` is its length. */
  handleQuery(now: Millis, query: DnsMessage, from: SocketAddress, bytes: number): void {
    const records = this.#hooks.records();
    if (records === undefined || this.#state === 'idle' || this.#state === 'probing') return;
    if (query.questions.length === 0) this.#forget(query.answers);
    const asked = [...new Set(query.questions.flatMap((question) => recordsFor(question, records)))];
    const answers = asked.filter((record) => !isKnown(record, query.answers));
    if (answers.length === 0) return;
    const isProbe = query.authorities.length > 0;
    if (from.port !== MDNS_PORT) this.#answerLegacy(query, answers, from, bytes);
    else if (!query.questions.every(({ wantsUnicast }) => wantsUnicast) || !this.#answerTo(answers, from, bytes)) {
      this.#schedule(now, answers, query.isTruncated, isProbe);
    }
  }

  #act(now: Millis): void {
    const records = this.#hooks.records();
    if (records === undefined) {
      // Nothing to announce: it begins anew when there is.
      this.#state = 'idle';
      this.#nextMs = Infinity;
    } else if (this.#state === 'probing' && this.#sent < PROBES) {
      this.#probe(records);
      this.#sent++;
      this.#nextMs = now + PROBE_PAUSE_MS;
    } else {
      if (this.#state === 'probing') this.#sent = 0;
      this.#multicast(now, allRecords(records), NO_RECORDS);
      this.#state = ++this.#sent < ANNOUNCEMENTS ? 'announcing' : 'announced';
      this.#nextMs = this.#state === 'announcing' ? now + ANNOUNCE_PAUSE_MS : Infinity;
    }
  }

  #probe({ location, hosts }: ServiceRecords): void {
    const names = new Set([location, ...hosts].map(({ name }) => name));
    const questions = Array.from(names, (name) => ({ name, type: DNS_TYPE.ANY, wantsUnicast: false }));
    const authorities = [location, ...hosts].map((record) => ({ ...record, isUnique: false }));
    this.#hooks.send({ ...EMPTY_MESSAGE, questions, authorities }, undefined);
  }

  #schedule(now: Millis, answers: readonly DnsRecord[], isTruncated: boolean, isProbe: boolean): void {
    const pauseMs = isProbe ? DEFENCE_MS : REPEAT_MS;
    const due = answers.filter((record) => now >= (this.#sentMs.get(recordKey(record)) ?? -Infinity) + pauseMs);
    if (due.length === 0) return;
    for (const record of due) this.#pending.set(recordKey(record), record);
    const [min, max] = isTruncated
      ? TRUNCATED_DELAY_MS
      : due.every(({ isUnique }) => isUnique)
        ? [0, 0]
        : SHARED_DELAY_MS;
    this.#pendingMs = Math.min(this.#pendingMs, now + this.#hooks.between(min, max));
  }

  #flush(now: Millis): void {
    this.#pendingMs = Infinity;
    const records = this.#hooks.records();
    const answers = records === undefined ? [] : allRecords(records).filter((one) => this.#pending.has(recordKey(one)));
    this.#pending.clear();
    if (answers.length > 0) this.#multicast(now, answers, additionalFor(answers, records!));
  }

  #multicast(now: Millis, answers: readonly DnsRecord[], additionals: readonly DnsRecord[]): void {
    for (const record of answers) this.#sentMs.set(recordKey(record), now);
    this.#hooks.send(responseOf(answers, additionals), undefined);
  }

  /** @returns false when the answer is too large for the query: it is then multicast. */
  #answerTo(answers: readonly DnsRecord[], to: SocketAddress, bytes: number): boolean {
    const additionals = additionalFor(answers, this.#hooks.records()!);
    for (const more of [additionals, NO_RECORDS]) {
      const response = responseOf(answers, more);
      if (encodeMdns(response).length > MAX_FACTOR * bytes) continue;
      this.#hooks.send(response, to);
      return true;
    }
    return false;
  }

  #answerLegacy(query: DnsMessage, answers: readonly DnsRecord[], to: SocketAddress, bytes: number): void {
    const plain = answers.map((record) => ({ ...record, isUnique: false, ttlS: Math.min(record.ttlS, LEGACY_TTL_S) }));
    const questions = query.questions.map((question) => ({ ...question, wantsUnicast: false }));
    const response = { ...responseOf(plain), id: query.id, questions };
    if (encodeMdns(response).length <= MAX_FACTOR * bytes) this.#hooks.send(response, to);
  }

  /** More known answers of a query whose answers wait. */
  #forget(known: readonly DnsRecord[]): void {
    for (const [key, record] of this.#pending) if (isKnown(record, known)) this.#pending.delete(key);
  }
}

/** RFC 6762 §7.1: who has at least half of the TTL left does not need the record. */
function isKnown(record: DnsRecord, known: readonly DnsRecord[]): boolean {
  return known.some((one) => isSameRecord(one, record) && one.ttlS * 2 >= record.ttlS);
}

/** Whether a response or a probe of somebody else has other data for one of the names. */
export function conflicts(
  theirs: readonly DnsRecord[],
  ours: ServiceRecords,
  isOwn: (record: DnsRecord) => boolean,
): boolean {
  const names = new Set([ours.location, ...ours.hosts].map(({ name }) => nameKey(name)));
  return theirs.some(
    (record) => names.has(nameKey(record.name)) && record.ttlS > 0 && record.type !== DNS_TYPE.TXT && !isOwn(record),
  );
}
