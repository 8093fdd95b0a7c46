/** Answers hellos: who may open a path, and to which session a path belongs. Source: docs/wire/peers.md §2. */

import type { AcceptPeer } from '../core/accept.ts';
import { type Addr, ipOf } from '../core/addr.ts';
import { type Bytes, equalBytes, toHex } from '../base/bytes.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import type { PeerId } from '../core/peer-id.ts';
import { BYE, DENIED, NOTICE, NEWEST_VERSION, OLDEST_VERSION } from '../protocols/peers/constants.ts';
import { encodeDenied, encodeHello, type Hello } from '../protocols/peers/hello.ts';
import { encodeBye, tagOf } from '../protocols/peers/packets.ts';
import type { FailureReason } from '../protocols/peers/reach/types.ts';
import type { AcceptGate } from '../sessions/accept-gate.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import { type PeerAddr, peerAddr } from './address.ts';
import type { AttackSignal } from './attack-observations.ts';
import type { Successor } from './ended-sessions.ts';
import type { PathAttempt } from './handshakes.ts';
import type { LiveSession } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import type { RemotePeer } from './remote-peer.ts';
import type { Transport } from './transport.ts';

/** The smallest difference of clocks that is reported. */
const CLOCK_DIFFERS_MS = 60_000;
/** Clocks of two sessions that differ by less may be one, and the hellos were on their way for different times. */
const OTHER_CLOCK_MS = 10_000;
/** How often one attempt says hello with a session that has begun anew. */
const MAX_ROUNDS = 3;

/** A hello of a session that another one replaced less long ago is a late packet. */
const SUPERSEDED_MS = 100;

/**
 * How often a peer may begin a session: each costs memory, packets and events. A process that crashes and is started again at once
 * stays below that.
 */
const BEGUN = { perSecond: 1, burst: 4, maxPeers: 4096 } as const;

/** A path whose hello and welcome agree. */
export interface GreetedPath {
  readonly transport: Transport;
  readonly addr: Addr;
  /** What the peer is. */
  readonly side: 'initiator' | 'responder';
  /** When this node's attempt began. */
  readonly beganMs: number | undefined;
}

/** What greeting needs from the table of peers. */
export interface GreetingHooks {
  readonly options: ResolvedOptions;
  readonly counters: CounterSet;
  readonly gate: AcceptGate<PeerAddr>;
  readonly isClosed: boolean;
  wallMs(): number;
  ownAddrs(transport: Transport): readonly string[];
  /** Why this node's policy for a peer excludes a transport. */
  excludes(id: PeerId, transport: Transport, addr: Addr): string | undefined;
  /** What this node does for others. */
  abilities(): number;
  find(id: PeerId): RemotePeer | undefined;
  /** The peer, added if it is not known. */
  peer(id: PeerId): RemotePeer;
  /** The session of a peer, begun if there is none. */
  session(peer: RemotePeer, transport: Transport, addr: Addr): LiveSession;
  /**
   * The peer has begun anew: its session ends, and another one takes over what was not sent.
   *
   * @param wallMs - see {@link Successor}.
   * @returns the other one
   */
  restart(peer: RemotePeer, transport: Transport, addr: Addr, wallMs: number): LiveSession;
  /** Whether a session has ended. */
  isEnded(session: Bytes): boolean;
  /** The session of the same peer that took the place of this one. */
  successor(session: Bytes): Successor | undefined;
  /** Whether there is room for another peer that dials this node. */
  hasRoom(host: string): boolean;
  opened(peer: RemotePeer, session: LiveSession, hello: Hello, path: GreetedPath): void;
  /** The clock of a peer differs: positive when it is ahead. */
  clockDiffers(id: PeerId, differenceMs: number): void;
  /** What may be a sign of an attack. */
  signal(src: Addr, id: PeerId | undefined, signal: AttackSignal, sample?: string): void;
  /** Nothing came of it: the peer may be forgotten. */
  rest(peer: RemotePeer): void;
}

export class Greeting {
  readonly #hooks: GreetingHooks;
  /** Tokens of hellos that wait for `accept`. Bounded by the gate. */
  readonly #judging = new Set<string>();
  /** By PeerID and not in the peer, which is forgotten when its session ends. */
  readonly #begun = new SourceBuckets(BEGUN.perSecond, BEGUN.burst, BEGUN.maxPeers);

  constructor(hooks: GreetingHooks) {
    this.#hooks = hooks;
  }

