/** Messages as UDP datagrams: one tell, one datagram. Insecure, unordered, lossy. */

import type { Counters } from '../../core/counters.ts';
import type { Describes, LayerDescription } from '../../core/inspect.ts';
import { P2PError, mtuError } from '../../core/errors.ts';
import { canonicalIp, whyNoHost } from '../../base/ip.ts';
import { assertBytes } from '../../base/checks.ts';
import type { TellHandler } from '../../core/message.ts';
import type { Realm } from '../../core/realm.ts';
import type { SendFailures } from '../../swarm-kit/send-failures.ts';
import type { SendPath, SendPaths } from '../../swarm-kit/send-path.ts';
import type { CallOptions, Closed, Swarm } from '../../core/swarm.ts';
import { bestAddr, TextAddrs } from '../../core/text-addrs.ts';
import { AddressCache } from '../../swarm-kit/address-cache.ts';
import { CloseLatch } from '../../runtime/close-latch.ts';
import { CounterSet } from '../../swarm-kit/counter-set.ts';
import type { PendingBudget } from '../../swarm-kit/pending-budget.ts';
import { RESOLVED, rejection } from '../../runtime/promises.ts';
import { TellSlot } from '../../swarm-kit/tell-slot.ts';
import { Waits, checkCall } from '../../runtime/waits.ts';
import { type UdpAddr, assertUdpAddr, parseUdpAddr, udpAddr } from '../socket-address.ts';
import { addrsOfBound } from '../addrs-of-bound.ts';
import type { DatagramSink, DatagramSocket, Network } from '../network.ts';

/** The largest UDP payloads: 65535 less the IP and UDP headers (IPv4 20 + 8, IPv6 8 inside the payload length). */
export const MAX_UDP4_BYTES = 65_507;
/** As {@link MAX_UDP4_BYTES}, for IPv6. */
export const MAX_UDP6_BYTES = 65_527;

/** Bytes that may wait in the process for a full socket; further datagrams are dropped and counted. */
const MAX_SEND_QUEUE_BYTES = 4_194_304;

const DEFAULT_DRAIN_TIMEOUT_MS = 30_000;

/** The resolved options. */
export interface UdpSwarmParts {
  readonly realm: Realm;
  readonly network: Network;
  readonly socket: DatagramSocket;
  readonly maxDatagramBytes: number;
  readonly budget: PendingBudget;
}

export class UdpSwarm implements Swarm<UdpAddr>, SendFailures<UdpAddr>, SendPaths<UdpAddr>, Describes {
  readonly realm: Realm;
  readonly #network: Network;
  readonly #socket: DatagramSocket;
  readonly #bound: UdpAddr;
  readonly #maxDatagramBytes: number;
  readonly #counters = new CounterSet('udp');
  readonly #tells: TellSlot<UdpAddr>;
  readonly #waits: Waits;
  readonly #latch: CloseLatch;
  readonly #texts: TextAddrs<UdpAddr> = new TextAddrs<UdpAddr>((text) => this.parseAddr(text));
  readonly #sources = new AddressCache<UdpAddr>((host, port) => udpAddr({ ip: canonicalIp(host)!, port }));
  /**
   * The `dst` of received messages by family; a wildcard socket does not report which address a datagram was sent to.
   */
  #dst4: UdpAddr;
  #dst6: UdpAddr;
  /** Calls that wait for an empty send queue. Bounded by the pending calls. */
  #flushers: (() => void)[] = [];
  /** Called for datagrams that could not be sent. Bounded by the calls of `onSendFailed`. */
  readonly #failureListeners = new Set<(dst: UdpAddr, error: unknown) => void>();

