/** The connection manager as the program has it. */

import { assertFunction } from '../base/checks.ts';
import type { Candidate } from '../core/candidate.ts';
import { P2PError } from '../core/errors.ts';
import { inspect, type Inspection } from '../core/inspect.ts';
import { parsePeerId, type PeerId } from '../core/peer-id.ts';
import type { Timer } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { BYE, SERVICE } from '../protocols/peers/constants.ts';
import type { ReachPolicy } from '../protocols/peers/reach/types.ts';
import { rejection } from '../runtime/promises.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { checkCall, Waits } from '../runtime/waits.ts';
import { SessionSwarm } from '../sessions/session-swarm.ts';
import { later } from '../runtime/later.ts';
import type { RelayReservation } from '../nat/relay-link.ts';
import type { RelayService } from '../nat/relay-service.ts';
import type { BootstrapRun } from '../discovery/bootstrap.ts';
import type { BootstrapResult } from '../protocols/bootstrap/bootstrap.ts';
import type { Dht } from '../overlay/kademlia/dht.ts';
import type { AttackEvent } from './attack-signals.ts';
import { PeersDht } from './dht.ts';
import { Exchange } from './exchange.ts';
import type { BanOptions, ListChange, PeerLists } from './lists.ts';
import type { Signals } from './signals.ts';
import { closeSources, type OpenSource, start } from './sources.ts';
import { policyOf, type PeersOptions } from './options.ts';
import { parsePeerAddr, type PeerAddr, peerAddr } from './address.ts';
import { PAUSE_MS, after } from './after-first-calls.ts';
import { ChangeQueue, type PeerChange, type PeerChanges } from './changes.ts';
import type { LiveSession } from './live-session.ts';
import type { ResolvedOptions } from './options.ts';
import { explainPeer } from './explain-peer.ts';
import { connectionOf, infoOf } from './peer-info.ts';
import type { PeerConnection, PeerExplanation, PeerInfo, Peers } from './peers.ts';
import { RemotePeers } from './remote-peers.ts';
import type { ServiceHost } from './service-channel.ts';
import type { PeerStream } from './session-streams.ts';
import { Traversal } from './traversal.ts';
import { Transport, type OpenedTransport } from './transport.ts';

/** How often the clock is looked at for a sleep of the host. */
const TICK_MS = 1000;
/** A tick that comes so late means that the host slept. */
const SLEPT_MS = 3000;
/** Where both have dialled, each may take the other for the one that asks. */
const EXCHANGE_LATE_MS = 1000;
const CONNECT_TIMEOUT_MS = 30_000;
/** How long messages that are under way may take to leave at the end. */
const LINGER_MS = 300;
/** How long peers may take to move to another port of this node. */
const MOVE_LINGER_MS = 10_000;
/** Faults that wait for the first loop over changes; later ones are dropped, since the first say what is wrong. */
const MAX_EARLY_FAULTS = 16;

export class PeersSwarm extends SessionSwarm<PeerAddr> implements Peers {
  readonly id: PeerId;
  readonly lists: PeerLists;
  readonly #options: ResolvedOptions;
  readonly #sources: readonly OpenSource[];
  #run: BootstrapRun | undefined;
  readonly #peers: RemotePeers;
  #transports: readonly Transport[];
  #makeTransport: (options: OpenedTransport) => Transport;
  #moving: Timer | undefined;
  #isFinished = false;
  readonly #pending: Waits;
  #exchange: Exchange | undefined;
  #dht: PeersDht | undefined;
  readonly #queues = new Set<ChangeQueue>(); // Bounded by the loops of the program.
  /** Faults for the first loop: those of the opening come before the program has this object. Bounded by MAX_EARLY_FAULTS. */
  #earlyFaults: PeerChange[] | undefined = [];
  readonly #traversal: Traversal;
  readonly #watching: Disposable;
  #tick: Timer;
  #onStream: ((stream: PeerStream) => void | Promise<void>) | undefined;

