/** One mapping: what is asked for, which router has it, and when something is due. */

import { type Bytes, copyBytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import { ANSWER_MS } from './transactions.ts';
import type {
  MappingFailure,
  MappingGrant,
  MappingJob,
  MappingProtocol,
  MappingRequest,
  MappingService,
} from './types.ts';

/** How often a router that has mappings is asked whether it has restarted; Tailscale trusts one that long. */
export const CHECK_MS = 600_000;
/** RFC 6887 §11.2.1: requests that renew one mapping are not closer. */
const MIN_RENEW_MS = 4000;
/** The shortest lifetime that is believed, so that a router cannot make this host ask all the time. */
const MIN_LIFETIME_MS = 1000;
/** Pause before a router is looked for again; doubled each time. */
const FIRST_RETRY_MS = 15_000;
const MAX_RETRY_MS = 900_000;

/** How much failures say; the others 1. */
const WEIGHTS: Partial<Record<MappingFailure, number>> = { no_answer: 0, no_external_address: 2 };

/** A mapping as it is. */
export interface MappingView {
  readonly grant: MappingGrant | undefined;
  /** `Infinity`: until it is removed. */
  readonly expiresMs: Millis | undefined;
  readonly via: MappingProtocol | undefined;
  /** Why the port is not mapped; `undefined` while routers are asked. */
  readonly failure: MappingFailure | undefined;
  readonly detail: string | undefined;
  /** The router that has it, or that failed. */
  readonly gateway: string | undefined;
}

/** The state of a mapping. */
export class Mapping implements MappingJob {
  readonly id: number;
  readonly request: MappingRequest;
  nonce: Bytes;
  grant: MappingGrant | undefined;
  pinhole: string | undefined;
  phase: 'waiting' | 'requesting' | 'mapped' | 'releasing' = 'waiting';
  service: MappingService | undefined;
  /** Services that did not map it in this round. Bounded by the services. */
  readonly tried: Set<MappingService> = new Set();
  /** When there is a verdict, whatever routers do. */
  readonly decideMs: Millis;
  isDecided = false;
  /** Whether the router has forgotten it. */
  isLost = false;
  /** Whether the last renewal was not answered. */
  isUnanswered = false;
  grantedMs: Millis = -Infinity;
  expiresMs: Millis = Infinity;
  renewMs: Millis = Infinity;
  checkMs: Millis = Infinity;
  retryMs: Millis = Infinity;
  /** What was told of it last. */
  told = '';
  #askedMs: Millis = -Infinity;
  #checkedMs: Millis = -Infinity;
  /** Questions in a row that the router did not answer. */
  #unsure = 0;
  #failure: MappingFailure | undefined;
  #detail: string | undefined;
  #failedAt: string | undefined;
  #renewFailures = 0;
  #retries = 0;
  #retriedMs: Millis = -Infinity;

  constructor(now: Millis, id: number, request: MappingRequest, nonce: Bytes) {
    this.id = id;
    this.request = request;
    this.nonce = nonce;
    this.decideMs = now + ANSWER_MS;
  }

  get view(): MappingView {
    const { grant, expiresMs, service } = this;
    if (grant !== undefined && service !== undefined) {
      const { via, gateway } = service;
      return { grant, expiresMs, via, failure: undefined, detail: undefined, gateway };
    }
    const [failure, detail, gateway] = [this.#failure, this.#detail, this.#failedAt];
    return { grant: undefined, expiresMs: undefined, via: undefined, failure, detail, gateway };
  }

  get nextMs(): Millis {
    return Math.min(
      this.expiresMs,
      this.renewMs,
      this.checkMs,
      this.retryMs,
      this.isDecided ? Infinity : this.decideMs,
    );
  }

  /** Asks a service, or the one that has it once more. */
  ask(now: Millis, service: MappingService): void {
    if (this.phase === 'waiting') this.phase = 'requesting';
    this.service = service;
    this.#askedMs = now;
    this.isUnanswered = false;
    this.renewMs = this.retryMs = Infinity;
    service.request(now, this);
  }

  mapped(now: Millis, { via }: MappingService, grant: MappingGrant): void {
    this.phase = 'mapped';
    this.grant = grant;
    this.grantedMs = now;
    this.isLost = false;
    this.#failure = this.#detail = this.#failedAt = undefined;
    this.#renewFailures = this.#retries = this.#unsure = 0;
    this.tried.clear();
    const lifetimeMs = Math.max(grant.lifetimeMs, MIN_LIFETIME_MS);
    this.expiresMs = now + lifetimeMs;
    // RFC 6887 §11.2.1: PCP at a random time between 1/2 and 5/8 of the lifetime, so that the clients of a router do not come together.
    this.renewMs = now + lifetimeMs * (via === 'pcp' ? 1 / 2 + this.nonce[0]! / 2048 : 1 / 2);
    this.checkMs = now + CHECK_MS;
  }

  /**
   * The router did not renew it. It may still be there: some firewalls say NO_RESOURCES to every renewal. It is asked for again with the
   * same nonce, and then as a new mapping.
   */
  notRenewed(now: Millis, failure: MappingFailure, isUnanswered: boolean): void {
    this.isUnanswered = isUnanswered;
    const leftMs = this.expiresMs === Infinity ? CHECK_MS : this.expiresMs - now;
    this.renewMs = now + Math.max(leftMs / 2, MIN_RENEW_MS);
    if (failure === 'no_resources' && ++this.#renewFailures >= 2) this.nonce = nextNonce(this.nonce);
  }

  /** The router has forgotten it: it is asked for again, at most once a second. */
  lost(now: Millis): void {
    this.isLost = true;
    this.renewMs = Math.min(this.renewMs, Math.max(now, this.#askedMs + MIN_LIFETIME_MS));
  }

  /** Has the router asked whether it still has it. */
  check(now: Millis): void {
    this.#checkedMs = now;
    this.checkMs = now + CHECK_MS;
    this.service!.check(now, this);
  }

  /** The router did not say: it may be starting, so it is asked again soon, with longer pauses. */
  unsure(now: Millis): void {
    if (this.phase !== 'mapped') return;
    this.checkMs = Math.min(this.checkMs, now + MIN_RENEW_MS * 2 ** this.#unsure++);
  }

  /** There is a reason to ask, at most once a second. */
  checkSoon(now: Millis): void {
    if (this.phase !== 'mapped' || this.isLost || this.grantedMs === now) return;
    this.#unsure = 0;
    this.checkMs = Math.min(this.checkMs, Math.max(now, this.#checkedMs + MIN_LIFETIME_MS));
  }

  /** No router has it. */
  reset(): void {
    this.service?.cancel(this);
    this.service = this.grant = this.pinhole = undefined;
    this.phase = 'waiting';
    this.isLost = this.isUnanswered = false;
    this.#renewFailures = 0;
    this.expiresMs = this.renewMs = this.checkMs = this.retryMs = Infinity;
  }

  /** Nothing more happens but its removal. */
  release(): void {
    this.phase = 'releasing';
    this.expiresMs = this.renewMs = this.checkMs = this.retryMs = Infinity;
  }

  /** One more service did not map it. What says most of all that they said is kept: silence least, no address outside most. */
  refusedBy(service: MappingService, failure: MappingFailure, detail: string | undefined): void {
    const isFirst = this.tried.size === 0;
    this.tried.add(service);
    const [weight, before] = [failure, this.#failure].map((each) => WEIGHTS[each!] ?? 1) as [number, number];
    if (isFirst || weight >= before) this.fail(failure, detail, service.gateway);
  }

  fail(failure: MappingFailure, detail: string | undefined, gateway: string | undefined): void {
    this.#failure = failure;
    this.#detail = detail;
    this.#failedAt = gateway;
  }

  /** Routers are asked once more. */
  retry(now: Millis): void {
    this.retryMs = Infinity;
    this.#retriedMs = now;
    this.tried.clear();
  }

  /** A router that comes up may take what it or another one refused before. */
  retrySoon(now: Millis): void {
    if (this.retryMs !== Infinity) this.retryMs = Math.min(this.retryMs, Math.max(now, this.#retriedMs + MIN_RENEW_MS));
  }

  retryLater(now: Millis): void {
    if (this.retryMs === Infinity) this.retryMs = now + Math.min(FIRST_RETRY_MS * 2 ** this.#retries++, MAX_RETRY_MS);
  }
}

/**
 * The nonce of a new mapping in place of one that the router does not renew: the next number. Who does not know the one does not know
 * the other.
 */
function nextNonce(nonce: Uint8Array): Bytes {
  const next = copyBytes(nonce);
  for (let i = next.length - 1; i >= 0; i--) {
    next[i] = (next[i]! + 1) & 255;
    if (next[i] !== 0) break;
  }
  return next;
}
