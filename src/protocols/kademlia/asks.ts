/** Requests under way: their form, their time, and what their answers say of the nodes that were asked. */

import type { Bytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { decodeAnswer, encodeRequest, isBinary } from './binary-messages.ts';
import { decodeJsonAnswer, encodeJsonRequest } from './json-messages.ts';
import { FORM, type Form, type KadAnswer, type Query } from './messages.ts';
import type { KadDrop, KadTransmit, NodeOptions, NodeRef, Times } from './node-types.ts';
import type { KeyText } from './position.ts';
import { RoundTrips } from './round-trips.ts';
import type { Contact, Table } from './table.ts';

/** A query, and its encoded forms once they are needed: a lookup sends the same bytes to all nodes. */
export class Prepared {
  readonly query: Query;
  readonly #options: NodeOptions;
  #binary: Bytes | undefined;
  #json: Bytes | undefined;

  constructor(query: Query, options: NodeOptions) {
    this.query = query;
    this.#options = options;
  }

  /** `undefined` when the form has no such request. */
  bytes(form: Form): Bytes | undefined {
    const { space, networkName } = this.#options;
    if (form === FORM.binary) return (this.#binary ??= encodeRequest(space.tag, this.#request()));
    return (this.#json ??= encodeJsonRequest(networkName, this.#request(), this.#options.form === 'auto'));
  }

  #request(): { readonly query: Query; readonly isClient: boolean; readonly addr: string } {
    return { query: this.query, isClient: this.#options.isClient(), addr: this.#options.ownAddr() };
  }
}

/** How a request ended. */
export interface Outcome {
  readonly answer: KadAnswer | undefined;
  /** Without an answer: whether it makes no sense to ask this node again. */
  readonly isFinal: boolean;
  /** Without an answer: whether that speaks against the node. */
  readonly isDead: boolean;
}

/** Why a request has no answer. */
export type FailedAsk = 'silent' | 'unreachable' | 'refused' | 'not_tried';

/** A node to ask, and what is known of its form. */
export type Target = NodeRef & { readonly form: Form };

/** A request to send. */
export interface AskSpec {
  readonly to: Target;
  readonly request: Prepared;
  /** Earlier tries. @default 0 */
  readonly tries?: number | undefined;
  /** Goes to this very address. @default false */
  readonly isProbe?: boolean | undefined;
  readonly done: (times: Times, outcome: Outcome) => void;
}

interface Pending extends AskSpec {
  readonly addr: string;
  readonly form: Form;
  readonly sentMs: Millis;
}

/** What the asks report to their node. */
export interface AskHooks {
  readonly transmit: (transmit: KadTransmit) => void;
  readonly drop: (reason: KadDrop) => void;
  readonly clockDiffers: (peer: NodeRef, differenceMs: number) => void;
  /** A node was heard after so many had not answered that this node seemed to be offline; and the opposite. */
  readonly onlineChanged: (times: Times, isOnline: boolean) => void;
}

/** So many nodes in a row without an answer mean that it is this node that is not connected. */
const OFFLINE_AFTER = 8;
/** Smaller differences of clocks are not reported. */
const CLOCK_DIFFERS_MS = 60_000;
/** Nodes whose different clocks were reported. */
const MAX_REPORTED_CLOCKS = 256;

export class Asks {
  readonly #options: NodeOptions;
  readonly #table: Table;
  readonly #hooks: AskHooks;
  readonly #roundTrips = new RoundTrips();
  /** By number. Bounded by the lookups, checks and stores that run. */
  readonly #pending = new Map<number, Pending>();
  /** Nodes given up since one was heard last. Bounded by {@link OFFLINE_AFTER}. */
  readonly #silent = new Set<KeyText>();
  /** Nodes whose clock was reported. Bounded by {@link MAX_REPORTED_CLOCKS}: then it is cleared. */
  readonly #clocks = new Set<KeyText>();
  #next = 0;
  #sent = 0;

  constructor(options: NodeOptions, table: Table, hooks: AskHooks) {
    this.#options = options;
    this.#table = table;
    this.#hooks = hooks;
  }

  /** Requests sent so far. */
  get sent(): number {
    return this.#sent;
  }

  get pending(): number {
    return this.#pending.size;
  }

  /** Whether this node seems to have lost its network: contacts do not expire meanwhile. */
  get isOffline(): boolean {
    return this.#silent.size >= OFFLINE_AFTER;
  }

  send(times: Times, spec: AskSpec): void {
    const { to, request, tries = 0, isProbe = false } = spec;
    const known = this.#table.get(to.id);
    const isKnown = known !== undefined && known.answeredMs !== -Infinity;
    // What this node has proven itself counts more than what others say.
    const addr = isKnown && !isProbe ? known.addr : to.addr;
    const form =
      this.#options.form === 'json' ? FORM.json : isKnown && known.form !== FORM.unknown ? known.form : to.form;
    const payload = request.bytes(form);
    if (payload === undefined) {
      this.#learnForm(times, spec, form);
      return;
    }
    const ask = this.#next++;
    const pending: Pending = { ...spec, addr, form, sentMs: times.now };
    this.#pending.set(ask, pending);
    this.#sent++;
    const timeoutMs = this.#roundTrips.timeoutMs(isKnown ? known.rttMs : undefined, tries);
    const isProven = isKnown && known.addr === addr;
    this.#hooks.transmit({ ask, to: { id: to.id, addr }, payload, timeoutMs, isProven, isRetry: tries > 0, isProbe });
  }

  handleAnswer(times: Times, ask: number, bytes: Bytes): void {
    const pending = this.#take(ask);
    if (pending === undefined) return;
    const { op } = pending.request.query;
    const answer = isBinary(bytes) ? decodeAnswer(bytes) : decodeJsonAnswer(op, bytes, times.wallMs);
    if (answer === undefined) {
      if (this.#tryJson(times, pending)) return;
      this.#fail(times, pending, 'malformed');
    } else if (answer.reply.op === 'wrong_network') {
      this.#table.remove(pending.to.id);
      this.#fail(times, pending, 'wrong_network');
    } else if (answer.reply.op !== op) this.#fail(times, pending, 'wrong_answer');
    else {
      this.#answered(times, pending, answer);
      pending.done(times, { answer, isFinal: true, isDead: false });
    }
  }

  /**
   * A request has no answer.
   *
   * @param why - `silent`: none came in time; `unreachable`: nothing was sent, or another peer is at the address;
   * `refused`: the node answered that it does not answer this; `not_tried`: the address must not be asked now.
   */
  handleFailure(times: Times, ask: number, why: FailedAsk): void {
    const pending = this.#take(ask);
    if (pending === undefined) return;
    if (why === 'refused' && this.#tryJson(times, pending)) return;
    pending.done(times, { answer: undefined, isFinal: why !== 'silent', isDead: why !== 'not_tried' });
  }

  /** A node did not answer, with all tries. */
  gaveUp(times: Times, id: KeyText): void {
    const wasOffline = this.isOffline;
    if (!wasOffline) {
      this.#silent.add(id);
      const contact = this.#table.get(id);
      if (this.isOffline) {
        this.#table.forgive();
        this.#hooks.onlineChanged(times, false);
      } else if (contact !== undefined) this.#table.failed(contact);
    }
  }

  /** A node was heard: it answered or asked. */
  heard(times: Times): void {
    const wasOffline = this.isOffline;
    this.#silent.clear();
    if (wasOffline) this.#hooks.onlineChanged(times, true);
  }

  /** Forgets what is under way. */
  clear(): void {
    this.#pending.clear();
  }

  #take(ask: number): Pending | undefined {
    const pending = this.#pending.get(ask);
    this.#pending.delete(ask);
    return pending;
  }

  #fail(times: Times, pending: Pending, reason: KadDrop): void {
    this.#hooks.drop(reason);
    pending.done(times, { answer: undefined, isFinal: true, isDead: true });
  }

  /** Only the binary form has this request: the node is asked which forms it speaks. */
  #learnForm(times: Times, spec: AskSpec, form: Form): void {
    const fail = (at: Times): void => spec.done(at, { answer: undefined, isFinal: true, isDead: false });
    if (form !== FORM.unknown) {
      fail(times);
      return;
    }
    const request = new Prepared({ op: 'ping' }, this.#options);
    this.send(times, {
      to: spec.to,
      request,
      done: (at, outcome) => {
        if (outcome.answer === undefined) spec.done(at, outcome);
        else if (!outcome.answer.isBinary) fail(at);
        else this.send(at, { ...spec, to: { ...spec.to, form: FORM.binary } });
      },
    });
  }

  /** Others said that the node speaks the binary form, and it does not seem so. */
  #tryJson(times: Times, pending: Pending): boolean {
    const known = this.#table.get(pending.to.id);
    if (pending.form !== FORM.binary || known?.form === FORM.binary) return false;
    this.send(times, { ...pending, to: { ...pending.to, form: FORM.unknown } });
    return true;
  }

  #answered(times: Times, { to, addr, sentMs, isProbe }: Pending, answer: KadAnswer): void {
    const { now, wallMs } = times;
    this.heard(times);
    let contact = this.#table.get(to.id);
    if (answer.isClient || !this.#options.isReachable(to.id)) {
      this.#table.remove(to.id);
      contact = undefined;
    } else if (isProbe !== true) {
      if (contact === undefined || (contact.answeredMs === -Infinity && contact.addr !== addr)) {
        this.#table.remove(to.id);
        contact = this.#contactOf({ id: to.id, addr });
      }
      if (contact.answeredMs === -Infinity && this.#options.answersProve) this.#options.records.reached(to.id, addr);
      contact.form = answer.isBinary ? FORM.binary : FORM.json;
      contact.rttMs = this.#roundTrips.measured(now - sentMs, contact.rttMs);
      if (this.#table.answered(now, contact) === 'network_full') this.#hooks.drop('table_full');
    }
    if (answer.wallMs === undefined || Math.abs(answer.wallMs - wallMs) < CLOCK_DIFFERS_MS) return;
    if (this.#clocks.has(to.id)) return;
    if (this.#clocks.size >= MAX_REPORTED_CLOCKS) this.#clocks.clear();
    this.#clocks.add(to.id);
    this.#hooks.clockDiffers({ id: to.id, addr }, answer.wallMs - wallMs);
  }

  #contactOf({ id, addr }: NodeRef): Contact {
    return newContact(this.#options, { id, addr, form: FORM.unknown });
  }
}

/** A contact that somebody named. */
export function newContact(
  { space, networkOf }: Pick<NodeOptions, 'space' | 'networkOf'>,
  { id, addr, form }: Target,
): Contact {
  const position = space.ofPeer(id);
  const network = networkOf(addr, id);
  return { id, position, addr, form, network, answeredMs: -Infinity, rttMs: undefined, failures: 0 };
}
