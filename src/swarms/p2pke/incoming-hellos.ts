/** Which hellos are worth a signature check, and which claims are worth an answer. docs/wire/p2pke.md §8. */

import type { Addr } from '../../core/addr.ts';
import { type Bytes, compareBytes } from '../../base/bytes.ts';
import type { Millis } from '../../base/machine.ts';
import type { PeerId } from '../../core/peer-id.ts';
import type { Realm } from '../../core/realm.ts';
import { sourceOf } from '../../base/source-shares.ts';
import { HandshakeGate } from '../../protocols/p2pke/handshake-gate.ts';
import type { P2pkeDrop } from '../../protocols/p2pke/drop-reason.ts';
import { type VerifiedHello, verifyInitHello } from '../../protocols/p2pke/hello.ts';
import { type InitHelloDatagram, decodeInitHello } from '../../protocols/p2pke/messages.ts';
import { RefusedHellos, timeReply } from '../../protocols/p2pke/time-reply.ts';
import { hostOf } from './host.ts';
import type { ResolvedP2pke } from './options.ts';
import { PeerMemory } from './peer-memory.ts';

/** A hello that may be looked at, or what becomes of it instead. */
export type Verdict =
  | { readonly type: 'hello'; readonly hello: InitHelloDatagram }
  | { readonly type: 'drop'; readonly reason: P2pkeDrop }
  /** The sender must prove its address first. */
  | { readonly type: 'cookie'; readonly datagram: Bytes };

/** A hello whose signature has been checked. */
export type Claim =
  | { readonly type: 'claim'; readonly id: PeerId; readonly hello: VerifiedHello }
  | { readonly type: 'drop'; readonly reason: P2pkeDrop }
  /** Not newer than the last of this peer; `reply` tells it which time its hellos have to exceed. */
  | { readonly type: 'old'; readonly reply: Bytes | undefined };

/** Hellos that were refused as too old and are known again. */
const MAX_REFUSED = 256;

/** The hellos that come to one swarm. */
export class IncomingHellos<I extends Addr> {
  readonly peers: PeerMemory;
  readonly #options: ResolvedP2pke<I>;
  readonly #gate: HandshakeGate;
  readonly #realm: Realm;
  readonly #refused = new RefusedHellos(MAX_REFUSED);

  constructor(realm: Realm, options: ResolvedP2pke<I>) {
    this.#options = options;
    this.#realm = realm;
    this.#gate = new HandshakeGate(realm.nowMs(), (length) => realm.random(length), options.gate);
    this.peers = new PeerMemory(options.counts.maxRememberedPeers);
  }

  /** Sources that have proven their address and are remembered now. */
  get sources(): number {
    return this.#gate.sources;
  }

  /** Judges a hello by what it costs nothing to know. */
  admit(now: Millis, src: I, datagram: Bytes): Verdict {
    const hello = decodeInitHello(datagram);
    if (hello === undefined) return { type: 'drop', reason: 'malformed' };
    const admission = this.#gate.admit(now, src.text, sourceOf(hostOf(src)), datagram, hello);
    if (admission === 'admit') return { type: 'hello', hello };
    return admission === 'drop' ? { type: 'drop', reason: 'overloaded' } : { type: 'cookie', datagram: admission };
  }

  /** Checks the claim of a hello. */
  verify(now: Millis, datagram: Bytes, parsed: InitHelloDatagram): Claim {
    const hello = verifyInitHello(datagram, this.#options.identity.registry, parsed);
    if (typeof hello === 'string') return { type: 'drop', reason: hello };
    const id = this.#options.idOf(hello.publicKey);
    const last = this.peers.lastTimestamp(now, id);
    if (last === undefined || compareBytes(hello.timestamp, last) > 0) return { type: 'claim', id, hello };
    const isMeant = this.#refused.isAgain(hello.sessionId);
    return { type: 'old', reply: isMeant ? timeReply(hello.sessionId, this.#realm.wallMs(), last) : undefined };
  }
}
