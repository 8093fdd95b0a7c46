/** The connections of a TCP swarm: who is dialled, who is let in, which one to send on. */

import { type Addr } from '../../core/addr.ts';
import { type Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { askFilter } from '../../core/filter.ts';
import { type Timer } from '../../core/realm.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { formatEndpoint, ipVersion, isUnspecifiedIp, parseEndpoint } from '../../base/ip.ts';
import { comparePeerIds, type PeerId } from '../../core/peer-id.ts';
import { type PublicKey } from '../../core/secure.ts';
import { type PeerSessions, type SessionsUser } from '../../sessions/session-swarm.ts';
import {
  type Codec,
  type Connection,
  type Node,
  noise,
  onConnect,
  onDisconnect,
  reading,
  tls,
  writing,
  type WritingHandle,
} from '../../node/index.ts';
import { BYE } from '../../protocols/tcp/constants.ts';
import { type TcpClosed } from '../../protocols/tcp/events.ts';
import { type Dial, DialTable } from '../../quic/dials.ts';
import { type TcpAddr, tcpAddr } from './address.ts';
import { dialError, foundError, helloError } from './errors.ts';
import { Link, type LinkHost } from './link.ts';
import { LinkMemory } from './memory.ts';
import { type ResolvedOptions, type TcpSwarmOptions } from './options.ts';

/** Two connections between the same peers that begin within this time were dialled at once. Source: docs/wire/tcp.md §1. */
const SIMULTANEOUS_MS = 5000;
/** Connections with one peer that are kept; of more, those close that have been idle for a while. */
const MAX_LINKS_PER_PEER = 4;
const SURPLUS_IDLE_MS = 750;
/** Connections with one peer at a time, those included: one that opens more wants our memory. */
const MAX_LINKS_AT_ONCE = 128;
/** Keys of peers without a connection that are remembered; the longest unused is forgotten. */
const MAX_KNOWN_KEYS = 4096;
/** How long a peer may take to close its half when we have closed ours. */
const LINGER_MS = 1000;
/** A peer that reads nothing for so long is given up by the machine; the node is to be slower. */
const WRITE_TIMEOUT_MS = 60_000;
/** More than the machine ever hands out. */
const WRITE_QUEUE_BYTES = 4_194_304;

/** The bytes as they are: the machine cuts and joins them. */
const RAW: Codec<Bytes, readonly Bytes[]> = {
  decoder: () => {
    let chunk: Bytes | undefined;
    return {
      push: (bytes) => void (chunk = bytes),
      next: () => {
        const next = chunk;
        chunk = undefined;
        return next;
      },
      get bufferedBytes() {
        return chunk?.length ?? 0;
      },
    };
  },
  encoder: () => ({
    encode: (pieces, out) => {
      for (const piece of pieces) out.bytes(piece);
    },
  }),
};

type TcpDial = Dial<TcpAddr, Link, AbortController>;

export class Links implements PeerSessions<TcpAddr> {
  readonly #node: Node;
  readonly #options: ResolvedOptions;
  readonly #user: SessionsUser<TcpAddr>;
  readonly #out: WritingHandle<readonly Bytes[]>;
  readonly #host: LinkHost;
  /** The one to send on. Bounded by `maxConnections`. */
  readonly #current = new Map<PeerId, Link>();
  /** By connection id, oldest first. Bounded by `maxConnections`. */
  readonly #links = new Map<number, Link>();
  readonly #dials = new DialTable<TcpAddr, Link, AbortController>(({ connection }) => connection.abort());
  /** Bounded by `MAX_KNOWN_KEYS`. */
  readonly #known = new Map<PeerId, PublicKey>();
  readonly #memory: LinkMemory;
  /** Looks for surplus connections that are idle. */
  #surplusTimer: Timer | undefined;
  #isClosed = false;
  /** Whether somebody has waited for acknowledgements since a dial began. */
  #isDraining = false;

  constructor(node: Node, options: ResolvedOptions, given: TcpSwarmOptions, user: SessionsUser<TcpAddr>) {
    this.#node = node;
    this.#options = options;
    this.#user = user;
    this.#memory = new LinkMemory(Math.max(options.maxSwarmBytes, options.maxMessageBytes), user.realm);
    this.#host = this.#makeHost();
    const { privateKey, handshakeTimeoutMs } = given;
    const { realm, security } = options;
    const verify = (key: PublicKey, connection: Connection): boolean => this.#verify(key, connection);
    const common = { privateKey, verify, timeoutMs: handshakeTimeoutMs, realm };
    node.enable(security === 'tls' ? tls(common) : noise({ ...common, pattern: 'XX' }));
    this.#out = node.enable(writing({ codec: RAW, timeoutMs: WRITE_TIMEOUT_MS, maxQueueBytes: WRITE_QUEUE_BYTES }));
    node.enable(
      reading({
        codec: RAW,
        onMessage: (connection, chunk) => this.#links.get(connection.id)?.handleBytes(chunk),
        idleTimeoutMs: Infinity,
        progressTimeoutMs: Infinity,
      }),
    );
    node.enable(onConnect((connection) => this.#connected(connection)));
    node.enable(onDisconnect((connection, { reason }) => this.#links.get(connection.id)?.handleEnd(reason)));
  }

  session(id: PeerId): Link | undefined {
    return this.#current.get(id);
  }

  knownKey(id: PeerId): PublicKey | undefined {
    return this.#current.get(id)?.publicKey ?? this.#known.get(id);
  }

  /** Calls that wait for a dial may be tells. */
  get acknowledged(): boolean {
    if (this.#dials.size > 0) return false;
    for (const link of this.#links.values()) if (link.unacknowledged > 0) return false;
    return true;
  }

  get state(): Readonly<Record<string, number>> {
    let queuedBytes = 0;
    for (const link of this.#links.values()) queuedBytes += link.queuedBytes;
    return {
      peers: this.#current.size,
      connections: this.#node.connected,
      connecting: this.#node.connecting,
      dials: this.#dials.size,
      queuedBytes,
      heldBytes: this.#memory.heldBytes,
      waiting: this.#memory.waiting,
    };
  }

  requestAcknowledgements(): void {
    this.#isDraining = true;
    for (const link of this.#links.values()) link.requestAcknowledgement();
  }

  unpark(): void {
    for (const link of this.#links.values()) link.unpark();
  }

  close(): void {
    this.#isClosed = true;
    this.#surplusTimer?.cancel();
    for (const link of this.#links.values()) link.close(BYE.CLOSED, 'closed');
    for (const { connection } of this.#dials.values()) connection.abort();
  }

  withSession(dst: TcpAddr, fail: (error: P2PError) => void, use: (link: Link) => void): () => void {
    const link = this.#current.get(dst.id);
    if (link !== undefined) {
      use(link);
      return () => {};
    }
    const dial = this.#dials.get(dst.text) ?? this.#dial(dst);
    return this.#dials.join(dial, dst.text, (result) => (result instanceof P2PError ? fail(result) : use(result)));
  }

  #dial(dst: TcpAddr): TcpDial {
    const dial = this.#dials.add(dst.text, dst, new AbortController());
    void this.#connect(dial);
    return dial;
  }

  /** Dials until there is a connection, or a reason why there is none; what follows is `#opened`. */
  async #connect(dial: TcpDial): Promise<void> {
    const { target, connection: abort } = dial;
    const { signal } = abort;
    const bind = this.#sourceFor(target.inner.ip);
    for (;;) {
      try {
        await this.#node.connect(target.inner.text, { tag: abort, signal, bind });
        return;
      } catch (error) {
        const wait = P2PError.is(error, 'in_use') ? this.#inTheWay(dial) : dialError(target, error);
        if (wait instanceof P2PError || signal.aborted) {
          this.#fail(dial, wait instanceof P2PError ? wait : dialError(target, signal.reason));
          return;
        }
        await wait;
      }
    }
  }

  /** What keeps us from dialling: settles when it may be gone. */
  #inTheWay(dial: TcpDial): Promise<unknown> | P2PError {
    const { target } = dial;
    const existing = this.#node.connection(target.inner.text);
    if (existing !== undefined) {
      const link = this.#links.get(existing.id);
      if (link?.isOpen === true && link.peer !== target.id) return foundError(target, link.peer);
      return existing.closed;
    }
    for (const other of this.#dials.values()) {
      if (other === dial || other.target.inner.text !== target.inner.text) continue;
      return new Promise((resolve) => void this.#dials.join(other, target.text, resolve));
    }
    return foundError(target, this.#options.id);
  }

  /** Where we dial from: the IP that we are bound to, if it is one, so that peers see us where we listen. */
  #sourceFor(ip: string): string | undefined {
    const own = parseEndpoint(this.#node.listeningAddr ?? '')?.ip;
    if (own === undefined || isUnspecifiedIp(own) || ipVersion(own) !== ipVersion(ip)) return undefined;
    return formatEndpoint(own, 0);
  }

  #fail(dial: TcpDial, error: P2PError): void {
    if (this.#dials.take(dial.connection) === undefined) return;
    this.#trace('handshake_failed', dial.target, error.code, error);
    this.#dials.settle(dial, dial.found === undefined ? error : foundError(dial.target, dial.found));
    this.#dialsChanged();
  }

  #dialsChanged(): void {
    if (this.#dials.size === 0) this.#isDraining = false;
    this.#user.settled();
  }

  #dialOf({ tag }: Connection): TcpDial | undefined {
    return tag instanceof AbortController ? this.#dials.of(tag) : undefined;
  }

  #verify(publicKey: PublicKey, connection: Connection): boolean {
    const id = this.#options.peerIdOf(publicKey);
    const dial = this.#dialOf(connection);
    if (dial !== undefined && dial.target.id !== id) {
      dial.found = id;
      return false;
    }
    // With ourselves we talk without a connection.
    if (id === this.#options.id) return false;
    const addr = dial?.target ?? tcpAddr(id, connection);
    const { accept } = this.#options;
    const answer = accept === undefined ? true : askFilter(() => accept({ addr, publicKey }));
    if (answer === true) return true;
    // The one we dialled is there, and it is we who do not want it.
    if (dial !== undefined) dial.found = id;
    if (answer !== false) {
      const { counters, realm } = this.#user;
      counters.countDrop('handler_error');
      realm.trace?.({ layer: 'tcp', type: 'handler_error', atMs: realm.nowMs(), addr, cause: answer });
    }
    return false;
  }

  #connected(connection: Connection): void {
    const id = this.#options.peerIdOf(connection.publicKey!);
    const dial = this.#dialOf(connection);
    const listening = parseEndpoint(this.#node.listeningAddr ?? '')?.port ?? 0;
    const local = parseEndpoint(connection.localAddr)!;
    const link = new Link(this.#host, connection, {
      id,
      src: dial?.target ?? tcpAddr(id, connection),
      dst: tcpAddr(this.#options.id, { ip: local.ip, port: listening === 0 ? local.port : listening }),
      listeningPort: listening,
    });
    this.#links.set(connection.id, link);
    if (this.#isClosed) link.close(BYE.CLOSED, 'closed');
  }

  #opened(link: Link): void {
    const { peer, connection } = link;
    this.#remember(peer, link.publicKey);
    this.#trace('session', link.src, connection.localRole);
    const current = this.#current.get(peer);
    const preferred = current === undefined || this.#prefers(link, current);
    const chosen = preferred ? link : current;
    this.#current.set(peer, chosen);
    const dial = this.#dialOf(connection);
    if (dial !== undefined) this.#dials.take(dial.connection);
    // Others may wait for the same peer at another of its addresses, or be dialling while it dialled us.
    for (const other of this.#dials.values()) if (other.target.id === peer) this.#dials.settle(other, chosen);
    if (dial !== undefined) this.#dials.settle(dial, chosen);
    if (this.#isDraining) chosen.requestAcknowledgement();
    this.#dialsChanged();
    if (current === undefined) return;
    (preferred ? current : link).retire(BYE.REPLACED);
    this.#boundLinks(peer, chosen);
  }

  /** Which of two connections with a peer to use: both sides choose the same. Source: docs/wire/tcp.md §1. */
  #prefers(fresh: Link, current: Link): boolean {
    const crossed =
      fresh.connection.localRole !== current.connection.localRole && fresh.sinceMs - current.sinceMs < SIMULTANEOUS_MS;
    if (!crossed) return true;
    const weAreSmaller = comparePeerIds(this.#options.id, fresh.peer) < 0;
    return weAreSmaller === (fresh.connection.localRole === 'initiator');
  }

  #boundLinks(peer: PeerId, chosen: Link): void {
    const links = this.#linksOf(peer);
    if (links.length > MAX_LINKS_AT_ONCE) {
      const idle = links.find((link) => link !== chosen && link.isQuiet);
      this.#closeSurplus(idle ?? links.find((link) => link !== chosen)!);
    }
    if (links.length > MAX_LINKS_PER_PEER) this.#armSurplus();
  }

  #linksOf(peer: PeerId): Link[] {
    return [...this.#links.values()].filter((link) => link.peer === peer);
  }

  #armSurplus(): void {
    const { realm } = this.#user;
    this.#surplusTimer ??= clockOf(realm).setTimer(
      realm.nowMs() + SURPLUS_IDLE_MS,
      () => {
        this.#surplusTimer = undefined;
        this.#lookForSurplus();
      },
      { background: true },
    );
  }

  /** Closes what is too many of a peer and idle, oldest first; looks again while others are busy. */
  #lookForSurplus(): void {
    const idleSinceMs = this.#user.realm.nowMs() - SURPLUS_IDLE_MS;
    const counts = new Map<PeerId, number>(); // Bounded by the connections.
    for (const { peer } of this.#links.values()) counts.set(peer, (counts.get(peer) ?? 0) + 1);
    for (const link of this.#links.values()) {
      const { peer } = link;
      const count = counts.get(peer)!;
      if (count <= MAX_LINKS_PER_PEER || this.#current.get(peer) === link) continue;
      if (!link.isQuiet || Math.max(link.saidMs, link.sinceMs) > idleSinceMs) this.#armSurplus();
      else {
        this.#closeSurplus(link);
        counts.set(peer, count - 1);
      }
    }
  }

  #closeSurplus(link: Link): void {
    this.#user.counters.countDrop('tcp.too_many_connections');
    link.close(BYE.TOO_MANY, 'too many connections');
  }

  #retiring(link: Link): void {
    if (this.#current.get(link.peer) === link) this.#current.delete(link.peer);
  }

  #ended(link: Link, closed: TcpClosed): void {
    const { connection } = link;
    this.#links.delete(connection.id);
    this.#retiring(link);
    this.#count(closed, link);
    const dial = this.#dialOf(connection);
    if (dial !== undefined) this.#fail(dial, this.#user.closedError('reach') ?? helloError(dial.target, closed));
    this.#user.settled();
    // The node closes what is left when the swarm does, without waiting for peers.
    if (!this.#isClosed) void this.#node.disconnect(connection, { timeoutMs: LINGER_MS });
  }

  #count({ by, fault, reason }: TcpClosed, link: Link): void {
    const { counters } = this.#user;
    if (fault !== undefined) {
      counters.countDrop(fault === 'malformed' || fault === 'oversize' ? fault : `tcp.${fault}`);
    } else if (by === 'timeout') counters.countDrop(link.hasOpened ? 'tcp.unresponsive' : 'tcp.no_hello');
    else return;
    this.#trace('dropped', link.src, reason);
  }

  #remember(id: PeerId, key: PublicKey): void {
    this.#known.delete(id);
    this.#known.set(id, key);
    if (this.#known.size > MAX_KNOWN_KEYS) this.#known.delete(this.#known.keys().next().value!);
  }

  #makeHost(): LinkHost {
    return {
      options: this.#options,
      user: this.#user,
      memory: this.#memory,
      addrOf: (id, ip, port) => tcpAddr(id, { ip, port }),
      send: (connection, pieces) => {
        try {
          return this.#out.send(connection, pieces, { delivery: true });
        } catch (error) {
          return Promise.reject(error);
        }
      },
      opened: (link) => this.#opened(link),
      retiring: (link) => this.#retiring(link),
      ended: (link, closed) => this.#ended(link, closed),
    };
  }

  #trace(type: string, addr: Addr | undefined, reason: string, cause?: unknown): void {
    const { realm } = this.#user;
    realm.trace?.({ layer: 'tcp', type, atMs: realm.nowMs(), addr, reason, cause });
  }
}