  /** This node's hello to a peer. */
  hello(peer: RemotePeer, transport: Transport, addr: Addr, token: Bytes): Hello {
    const { machine } = this.#hooks.session(peer, transport, addr);
    const { limits, kind, networkTag } = this.#hooks.options;
    const { maxMessageBytes, tellWindow, requestWindow, streamsWindow, streamWindow } = limits;
    return {
      oldest: OLDEST_VERSION,
      newest: NEWEST_VERSION,
      kind,
      intent: peer.intent,
      token,
      session: machine.id,
      known: machine.peerSession,
      network: networkTag,
      ...machine.arrived,
      maxMessageBytes,
      tellWindow,
      requestWindow,
      streamsWindow,
      streamWindow,
      wallMs: Math.max(0, Math.floor(this.#hooks.wallMs())),
      seen: addr.text,
      addrs: this.#hooks.ownAddrs(transport),
      abilities: this.#hooks.abilities(),
    };
  }

  /** A welcome has come for an own attempt. */
  welcomed(attempt: PathAttempt, src: Addr, welcome: Hello): 'open' | 'again' | FailureReason {
    const { transport } = attempt;
    if (!equalBytes(welcome.network, this.#hooks.options.networkTag)) return 'wrong_network';
    if (!speaksWith(welcome)) return 'version';
    const verdict = this.#verdict(attempt.peer, src, welcome);
    if (verdict !== undefined) return 'not_allowed';
    // The policy may have changed since the hello: what it excludes now ends on the side of the peer, too.
    if (this.#hooks.excludes(attempt.peer, transport, src) !== undefined) {
      transport.disconnect(src);
      return 'not_allowed';
    }
    const peer = this.#hooks.peer(attempt.peer);
    const session = this.#hooks.session(peer, transport, src);
    const mayGoOn = attempt.rounds < MAX_ROUNDS;
    // An answer to a hello of an earlier session.
    if (welcome.known === undefined || !equalBytes(welcome.known, session.machine.id))
      return mayGoOn ? 'again' : this.#notOpened(peer, transport, src, welcome);
    if (!this.#agree(peer, session, welcome)) {
      if (!mayGoOn || this.#hooks.isEnded(welcome.session)) return this.#notOpened(peer, transport, src, welcome);
      this.#hooks.restart(peer, transport, src, this.#wallMsOf(peer, welcome));
      return 'again';
    }
    peer.isAdmitted = true;
    this.#hooks.opened(peer, session, welcome, { transport, addr: src, side: 'responder', beganMs: attempt.beganMs });
    return 'open';
  }

  /** The peer has a path of a session that has ended here: it ends there, too. */
  #notOpened(peer: RemotePeer, transport: Transport, src: Addr, { known }: Hello): 'closed' {
    if (known !== undefined) this.#send(transport, src, encodeBye(tagOf(known), BYE.IDLE, 'the attempt was given up'));
    this.#hooks.rest(peer);
    return 'closed';
  }

  /** A hello has come. */
  greeted(transport: Transport, src: Addr, hello: Hello): void {
    const id = transport.peerOf(src);
    const publicKey = transport.keyOf(src);
    if (id === undefined || publicKey === undefined) return;
    this.#hooks.signal(src, id, 'handshakes');
    const refusal = this.#refusalOf(id, transport, src, hello);
    if (refusal !== undefined) {
      this.#deny(transport, src, hello, ...refusal);
      return;
    }
    const known = this.#hooks.find(id);
    const theirs = known?.session?.machine.peerSession;
    if (known?.isAdmitted === true && theirs !== undefined && equalBytes(theirs, hello.session)) {
      this.#admit(transport, src, hello, id);
      return;
    }
    const token = toHex(hello.token);
    if (this.#judging.has(token)) return;
    const settle = (isAccepted: boolean): void => {
      this.#judging.delete(token);
      if (this.#hooks.isClosed) return;
      if (isAccepted) this.#admit(transport, src, hello, id);
      else {
        this.#hooks.counters.countDrop('peers.not_accepted');
        this.#deny(transport, src, hello, DENIED.NOT_ALLOWED, 'not allowed');
      }
    };
    const asked: AcceptPeer<PeerAddr> = { id, publicKey, addr: peerAddr(id), side: 'initiator' };
    const verdict = this.#hooks.gate.ask(asked, transport.hostOf(src), settle);
    if (typeof verdict === 'boolean') settle(verdict);
    else this.#judging.add(token);
  }

  #refusalOf(
    id: PeerId,
    transport: Transport,
    src: Addr,
    hello: Hello,
  ): readonly [code: number, reason: string] | undefined {
    const { options } = this.#hooks;
    if (id === options.id) return [DENIED.SELF, 'this is the same node'];
    if (!equalBytes(hello.network, options.networkTag)) return [DENIED.WRONG_NETWORK, 'another network name'];
    if (!speaksWith(hello)) return [DENIED.VERSION, `this node speaks ${OLDEST_VERSION} to ${NEWEST_VERSION}`];
    const verdict = this.#verdict(id, src, hello) ?? this.#hooks.excludes(id, transport, src);
    if (verdict !== undefined) return [DENIED.NOT_ALLOWED, verdict];
    const successor = this.#hooks.successor(hello.session);
    if (successor !== undefined) {
      if (this.#isLate(hello, successor)) return [DENIED.CLOSING, 'another session has just begun'];
      const peer = this.#hooks.find(id);
      peer?.session?.notify(NOTICE.KEY_IN_USE);
      // The hello has replaced the connection of the other process; it comes again.
      if (peer !== undefined) peer.isKeyElsewhere = true;
      return [DENIED.KEY_IN_USE, 'another process uses the same key'];
    }
    if (hello.intent === 'bootstrap' && !options.acceptBootstrap) {
      return [DENIED.NO_BOOTSTRAP, 'this node takes no bootstrap requests'];
    }
    const isKnown = this.#hooks.find(id) !== undefined;
    return isKnown || this.#hooks.hasRoom(transport.hostOf(src)) ? undefined : [DENIED.BUSY, 'too many peers'];
  }

  /**
   * Whether a hello was on its way when another session took the place of its own. A process writes a hello before its connection is open, so
   * that may have been long ago; but it is older than the hello of the session that came after it.
   */
  #isLate({ wallMs }: Hello, successor: Successor): boolean {
    return this.#hooks.options.realm.nowMs() - successor.atMs < SUPERSEDED_MS || wallMs <= successor.wallMs;
  }

  /** Why the lists refuse a peer. */
  #verdict(id: PeerId, src: Addr, { kind }: Hello): string | undefined {
    const { isAllowed, reason } = this.#hooks.options.lists.decide({ id, ip: ipOf(src), kind });
    return isAllowed ? undefined : reason;
  }

  #admit(transport: Transport, src: Addr, hello: Hello, id: PeerId): void {
    const theirs = this.#hooks.find(id)?.session?.machine.peerSession;
    const begins = theirs === undefined || !equalBytes(theirs, hello.session);
    if (begins && !this.#begun.take(this.#hooks.options.realm.nowMs(), id)) {
      // Without an answer: an honest peer repeats its hello, and gets in by that sooner than after a denial.
      this.#hooks.counters.countDrop('peers.too_many_sessions');
      this.#hooks.signal(src, id, 'handshakes', 'too many sessions');
      return;
    }
    const peer = this.#hooks.peer(id);
    let session = this.#hooks.session(peer, transport, src);
    const knowsOther = hello.known !== undefined && !equalBytes(hello.known, session.machine.id);
    const isForgotten = knowsOther || this.#hooks.isEnded(hello.session);
    if (!isForgotten && !this.#agree(peer, session, hello)) {
      session = this.#hooks.restart(peer, transport, src, this.#wallMsOf(peer, hello));
      this.#agree(peer, session, hello);
    }
    peer.isAdmitted = true;
    const welcome = { ...this.hello(peer, transport, src, hello.token), known: hello.session };
    this.#send(transport, src, encodeHello('welcome', welcome));
    // The peer knows a session that this node has forgotten: it says hello again with a new one.
    if (isForgotten) this.#hooks.rest(peer);
    else this.#hooks.opened(peer, session, hello, { transport, addr: src, side: 'initiator', beganMs: undefined });
  }

  /** Whether a hello belongs to the session, which takes it as its own if it has none of the peer yet. */
  #agree(peer: RemotePeer, session: LiveSession, hello: Hello): boolean {
    const { peerSession } = session.machine;
    if (peerSession !== undefined && !equalBytes(peerSession, hello.session)) return false;
    if (this.#hooks.isEnded(hello.session)) return false;
    session.handleHello(hello);
    if (peer.hello === undefined || !equalBytes(peer.hello.session, hello.session)) this.#compareClocks(peer, hello);
    peer.hello = hello;
    peer.aheadMs = hello.wallMs - this.#hooks.wallMs();
    return true;
  }

  /** When a hello was written, by the clock of the session before it: that of a second process, or one that was set, shows another time. */
  #wallMsOf({ aheadMs }: RemotePeer, { wallMs }: Hello): number {
    const expectedMs = this.#hooks.wallMs() + aheadMs;
    return Math.abs(wallMs - expectedMs) < OTHER_CLOCK_MS ? wallMs : expectedMs;
  }

  /** Records and caches name times: a peer with another clock finds them expired, or from the future. */
  #compareClocks({ id }: RemotePeer, { wallMs }: Hello): void {
    const differenceMs = wallMs - this.#hooks.wallMs();
    if (Math.abs(differenceMs) >= CLOCK_DIFFERS_MS) this.#hooks.clockDiffers(id, differenceMs);
  }

  /** No failed handshake: honest peers cannot know the rules of this node, and many of them may have one IP. It counts as a handshake. */
  #deny(transport: Transport, src: Addr, { token }: Hello, code: number, reason: string): void {
    this.#hooks.counters.countDrop('peers.denied');
    this.#send(transport, src, encodeDenied({ token, code, reason }));
  }

  #send(transport: Transport, dst: Addr, packet: Bytes): void {
    transport.send(dst, packet, () => undefined);
  }
}

function speaksWith({ oldest, newest }: Hello): boolean {
  return newest >= OLDEST_VERSION && oldest <= NEWEST_VERSION;
}
