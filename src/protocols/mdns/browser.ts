/** Looks for the instances of a service on one interface (RFC 6762 §5.2, RFC 6763 §4). */

import type { Millis } from '../../base/machine.ts';
import { SourceShares } from '../../base/source-shares.ts';
import {
  DNS_TYPE,
  type DnsMessage,
  type DnsQuestion,
  type DnsRecord,
  encodeName,
  nameKey,
  readPtr,
  readSrv,
  readTxt,
} from './message.ts';
import { OTHER_TTL_S } from './records.ts';

/** RFC 6762 §5.2. */
const FIRST_DELAY_MS = [20, 120] as const;
const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 3_600_000;
/** RFC 6762 §10.1: gone after a second, if nobody contradicts. */
const GOODBYE_MS = 1000;
/** A record is asked for again at this share of its TTL. */
const REFRESH_SHARE = 0.8;
const MAX_INSTANCES = 256;
/** Instances asked for at once. */
const MAX_QUESTIONS = 16;
/** Known answers in a query: as many as fit into a packet. */
const MAX_KNOWN = 16;
/** Smaller and larger TTLs count as these, so that nobody makes a host ask all the time, or remember for ever. */
const TTL_S = { min: 10, max: 86_400 } as const;

/** An instance of the service. */
export interface FoundInstance {
  /** The first label of its name. */
  readonly label: string;
  readonly port: number;
  readonly host: string;
  readonly txt: readonly string[];
  /** The IP that the TXT record came from. */
  readonly ip: string;
}

interface Instance {
  readonly name: string;
  ip: string;
  /** When it expires: with its location, where that is known, else with its pointer. */
  expires: Millis;
  /** When the pointer expires, and what TTL it came with. */
  pointerExpires: Millis;
  ttlS: number;
  location: { readonly port: number; readonly host: string } | undefined;
  txt: readonly string[] | undefined;
  /** When to ask again for what it lacks, or for what is about to expire. */
  askMs: Millis;
  /** Between two such questions. */
  askPauseMs: number;
}

/** What a browser needs of its machine. */
export interface BrowserHooks {
  readonly send: (message: DnsMessage) => void;
  readonly between: (min: number, max: number) => number;
  /** An instance is complete, or was heard again. */
  readonly found: (instance: FoundInstance) => void;
  readonly gone: (label: string) => void;
}

export class Browser {
  readonly #type: string;
  readonly #typeKey: string;
  readonly #hooks: BrowserHooks;
  #nextMs: Millis = Infinity;
  #pauseMs = FIRST_PAUSE_MS;
  /** Instances are asked for in one message a second, whatever others say. */
  #earliestAskMs: Millis = -Infinity;
  /** By name. Bounded by {@link MAX_INSTANCES}, with a share for each host. */
  readonly #instances = new Map<string, Instance>();
  readonly #shares = new SourceShares<string>();

  constructor(type: string, hooks: BrowserHooks) {
    this.#type = type;
    this.#typeKey = nameKey(type);
    this.#hooks = hooks;
  }

  get size(): number {
    return this.#instances.size;
  }