  constructor(
    options: ResolvedOptions,
    opened: readonly OpenedTransport[],
    signals: Signals,
    sources: readonly OpenSource[],
  ) {
    let peers: RemotePeers | undefined;
    let finish: (() => Promise<void>) | undefined;
    super({
      layer: 'peers',
      realm: options.realm,
      id: options.id,
      publicKey: options.publicKey,
      inner: undefined,
      maxMessageBytes: options.limits.maxMessageBytes,
      limits: { maxQueueBytes: options.maxQueueBytes, maxHeldBytes: options.maxHeldBytes, maxPeers: options.maxPeers },
      inspectInner: () => this.#transports.map(({ swarm }) => inspect(swarm)),
      localAddrs: () => [peerAddr(options.id)],
      parseAddr: parsePeerAddr,
      mtu: ({ id }) => Math.min(options.limits.maxMessageBytes, peers?.inUse.get(id)?.machine.peerMaxBytes ?? Infinity),
      sessions: (hooks) =>
        (peers = new RemotePeers(options, hooks, {
          changed: (change) => this.#changed(change),
          streamOpened: (stream) => this.#streamOpened(stream),
          signal: (...signal) => signals.note(...signal),
        })),
      release: () => finish?.() ?? Promise.resolve(),
    });
    const ranks = options.transports.map((each) => (typeof each === 'string' ? each : each.name));
    const rankOf = (name: string): number => (ranks.includes(name) ? ranks.indexOf(name) : ranks.length);
    this.#makeTransport = (each) => new Transport(each, rankOf(each.name), peers!);
    this.#transports = opened.map(this.#makeTransport);
    this.id = options.id;
    this.lists = options.lists;
    this.#sources = sources;
    signals.onAttack = (event) => this.#attacked(event);
    this.lists.onChange = (change) => this.#listsChanged(change);
    this.#options = options;
    this.#peers = peers!;
    this.#pending = new Waits(options.realm);
    peers!.reaching.transports = this.#transports;
    const host: ServiceHost = {
      realm: options.realm,
      own: peerAddr(options.id),
      publicKey: options.publicKey,
      closed: this.closed,
      maxMessageBytes: options.limits.maxMessageBytes,
      withSession: (...call) => this.#peers.withSession(...call),
      sessionOf: (id) => this.#peers.openSession(id),
      knownKey: (id) => this.#peers.knownKey(id),
    };
    if (options.exchange !== false) {
      const exchange = new Exchange(options, {
        ...host,
        ownAddrs: () => this.addrs,
        leadsThere: (id, addr) => this.#traversal.relays(id, addr),
        keyElsewhere: () => this.#changed({ type: 'key_elsewhere', id: undefined }),
      });
      this.#exchange = exchange;
      peers!.services.set(SERVICE.EXCHANGE, exchange.channel);
      peers!.reaching.sources.push(exchange.source);
    }
    if (options.dht !== false) this.#dht = new PeersDht(options, host, peers!, () => this.addrs);
    this.#traversal = new Traversal(options, host, peers!, (change) => this.#changed(change));
    peers!.reaching.detours = this.#traversal;
    this.#traversal.relaying.begin();
    this.#watching = options.network.onInterfacesChanged(() => this.#peers.wake());
    this.#tick = this.#arm();
    finish = () => this.#finish();
  }

  /** Begins from the sources. @param openAgain - opens own transports on another port */
  start(options: PeersOptions, openAgain: () => Promise<readonly OpenedTransport[]>): void {
    this.#traversal.start(
      (transport) => this.#join(transport),
      (source, text) => this.fault(source, text),
    );
    this.#armMove(openAgain);
    if (this.#sources.length === 0 || options.minPeers === 0) return;
    const hooks = {
      ownAddrs: () => this.addrs,
      add: (candidate: Candidate) => this.add(candidate),
      faultOf: (id: PeerId) => this.#peers.reaching.faultOf(id),
      connect: (id: PeerId, signal: AbortSignal) =>
        this.#withSession(id, { signal, timeoutMs: Infinity }, 'connect to', () => undefined, 'bootstrap'),
    };
    this.#run = start(options, this.#options, this.#sources, hooks);
  }

  /** What it stands on. */
  get transports(): readonly Transport[] {
    return this.#transports;
  }