  constructor(parts: UdpSwarmParts) {
    const { realm, network, socket } = parts;
    this.realm = realm;
    this.#network = network;
    this.#socket = socket;
    this.#maxDatagramBytes = parts.maxDatagramBytes;
    this.#bound = udpAddr(socket.address);
    this.#dst4 = this.#bound;
    this.#dst6 = this.#bound;
    this.#tells = new TellSlot({ realm, counters: this.#counters, budget: parts.budget });
    this.#waits = new Waits(realm);
    this.#latch = new CloseLatch({ realm, layer: 'udp', release: () => this.#release() });
    this.localAddrs();
    socket.sink = this.#sink;
    realm.trace?.({ layer: 'udp', type: 'opened', atMs: realm.nowMs(), addr: this.#bound });
  }

  get counters(): Counters {
    return this.#counters;
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  get addr(): UdpAddr {
    return bestAddr(this.localAddrs());
  }

  tryParseAddr(text: string): UdpAddr | undefined {
    return this.#texts.tryParse(text);
  }

  /** Read at each call, because interfaces change. */
  localAddrs(): readonly UdpAddr[] {
    if (this.#latch.isClosed) return [];
    const addrs = addrsOfBound(this.#bound, this.#network.interfaces());
    this.#dst4 = addrs.find(({ ip }) => !ip.includes(':')) ?? this.#bound;
    this.#dst6 = addrs.find(({ ip }) => ip.includes(':')) ?? this.#bound;
    return addrs;
  }

  parseAddr(text: string): UdpAddr {
    return parseUdpAddr(text);
  }

  mtu(dst: UdpAddr | string): number {
    const addr = this.#texts.addrOf(dst);
    assertUdpAddr(addr);
    return this.#mtuTo(addr);
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
    const why = whyNoHost(dst.ip);
    if (why !== undefined) {
      const message = `Cannot tell ${dst.text}: ${why}`;
      return this.#rejected('tell.unreachable', new P2PError('unreachable', 'local', message, { sent: 'no' }));
    }
    if (!this.#canSendTo(dst)) {
      const message = `Cannot tell ${dst.text}: this socket is bound to ${this.#bound.text}, another address family`;
      return this.#rejected('tell.unsupported', new P2PError('unsupported', 'local', message, { sent: 'no' }));
    }
    const mtu = this.#mtuTo(dst);
    if (payload.length > mtu) {
      const error = mtuError(
        `tell ${dst.text}`,
        payload.length,
        mtu,
        'wrap the swarm in frag() or raise maxDatagramBytes',
      );
      return this.#rejected('tell.mtu_exceeded', error);
    }
    return this.#send(dst, payload, options);
  }

  /** Checks the address once. A `send` that cannot succeed goes through `tell`, which creates the error. */
  sendPath(dst: UdpAddr): SendPath {
    assertUdpAddr(dst);
    const leads = this.#canSendTo(dst) && whyNoHost(dst.ip) === undefined;
    const mtu = this.#mtuTo(dst);
    return {
      send: (payload) =>
        !leads || payload.length > mtu || this.#latch.isClosed
          ? this.tell(dst, payload)
          : this.#send(dst, payload, undefined),
    };
  }

  listen(handler: TellHandler<UdpAddr>): Disposable {
    if (this.#latch.isClosed) throw this.#latch.error('listen');
    return this.#tells.listen(handler);
  }

  onSendFailed(listener: (dst: UdpAddr, error: unknown) => void): Disposable {
    const own = (dst: UdpAddr, error: unknown): void => listener(dst, error);
    this.#failureListeners.add(own);
    return { [Symbol.dispose]: () => void this.#failureListeners.delete(own) };
  }

  drain(options?: CallOptions): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    return this.#socket.queuedDatagrams === 0 ? RESOLVED : this.#flushed('drain', options);
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  describe(): LayerDescription {
    const { maxMessages, maxBytes, messages } = this.#tells.budget;
    const open = !this.#latch.isClosed;
    return {
      limits: {
        maxDatagramBytes: this.#maxDatagramBytes,
        maxPendingMessages: maxMessages,
        maxPendingBytes: maxBytes,
        recvBufferBytes: open ? this.#socket.recvBufferBytes : 0,
        sendBufferBytes: open ? this.#socket.sendBufferBytes : 0,
      },
      state: { pendingMessages: messages, sendQueueBytes: open ? this.#socket.queuedBytes : 0 },
    };
  }

  #mtuTo({ ip }: UdpAddr): number {
    return Math.min(this.#maxDatagramBytes, ip.includes(':') ? MAX_UDP6_BYTES : MAX_UDP4_BYTES);
  }

  /** Whether the socket has the family of `dst`. */
  #canSendTo({ ip }: UdpAddr): boolean {
    const bound = this.#bound.ip;
    return bound === '::' || ip.includes(':') === bound.includes(':');
  }

  /**
   * With a synchronous lookup the datagram is in the kernel when `send` returns, unless other datagrams wait or the
   * socket is full. Only then must the call wait, and the payload must stay unchanged.
   */
  #send(dst: UdpAddr, payload: Uint8Array, options: CallOptions | undefined): Promise<void> {
    const socket = this.#socket;
    const waiting = socket.mayWait;
    if (waiting && socket.queuedBytes + payload.length > MAX_SEND_QUEUE_BYTES) {
      this.#counters.countDrop('udp.send_queue_full');
      return RESOLVED;
    }
    try {
      socket.send(waiting ? payload.slice() : payload, dst.ip, dst.port);
    } catch {
      // An address that another kind of swarm made, for example with a port out of range.
      this.#counters.countDrop('udp.send_failed');
      return RESOLVED;
    }
    this.#counters.countSent(payload.length);
    return socket.queuedDatagrams === 0 ? RESOLVED : this.#flushed(`tell ${dst.text}`, options);
  }

  #flushed(what: string, call: CallOptions | undefined): Promise<void> {
    return this.#waits.wait<void>({ what: () => what, call, defaultTimeoutMs: DEFAULT_DRAIN_TIMEOUT_MS }, (wait) => {
      this.#flushers.push(() => wait.resolve());
      this.#sink.onFlushed = this.#onFlushed;
    });
  }

  /** Set only while a call waits. */
  readonly #onFlushed = (): void => {
    delete this.#sink.onFlushed;
    const flushers = this.#flushers;
    this.#flushers = [];
    for (const flushed of flushers) flushed();
  };

  readonly #sink: DatagramSink = {
    onDatagram: (payload, ip, port) => {
      const src = this.#sources.get(ip, port);
      const dst = src.ip.includes(':') ? this.#dst6 : this.#dst4;
      this.#tells.deliver({ src, dst, payload });
    },
    onSendFailed: (error, to) => {
      this.#counters.countDrop('udp.send_failed');
      if (to === undefined || this.#failureListeners.size === 0) return;
      const dst = this.#sources.get(to.ip, to.port);
      for (const listener of this.#failureListeners) listener(dst, error);
    },
    onError: (cause) => this.#latch.fail(cause),
  };

  #rejected(reason: `tell.${string}`, error: unknown): Promise<void> {
    this.#counters.countDrop(reason);
    return rejection(error);
  }

  #release(): Promise<void> {
    this.#tells.clear();
    this.#waits.close();
    return this.#socket.close();
  }
}
