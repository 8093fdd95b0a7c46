/** Messages as UDP datagrams through a TURN server. Insecure, unordered, lossy, as UDP is. */

import type { Counters } from '../core/counters.ts';
import type { Describes, LayerDescription } from '../core/inspect.ts';
import { P2PError, mtuError, type P2PErrorCode } from '../core/errors.ts';
import { copyBytes } from '../base/bytes.ts';
import { assertBytes } from '../base/checks.ts';
import { formatSocketAddress, type SocketAddress, whyNoHost } from '../base/ip.ts';
import type { TellHandler } from '../core/message.ts';
import type { Realm } from '../core/realm.ts';
import type { CallOptions, Closed, Swarm } from '../core/swarm.ts';
import { bestAddr, TextAddrs } from '../core/text-addrs.ts';
import { assertUdpAddr, parseUdpAddr, udpAddr, type UdpAddr } from '../net/socket-address.ts';
import { TurnClient, type TurnClientOptions, type TurnEvent, type TurnFailure } from '../protocols/turn/client.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { Driver } from '../runtime/driver.ts';
import { later } from '../runtime/later.ts';
import { RESOLVED, rejection } from '../runtime/promises.ts';
import { checkCall, type Wait, Waits } from '../runtime/waits.ts';
import { AddressCache } from '../swarm-kit/address-cache.ts';
import { CounterSet } from '../swarm-kit/counter-set.ts';
import type { PendingBudget } from '../swarm-kit/pending-budget.ts';
import { TellSlot } from '../swarm-kit/tell-slot.ts';
import type { TurnLink } from './turn-link.ts';

/** The largest message: a datagram that fits every path (1232), as that of the UDP swarm. */
const MTU_BYTES = 1232;
/** Bytes that may wait for a slow connection; further datagrams are dropped. */
const MAX_QUEUED_BYTES = 1_048_576;
const DRAIN_TIMEOUT_MS = 30_000;
const PERMIT_TIMEOUT_MS = 12_000;

/**
 * What `openTurnSwarm` makes. Its address is the relayed one; a peer that it has sent to, or that was permitted, reaches it there. When
 * the server ends the allocation, or does not answer until it has run out, the swarm ends: `closed` has the cause.
 */
export interface TurnSwarm extends Swarm<UdpAddr> {
  /** The address of this host as the server sees it. */
  readonly mapped: SocketAddress | undefined;
  /**
   * Lets peers at the IP of an address send to this swarm, until it is closed. Those that it sends to need none.
   *
   * @throws {P2PError} (by rejection) `refused` when the server forbids it, `timeout`, `closed`; the signal's reason.
   */
  permit(peer: UdpAddr | string, options?: CallOptions): Promise<void>;
}

/** The parts of a swarm. */
export interface TurnSwarmParts {
  readonly realm: Realm;
  readonly link: TurnLink;
  /** For errors. */
  readonly server: string;
  readonly budget: PendingBudget;
  readonly client: Omit<TurnClientOptions, 'random' | 'isReliable'>;
}

/** What a server's error means to a program. */
export function turnError(what: string, failure: TurnFailure): P2PError {
  if (failure === 'timeout') return new P2PError('timeout', 'path', `Cannot ${what}: the server does not answer`);
  const { code, reason } = failure;
  return new P2PError(codeOf(code), 'remote', `Cannot ${what}: the server says ${code} ${reason}`.trimEnd());
}

/** Source of the numbers: RFC 8656 §19, RFC 8489 §14.8. */
function codeOf(code: number): P2PErrorCode {
  switch (code) {
    case 437: // Allocation mismatch: no allocation is there, or another one.
      return 'disconnected';
    case 440: // Address family not supported.
    case 442: // Unsupported transport.
    case 443: // Peer address family mismatch.
    case 420: // Unknown attribute.
      return 'unsupported';
    case 486: // Allocation quota reached.
    case 508: // Insufficient capacity.
      return 'limit_exceeded';
    default:
      return 'refused';
  }
}

