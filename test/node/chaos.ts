/**
 * Chaos: workers that do anything to a pool of nodes, from a seed, on whatever network they are given; and what has to hold
 * meanwhile and afterwards. In virtual time a seed replays the run.
 */

import assert from 'node:assert/strict';

import { type Bytes, encodeText } from '../../src/base/bytes.ts';
import { P2PError } from '../../src/core/errors.ts';
import { createSeededRandom, type Seed, type SeededRandom } from '../../src/base/seeded-random.ts';
import {
  type Codec,
  handshake,
  lengthDelimited,
  type Node,
  type NodeOptions,
  onConnect,
  onDisconnect,
  reading,
  type TcpConnection,
  writing,
} from '../../src/node/index.ts';

/** Its messages are bytes. */
export type ChaosNode = Node<Bytes, Uint8Array>;

/** Where chaos takes place. */
export interface ChaosWorld {
  /** A node that does not listen yet. */
  node(options: Partial<NodeOptions<Bytes, Uint8Array>> & { readonly codec: Codec<Bytes, Uint8Array> }): ChaosNode;
  pause(ms: number): Promise<void>;
  nowMs(): number;
}

/** How much of it. */
export interface ChaosOptions {
  readonly world: ChaosWorld;
  readonly seed: Seed;
  readonly durationMs: number;
  readonly workers: number;
  readonly maxNodes: number;
  /** No action may take longer. */
  readonly actionLimitMs: number;
}

/** What happened, in numbers. */
export interface ChaosReport {
  readonly spawned: number;
  readonly shutDown: number;
  readonly connected: number;
  readonly disconnected: number;
  readonly sent: number;
  readonly received: number;
  readonly actions: Readonly<Record<string, number>>;
  /** In order of events: the same for the same seed, in virtual time. */
  readonly log: readonly string[];
}

const LIMITS = { maxConnections: 12, maxConnectionsPerIp: 12, maxConnecting: 5 } as const;
const ACTIONS = [
  'spawn',
  'shutDown',
  'flap',
  'connect',
  'connect',
  'connect',
  'disconnect',
  'send',
  'send',
  'broadcast',
  'drain',
] as const;
type Action = (typeof ACTIONS)[number];

interface Member {
  readonly node: ChaosNode;
  readonly name: string;
}

