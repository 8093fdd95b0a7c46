/**
 * Coordinates hole punches: both sides learn each other's offer over a session that works already, or through a peer that both are
 * connected with, and begin at about the same time. How a NAT is opened is the puncher's business.
 */

import type { Side } from '../core/accept.ts';
import { type Addr, ipOf } from '../core/addr.ts';
import type { Bytes } from '../base/bytes.ts';
import { formatSocketAddress, type SocketAddress } from '../base/ip.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import { P2PError } from '../core/errors.ts';
import type { Message } from '../core/message.ts';
import { comparePeerIds, type PeerId } from '../core/peer-id.ts';
import { defaultKeyRegistry } from '../identity/ecdsa-p256.ts';
import { verifyText } from '../identity/signed-text.ts';
import { peerIdOfKey } from '../identity/fingerprints.ts';
import type { Puncher } from '../nat/punch/puncher.ts';
import { addressScope } from '../net/address-scope.ts';
import { SERVICE } from '../protocols/peers/constants.ts';
import {
  decodePunchAnswer,
  decodePunchBody,
  decodePunchRequest,
  decodeSignedPunch,
  encodePunchAnswer,
  encodePunchBody,
  encodePunchRequest,
  encodeSignedPunch,
  PUNCH_CONTEXT,
  type PunchAnswer,
  type PunchBody,
  type PunchRefusal,
  type SignedPunch,
} from '../protocols/peers/punch-request.ts';
import { decodePunchOffer, encodePunchOffer, type PunchOffer } from '../protocols/punch/offer.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type PeerAddr, peerAddr } from './address.ts';
import type { ResolvedOptions } from './options.ts';
import { type AffordedPunch, PunchBudget } from './punch-budget.ts';
import { ServiceChannel, type ServiceHost } from './service-channel.ts';
import type { Transport } from './transport.ts';

/** What punching needs from the connection manager. */
export interface PunchingHooks extends ServiceHost {
  /** Open transports, by name. */
  transport(name: string): Transport | undefined;
  /** Connected peers that bring others together. */
  coordinators(): readonly PeerId[];
  /** Why this node does not punch with a peer; `undefined` when it does. */
  refusal(id: PeerId): PunchRefusal | undefined;
  /** The address of the peer's path, when it is direct. */
  pathAddr(id: PeerId): Addr | undefined;
  /** A peer names a public address; `isProven`: others see it there. */
  direct(id: PeerId, transport: Transport, addr: SocketAddress, isProven: boolean): void;
  /** An address leads through NATs that both sides have opened. */
  punched(addr: Addr): void;
}

/** How long a puncher may take to make an offer: three questions of a second to an observer. */
const OFFER_MS = 3000;
const EXCHANGE_MS = 5000;
/** How long a public host has to answer before it is punched to: three round trips of 80 ms. */
const DIRECT_FIRST_MS = 250;
/** The longest punch: 1000 probes at 100 a second, and the handshakes around them. */
const PUNCH_MS = 15_000;
/** Coordinators that are asked for one punch. */
const MAX_COORDINATORS = 3;
/** Punches that peers may have begun here at a time; and how often one peer may. */
const MAX_ANSWERED = 8;
const ANSWERED = { perSecond: 0.5, burst: 4, maxPeers: 1024 } as const;
/** Requests that a coordinator hands on: for all, and how often for one peer. */
const MAX_FORWARDED = 64;
const FORWARDED = { perSecond: 1, burst: 8, maxPeers: 1024 } as const;
/** Signed requests that one coordinator may hand to this node. */
const HANDED = { perSecond: 16, burst: 64, maxPeers: 1024 } as const;
/** A signed request is believed for this long: the clocks of hosts with NTP differ by less than a second, others by a minute. */
const MAX_CLOCK_MS = 60_000;
/** Peers whose last signed request is remembered, so that a coordinator cannot repeat it. */
const MAX_REMEMBERED = 1024;

/** The other side, or a coordinator, does not punch. */
export class PunchRefused extends Error {
  override readonly name = 'PunchRefused';
  readonly code: PunchRefusal;

  constructor(code: PunchRefusal, message: string) {
    super(message);
    this.code = code;
  }
}

