/** The node itself: its tables, its hooks, and the two ways in which connections come about. */

import { P2PError, closedError } from '../core/errors.ts';
import { type Endpoint, canonicalIp, formatEndpoint, isLoopbackIp, isUnspecifiedIp } from '../base/ip.ts';
import { assertString, describeValue, quantity } from '../base/checks.ts';
import { type Realm } from '../core/realm.ts';
import { type CallOptions, type Closed } from '../core/swarm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { CLOSE_DEADLINE_MS, CloseLatch } from '../runtime/close-latch.ts';
import { rejection } from '../runtime/promises.ts';
import { Waits, checkCall } from '../runtime/waits.ts';
import { parseIpEndpoint } from '../net/socket-address.ts';
import { Bans } from './bans.ts';
import { type Connection, type Disconnect, type LocalRole } from './connection.ts';
import { type Hook, type HookKind, type Hooks } from './hook.ts';
import { Admission, type Reservation } from './limits.ts';
import { type NodeMemory } from './memory.ts';
import { type Link, type Listener } from '../net/network.ts';
import { adopt, assertSocket } from '../net/system-network.ts';
import { type ConnectionHost, type Manners, NodeConnection } from './node-connection.ts';
import { type BanOptions, type ConnectOptions, type DisconnectOptions, type Node } from './node.ts';
import { type NodeOptions, type ResolvedNodeOptions, resolveNodeOptions } from './options.ts';
import { bannedError, evictedError, limitError, noWriter, selfError, takenError } from './refusals.ts';
import { trace } from './trace.ts';
import { refusalOf, shake } from './set-up.ts';
import { type Heuristics, NodeCount, type NodeStats } from './stats.ts';

const HOOK_KINDS: readonly HookKind[] = ['handshake', 'reading', 'writing', 'onConnect', 'onDisconnect'];
const DISCONNECT_TIMEOUT_MS = 5000;
const DRAIN_TIMEOUT_MS = 30_000;
/** `close` lets hooks and queues have so much of its second. */
const CLOSE_GRACE_MS = CLOSE_DEADLINE_MS - 200;

/** Something on its way to be a connection. */
interface SettingUp {
  readonly addr: string;
  readonly abort: AbortController;
}

export class NodeCore implements Node, ConnectionHost {
  readonly name: string;
  readonly realm: Realm;
  readonly count: NodeCount;
  /** What users wait for; once the node closes, what its connections wait for to the end. */
  waits: Waits;
  readonly running: { handshake: number; onConnect: number; onDisconnect: number } = {
    handshake: 0,
    onConnect: 0,
    onDisconnect: 0,
  };
  readonly memory: NodeMemory;
  readonly #options: ResolvedNodeOptions;
  readonly #admission: Admission;
  readonly #bans: Bans;
  readonly #latch: CloseLatch;
  readonly #hooks: Hooks = {};
  readonly #connections = new Map<number, NodeConnection>(); // Bounded by maxConnections.
  /** The newest connection with each other end. Bounded by maxConnections. */
  readonly #byAddr = new Map<string, NodeConnection>();
  readonly #settingUp = new Set<SettingUp>(); // Bounded by twice maxConnecting.
  #lastId = 0;
  #listener: Listener | undefined;
  /** Listening goes on and off one call after the other. */
  #toggling: Promise<unknown> = Promise.resolve();
  /** Called when the last connection has gone. */
  #onEmpty: (() => void) | undefined;

  constructor(options: NodeOptions) {
    this.#options = resolveNodeOptions(options);
    const { name, realm, maxBans, groupIpv6 } = this.#options;
    this.name = name;
    this.realm = realm;
    this.memory = this.#options.memory;
    this.count = new NodeCount(realm.nowMs());
    this.waits = new Waits(realm);
    this.#admission = new Admission(options);
    this.#bans = new Bans(maxBans, groupIpv6);
    this.#latch = new CloseLatch({ realm, layer: 'node', release: () => this.#release() });
  }

  get node(): Node {
    return this;
  }

  get isRaw(): boolean {
    return this.#hooks.handshake === undefined;
  }

