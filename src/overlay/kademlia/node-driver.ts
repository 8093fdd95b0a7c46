/** Drives the machine of a DHT node over a swarm: sends its requests, and translates addresses. */

import { type Bytes, encodeText } from '../../base/bytes.ts';
import { sourceOf } from '../../base/source-shares.ts';
import { type Addr, ipOf, isGlobal, peerIdOf } from '../../core/addr.ts';
import type { DropReason } from '../../core/counters.ts';
import { P2PError, Refusal } from '../../core/errors.ts';
import type { Request } from '../../core/message.ts';
import { decodePeerId, encodePeerId, type PeerId } from '../../core/peer-id.ts';
import type { PublicKey, SecureAskSwarm } from '../../core/secure.ts';
import { leadsTo } from '../../discovery/peer-record.ts';
import { peerIdOfKey } from '../../identity/fingerprints.ts';
import { mayBeTried, ProbeTargets } from '../../net/probe-targets.ts';
import { MAX_CONTACT_BYTES, MAX_MESSAGE_BYTES, packAddr, unpackAddr } from '../../protocols/kademlia/messages.ts';
import type { FailedAsk } from '../../protocols/kademlia/asks.ts';
import { KademliaNode } from '../../protocols/kademlia/node.ts';
import type { KadEvent, KadTransmit, NodeOptions, NodeRef, Times } from '../../protocols/kademlia/node-types.ts';
import { KeySpace, keyBytes, type KeyText, keyText } from '../../protocols/kademlia/position.ts';
import { Driver } from '../../runtime/driver.ts';
import { later } from '../../runtime/later.ts';
import type { CounterSet } from '../../swarm-kit/counter-set.ts';
import { DhtRecords } from './dht-records.ts';
import type { DhtOptions, ResolvedDhtOptions } from './options.ts';

/** PeerIDs by key, so that a key is hashed once. Bounded by the keys that somebody else holds. */
const IDS = new WeakMap<PublicKey, KeyText>();

/** Addresses of one contact, where the swarm has PeerIDs. */
const MAX_CONTACT_ADDRS = 4;
/** Addresses that the program gave to begin with. */
const MAX_GIVEN = 1024;

/** What a swarm of PeerIDs adds: addresses of its peers are not its own, but those of transports below. */
export interface ByPeerId<A extends Addr> {
  /** The addresses of this node that contacts are given, best first. */
  readonly addrs: () => readonly string[];
  /** Notes where a peer is said to be. @returns its address in the swarm */
  readonly place: (id: PeerId, addrs: readonly string[]) => A;
  /** Whether others can reach a peer, as far as this node knows. */
  readonly isReachable: (id: PeerId) => boolean;
}

/** What the driver reports to the program's side. */
export interface DriverHooks {
  readonly event: (event: KadEvent) => void;
  readonly failed: (bug: Error) => void;
}

export class NodeDriver<A extends Addr> {
  readonly id: PeerId;
  readonly self: KeyText;
  readonly machine: KademliaNode;
  readonly records: DhtRecords;
  readonly space: KeySpace;
  readonly #swarm: SecureAskSwarm<A>;
  readonly #byPeerId: ByPeerId<A> | undefined;
  readonly #probe: DhtOptions<A>['probe'];
  readonly #counters: CounterSet;
  readonly #driver: Driver<KadTransmit, KadEvent>;
  readonly #targets: ProbeTargets;
  /** Packed addresses with their PeerIDs. Bounded by {@link MAX_GIVEN}: the oldest is removed. */
  readonly #given = new Set<string>();
  /** Requests to addresses that somebody only named, by PeerID and address. Bounded by the asks of the machine. */
  readonly #trying = new Map<string, Promise<boolean>>();
  readonly #over = new AbortController();
  readonly #serving: Disposable;
  /** Whether the swarm's addresses name PeerIDs themselves; else a contact's address has it in front. */
  readonly #hasIds: boolean;
  readonly #hasIps: boolean;
  readonly #keepsSwarm: boolean;

