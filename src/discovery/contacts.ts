/** Contacts: addresses that the program knows from its configuration, tried when nothing better is known. */

import { describeValue, assertFunction, assertString, quantity, wholeNumber } from '../base/checks.ts';
import { canonicalIp, formatSocketAddress, parseSocketAddress, whyNoHost } from '../base/ip.ts';
import type { Candidate, CandidateOptions, CandidateSource } from '../core/candidate.ts';
import { isPeerId, type PeerId } from '../core/peer-id.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { mayBeNamed } from '../net/probe-targets.ts';
import { shuffle } from '../runtime/shuffle.ts';
import { systemRealm } from '../runtime/system-realm.ts';
import { Waits } from '../runtime/waits.ts';
import { resolveName } from '#resolve';
import { socketAddressIn } from './addr-text.ts';

/** Resolves a DNS name to IPs. */
export type ResolveName = (name: string, options: { readonly signal: AbortSignal }) => Promise<readonly string[]>;

/** A contact that gave no candidate, or fewer than it might. */
export interface SkippedContact {
  /** As it stands in the list. */
  readonly contact: string;
  /** Why, as a sentence. */
  readonly text: string;
  readonly cause?: unknown;
}

/** Options of {@link contacts}. */
export interface ContactsOptions {
  /** How long a bootstrap waits for better sources before it asks this one; 0 asks all at once. @default 2000 */
  readonly fallbackAfterMs?: number | undefined;
  /** This node: contacts with its PeerID are skipped. */
  readonly self?: PeerId | undefined;
  /**
   * This node's addresses, as texts: contacts with one of them are skipped, and a DNS name may have private addresses
   * of the networks in them. @default none
   */
  readonly ownAddrs?: (() => readonly string[]) | undefined;
  /** @default the system's resolver */
  readonly resolve?: ResolveName | undefined;
  /** The time limit of a name. @default 5000 */
  readonly resolveTimeoutMs?: number | undefined;
  /** Addresses of one name that are used. @default 8 */
  readonly maxAddrsPerName?: number | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
  /** Called for a contact that is skipped, and for addresses of a name that must not be tried. Must not throw. */
  readonly onSkipped?: ((skipped: SkippedContact) => void) | undefined;
}

/** Contacts as a source of candidates. */
export interface ContactSource extends CandidateSource {
  /** See {@link ContactsOptions.fallbackAfterMs}. */
  readonly fallbackAfterMs: number;
  candidates(id?: PeerId, options?: CandidateOptions): AsyncIterable<Candidate>;
  /** Whether the list names this PeerID, or an address with this IP and port. Names are not resolved for it. */
  has(peerOrAddr: string): boolean;
}

/** Contacts in one list. */
const MAX_CONTACTS = 1024;
/** Names that are resolved at the same time. */
const MAX_LOOKUPS = 8;

interface Contact {
  readonly text: string;
  /** What stands before IP and port. */
  readonly prefix: string;
  readonly id: PeerId | undefined;
  /** An IP, or a DNS name. */
  readonly host: string;
  readonly isName: boolean;
  readonly port: number;
}

/**
 * Makes a source of contacts.
 *
 * @param list - `<PeerID>@203.0.113.7:4000`, `203.0.113.7:4000`, `[2001:db8::1]:4000`, `peer.example.org:4000`; each may
 * begin with the name of a transport, `tcp://`. Up to 1024.
 * @throws {TypeError | RangeError} for what is no contact, and for invalid options.
 */
export function contacts(list: readonly string[], options: ContactsOptions = {}): ContactSource {
  if (!Array.isArray(list)) throw new TypeError(`Cannot take contacts: expected an array, got ${describeValue(list)}`);
  if (list.length > MAX_CONTACTS) {
    throw new RangeError(`Cannot take contacts: expected up to ${MAX_CONTACTS}, got ${list.length}`);
  }
  return new Contacts(
    list.map((text, i) => parseContact(text, `contacts[${i}]`)),
    options,
  );
}

class Contacts implements ContactSource {
  readonly fallbackAfterMs: number;
  readonly #contacts: readonly Contact[];
  readonly #options: ContactsOptions;
  readonly #realm: Realm;
  readonly #resolve: ResolveName;
  readonly #resolveTimeoutMs: number;
  readonly #maxAddrs: number;
  readonly #waits: Waits;

  constructor(list: readonly Contact[], options: ContactsOptions) {
    const { realm = systemRealm, resolve = resolveName } = options;
    assertRealm(realm);
    assertFunction(resolve, 'resolve');
    for (const name of ['ownAddrs', 'onSkipped'] as const) {
      if (options[name] !== undefined) assertFunction(options[name], name);
    }
    this.fallbackAfterMs = quantity(options.fallbackAfterMs, 'fallbackAfterMs', 2000, 0, 600_000);
    this.#contacts = list;
    this.#options = options;
    this.#realm = realm;
    this.#resolve = resolve;
    this.#resolveTimeoutMs = quantity(options.resolveTimeoutMs, 'resolveTimeoutMs', 5000, 1, 600_000);
    this.#maxAddrs = wholeNumber(options.maxAddrsPerName, 'maxAddrsPerName', 8, 1, 64);
    this.#waits = new Waits(realm);
  }

