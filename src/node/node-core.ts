/** The implementation of a node: its hooks, its connections, and its end. */

import { P2PError, closedError } from '../core/errors.ts';
import { type SocketAddress, canonicalIp, formatSocketAddress } from '../base/ip.ts';
import { assertString, describeValue, quantity } from '../base/checks.ts';
import type { Realm } from '../core/realm.ts';
import type { Closed } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { CLOSE_DEADLINE_MS, CloseLatch } from '../runtime/close-latch.ts';
import { rejection } from '../runtime/promises.ts';
import { Waits, checkCall } from '../runtime/waits.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { assertSocket } from '../net/system-network.ts';
import { Accepting } from './accepting.ts';
import { Bans } from './bans.ts';
import { ConnectionTable } from './connection-table.ts';
import type { Disconnect, DisconnectOptions, SendOptions, TcpConnection } from './connection.ts';
import { Establishing, type EstablishingOwner } from './establishing.ts';
import { HandshakeHook } from './handshake.ts';
import type { Hook } from './hook.ts';
import { Listening } from './listening.ts';
import type { NodeMemory } from './memory.ts';
import type { BanOptions, ConnectOptions, Node } from './node.ts';
import { ConnectHook } from './on-connect.ts';
import { DisconnectHook } from './on-disconnect.ts';
import { type NodeOptions, type ResolvedNodeOptions, resolveNodeOptions } from './options.ts';
import { ReadingHook } from './reading.ts';
import { type Heuristics, NodeCount, type NodeStats } from './stats.ts';
import { trace } from './trace.ts';
import { WritingHook } from './writing.ts';

const DRAIN_TIMEOUT_MS = 30_000;
/** The part of the one second of `close` that hooks and queues may use. */
const CLOSE_GRACE_MS = CLOSE_DEADLINE_MS - 200;

type EnabledHooks<In, Out> = {
  -readonly [Kind in keyof EstablishingOwner<In, Out>['hooks']]: EstablishingOwner<In, Out>['hooks'][Kind];
};

export class NodeCore<In, Out> implements Node<In, Out>, EstablishingOwner<In, Out> {
  readonly name: string;
  readonly realm: Realm;
  readonly count: NodeCount;
  /** Pending calls of the user; during `close`, also what its connections wait for. */
  waits: Waits;
  readonly running: { handshake: number; onConnect: number; onDisconnect: number } = {
    handshake: 0,
    onConnect: 0,
    onDisconnect: 0,
  };
  readonly memory: NodeMemory;
  readonly hooks: EnabledHooks<In, Out>;
  readonly #options: ResolvedNodeOptions<In, Out>;
  readonly #bans: Bans;
  readonly #latch: CloseLatch;
  readonly #table = new ConnectionTable<Out>();
  readonly #accepting: Accepting | undefined;
  readonly #establishing: Establishing<In, Out>;
  readonly #listening: Listening;