export class Punching {
  readonly channel: ServiceChannel;
  readonly #options: ResolvedOptions;
  readonly #hooks: PunchingHooks;
  /** Punches of peers that run. Bounded by MAX_ANSWERED. */
  readonly #answering = new Set<string>();
  /** Own punches that run. Bounded by the reach machine. */
  readonly #initiating = new Map<string, AbortController>();
  /** Those of both, while probes are sent. Bounded as they are. */
  readonly #running = new Set<string>();
  readonly #answered = new SourceBuckets(ANSWERED.perSecond, ANSWERED.burst, ANSWERED.maxPeers);
  readonly #handed = new SourceBuckets(HANDED.perSecond, HANDED.burst, HANDED.maxPeers);
  readonly #forwards = new SourceBuckets(FORWARDED.perSecond, FORWARDED.burst, FORWARDED.maxPeers);
  /** The time of the last signed request of a peer. Bounded by MAX_REMEMBERED. */
  readonly #lastSigned = new Map<PeerId, number>();
  readonly #budget = new PunchBudget();
  readonly #abort = new AbortController();
  #forwarding = 0;
  /** How the NAT of this node gives out ports, by the last offer. */
  ports: PunchOffer['ports'] = 'unknown';

  constructor(options: ResolvedOptions, hooks: PunchingHooks) {
    this.#options = options;
    this.#hooks = hooks;
    this.channel = new ServiceChannel('punch', SERVICE.PUNCH, hooks);
    this.channel.serve((message) => this.#serve(message));
  }

  /**
   * Opens a way to a peer.
   *
   * @returns the address that is to be dialled now.
   * @throws {P2PError} with what was tried.
   */
  async punch(id: PeerId, transport: Transport, signal: AbortSignal): Promise<Addr> {
    const key = keyOf(id, transport.name);
    if (this.#answering.has(key)) throw new P2PError('closed', 'local', 'The punch of the peer goes on');
    const yielding = new AbortController();
    this.#initiating.set(key, yielding);
    try {
      return await this.#punch(id, transport, AbortSignal.any([signal, yielding.signal]));
    } finally {
      if (this.#initiating.get(key) === yielding) this.#initiating.delete(key);
    }
  }

  async #punch(id: PeerId, transport: Transport, signal: AbortSignal): Promise<Addr> {
    const puncher = transport.puncher!;
    const own = await this.#offer(puncher, signal);
    const offered = await this.#exchange(id, transport.name, own, signal);
    const theirs = this.#allowed(id, offered);
    if (theirs === undefined) {
      throw new P2PError('refused', 'local', `Cannot punch to ${id}: the lists refuse ${offered.addrs[0]!.ip}`);
    }
    const confirmed = await this.#confirmed(id, theirs, signal);
    if (isPublic(theirs)) {
      const { proven, theirs: afforded } = this.#afford(id, own, theirs, confirmed);
      // It may be dialled like any other host: it is given time to answer before it is sent probes.
      for (const addr of afforded.addrs) this.#hooks.direct(id, transport, addr, proven.includes(addr.ip));
      if (isPublic(own)) {
        throw new P2PError('closed', 'local', 'both hosts have public addresses, and need no hole punching');
      }
      await this.#waitFor(DIRECT_FIRST_MS, signal);
    }
    const remote = await this.#run(id, transport, own, theirs, confirmed, 'initiator', signal);
    return this.#opened(id, transport, remote);
  }

  /** Whether a punch runs that this node or the peer has begun. */
  isRunning(id: PeerId, transport: string): boolean {
    return this.#running.has(keyOf(id, transport));
  }

  close(): void {
    this.#abort.abort(new P2PError('closed', 'local', 'Cannot punch: closed'));
    void this.channel.close();
  }

  async #offer(puncher: Puncher, signal: AbortSignal): Promise<PunchOffer> {
    const offer = await puncher.offer({ signal, timeoutMs: OFFER_MS });
    this.ports = offer.ports;
    return offer;
  }

  /** Waits; rejects with the signal's reason. */
  #waitFor(ms: number, signal: AbortSignal): Promise<void> {
    const { realm } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = clockOf(realm).setTimer(realm.nowMs() + ms, resolve);
      const abort = (): void => {
        timer.cancel();
        reject(signal.reason);
      };
      if (signal.aborted) abort();
      else signal.addEventListener('abort', abort, { once: true });
    });
  }

  #opened(id: PeerId, transport: Transport, { ip, port }: { readonly ip: string; readonly port: number }): Addr {
    const addr = transport.parse(id, formatSocketAddress(ip, port));
    if (addr === undefined)
      throw new P2PError('unreachable', 'local', `Cannot dial ${ip}: no address of ${transport.name}`);
    this.#hooks.punched(addr);
    return addr;
  }

  /** Tells the peer this node's offer. @returns the peer's */
  async #exchange(id: PeerId, transport: string, own: PunchOffer, signal: AbortSignal): Promise<PunchOffer> {
    const body: PunchBody = { to: id, wallMs: this.#wallMs(), transport, offer: encodePunchOffer(own) };
    const call = { signal, timeoutMs: EXCHANGE_MS };
    if (this.#hooks.sessionOf(id)?.path !== undefined) {
      const answer = await this.channel.ask(id, encodePunchRequest({ type: 'punch', body }), call);
      return offerOf(decodePunchAnswer(answer), id);
    }
    const request = encodePunchRequest({ type: 'forward', to: id, signed: this.#sign(body) });
    const coordinators = this.#hooks.coordinators().slice(0, MAX_COORDINATORS);
    if (coordinators.length === 0) {
      throw new P2PError(
        'not_found',
        'local',
        `Cannot punch to ${id}: no relay and no peer that both are connected with`,
      );
    }
    const asked = coordinators.map(async (each) => this.#signedOffer(await this.channel.ask(each, request, call), id));
    try {
      return await Promise.any(asked);
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    }
  }

  #signedOffer(bytes: Bytes, id: PeerId): PunchOffer {
    const answer = decodePunchAnswer(bytes);
    if (answer?.type !== 'offer') return offerOf(answer, id);
    const signed = decodeSignedPunch(answer.bytes);
    const read = signed === undefined ? undefined : this.#verify(signed);
    if (read?.from !== id)
      throw new P2PError('unreachable', 'remote', `Cannot punch to ${id}: the answer is not signed by it`);
    return offerOf({ type: 'offer', bytes: read.body.offer }, id);
  }

  /** The first IP of an offer, when another peer that both are connected with sees the peer there. */
  async #confirmed(id: PeerId, { addrs }: PunchOffer, signal: AbortSignal): Promise<string | undefined> {
    const [first] = addrs;
    if (first === undefined || first.ip === this.#knownIp(id)) return undefined;
    const request = encodePunchRequest({ type: 'observed', id, ip: first.ip });
    // The peer itself would confirm whatever it says.
    const others = this.#hooks.coordinators().filter((each) => each !== id);
    const asked = others.slice(0, MAX_COORDINATORS).map(async (each) => {
      const answer = decodePunchAnswer(await this.channel.ask(each, request, { signal, timeoutMs: 1000 }));
      if (answer?.type !== 'offer') throw new P2PError('not_found', 'remote', 'not seen there');
    });
    return Promise.any(asked).then(
      () => first.ip,
      () => undefined,
    );
  }

  /** An offer without the addresses that the lists refuse; `undefined` when the first, at which others see the peer, is one of them. */
  #allowed(id: PeerId, offer: PunchOffer): PunchOffer | undefined {
    const addrs = offer.addrs.filter(({ ip }) => this.#options.lists.decide({ id, ip }).isAllowed);
    return offer.addrs.length > 0 && addrs[0] !== offer.addrs[0] ? undefined : { ...offer, addrs };
  }

  /** Whether the addresses of an own offer are public ones of this host itself: one behind a NAT may offer what observers see only. */
  #isPublicHost(own: PunchOffer): boolean {
    const ips = new Set(this.#options.network.interfaces().map(({ ip }) => ip));
    return isPublic(own) && own.addrs.every(({ ip }) => ips.has(ip));
  }

  #knownIp(id: PeerId): string | undefined {
    const direct = this.#hooks.pathAddr(id);
    return direct === undefined ? undefined : ipOf(direct);
  }

  #afford(id: PeerId, own: PunchOffer, theirs: PunchOffer, confirmed: string | undefined): AffordedPunch {
    const afforded = this.#budget.afford(this.#nowMs(), own, theirs, this.#knownIp(id), confirmed);
    if (afforded.theirs.addrs.length > 0 || theirs.addrs.length === 0) return afforded;
    const message = `Cannot punch to ${id}: too many punches to its addresses have failed`;
    throw new P2PError('limit_exceeded', 'local', message);
  }

  /** @returns where the peer is. */
  async #run(
    id: PeerId,
    { name, puncher }: Transport,
    own: PunchOffer,
    theirs: PunchOffer,
    confirmed: string | undefined,
    side: Side,
    signal: AbortSignal,
  ): Promise<SocketAddress> {
    const afforded = this.#afford(id, own, theirs, confirmed);
    const { proven } = afforded;
    const key = keyOf(id, name);
    this.#running.add(key);
    try {
      const { remote } = await puncher!.punch(own, afforded.theirs, { signal, timeoutMs: PUNCH_MS, side, proven });
      this.#budget.reached(remote.ip);
      return remote;
    } catch (error) {
      if (P2PError.is(error) && error.code === 'limit_exceeded') afforded.giveBack();
      throw error;
    } finally {
      this.#running.delete(key);
    }
  }

  #sign(body: PunchBody): SignedPunch {
    const bytes = encodePunchBody(body);
    const { privateKey } = this.#options;
    return { spki: privateKey.publicKey.spki, signature: privateKey.signText(PUNCH_CONTEXT, bytes), body: bytes };
  }

  /** Who has signed it for this node, and what. */
  #verify({ spki, signature, body }: SignedPunch): { readonly from: PeerId; readonly body: PunchBody } | undefined {
    const read = decodePunchBody(body);
    const key = defaultKeyRegistry.parsePublicKey(spki);
    if (read === undefined || key === undefined || read.to !== this.#options.id) return undefined;
    return verifyText(key, PUNCH_CONTEXT, body, signature) ? { from: peerIdOfKey(key), body: read } : undefined;
  }

  async #serve({ src, payload }: Message<PeerAddr>): Promise<Bytes> {
    const request = decodePunchRequest(payload);
    switch (request?.type) {
      case undefined:
        return refused('failed', 'the request is malformed');
      case 'observed': {
        const addr = this.#hooks.pathAddr(request.id);
        const isThere = addr !== undefined && ipOf(addr) === request.ip;
        return isThere
          ? encodePunchAnswer({ type: 'offer', bytes: new Uint8Array(0) })
          : refused('no_peer', 'not seen there');
      }
      case 'punch': {
        const offer = await this.#answer(src.id, request.body);
        return encodePunchAnswer(offer);
      }
      case 'forward':
        return this.#forward(src.id, request.to, request.signed);
      case 'forwarded':
        break;
    }
    // Signatures cost time to verify, and each may be of another key.
    if (!this.#handed.take(this.#nowMs(), src.id)) return refused('busy', 'too many requests');
    return this.#forwarded(request.signed);
  }

  /** Hands a request on to a peer that this node is connected with. */
  async #forward(from: PeerId, to: PeerId, signed: SignedPunch): Promise<Bytes> {
    if (!this.#options.coordinate) return refused('unsupported', 'this node does not bring others together');
    if (this.#hooks.sessionOf(to)?.path === undefined)
      return refused('no_peer', 'this node is not connected with the peer');
    if (this.#forwarding >= MAX_FORWARDED || !this.#forwards.take(this.#nowMs(), from))
      return refused('busy', 'too many requests');
    this.#forwarding++;
    try {
      const { signal } = this.#abort;
      return await this.channel.ask(peerAddr(to), encodePunchRequest({ type: 'forwarded', signed }), {
        signal,
        timeoutMs: EXCHANGE_MS,
      });
    } catch (error) {
      return refused('failed', error instanceof Error ? error.message : 'the peer did not answer');
    } finally {
      this.#forwarding--;
    }
  }

  async #forwarded(signed: SignedPunch): Promise<Bytes> {
    const read = this.#verify(signed);
    if (read === undefined) return refused('denied', 'the request is not signed for this node');
    const { from, body } = read;
    const differenceMs = body.wallMs - this.#wallMs();
    if (Math.abs(differenceMs) > MAX_CLOCK_MS)
      return refused('clock', `the clocks differ by ${Math.round(Math.abs(differenceMs) / 1000)} s`);
    if (body.wallMs <= (this.#lastSigned.get(from) ?? -1)) return refused('denied', 'the request has come before');
    this.#lastSigned.delete(from);
    this.#lastSigned.set(from, body.wallMs);
    if (this.#lastSigned.size > MAX_REMEMBERED) this.#lastSigned.delete(this.#lastSigned.keys().next().value!);
    const answer = await this.#answer(from, body);
    if (answer.type === 'refused') return encodePunchAnswer(answer);
    const reply: PunchBody = { to: from, wallMs: this.#wallMs(), transport: body.transport, offer: answer.bytes };
    return encodePunchAnswer({ type: 'offer', bytes: encodeSignedPunch(this.#sign(reply)) });
  }

  /** Makes an offer to a peer that wants to punch, and begins. */
  async #answer(from: PeerId, { transport: name, offer }: PunchBody): Promise<PunchAnswer> {
    const refusal = this.#hooks.refusal(from);
    const transport = this.#hooks.transport(name);
    const puncher = transport?.puncher;
    const offeredByPeer = decodePunchOffer(offer);
    const theirs = offeredByPeer === undefined ? undefined : this.#allowed(from, offeredByPeer);
    if (refusal !== undefined || (offeredByPeer !== undefined && theirs === undefined))
      return { type: 'refused', code: refusal ?? 'denied', reason: 'this node does not punch with this peer' };
    if (transport === undefined || puncher === undefined)
      return { type: 'refused', code: 'unsupported', reason: `no puncher for ${name}` };
    if (theirs === undefined) return { type: 'refused', code: 'failed', reason: 'the offer is malformed' };
    const key = keyOf(from, name);
    const own = this.#initiating.get(key);
    if (own !== undefined) {
      // Both have begun: the smaller PeerID's punch goes on.
      if (comparePeerIds(this.#options.id, from) < 0)
        return { type: 'refused', code: 'busy', reason: 'punching already' };
      own.abort(new P2PError('closed', 'local', 'The punch of the peer goes on'));
    }
    const isBusy = this.#answering.has(key) || this.#answering.size >= MAX_ANSWERED;
    if (isBusy || !this.#answered.take(this.#nowMs(), from))
      return { type: 'refused', code: 'busy', reason: 'punching already' };
    this.#answering.add(key);
    try {
      const { signal } = this.#abort;
      const offered = await this.#offer(puncher, signal);
      // Two public hosts dial each other: the peer gets the addresses, and nothing is punched.
      if (this.#isPublicHost(offered) && isPublic(theirs)) this.#answering.delete(key);
      else void this.#respond(from, transport, offered, theirs).finally(() => this.#answering.delete(key));
      return { type: 'offer', bytes: encodePunchOffer(offered) };
    } catch (error) {
      this.#answering.delete(key);
      return { type: 'refused', code: 'failed', reason: error instanceof Error ? error.message : 'no offer' };
    }
  }

  /** The other side's half of a punch. The initiator dials; what comes in is a path like any other. */
  async #respond(from: PeerId, transport: Transport, own: PunchOffer, theirs: PunchOffer): Promise<void> {
    const { signal } = this.#abort;
    try {
      const confirmed = await this.#confirmed(from, theirs, signal);
      const remote = await this.#run(from, transport, own, theirs, confirmed, 'responder', signal);
      this.#opened(from, transport, remote);
    } catch (cause) {
      const { realm } = this.#options;
      realm.trace?.({ layer: 'peers', type: 'punch_failed', atMs: realm.nowMs(), addr: peerAddr(from), cause });
    }
  }

  #nowMs(): number {
    return this.#options.realm.nowMs();
  }

  #wallMs(): number {
    return Math.max(0, Math.floor(this.#options.realm.wallMs()));
  }
}

const keyOf = (id: PeerId, transport: string): string => `${transport} ${id}`;

/** Whether a host has public addresses only: one behind a NAT offers the addresses of its LAN as well. */
function isPublic({ addrs }: PunchOffer): boolean {
  return addrs.length > 0 && addrs.every(({ ip }) => addressScope(ip, []) === 'public');
}

const refused = (code: PunchRefusal, reason: string): Bytes => encodePunchAnswer({ type: 'refused', code, reason });

function offerOf(answer: PunchAnswer | undefined, id: PeerId): PunchOffer {
  const offer = answer?.type === 'offer' ? decodePunchOffer(answer.bytes) : undefined;
  if (offer !== undefined) return offer;
  const { code, reason } =
    answer?.type === 'refused' ? answer : { code: 'failed' as const, reason: 'its answer is malformed' };
  throw new PunchRefused(code, `Cannot punch to ${id}: ${reason}`);
}