  get dueMs(): Millis {
    let [due, ask] = [this.#nextMs, Infinity];
    for (const { askMs, expires } of this.#instances.values()) {
      due = Math.min(due, expires);
      ask = Math.min(ask, askMs);
    }
    return Math.min(due, Math.max(ask, this.#earliestAskMs));
  }

  start(now: Millis): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#nextMs = now + this.#hooks.between(...FIRST_DELAY_MS);
  }

  handleTimeout(now: Millis): void {
    for (const [key, { expires }] of this.#instances) if (now >= expires) this.#delete(key);
    const questions: DnsQuestion[] = [];
    if (now >= this.#nextMs) {
      // Several programs of a host share the port, and a unicast answer would reach one of them (RFC 6762 §15.1).
      questions.push({ name: this.#type, type: DNS_TYPE.PTR, wantsUnicast: false });
      this.#nextMs = now + this.#pauseMs;
      this.#pauseMs = Math.min(2 * this.#pauseMs, MAX_PAUSE_MS);
    }
    const answers = questions.length > 0 ? this.#known(now) : [];
    const forType = questions.length;
    for (const instance of this.#instances.values()) {
      if (now < this.#earliestAskMs || questions.length >= MAX_QUESTIONS) break;
      if (now < instance.askMs) continue;
      instance.askMs = now + instance.askPauseMs;
      questions.push({ name: instance.name, type: DNS_TYPE.ANY, wantsUnicast: false });
    }
    if (questions.length === 0) return;
    if (questions.length > forType) this.#earliestAskMs = now + FIRST_PAUSE_MS;
    const empty: readonly DnsRecord[] = [];
    const sections = { questions, answers, authorities: empty, additionals: empty };
    this.#hooks.send({ id: 0, isResponse: false, isTruncated: false, ...sections });
  }

  /** Takes a response. */
  handleResponse(now: Millis, { answers, additionals }: DnsMessage, ip: string): void {
    const heard = new Set<Instance>(); // Bounded by the records of the message.
    for (const record of [...answers, ...additionals]) {
      const instance = this.#handleRecord(now, record, ip);
      if (instance !== undefined) heard.add(instance);
    }
    for (const { name, location, txt, ip: from } of heard) {
      if (location === undefined || txt === undefined) continue;
      this.#hooks.found({ label: this.#labelOf(name)!, ...location, txt, ip: from });
    }
  }

  /** @returns the instance that it tells of. */
  #handleRecord(now: Millis, { name, type, ttlS, data }: DnsRecord, ip: string): Instance | undefined {
    const ttlMs = Math.min(Math.max(ttlS, TTL_S.min), TTL_S.max) * 1000;
    if (type === DNS_TYPE.PTR && nameKey(name) === this.#typeKey) {
      const target = readPtr(data);
      if (target === undefined || this.#labelOf(target) === undefined) return undefined;
      const known = this.#instances.get(nameKey(target));
      if (ttlS === 0) {
        if (known !== undefined) known.expires = Math.min(known.expires, now + GOODBYE_MS);
        return undefined;
      }
      const instance = known ?? this.#add(now, target, ip);
      instance.pointerExpires = now + ttlMs;
      instance.ttlS = ttlS;
      if (instance.location === undefined) this.#expire(instance, now, ttlMs);
      return instance;
    }
    if ((type !== DNS_TYPE.SRV && type !== DNS_TYPE.TXT) || ttlS === 0) return undefined;
    const instance = this.#instances.get(nameKey(name));
    if (instance === undefined) return undefined;
    if (type === DNS_TYPE.TXT) {
      instance.txt = readTxt(data);
      instance.ip = ip;
    } else {
      const location = readSrv(data);
      if (location === undefined) return undefined;
      instance.location = location;
      this.#expire(instance, now, ttlMs);
    }
    if (instance.location !== undefined && instance.txt !== undefined) {
      instance.askMs = instance.expires - (1 - REFRESH_SHARE) * 20 * instance.askPauseMs;
    }
    return instance;
  }

  /** It is asked for at 80 %, 85 %, 90 % and 95 % of a TTL (RFC 6762 §5.2). */
  #expire(instance: Instance, now: Millis, ttlMs: number): void {
    instance.expires = now + ttlMs;
    instance.askPauseMs = ttlMs / 20;
  }

  #add(now: Millis, name: string, ip: string): Instance {
    const key = nameKey(name);
    if (this.#instances.size >= MAX_INSTANCES) {
      this.#delete(this.#shares.victimFor(ip) ?? this.#instances.keys().next().value!);
    }
    const instance: Instance = {
      name,
      ip,
      expires: now,
      pointerExpires: now,
      ttlS: 0,
      location: undefined,
      txt: undefined,
      // What comes with the pointer needs no question.
      askMs: now + this.#hooks.between(...FIRST_DELAY_MS),
      askPauseMs: FIRST_PAUSE_MS,
    };
    this.#instances.set(key, instance);
    this.#shares.add(ip, key);
    return instance;
  }

  /** The pointers that need not be sent again: those with more than half of their TTL. */
  #known(now: Millis): readonly DnsRecord[] {
    const known: DnsRecord[] = [];
    for (const { name, pointerExpires, ttlS } of this.#instances.values()) {
      const leftS = Math.floor((pointerExpires - now) / 1000);
      if (leftS * 2 < Math.min(ttlS, OTHER_TTL_S) || known.length >= MAX_KNOWN) continue;
      known.push({ name: this.#type, type: DNS_TYPE.PTR, isUnique: false, ttlS: leftS, data: encodeName(name) });
    }
    return known;
  }

  #delete(key: string): void {
    const instance = this.#instances.get(key)!;
    this.#instances.delete(key);
    this.#shares.delete(key);
    if (instance.txt !== undefined) this.#hooks.gone(this.#labelOf(instance.name)!);
  }

  /** The first label of an instance's name; `undefined` when it is no instance of the type. */
  #labelOf(name: string): string | undefined {
    const at = name.length - this.#type.length - 1;
    if (at < 1 || name[at] !== '.' || nameKey(name.slice(at + 1)) !== this.#typeKey) return undefined;
    const label = name.slice(0, at);
    // One label: a dot in it has a backslash before it.
    return /^(?:[^\\.]|\\.)+$/u.test(label) ? label : undefined;
  }
}