  /** In random order, IPs before names, and names as they are resolved. With `id`, only contacts that name this peer. */
  async *candidates(id?: PeerId, { signal }: CandidateOptions = {}): AsyncGenerator<Candidate> {
    const wanted = shuffle(
      this.#realm,
      this.#contacts.filter((contact) => id === undefined || contact.id === id),
    ).filter((contact) => !this.#isSelf(contact));
    for (const contact of wanted) if (!contact.isName) yield this.#candidate(contact, contact.host);
    const names = wanted.filter(({ isName }) => isName);
    // Bounded by MAX_LOOKUPS.
    const lookups = new Map<Contact, Promise<{ readonly contact: Contact; readonly ips: readonly string[] }>>();
    while (names.length > 0 || lookups.size > 0) {
      while (names.length > 0 && lookups.size < MAX_LOOKUPS) {
        const contact = names.shift()!;
        lookups.set(
          contact,
          this.#lookUp(contact, signal).then((ips) => ({ contact, ips })),
        );
      }
      const { contact, ips } = await Promise.race(lookups.values());
      lookups.delete(contact);
      if (signal?.aborted === true) return;
      for (const ip of ips) yield this.#candidate(contact, ip);
    }
  }

  has(peerOrAddr: string): boolean {
    const socket = socketAddressIn(peerOrAddr);
    if (socket === undefined) return this.#contacts.some(({ id }) => id !== undefined && id === peerOrAddr);
    return this.#contacts.some(({ host, port }) => host === socket.ip && port === socket.port);
  }

  #candidate({ prefix, id, port }: Contact, ip: string): Candidate {
    const addr = prefix + formatSocketAddress(ip, port);
    const seenMs = Math.floor(this.#realm.wallMs());
    return { id, addr, source: 'contacts', seenMs, expiresMs: Infinity, trust: 'given' };
  }

  #isSelf({ text, id, host, port }: Contact): boolean {
    const { self } = this.#options;
    const isSelf = (id !== undefined && id === self) || this.#isOwn(host, port);
    if (isSelf) this.#skip(text, 'it is this node');
    return isSelf;
  }

  #isOwn(ip: string, port: number): boolean {
    return this.#own().some((own) => own.ip === ip && own.port === port);
  }

  #own(): { readonly ip: string; readonly port: number }[] {
    return (this.#options.ownAddrs?.() ?? []).flatMap((text) => socketAddressIn(text) ?? []);
  }

  /** The IPs of a contact with a name; none when it cannot be resolved. Never rejects. */
  async #lookUp({ text, host, port }: Contact, signal: AbortSignal | undefined): Promise<readonly string[]> {
    const over = new AbortController();
    const what = (): string => `resolve ${host}`;
    let answer: unknown;
    try {
      const options = { what, call: { signal }, defaultTimeoutMs: this.#resolveTimeoutMs };
      answer = await this.#waits.wait<unknown>(options, (wait) => {
        this.#resolve(host, { signal: over.signal }).then(wait.resolve, wait.reject);
        return () => over.abort(new Error('The name is no longer wanted'));
      });
    } catch (cause) {
      this.#skip(text, `${host} has no address`, cause);
      return [];
    }
    const found = Array.isArray(answer) ? answer.slice(0, this.#maxAddrs).map(String) : [];
    const own = this.#own().map(({ ip }) => ip);
    const ips = new Set<string>(); // Bounded by maxAddrsPerName.
    for (const each of found) {
      const ip = canonicalIp(each);
      if (ip === undefined) this.#skip(text, `${describeValue(each)}, an answer for ${host}, is no IP`);
      else if (this.#isOwn(ip, port)) this.#skip(text, 'it is this node');
      // The user wrote the name, but the server that answers for it chose the address.
      else if (whyNoHost(ip) !== undefined || !mayBeNamed(ip, own)) {
        this.#skip(text, `${ip}, an address of ${host}, is in a private network of others, or no host`);
      } else ips.add(ip);
    }
    return [...ips];
  }

  #skip(contact: string, why: string, cause?: unknown): void {
    const skipped = { contact, text: `Contact ${contact} is skipped: ${why}` };
    this.#options.onSkipped?.(cause === undefined ? skipped : { ...skipped, cause });
  }
}

/** A DNS name (RFC 1123 §2.1), whose last label is not a number; `_` occurs in practice. */
const NAME = /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/i;

/** @throws {TypeError} for what is no contact. @param label - the option that has it */
export function parseContact(text: unknown, label: string): Contact {
  assertString(text, label);
  const match = /^((?:[a-z][a-z0-9+.-]{0,31}:\/\/)?(?:([^@/]+)@)?)(.+):([0-9]{1,5})$/.exec(text);
  const [, prefix = '', id, host = '', portText = ''] = match ?? [];
  const port = Number(portText);
  const socket = match === null ? undefined : parseSocketAddress(`${host}:${portText}`);
  const isName = socket === undefined && NAME.test(host);
  if ((socket === undefined && !isName) || port < 1 || port > 65_535 || (id !== undefined && !isPeerId(id))) {
    const expected = 'expected 203.0.113.7:4000, peer.example.org:4000 or <PeerID>@ and one of these';
    throw new TypeError(`Cannot take ${label}: ${expected}, got ${describeValue(text)}`);
  }
  return { text, prefix, id, host: socket?.ip ?? host, isName, port };
}