  /** Something that this node uses does not work. */
  fault(source: string, text: string): void {
    const change: PeerChange = { type: 'fault', source, text };
    if (this.#earlyFaults !== undefined && this.#earlyFaults.length < MAX_EARLY_FAULTS) this.#earlyFaults.push(change);
    this.#changed(change);
  }

  get dht(): Dht<PeerAddr> | undefined {
    return this.#dht?.dht;
  }

  get ready(): Promise<BootstrapResult> {
    return this.#run?.ready ?? Promise.resolve({ peers: [], refused: [], sources: [], tookMs: 0 });
  }

  ban(targets: string | readonly string[], options?: BanOptions): void {
    this.lists.ban(targets, options);
  }

  unban(targets: string | readonly string[]): number {
    return this.lists.unban(targets);
  }

  get addrs(): readonly string[] {
    return this.#peers.reaching.ownAddrs();
  }

  connect(peer: PeerId | PeerAddr, options?: CallOptions): Promise<PeerConnection> {
    return this.#withSession(peer, options, 'connect to', ({ peer: id, publicKey }) =>
      connectionOf(id, publicKey, () => this.#peers.get(id)),
    );
  }

  maintain(peer: PeerId | PeerAddr): void {
    const id = this.#idOf(peer);
    if (id !== this.id) this.#peers.maintain(id, true); // One list may be given to all nodes of a network.
  }

  setPolicy(peer: PeerId | PeerAddr, policy: ReachPolicy): void {
    this.#peers.setPolicy(this.#idOf(peer), policyOf(policy));
  }

  drop(peer: PeerId | PeerAddr): void {
    const id = this.#idOf(peer);
    this.#peers.maintain(id, false);
    this.#peers.disconnect(id, BYE.DROPPED, 'dropped');
  }

  get relayed(): RelayService<PeerAddr> | undefined {
    return this.#traversal.relaying.service;
  }

  get reservations(): readonly RelayReservation<PeerAddr>[] {
    return this.#traversal.relaying.reservations;
  }

  add(candidate: Candidate): void {
    this.#peers.reaching.add(candidate);
  }

  get acceptBootstrap(): boolean {
    return this.#options.acceptBootstrap;
  }

  set acceptBootstrap(accepts: boolean) {
    if (typeof accepts !== 'boolean') throw new TypeError('Cannot take acceptBootstrap: expected true or false');
    this.#options.acceptBootstrap = accepts;
  }

  inspect(): Inspection {
    return inspect(this);
  }

  list(): readonly PeerInfo[] {
    return Array.from(this.#peers.peers, infoOf);
  }

  changes(): PeerChanges {
    const queue = new ChangeQueue((left) => void this.#queues.delete(left));
    for (const fault of this.#earlyFaults ?? []) queue.push(fault);
    this.#earlyFaults = undefined;
    if (this.#isFinished) queue.end();
    else this.#queues.add(queue);
    return queue;
  }

  explain(peer: PeerId | PeerAddr): PeerExplanation {
    const id = this.#idOf(peer);
    return explainPeer(id, this.#peers.get(id), this.#peers.reaching.explain(id), this.#traversal.network);
  }

  explainBoth(peer: PeerId | PeerAddr, options?: CallOptions): Promise<PeerExplanation> {
    const id = this.#idOf(peer);
    checkCall(options);
    return this.#traversal.report(id, options).then((report) => {
      const known = this.#peers.get(id);
      if (known !== undefined) known.report = report;
      return this.explain(id);
    });
  }

  openStream(peer: PeerId | PeerAddr, options?: CallOptions): Promise<PeerStream> {
    return this.#withSession(peer, options, 'open a stream to', (session) => session.streams.open());
  }

  onStream(handler: (stream: PeerStream) => void | Promise<void>): Disposable {
    assertFunction(handler, 'handler');
    if (this.#onStream !== undefined) {
      throw new TypeError('Cannot take streams: there is a handler; dispose of it first');
    }
    const attached = (stream: PeerStream): void | Promise<void> => handler(stream);
    this.#onStream = attached;
    return {
      [Symbol.dispose]: () => {
        if (this.#onStream === attached) this.#onStream = undefined;
      },
    };
  }

  #withSession<T>(
    peer: PeerId | PeerAddr,
    options: CallOptions | undefined,
    verb: string,
    use: (session: LiveSession) => T,
    intent: 'connect' | 'bootstrap' = 'connect',
  ): Promise<T> {
    checkCall(options);
    const dst = peerAddr(this.#idOf(peer));
    if (dst.id === this.id) {
      return rejection(
        new P2PError('unreachable', 'local', `Cannot ${verb} ${dst.id}: it is this node`, { sent: 'no' }),
      );
    }
    const what = (): string => `${verb} ${dst.id}`;
    return this.#pending.wait<T>({ what, call: options, defaultTimeoutMs: CONNECT_TIMEOUT_MS }, (wait) =>
      this.#peers.withSession(
        dst,
        wait.reject,
        (session) => {
          try {
            wait.resolve(use(session));
          } catch (error) {
            wait.reject(error);
          }
        },
        intent,
      ),
    );
  }

  #idOf(peer: PeerId | PeerAddr): PeerId {
    return parsePeerId(typeof peer === 'string' ? peer : (Object(peer) as PeerAddr).id);
  }

  #attacked(event: AttackEvent): void {
    const ban = this.#options.ban?.(event);
    if (ban !== undefined) this.lists.ban(ban.target, ban);
    this.#changed({ ...event, ban });
  }

  #listsChanged(change: ListChange): void {
    this.#changed({ type: 'lists', change });
    // Not inside of the call that changed them.
    later(this.#options.realm, () => this.#peers.enforce());
  }

  #changed(change: PeerChange): void {
    const id = 'id' in change ? change.id : undefined;
    const path = id === undefined ? undefined : this.#peers.get(id)?.session?.path;
    if (id !== undefined && path !== undefined) this.#traversal.connected(id, path);
    if (change.type === 'lost') this.#traversal.lost(change.id, change.reason);
    // The relay hands on where this node is.
    if (change.type === 'relay' && change.state === 'reserved') void this.#exchange?.tell(change.relay);
    if (change.type === 'connected') {
      const isDialler = change.path.side === 'responder';
      after(this.#options.realm, isDialler ? PAUSE_MS : EXCHANGE_LATE_MS, () => {
        const isWanted = isDialler || this.#exchange?.knows(change.id) === false;
        if (isWanted && this.#peers.inUse.has(change.id)) void this.#exchange?.connected(change.id);
      });
    }
    if (change.type === 'connected' || change.type === 'kind') void this.#dht?.met(change.id);
    for (const queue of this.#queues) queue.push(change);
  }

  #streamOpened(stream: PeerStream): boolean {
    const handler = this.#onStream;
    if (handler === undefined) return false;
    void (async () => {
      try {
        await handler(stream);
      } catch (cause) {
        const { realm } = this.#options;
        realm.trace?.({
          layer: 'peers',
          type: 'handler_error',
          atMs: realm.nowMs(),
          addr: peerAddr(stream.peer),
          cause,
        });
        stream.reset();
      }
    })();
    return true;
  }