  constructor(given: NodeOptions<In, Out>) {
    const options = resolveNodeOptions(given);
    const { name, realm, maxBans, limits, codec, handshake, accept, fingerprint } = options;
    this.#options = options;
    this.name = name;
    this.realm = realm;
    this.memory = options.memory;
    this.count = new NodeCount(realm.nowMs());
    this.waits = new Waits(realm);
    this.hooks = {
      codec,
      handshake,
      reading: undefined,
      writing: undefined,
      onConnect: undefined,
      onDisconnect: undefined,
    };
    this.#latch = new CloseLatch({ realm, layer: 'node', release: () => this.#release() });
    this.#bans = new Bans(maxBans, limits.groupIpv6 ?? false);
    this.#accepting = accept && new Accepting(accept, fingerprint, realm, this.count);
    this.#establishing = new Establishing(this, options, {
      bans: this.#bans,
      table: this.#table,
      accepting: this.#accepting,
    });
    const { network, streams, backlog, reusePort } = options;
    this.#listening = new Listening({
      ...streams,
      network,
      backlog,
      reusePort,
      onConnection: (raw) => void this.#establishing.take(raw),
      onError: () => void this.count.acceptErrors++,
      closedError: (what) => this.closedError(what),
    });
  }

  get isRaw(): boolean {
    return this.hooks.handshake === undefined;
  }

  get listensAt(): SocketAddress | undefined {
    return this.#listening.address;
  }

  get listeningAddr(): string | undefined {
    const address = this.listensAt;
    return address === undefined ? undefined : formatSocketAddress(address.ip, address.port);
  }

  get connected(): number {
    return this.#table.size;
  }

  get connecting(): number {
    return this.#establishing.connecting;
  }

  get stats(): NodeStats {
    return this.count.stats(this.#table.all());
  }

  get heuristics(): Heuristics {
    return this.count;
  }

  get bans(): ReadonlyMap<string, number> {
    return this.#bans.list(this.realm.nowMs());
  }

  get closed(): Promise<Closed> {
    return this.#latch.closed;
  }

  enable(hook: Hook<In, Out>): void {
    const hooks = this.hooks;
    if (hook instanceof ReadingHook) hooks.reading = this.#next(hook, hooks.reading, true);
    else if (hook instanceof WritingHook) hooks.writing = this.#next(hook, hooks.writing, true);
    else if (hook instanceof ConnectHook) hooks.onConnect = this.#next(hook, hooks.onConnect);
    else if (hook instanceof DisconnectHook) hooks.onDisconnect = this.#next(hook, hooks.onDisconnect);
    else if (hook instanceof HandshakeHook) hooks.handshake = this.#next(hook, hooks.handshake);
    else throw new TypeError(`Cannot enable: expected a hook, got ${describeValue(hook)}`);
  }

  listen(bind?: string): Promise<string> {
    const binds = bind === undefined ? this.#options.binds : [parseIpSocketAddress(bind, 'bind')];
    return this.#listening.start(binds).then((address) => {
      trace(this.realm, 'listening', address);
      return formatSocketAddress(address.ip, address.port);
    });
  }

  stopListening(): Promise<void> {
    return this.#listening.stop();
  }

  connect(addr: string, options: ConnectOptions = {}): Promise<TcpConnection<Out>> {
    assertString(addr, 'addr');
    const remote = parseIpSocketAddress(addr, 'addr');
    if (remote.port === 0) throw new TypeError(`Cannot connect to ${addr}: port 0 cannot be connected to`);
    checkCall(options);
    const { socket } = options;
    if (socket !== undefined) assertSocket(socket);
    const bind = options.bind === undefined ? undefined : parseIpSocketAddress(options.bind, 'bind');
    const place = this.#establishing.reserve(remote, formatSocketAddress(remote.ip, remote.port));
    if (place instanceof P2PError) {
      socket?.destroy();
      return rejection(place);
    }
    return this.#establishing.dial(remote, place, { ...options, bind });
  }

  connections(): readonly TcpConnection<Out>[] {
    return this.#table.all();
  }

  connection(addr: string): TcpConnection<Out> | undefined {
    return this.#table.get(addr);
  }

  isConnecting(addr: string): boolean {
    return this.#establishing.isConnecting(addr);
  }

  broadcast(message: Out, options?: Pick<SendOptions, 'priority' | 'timeoutMs'>): number {
    let queued = 0;
    for (const connection of this.#table.all()) {
      try {
        connection.send(message, { ...options, delivery: false });
        queued++;
      } catch (error) {
        // A full or ending connection does not affect the others.
        if (!P2PError.is(error)) throw error;
      }
    }
    return queued;
  }

  async recheck(): Promise<void> {
    const known = this.#table.all().filter(({ publicKey }) => publicKey !== undefined);
    await this.#accepting?.recheck(known, (connection) => connection.fail('user', 'not_accepted'));
  }

  drain(options: DisconnectOptions = {}): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    const timeoutMs = options.timeoutMs ?? DRAIN_TIMEOUT_MS;
    const connections = this.#table.all();
    const how: Disconnect = { origin: 'user', reason: 'closed', said: options.reason };
    return this.waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: timeoutMs },
      ({ resolve, reject }) => {
        for (const each of connections) each.end(how, { flushMs: timeoutMs, lingerMs: timeoutMs });
        const all = [this.stopListening(), ...connections.map(({ closed }) => closed)];
        Promise.all(all).then(() => resolve(), reject);
        return () => {
          // The wait has ended in any case: closes the remaining connections.
          for (const each of connections) each.cut();
        };
      },
    );
  }

  ban(ip: string, options: BanOptions = {}): void {
    const canonical = canonicalIp(ip);
    if (canonical === undefined) throw new TypeError(`Cannot ban: expected an IP, got ${describeValue(ip)}`);
    const forMs = quantity(options.forMs, 'forMs', Infinity, 0, Infinity);
    const nowMs = this.realm.nowMs();
    this.#bans.add(canonical, nowMs + forMs, nowMs);
    for (const each of this.#table.all()) {
      if (this.#bans.has(each.ip, nowMs)) each.fail('user', 'banned');
    }
    this.#establishing.giveUpBanned(nowMs);
  }

  unban(ip: string): boolean {
    const canonical = canonicalIp(ip);
    if (canonical === undefined) throw new TypeError(`Cannot lift ban: expected an IP, got ${describeValue(ip)}`);
    return this.#bans.lift(canonical);
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  closedError(what: string): P2PError | undefined {
    return this.#latch.isClosed ? this.#latch.error(what) : undefined;
  }

  removed(id: number, how: Disconnect): void {
    const connection = this.#table.remove(id);
    if (connection === undefined) return;
    this.count.countEnded(how.reason, connection.stats);
    trace(this.realm, 'disconnected', connection, how.reason, how.cause);
  }

  async #release(): Promise<void> {
    this.waits.close();
    this.waits = new Waits(this.realm);
    const stopped = this.#listening.stopNow();
    this.#establishing.close(closedError('connect'));
    this.#accepting?.close();
    const how: Disconnect = { origin: 'shutdown', reason: 'shutdown' };
    for (const each of this.#table.all()) each.end(how, { flushMs: CLOSE_GRACE_MS, lingerMs: 0 });
    const { realm } = this;
    const timer = clockOf(realm).setTimer(realm.nowMs() + CLOSE_GRACE_MS, () => {
      for (const each of this.#table.all()) each.cut();
    });
    await this.#table.empty();
    timer.cancel();
    await stopped;
  }

  /** @throws {TypeError} when a hook of this kind is enabled, or a codec is missing for one that needs it. */
  #next<H extends Hook<In, Out>>(hook: H, present: Hook<In, Out> | undefined, needsCodec = false): H {
    const { kind } = hook;
    if (present !== undefined) {
      const why = kind === 'handshake' ? 'its security, or another handshake' : 'one already; make one hook do both';
      throw new TypeError(`Cannot enable ${kind}: the node has ${why}, or use another node`);
    }
    if (needsCodec && this.hooks.codec === undefined) {
      throw new TypeError(`Cannot enable ${kind}: the node has no codec; give createNode({ codec })`);
    }
    return hook;
  }
}