  get listeningAddr(): string | undefined {
    const endpoint = this.#listener?.endpoint;
    return endpoint === undefined ? undefined : formatEndpoint(endpoint.ip, endpoint.port);
  }

  get connected(): number {
    return this.#connections.size;
  }

  get connecting(): number {
    return this.#admission.connecting;
  }

  get stats(): NodeStats {
    return this.count.stats(this.#connections.values());
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

  enable<Handle>(hook: Hook<Handle>): Handle {
    if (typeof hook !== 'object' || hook === null || !HOOK_KINDS.includes(hook.kind)) {
      throw new TypeError(`Cannot enable: expected a hook, got ${describeValue(hook)}`);
    }
    if (this.#hooks[hook.kind] !== undefined) {
      throw new TypeError(
        `Cannot enable ${hook.kind}: the node has one already; make one hook do both, or another node`,
      );
    }
    Object.assign(this.#hooks, { [hook.kind]: hook });
    return hook.handle(this);
  }

  listen(bind?: string): Promise<string> {
    const at = bind === undefined ? this.#options.bind : parseIpEndpoint(bind, 'bind');
    return this.#toggle(async () => {
      if (this.#latch.isClosed) throw this.#latch.error('listen');
      if (this.#listener !== undefined) {
        const message = `Cannot listen: the node listens on ${this.listeningAddr!} already`;
        throw new P2PError('in_use', 'local', message, { sent: 'no' });
      }
      const { backlog, reusePort, network } = this.#options;
      const listener = await network.listen({
        bind: at,
        backlog,
        reusePort,
        onLink: (link) => void this.#accept(link),
        onError: () => void this.count.acceptErrors++,
      });
      if (this.#latch.isClosed) {
        await listener.close();
        throw this.#latch.error('listen');
      }
      this.#listener = listener;
      trace(this.realm, 'listening', listener.endpoint);
      return this.listeningAddr!;
    });
  }

  stopListening(): Promise<void> {
    return this.#toggle(() => this.#stopListening());
  }

  connect(addr: string, options: ConnectOptions = {}): Promise<Connection> {
    assertString(addr, 'addr');
    const remote = parseIpEndpoint(addr, 'addr');
    if (remote.port === 0) throw new TypeError(`Cannot connect to ${addr}: port 0 cannot be connected to`);
    checkCall(options);
    const { socket } = options;
    if (socket !== undefined) assertSocket(socket);
    const bind = options.bind === undefined ? undefined : parseIpEndpoint(options.bind, 'bind');
    const text = formatEndpoint(remote.ip, remote.port);
    const place = this.#reserveFor(remote, text);
    if (place instanceof P2PError) {
      socket?.destroy();
      return rejection(place);
    }
    return this.#dial(remote, text, place, { ...options, bind });
  }

  connections(): readonly Connection[] {
    return Array.from(this.#connections.values());
  }

  connection(addr: string): Connection | undefined {
    return this.#byAddr.get(addr);
  }

  isConnecting(addr: string): boolean {
    for (const each of this.#settingUp) if (each.addr === addr) return true;
    return false;
  }

  ready(peer: Connection, options?: CallOptions): Promise<void> {
    return this.#writing(peer, 'wait for room', (writer) => writer.ready(options), options);
  }

  flushed(peer: Connection, options?: CallOptions): Promise<void> {
    return this.#writing(peer, 'flush', (writer) => writer.flushed(options), options);
  }

  async disconnect(peer: Connection, options: DisconnectOptions = {}): Promise<boolean> {
    const connection = this.#own(peer);
    checkCall(options);
    const graceMs = options.timeoutMs ?? DISCONNECT_TIMEOUT_MS;
    if (!connection.end(byUser(options), { flushMs: graceMs, lingerMs: graceMs })) return false;
    const { signal } = options;
    const hurry = (): void => connection.kill();
    if (signal?.aborted === true) hurry();
    signal?.addEventListener('abort', hurry);
    await connection.closed;
    signal?.removeEventListener('abort', hurry);
    return true;
  }

  drain(options: DisconnectOptions = {}): Promise<void> {
    checkCall(options);
    if (this.#latch.isClosed) return rejection(this.#latch.error('drain'));
    const timeoutMs = options.timeoutMs ?? DRAIN_TIMEOUT_MS;
    const peers = Array.from(this.#connections.values());
    return this.waits.wait<void>(
      { what: () => 'drain', call: options, defaultTimeoutMs: timeoutMs },
      ({ resolve, reject }) => {
        for (const peer of peers) peer.end(byUser(options), { flushMs: timeoutMs, lingerMs: timeoutMs });
        const all = [this.stopListening(), ...peers.map(({ closed }) => closed)];
        Promise.all(all).then(() => resolve(), reject);
        return () => {
          // However the wait ended, nobody waits for these any more.
          for (const peer of peers) peer.kill();
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
    for (const peer of this.#connections.values()) {
      if (this.#bans.has(peer.ip, nowMs)) peer.fail('user', 'banned');
    }
    for (const { addr, abort } of this.#settingUp) {
      if (this.#bans.has(parseIpEndpoint(addr, 'addr').ip, nowMs)) abort.abort(bannedError(addr));
    }
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

  /** A connection has ended. */
  removed(connection: NodeConnection, how: Disconnect): void {
    this.#connections.delete(connection.id);
    if (this.#byAddr.get(connection.addr) === connection) this.#byAddr.delete(connection.addr);
    this.count.countEnded(how.reason, connection.stats);
    trace(this.realm, 'disconnected', connection, how.reason, how.cause);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  /** Everything that can be said against a connection of ours, before anything asynchronous begins; then its place. */
  #reserveFor(remote: Endpoint, addr: string): Reservation | P2PError {
    const what = `connect to ${addr}`;
    if (this.#latch.isClosed) return this.#latch.error(what);
    if (this.#isSelf(remote)) return selfError(addr);
    if (this.#byAddr.has(addr) || this.isConnecting(addr)) return takenError(addr);
    if (this.#bans.has(remote.ip, this.realm.nowMs())) return bannedError(addr);
    const place = this.#admission.reserve(remote.ip, 'outbound');
    if (typeof place !== 'string') return place;
    this.count.connectRefusals++;
    return limitError(what, place, this.#admission);
  }

  /** Whether `remote` is where we listen, as far as one can know. */
  #isSelf(remote: Endpoint): boolean {
    const own = this.#listener?.endpoint;
    if (own === undefined || own.port !== remote.port) return false;
    if (own.ip === remote.ip) return true;
    return isUnspecifiedIp(own.ip) && (isLoopbackIp(remote.ip) || this.#options.network.localIps().includes(remote.ip));
  }

  async #dial(
    remote: Endpoint,
    addr: string,
    reservation: Reservation,
    options: Omit<ConnectOptions, 'bind'> & { readonly bind: Endpoint | undefined },
  ): Promise<Connection> {
    const { signal, socket, bind, tag } = options;
    const abort = new AbortController();
    const setting: SettingUp = { addr, abort };
    const onAbort = (): void => abort.abort(signal?.reason);
    const timeoutMs = options.timeoutMs ?? this.#options.connectTimeoutMs;
    const onLate = (): void => {
      const message = `Cannot connect to ${addr}: no answer within ${timeoutMs} ms`;
      abort.abort(new P2PError('timeout', 'path', message, { sent: 'no' }));
    };
    this.#settingUp.add(setting);
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener('abort', onAbort);
    const { realm } = this;
    const timer = timeoutMs === Infinity ? undefined : clockOf(realm).setTimer(realm.nowMs() + timeoutMs, onLate);
    try {
      const link = await (socket === undefined
        ? this.#options.network.dial({ remote, bind, signal: abort.signal })
        : adopt(socket, remote, abort.signal));
      timer?.cancel();
      return await this.#setUp(link, 'initiator', tag, reservation, abort);
    } catch (error) {
      reservation.release();
      throw error;
    } finally {
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
      this.#settingUp.delete(setting);
    }
  }

  /** Somebody has connected. */
  async #accept(link: Link): Promise<void> {
    const { remote } = link;
    const setting: SettingUp = { addr: formatEndpoint(remote.ip, remote.port), abort: new AbortController() };
    const reservation = this.#latch.isClosed
      ? undefined
      : this.#bans.has(remote.ip, this.realm.nowMs())
        ? 'banned'
        : this.#admission.reserve(remote.ip, 'inbound', () => setting.abort.abort(evictedError(setting.addr)));
    if (reservation === undefined || typeof reservation === 'string') {
      link.pipe.destroy();
      if (reservation !== undefined) {
        this.count.countRefused(reservation);
        trace(this.realm, 'refused', remote, reservation);
      }
      return;
    }
    this.#settingUp.add(setting);
    try {
      await this.#setUp(link, 'responder', undefined, reservation, setting.abort);
    } catch {
      reservation.release(); // Counted and traced where it was thrown; there is nobody else to tell.
    } finally {
      this.#settingUp.delete(setting);
    }
  }

  async #setUp(
    link: Link,
    localRole: LocalRole,
    tag: unknown,
    reservation: Reservation,
    abort: AbortController,
  ): Promise<NodeConnection> {
    const connection = new NodeConnection({ host: this, id: ++this.#lastId, link, localRole, tag, reservation });
    const { handshake, reading, writing, onConnect, onDisconnect } = this.#hooks;
    try {
      let left: Awaited<ReturnType<typeof shake>> | undefined;
      if (handshake !== undefined) {
        this.running.handshake++;
        try {
          left = await shake(connection, handshake, abort, this.realm);
        } finally {
          this.running.handshake--;
        }
      }
      if (abort.signal.aborted) throw abort.signal.reason;
      connection.writer = writing?.start(connection);
      connection.reader = reading?.start(connection);
      this.#connections.set(connection.id, connection);
      this.#byAddr.set(connection.addr, connection);
      reservation.establish();
      this.count.connected[localRole]++;
      trace(this.realm, 'connected', connection);
      connection.open({ onConnect, onDisconnect }, left);
      return connection;
    } catch (error) {
      link.pipe.sink = undefined;
      link.pipe.destroy();
      connection.pipe.destroy();
      connection.abandon();
      if (!this.#latch.isClosed) {
        const reason = refusalOf(error);
        this.count.countRefused(reason);
        trace(this.realm, 'handshake_failed', connection, reason, error);
      }
      throw error;
    }
  }

  #toggle<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#toggling.then(act);
    this.#toggling = done.catch(() => undefined); // Whoever asked for it has the error.
    return done;
  }

  async #stopListening(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.close();
  }

  async #release(): Promise<void> {
    this.waits.close();
    this.waits = new Waits(this.realm);
    const stopped = this.#stopListening();
    for (const { abort } of this.#settingUp) abort.abort(closedError('connect'));
    const manners: Manners = { flushMs: CLOSE_GRACE_MS, lingerMs: 0 };
    for (const peer of this.#connections.values()) {
      peer.end({ origin: 'shutdown', reason: 'shutdown' }, manners);
    }
    const { realm } = this;
    const timer = clockOf(realm).setTimer(realm.nowMs() + CLOSE_GRACE_MS, () => {
      for (const peer of this.#connections.values()) peer.kill();
    });
    if (this.#connections.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty = resolve;
      });
    }
    timer.cancel();
    await stopped;
  }

  #own(peer: Connection): NodeConnection {
    if (!(peer instanceof NodeConnection) || peer.host !== this) {
      throw new TypeError(`Cannot take peer: expected a connection of this node, got ${describeValue(peer)}`);
    }
    return peer;
  }

  #writing(
    peer: Connection,
    what: string,
    wait: (writer: NonNullable<NodeConnection['writer']>) => Promise<void>,
    options: CallOptions | undefined,
  ): Promise<void> {
    const { writer, state, addr } = this.#own(peer);
    checkCall(options);
    if (writer !== undefined) return wait(writer);
    return rejection(noWriter(what, addr, state === 'open'));
  }
}

function byUser({ reason }: DisconnectOptions): Disconnect {
  return { origin: 'user', reason: 'closed', said: reason };
}
