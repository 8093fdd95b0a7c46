/** Which hellos are worth a signature check, and which claims are worth an answer. docs/wire/p2pke.md §8. */

import { type Addr, ipOf } from '../../core/addr.ts';
import { type Bytes } from '../../core/bytes.ts';
import { ipNetwork } from '../../core/ip.ts';
import { type Millis } from '../../core/machine.ts';
import { type PeerId } from '../../core/peer-id.ts';
import { type Realm } from '../../core/realm.ts';
import { Doorkeeper } from '../../protocols/p2pke/doorkeeper.ts';
import { type P2pkeDrop } from '../../protocols/p2pke/drop-reason.ts';
import { type VerifiedHello, verifyInitHello } from '../../protocols/p2pke/hello.ts';
import { type InitHelloDatagram, decodeInitHello } from '../../protocols/p2pke/messages.ts';
import { type ResolvedP2pke } from './options.ts';
import { PeerMemory } from './peer-memory.ts';

/** A hello that may be looked at, or what becomes of it instead. */
export type Verdict =
  | { readonly type: 'hello'; readonly hello: InitHelloDatagram }
  | { readonly type: 'drop'; readonly reason: P2pkeDrop }
  /** The sender shall prove first that it is where it says. */
  | { readonly type: 'cookie'; readonly datagram: Bytes };

/** The door of one swarm. */
export class Door<I extends Addr> {
  readonly peers: PeerMemory;
  readonly #options: ResolvedP2pke<I>;
  readonly #keeper: Doorkeeper;

  constructor(realm: Realm, options: ResolvedP2pke<I>) {
    this.#options = options;
    this.#keeper = new Doorkeeper(realm.nowMs(), (length) => realm.random(length), options.door);
    this.peers = new PeerMemory(options.counts.maxRememberedPeers);
  }

  /** Sources that have proven their address and are remembered now. */
  get sources(): number {
    return this.#keeper.sources;
  }

  /** Judges a hello by what it costs nothing to know. */
  admit(now: Millis, src: I, datagram: Bytes): Verdict {
    const hello = decodeInitHello(datagram);
    if (hello === undefined) return { type: 'drop', reason: 'malformed' };
    const admission = this.#keeper.admit(now, src.text, sourceOf(src), datagram, hello);
    if (admission === 'admit') return { type: 'hello', hello };
    return admission === 'drop' ? { type: 'drop', reason: 'overloaded' } : { type: 'cookie', datagram: admission };
  }

  /** Checks the claim of a hello. */
  verify(
    now: Millis,
    datagram: Bytes,
    parsed: InitHelloDatagram,
  ): { readonly id: PeerId; readonly hello: VerifiedHello } | P2pkeDrop {
    const hello = verifyInitHello(datagram, this.#options.identity.registry, parsed);
    if (typeof hello === 'string') return hello;
    const id = this.#options.idOf(hello.publicKey);
    return this.peers.isOld(now, id, hello.timestamp) ? 'stale_hello' : { id, hello };
  }
}

/** What shares one budget: a host; where there are no hosts, an address. */
function sourceOf(addr: Addr): string {
  const ip = ipOf(addr);
  return ip === undefined ? addr.text : ipNetwork(ip);
}