  /** One more transport; one of the same name has ended. */
  #join(opened: OpenedTransport): void {
    if (this.#isFinished) {
      void opened.swarm.close();
      return;
    }
    const transport = this.#makeTransport(opened);
    this.#transports = [...this.#transports.filter(({ name }) => name !== opened.name), transport];
    this.#peers.reaching.transports = this.#transports.filter(({ isRetired }) => !isRetired);
  }

  /** Opens own transports on another port, and closes the old ones once the peers have moved. */
  async #move(open: () => Promise<readonly OpenedTransport[]>): Promise<void> {
    try {
      const opened = await open();
      const retired = this.#transports.filter(({ isOwn, isRetired }) => isOwn && !isRetired);
      const fresh = opened.map((each) => this.#makeTransport(each));
      if (this.#isFinished) {
        await Promise.all(fresh.map((transport) => transport.close()));
        return;
      }
      for (const transport of retired) transport.isRetired = true;
      this.#transports = [...fresh, ...this.#transports];
      this.#peers.reaching.transports = this.#transports.filter(({ isRetired }) => !isRetired);
      this.#peers.move(retired, fresh);
      this.#traversal.mapPorts(this.#peers.reaching.transports);
      const { realm } = this.#options;
      clockOf(realm).setTimer(realm.nowMs() + MOVE_LINGER_MS, () => void this.#close(retired), { background: true });
    } catch (error) {
      this.fault('movePortEveryMs', error instanceof Error ? error.message : String(error));
    }
    this.#armMove(open);
  }

  #armMove(open: () => Promise<readonly OpenedTransport[]>): void {
    const { realm, movePortEveryMs } = this.#options;
    if (movePortEveryMs === Infinity || this.#isFinished) return;
    const atMs = realm.nowMs() + movePortEveryMs;
    this.#moving = clockOf(realm).setTimer(atMs, () => void this.#move(open), { background: true });
  }

  /** Closes transports, once the last words on them have left. */
  async #close(transports: readonly Transport[]): Promise<void> {
    this.#transports = this.#transports.filter((each) => !transports.includes(each));
    await Promise.all(
      transports.map(async (transport) => {
        await transport.swarm.drain({ timeoutMs: LINGER_MS }).catch(() => undefined);
        await transport.close();
      }),
    );
  }

  #arm(): Timer {
    const { realm } = this.#options;
    const [dueMs, dueWallMs] = [realm.nowMs() + TICK_MS, realm.wallMs() + TICK_MS];
    const tick = (): void => {
      // The monotonic clock of some systems stands still during a sleep, and the wall clock of none does.
      const lateMs = Math.max(realm.nowMs() - dueMs, realm.wallMs() - dueWallMs);
      if (lateMs >= SLEPT_MS) this.#peers.wake();
      this.#tick = this.#arm();
    };
    return clockOf(realm).setTimer(dueMs, tick, { background: true });
  }

  async #finish(): Promise<void> {
    this.#isFinished = true;
    this.#tick.cancel();
    this.#moving?.cancel();
    this.#watching[Symbol.dispose]();
    this.#pending.close();
    this.#run?.[Symbol.dispose]();
    this.#exchange?.close();
    await this.#dht?.close();
    for (const queue of this.#queues) queue.end();
    await Promise.all([this.#close(this.#transports), this.#traversal.close()]);
    await closeSources(this.#sources);
  }
}