/** Runs it, and checks everything. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  return new Chaos(options).run();
}

class Chaos {
  readonly #options: ChaosOptions;
  readonly #random: SeededRandom;
  readonly #members: Member[] = [];
  readonly #log: string[] = [];
  readonly #actions: Record<string, number> = {};
  #weights: readonly number[] = ACTIONS.map(() => 1);
  #spawned = 0;
  #shutDown = 0;
  #connected = 0;
  #disconnected = 0;
  #sent = 0;
  #received = 0;
  /** Actions under way, and since when. Bounded by the workers. */
  readonly #underWay = new Map<number, { readonly action: string; readonly sinceMs: number }>();

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#random = createSeededRandom(options.seed);
  }

  async run(): Promise<ChaosReport> {
    const { world, durationMs, workers } = this.#options;
    const endMs = world.nowMs() + durationMs;
    await Promise.all([this.#watch(endMs), ...Array.from({ length: workers }, (_, id) => this.#work(id, endMs))]);
    for (const member of this.#members.splice(0)) await this.#close(member);
    // onConnect is not abortable here, so each has run; it may take a moment after the close.
    for (let i = 0; i < 100 && this.#connected !== this.#disconnected; i++) await world.pause(20);
    assert.equal(this.#shutDown, this.#spawned);
    assert.equal(this.#disconnected, this.#connected, 'as many onDisconnect as onConnect');
    assert.equal(this.#underWay.size, 0);
    return {
      spawned: this.#spawned,
      shutDown: this.#shutDown,
      connected: this.#connected,
      disconnected: this.#disconnected,
      sent: this.#sent,
      received: this.#received,
      actions: this.#actions,
      log: this.#log,
    };
  }

  async #work(id: number, endMs: number): Promise<void> {
    const { world } = this.#options;
    while (world.nowMs() < endMs) {
      const action = this.#pick();
      this.#actions[action] = (this.#actions[action] ?? 0) + 1;
      this.#underWay.set(id, { action, sinceMs: world.nowMs() });
      let outcome = 'done';
      try {
        await this.#act(action);
      } catch (error) {
        // Everything may fail here, in so many words; a bug of ours has none.
        if (!P2PError.is(error)) throw error;
        outcome = error.code;
      }
      this.#underWay.delete(id);
      this.#note(`${id} ${action} ${outcome}`);
      this.#checkAll();
      await world.pause(this.#random.next() < 0.3 ? 0 : this.#random.next() * 20);
    }
  }

  /** Re-rolls what is done how often, and looks for what hangs. */
  async #watch(endMs: number): Promise<void> {
    const { world, actionLimitMs } = this.#options;
    while (world.nowMs() < endMs) {
      this.#weights = ACTIONS.map(() => (this.#random.next() < 0.15 ? 0 : this.#random.next()));
      for (const { action, sinceMs } of this.#underWay.values()) {
        const ms = world.nowMs() - sinceMs;
        assert.ok(ms <= actionLimitMs, `${action} has taken ${ms} ms`);
      }
      await world.pause(500);
    }
  }

  #pick(): Action {
    if (this.#members.length < 2) return 'spawn';
    const total = this.#weights.reduce((sum, weight) => sum + weight, 0);
    let at = this.#random.next() * total;
    for (const [i, weight] of this.#weights.entries()) {
      at -= weight;
      if (at < 0) return ACTIONS[i]!;
    }
    return 'connect';
  }

  async #act(action: Action): Promise<void> {
    const member = this.#anyOf(this.#members);
    if (action === 'spawn') return this.#members.length < this.#options.maxNodes ? this.#spawn() : undefined;
    if (member === undefined) return undefined;
    const { node } = member;
    const peer = this.#anyOf(node.connections());
    switch (action) {
      case 'shutDown':
        if (this.#members.length < 3) return undefined;
        this.#members.splice(this.#members.indexOf(member), 1);
        return this.#close(member);
      case 'flap':
        return node.listeningAddr === undefined ? void (await node.listen()) : node.stopListening();
      case 'connect': {
        const addr = this.#anyOf(this.#members)?.node.listeningAddr;
        if (addr !== undefined) await node.connect(addr);
        return undefined;
      }
      case 'disconnect':
        if (peer !== undefined) await peer.disconnect({ timeoutMs: 200 });
        return undefined;
      case 'send':
        if (peer !== undefined) {
          peer.send(this.#message(), { priority: Math.floor(this.#random.next() * 3) });
          this.#sent++;
        }
        return undefined;
      case 'broadcast':
        this.#sent += node.broadcast(this.#message());
        return undefined;
      case 'drain':
        return node.drain({ timeoutMs: 200 });
    }
  }

  async #spawn(): Promise<void> {
    const name = `n${this.#spawned++}`;
    const { world } = this.#options;
    const node = world.node({ ...LIMITS, name, codec: lengthDelimited({ maxFrameBytes: 200_000 }) });
    node.enable(
      handshake(
        async ({ stream, signal }) => {
          this.#checkLimits(node);
          const whim = this.#random.next();
          if (whim < 0.03) throw new Error('a whim');
          // Some never say anything: the other side has to give them up.
          if (whim < 0.06)
            await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
          await stream.write(encodeText('hi'));
          await stream.read(2);
        },
        { timeoutMs: 300 },
      ),
    );
    node.enable(writing({ maxQueueBytes: 400_000, timeoutMs: 1000 }));
    node.enable(reading({ onMessage: (peer, message) => this.#onMessage(peer, message) }));
    const count = (): void => {
      this.#connected++;
      this.#checkLimits(node);
    };
    node.enable(onConnect(count, { abortable: false }));
    node.enable(onDisconnect(() => void this.#disconnected++));
    this.#members.push({ node, name });
    await node.listen();
  }

  #onMessage(peer: TcpConnection<Uint8Array>, message: Bytes): Promise<void> | undefined {
    this.#received++;
    const whim = this.#random.next();
    if (whim < 0.005) throw new Error('a whim');
    if (whim < 0.3 && message.length > 0) {
      try {
        peer.send(message.subarray(0, message.length / 4));
      } catch (error) {
        if (!P2PError.is(error)) throw error;
      }
    }
    return whim > 0.8 ? this.#options.world.pause(this.#random.next() * 3) : undefined;
  }

  async #close({ node, name }: Member): Promise<void> {
    await node.close();
    this.#shutDown++;
    const views = [node.connected, node.connecting, node.connections().length, node.running.handshake];
    // A handshake that hears of the end settles in its own time.
    assert.deepEqual(views.slice(0, 3), [0, 0, 0], `${name} is closed`);
    assert.equal(node.listeningAddr, undefined);
    assert.equal(node.stats.connected.initiator + node.stats.connected.responder, node.stats.disconnected);
  }

  #checkAll(): void {
    for (const { node } of this.#members) this.#checkLimits(node);
  }

  /** Limits are never exceeded, not for an instant. */
  #checkLimits(node: Node): void {
    assert.ok(node.connected + node.connecting <= LIMITS.maxConnections, `${node.connected} + ${node.connecting}`);
    // So many that come, and so many that go.
    assert.ok(node.connecting <= 2 * LIMITS.maxConnecting, `${node.connecting} at once`);
    assert.equal(node.connections().length, node.connected);
  }

  #message(): Uint8Array {
    const size = this.#random.next() < 0.1 ? 100_000 : 200;
    return new Uint8Array(Math.floor(this.#random.next() * size));
  }

  #anyOf<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#random.next() * list.length)];
  }

  #note(event: string): void {
    const { world } = this.#options;
    this.#log.push(`${world.nowMs().toFixed(3)} ${event} ${this.#connected} ${this.#received}`);
    if (this.#log.length > 100_000) this.#log.splice(0, 50_000);
  }
}