  constructor(
    swarm: SecureAskSwarm<A>,
    options: DhtOptions<A>,
    resolved: ResolvedDhtOptions,
    counters: CounterSet,
    hooks: DriverHooks,
    byPeerId?: ByPeerId<A>,
  ) {
    const { realm, publicKey } = swarm;
    this.#swarm = swarm;
    this.#byPeerId = byPeerId;
    this.#probe = options.probe;
    this.#keepsSwarm = options.keepInner === true;
    this.#counters = counters;
    const [own] = swarm.localAddrs();
    this.id = (own === undefined ? undefined : peerIdOf(own)) ?? peerIdOfKey(publicKey);
    this.self = keyText(decodePeerId(this.id)!);
    this.#hasIds = own !== undefined && (own.text === this.id || leadsTo(own.text, this.id));
    this.#hasIps = own !== undefined && ipOf(own) !== undefined;
    this.space = new KeySpace(resolved.networkName);
    const ownTexts = options.addrs ?? ((): readonly string[] => swarm.localAddrs().map(({ text }) => text));
    this.records = new DhtRecords({
      id: this.id,
      privateKey: resolved.privateKey,
      addrs: ownTexts,
      wallMs: () => realm.wallMs(),
      lifetimeMs: resolved.ttlMs,
      maxRecords: resolved.maxRecords,
    });
    const { maxProbes, maxProbesPerIp } = resolved;
    this.#targets = new ProbeTargets({ maxProbes, maxProbesPerIp });
    const nodeOptions: NodeOptions = {
      ...resolved.node,
      self: this.self,
      space: this.space,
      maxMessageBytes: Math.min(own === undefined ? MAX_MESSAGE_BYTES : swarm.maxRequestBytes(own), MAX_MESSAGE_BYTES),
      isReachable: (id) => byPeerId?.isReachable(encodePeerId(keyBytes(id))) ?? true,
      isClient: () => resolved.kind() === 'client',
      ownAddr: () => this.#ownAddr(ownTexts),
      networkOf: (addr, id) => this.#networkOf(addr, id),
      records: this.records,
      answersProve: options.probe === undefined,
      seed: keyText(realm.random(16)),
    };
    this.machine = new KademliaNode(this.times(), nodeOptions);
    this.#driver = new Driver(this.machine, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: hooks.event,
      failed: hooks.failed,
      background: true,
    });
    this.#serving = swarm.serve((request) => this.#serve(request));
    this.#driver.poll();
  }

  times(): Times {
    const { realm } = this.#swarm;
    return { now: realm.nowMs(), wallMs: realm.wallMs() };
  }

  /** Runs an input of the machine, and what follows from it. */
  run<T>(input: (machine: KademliaNode, times: Times) => T): T {
    const result = input(this.machine, this.times());
    this.#driver.poll();
    return result;
  }

  stop(): void {
    this.run((machine, times) => machine.stop(times, 'stopped'));
    this.#driver.stop();
    this.#serving[Symbol.dispose]();
    this.#over.abort(new P2PError('closed', 'local', 'The DHT is closed'));
  }

  /** A node to begin with: the program gave its address. */
  give(addr: A, publicKey: PublicKey): NodeRef {
    const id = this.#idOf(addr, publicKey);
    const ref = { id, addr: this.#pack(addr.text, id) };
    this.#given.add(ref.id + ref.addr);
    if (this.#given.size > MAX_GIVEN) this.#given.delete(this.#given.values().next().value!);
    return ref;
  }

  /** The text of an address for the swarm, from that of a record or a contact. */
  swarmText(text: string, id: PeerId): string {
    return this.#hasIds || !text.startsWith(`${id}@`) ? text : text.slice(id.length + 1);
  }

  /** An address of the swarm as contacts have it. */
  #pack(text: string, id: KeyText): string {
    // Without PeerIDs in addresses none is to be replaced, and none has to be encoded, which takes longer than the rest.
    if (!this.#hasIds) return `\u0000@${text}`;
    return packAddr(text, encodePeerId(keyBytes(id)));
  }

  /** As many addresses as a contact may have. */
  #packAll(texts: readonly string[]): string {
    let packed = '';
    for (const text of texts.slice(0, MAX_CONTACT_ADDRS)) {
      const more = `${packed}${packed === '' ? '' : '\n'}${packAddr(text, this.id)}`;
      if (encodeText(more).length <= MAX_CONTACT_BYTES) packed = more;
    }
    return packed;
  }

  #ownAddr(texts: () => readonly string[]): string {
    if (this.#byPeerId !== undefined) return this.#packAll(this.#byPeerId.addrs());
    const [first] = texts();
    return first === undefined ? '' : this.#pack(first, this.self);
  }

  #place({ id, addr }: NodeRef): A | undefined {
    if (!this.#hasIds) return addr.startsWith('\u0000@') ? this.#swarm.tryParseAddr(addr.slice(2)) : undefined;
    const peer = encodePeerId(keyBytes(id));
    if (this.#byPeerId !== undefined) return this.#byPeerId.place(peer, unpackAddr(addr, peer).split('\n'));
    const parsed = this.#swarm.tryParseAddr(this.swarmText(unpackAddr(addr, peer), peer));
    // An address that names another peer would be asked in vain.
    return parsed !== undefined && (peerIdOf(parsed) ?? peer) === peer ? parsed : undefined;
  }

  #networkOf(addr: string, id: KeyText): string {
    const parsed = this.#hasIps ? this.#place({ id, addr }) : undefined;
    if (parsed === undefined || !isGlobal(parsed)) return '';
    return sourceOf(ipOf(parsed)!);
  }

  #idOf(addr: A, publicKey: PublicKey | undefined): KeyText {
    const named = peerIdOf(addr);
    if (named !== undefined) return keyText(decodePeerId(named)!);
    if (publicKey === undefined) throw new Refusal('the asker is not known');
    let id = IDS.get(publicKey);
    if (id === undefined) IDS.set(publicKey, (id = keyText(decodePeerId(peerIdOfKey(publicKey))!)));
    return id;
  }

  #serve({ src, payload }: Request<A>): Uint8Array {
    this.#counters.countReceived(payload.length);
    const id = this.#idOf(src, this.#swarm.knownPublicKey(src));
    if (payload.length > MAX_MESSAGE_BYTES) {
      this.#counters.countDrop('oversize');
      throw new Refusal('too large');
    }
    const ip = this.#hasIps ? ipOf(src) : undefined;
    const incoming = { id, addr: this.#pack(src.text, id), source: ip === undefined ? id : sourceOf(ip), payload };
    const answer = this.run((machine, times) => machine.handleRequest(times, incoming));
    if (answer === undefined) throw new Refusal('this is no request of this DHT');
    return answer;
  }

  #transmit(transmit: KadTransmit): void {
    const { ask, to, isProven, isRetry } = transmit;
    const addr = this.#place(to);
    if (addr === undefined) {
      this.#notTried(ask, 'unparsable');
      return;
    }
    if (isProven || this.#given.has(to.id + to.addr)) {
      if (mayBeTried(addr, this.#swarm.localAddrs(), isProven ? 'reached' : 'given')) void this.#send(transmit, addr);
      else this.#notTried(ask, 'refused_addr');
      return;
    }
    const target = to.id + to.addr;
    const trying = this.#trying.get(target);
    if (trying !== undefined && !isRetry) {
      // Another lookup is asking there now: an address that somebody only named is tried once.
      void trying.then((isThere) => {
        if (isThere) void this.#send(transmit, addr);
        else this.#fail(ask, 'silent');
      });
      return;
    }
    const refusal = isRetry ? this.#refuseRetry() : this.#refuse(addr, to);
    if (refusal !== undefined) {
      this.#notTried(ask, refusal);
      return;
    }
    const sent = this.#send(transmit, addr);
    this.#trying.set(target, sent);
    void sent.then(() => this.#trying.get(target) === sent && this.#trying.delete(target));
  }

  /** Asks, and gives the machine what comes of it. @returns whether the node that was meant has answered; never rejects */
  #send({ ask, to, payload, timeoutMs, isProbe }: KadTransmit, addr: A): Promise<boolean> {
    const isOther = isProbe && this.#probe !== undefined;
    const asked = isOther ? this.#probed(addr) : this.#ask(addr, payload, timeoutMs);
    return asked.then(
      (answer) => {
        const isThere = isOther || this.#isThere(addr, to);
        if (isThere) this.#targets.reached(addr);
        if (isOther) this.#probeDone(ask, to);
        else if (isThere) this.run((machine, times) => machine.handleAnswer(times, ask, answer));
        else {
          this.#counters.countDrop('dht.wrong_id');
          this.#fail(ask, 'unreachable');
        }
        return isThere;
      },
      (error: unknown) => {
        this.#fail(ask, whyOf(error));
        return false;
      },
    );
  }

  #fail(ask: number, why: FailedAsk): void {
    this.run((machine, times) => machine.handleFailure(times, ask, why));
  }

  #notTried(ask: number, reason: string): void {
    this.#counters.countDrop(`dht.${reason}`);
    later(this.#swarm.realm, () => this.#fail(ask, 'not_tried'));
  }

  /** Whether the node that answered is the one that was meant; addresses with PeerIDs say so themselves. */
  #isThere(addr: A, { id }: NodeRef): boolean {
    const publicKey = this.#hasIds ? undefined : this.#swarm.knownPublicKey(addr);
    return publicKey === undefined ? this.#hasIds : this.#idOf(addr, publicKey) === id;
  }

  #ask(addr: A, payload: Bytes, timeoutMs: number): Promise<Bytes> {
    this.#counters.countSent(payload.length);
    // A swarm that closes ends its asks itself; a signal costs as much as half an ask.
    const signal = this.#keepsSwarm ? this.#over.signal : undefined;
    return this.#swarm.ask(addr, payload, { timeoutMs, signal, maxResponseBytes: MAX_MESSAGE_BYTES });
  }

  async #probed(addr: A): Promise<Bytes> {
    const isThere: unknown = await this.#probe!(addr);
    if (isThere !== true) throw new P2PError('unreachable', 'path', `Nobody is at ${addr.text}`);
    return new Uint8Array(0);
  }

  /** The program's own probe has reached an address: there is no answer to read. */
  #probeDone(ask: number, { id, addr }: NodeRef): void {
    this.records.reached(id, addr);
    this.#fail(ask, 'not_tried');
  }

  /** An address that somebody only named may be a victim's, so it is tried once, at a limited rate. */
  #refuse(addr: A, { id }: NodeRef): string | undefined {
    const { realm } = this.#swarm;
    const claim = { addr, by: id, issuedMs: realm.wallMs() };
    return this.#targets.take(realm.nowMs(), claim, this.#swarm.localAddrs());
  }

  /** Transports of IP networks repeat the packets of their handshakes themselves; what did not answer is not asked again. */
  #refuseRetry(): string | undefined {
    return this.#hasIps ? 'not_repeated' : undefined;
  }

  /** Counts what the machine dropped. */
  countDrop(reason: string, count: number): void {
    const name: DropReason = reason === 'malformed' ? 'malformed' : `dht.${reason}`;
    for (let i = 0; i < count; i++) this.#counters.countDrop(name);
  }
}

function whyOf(error: unknown): FailedAsk {
  if (P2PError.is(error, 'refused')) return 'refused';
  return P2PError.is(error, 'timeout') || P2PError.is(error, 'disconnected') ? 'silent' : 'unreachable';
}