/** Made by `openTurnSwarm`. */
export class OpenTurnSwarm implements TurnSwarm, Describes {
  readonly realm: Realm;
  readonly #link: TurnLink;
  readonly #server: string;
  readonly #client: TurnClient;
  readonly #driver: Driver<Uint8Array<ArrayBuffer>, TurnEvent>;
  readonly #counters = new CounterSet('turn');
  readonly #tells: TellSlot<UdpAddr>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #texts = new TextAddrs<UdpAddr>(parseUdpAddr);
  readonly #sources = new AddressCache<UdpAddr>((ip, port) => udpAddr({ ip, port }));
  /** Calls of `permit`, by IP. Bounded by the pending calls. */
  readonly #permits = new Map<string, Set<Wait<void>>>();
  /** Bounded by the pending calls of `drain`. */
  readonly #drainers = new Set<Wait<void>>();
  #allocated: Wait<void> | undefined;
  #own: UdpAddr | undefined;
  #mapped: SocketAddress | undefined;

  constructor({ realm, link, server, budget, client }: TurnSwarmParts) {
    this.realm = realm;
    this.#link = link;
    this.#server = server;
    this.#tells = new TellSlot({ realm, counters: this.#counters, budget });
    this.#waits = new Waits(realm);
    this.#client = new TurnClient({
      ...client,
      isReliable: link.isReliable,
      random: (length) => realm.random(length),
    });
    this.#latch = new CloseLatch({ realm, layer: 'turn', release: () => this.#release() });
    this.#driver = new Driver(this.#client, {
      realm,
      transmit: (bytes) => this.#transmit(bytes),
      event: (event) => this.#handle(event),
      failed: (bug) => this.#latch.fail(bug),
      background: true,
    });
    link.onMessage = (bytes) => {
      this.#client.handleMessage(realm.nowMs(), bytes);
      this.#driver.poll();
    };
    link.onFailed = (cause) => {
      this.#allocated?.reject(cause);
      this.#latch.fail(cause);
    };
    link.onFlushed = () => this.#flushed();
  }

  /** Asks for the allocation. @throws {P2PError} (by rejection) what the server says, or `timeout`; the signal's reason. */
  allocate(call: CallOptions): Promise<void> {
    const what = (): string => `allocate at TURN server ${this.#server}`;
    return this.#waits.wait<void>({ what, call, defaultTimeoutMs: DRAIN_TIMEOUT_MS }, (wait) => {
      this.#allocated = wait;
      this.#client.allocate(this.realm.nowMs());
      this.#driver.poll();
      return () => {
        this.#allocated = undefined;
      };
    });
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  get mapped(): SocketAddress | undefined {
    return this.#mapped;
  }

  get addr(): UdpAddr {
    return bestAddr(this.localAddrs());
  }

  localAddrs(): readonly UdpAddr[] {
    return this.#latch.isClosed || this.#own === undefined ? [] : [this.#own];
  }

  parseAddr(text: string): UdpAddr {
    return parseUdpAddr(text);
  }

  tryParseAddr(text: string): UdpAddr | undefined {
    return this.#texts.tryParse(text);
  }

  mtu(dst: UdpAddr | string): number {
    assertUdpAddr(this.#texts.addrOf(dst));
    return MTU_BYTES;
  }

  tell(dst: UdpAddr | string, payload: Uint8Array, options?: CallOptions): Promise<void> {
    assertBytes(payload, 'payload');
    if (typeof dst === 'string') {
      const refused = (): void => this.#counters.countDrop('tell.unreachable');
      return this.#texts.call('tell', dst, (addr) => this.tell(addr, payload, options), refused);
    }
    assertUdpAddr(dst);
    if (options !== undefined) {
      checkCall(options);
      if (options.signal?.aborted === true) return this.#rejected('tell.aborted', options.signal.reason);
    }
    if (this.#latch.isClosed) return this.#rejected('tell.closed', this.#latch.error(`tell ${dst.text}`));
    const why = whyNoHost(dst.ip) ?? this.#whyOtherFamily(dst);
    if (why !== undefined) {
      const error = new P2PError('unreachable', 'local', `Cannot tell ${dst.text}: ${why}`, { sent: 'no' });
      return this.#rejected('tell.unreachable', error);
    }
    if (payload.length > MTU_BYTES) {
      const error = mtuError(`tell ${dst.text}`, payload.length, MTU_BYTES, 'wrap the swarm in frag()');
      return this.#rejected('tell.mtu_exceeded', error);
    }
    this.#counters.countSent(payload.length);
    if (dst.text === this.#own?.text) this.#tellSelf(dst, payload);
    else {
      this.#client.send(this.realm.nowMs(), dst, payload);
      this.#driver.poll();
    }
    return RESOLVED;
  }

  listen(handler: TellHandler<UdpAddr>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('listen');
    return this.#tells.listen(handler);
  }

  permit(peer: UdpAddr | string, options?: CallOptions): Promise<void> {
    checkCall(options);
    if (typeof peer === 'string') return this.#texts.call('permit', peer, (addr) => this.permit(addr, options));
    assertUdpAddr(peer);
    const { ip } = peer;
    if (this.#latch.isClosed) return rejection(this.#latch.error(`permit ${ip}`));
    const timing = { what: () => `permit ${ip}`, call: options, defaultTimeoutMs: PERMIT_TIMEOUT_MS };
    return this.#waits.wait<void>(timing, (wait) => {
      const waiting = this.#permits.get(ip) ?? new Set();
      this.#permits.set(ip, waiting);
      waiting.add(wait);
      this.#client.permit(this.realm.nowMs(), ip);
      this.#driver.poll();
      return () => {
        waiting.delete(wait);
        if (waiting.size === 0) this.#permits.delete(ip);
      };
    });
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    if (this.#isIdle) return RESOLVED;
    return this.#waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: DRAIN_TIMEOUT_MS },
      (wait) => {
        this.#drainers.add(wait);
        return () => this.#drainers.delete(wait);
      },
    );
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { maxMessages, maxBytes, messages } = this.#tells.budget;
    const { permissions, channels, held } = this.#client;
    return {
      limits: { maxPendingMessages: maxMessages, maxPendingBytes: maxBytes, maxQueuedBytes: MAX_QUEUED_BYTES },
      state: { permissions, channels, held, pendingMessages: messages, queuedBytes: this.#link.queuedBytes },
    };
  }

  get #isIdle(): boolean {
    return this.#client.held === 0 && this.#link.queuedBytes === 0;
  }

  #whyOtherFamily({ ip }: UdpAddr): string | undefined {
    if (this.#own === undefined || ip.includes(':') === this.#own.ip.includes(':')) return undefined;
    return `the relayed address is ${this.#own.text}, of the other address family`;
  }

  #tellSelf(dst: UdpAddr, payload: Uint8Array): void {
    const message = { src: dst, dst, payload: copyBytes(payload) };
    later(this.realm, () => {
      if (!this.#latch.isClosed) this.#tells.deliver(message);
    });
  }

  #transmit(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#link.queuedBytes + bytes.length > MAX_QUEUED_BYTES) this.#counters.countDrop('turn.send_queue_full');
    else this.#link.send(bytes);
  }

  #handle(event: TurnEvent): void {
    switch (event.type) {
      case 'data': {
        const src = this.#sources.get(event.peer.ip, event.peer.port);
        this.#tells.deliver({ src, dst: this.#own!, payload: event.data });
        break;
      }
      case 'allocated':
        this.#own = udpAddr(event.relayed);
        this.#mapped = event.mapped;
        this.realm.trace?.({ layer: 'turn', type: 'opened', atMs: this.realm.nowMs(), addr: this.#own });
        this.#allocated?.resolve();
        break;
      case 'failed': {
        const error = turnError(`keep an allocation at TURN server ${this.#server}`, event.failure);
        this.#allocated?.reject(turnError(`allocate at TURN server ${this.#server}`, event.failure));
        this.#latch.fail(error);
        break;
      }
      case 'permitted':
        for (const wait of this.#permits.get(event.ip) ?? []) wait.resolve();
        break;
      case 'forbidden': {
        const error = turnError(`permit ${event.ip} at TURN server ${this.#server}`, event.failure);
        for (const wait of this.#permits.get(event.ip) ?? []) wait.reject(error);
        break;
      }
      case 'dropped':
        this.#counters.countDrop(event.reason);
        break;
    }
    if (event.type === 'permitted' || event.type === 'forbidden') this.#flushed();
  }

  #flushed(): void {
    if (this.#isIdle) for (const wait of this.#drainers) wait.resolve();
  }

  #rejected(reason: `tell.${string}`, error: unknown): Promise<void> {
    this.#counters.countDrop(reason);
    return rejection(error);
  }

  #release(): Promise<void> | void {
    this.#client.close(this.realm.nowMs());
    this.#driver.poll();
    this.#driver.stop();
    this.#tells.clear();
    this.#waits.close(this.#latch.how?.cause);
    return this.#link.close();
  }
}

/** A server in an error. */
export const shownServer = ({ ip, port }: SocketAddress): string => formatSocketAddress(ip, port);
