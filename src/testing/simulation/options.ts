/** What a simulation is made of, and what its nodes and its program see. */

import type { Seed, SeededRandom } from '../../base/seeded-random.ts';
import type { AskSwarm } from '../../core/ask.ts';
import type { ClockedRealm } from '../../core/realm.ts';
import type { PublicKey, SecureAskSwarm } from '../../core/secure.ts';
import type { MemoryAddr } from '../../net/memory/address.ts';
import type { LinkConfig } from '../../net/memory/links.ts';
import type { NatKind } from '../../net/virtual/nat-rules.ts';
import type { VirtualHost } from '../../net/virtual/types.ts';

/** Nodes are swarms of a memory realm: the fastest, and enough for all that does not need IP addresses. */
export interface MemoryNetwork {
  readonly kind: 'memory';
  /** Loss, latency and so on of all links. @default 'perfect' */
  readonly netem?: LinkConfig | undefined;
  /** The maximum bytes of a message. @default 65 536 */
  readonly mtu?: number | undefined;
}

/** Nodes are hosts of a virtual internet, with UDP and TCP. */
export interface InternetNetwork {
  readonly kind: 'internet';
  /**
   * What is in front of a node; `open` is a public address. A list of kinds with weights is a mix, from the seed.
   *
   * @default 'open'
   */
  readonly nat?:
    | NatKind
    | ((index: number) => NatKind)
    | readonly (readonly [kind: NatKind, weight: number])[]
    | undefined;
  /** Loss, latency and so on of each host's own link. @default 'perfect' */
  readonly netem?: LinkConfig | undefined;
  /** From one public address to another, one way. @default 20 */
  readonly latencyMs?: number | undefined;
  /** @default false */
  readonly ipv6?: boolean | undefined;
}

/** Nodes that go and come back. */
export interface Churn {
  /** After this long half of the nodes have gone (once). */
  readonly halfLifeMs: number;
  /** The mean time until a node comes back; `Infinity`: never. @default 60 000 */
  readonly downMs?: number | undefined;
  /** Share of nodes that say goodbye (`close`); the others vanish. @default 0 */
  readonly graceful?: number | undefined;
  /** Nodes with a smaller index never go: the bootstrap nodes. @default 1 */
  readonly spared?: number | undefined;
}

/** One thing that goes wrong, and for how long. A partition takes the place of an earlier one that has not ended; so do links. */
export type ChaosEvent = { readonly atMs: number; readonly forMs: number } & (
  | {
      /** The nodes fall into parts that do not hear each other, at random. */
      readonly type: 'partition';
      /** How many parts of about the same size, or which nodes are in each. @default 2 */
      readonly parts?: number | readonly (readonly number[])[] | undefined;
    }
  | {
      /** Links of all nodes behave like this, and then again as before. */
      readonly type: 'link';
      readonly netem: LinkConfig;
    }
  | {
      /** A share of the nodes crashes, never node 0, and comes back together. */
      readonly type: 'crash';
      readonly share: number;
    }
);

/** What `open` of a node gets. */
export interface NodeContext {
  /** 0 for the first. */
  readonly index: number;
  /** How often this node was opened before: 0 unless it has crashed or gone. */
  readonly restarts: number;
  /** Time and chance of this node. */
  readonly realm: ClockedRealm;
  /** Chance for what the node itself decides; another stream for each node and restart. */
  readonly random: SeededRandom;
  /** Its machine, with `network`; only on the `internet`. */
  readonly host: VirtualHost;
  /** Its swarm: the address of node 7 is `7`. Only in `memory`. */
  readonly swarm: () => AskSwarm<MemoryAddr>;
  /** The same, with a key that all other nodes know, without any handshake. Only in `memory`. */
  readonly secureSwarm: (key: PublicKey) => SecureAskSwarm<MemoryAddr>;
  /** The whole network. Here the type of the nodes is not known yet. */
  readonly simulation: Simulation<unknown>;
}

/** A simulation while it runs. */
export interface Simulation<N> {
  readonly seed: Seed;
  /** How many nodes there are, running or not. */
  readonly size: number;
  /** How long it lasts, without the liveness phase. */
  readonly durationMs: number;
  readonly nowMs: number;
  /** Chance for the program of the simulation. */
  readonly random: SeededRandom;
  /** Whether every fault is over: in the liveness phase. */
  readonly isHealed: boolean;
  /** What `open` made, where that node is running. */
  readonly node: (index: number) => N | undefined;
  /** The machine of a node, on the `internet`. @throws {TypeError} elsewhere. */
  readonly host: (index: number) => VirtualHost;
  /** The running nodes, by index. */
  readonly running: () => readonly (readonly [index: number, node: N])[];
  /** A running node at random. @throws {Error} when none runs. */
  readonly any: () => readonly [index: number, node: N];
  /** Waits in virtual time. */
  readonly sleep: (ms: number) => Promise<void>;
  /** Adds to a counter, of which the result has the sum and the course. */
  readonly count: (name: string, by?: number) => void;
  /** Adds a value to a distribution, of which the result has percentiles. */
  readonly measure: (name: string, value: number) => void;
  /** Counts an attempt; the result has the share that succeeded. */
  readonly attempt: (name: string, isOk: boolean) => void;
  /** Adds a line to the event trace. */
  readonly note: (text: string) => void;
  /** Ends a node as if its machine had lost power. Without effect on one that is not running. */
  readonly crash: (index: number) => void;
  /** Closes a node. */
  readonly stop: (index: number) => Promise<void>;
  /** Opens a node that is not running. */
  readonly start: (index: number) => Promise<void>;
  /** Parts the network by node indexes; nodes in no part reach everybody. @throws {RangeError} for an index of no node. */
  readonly partition: (...parts: readonly (readonly number[])[]) => void;
  /** Undoes {@link Simulation.partition}. */
  readonly heal: () => void;
}

/** An event of a run, for traces. */
export interface SimulationEvent {
  readonly atMs: number;
  readonly type: 'packet' | 'lost' | 'opened' | 'closed' | 'crashed' | 'chaos' | 'note';
  /** For packets: from, to and bytes; else a text. */
  readonly text: string;
}

/** How far a run is. */
export interface SimulationProgress {
  readonly virtualMs: number;
  readonly durationMs: number;
  /** Real time since the start. */
  readonly realMs: number;
  readonly running: number;
  readonly phase: 'open' | 'run' | 'liveness';
}

/** Options of {@link simulate}. */
export interface SimulationOptions<N> {
  /** What it is called in reports. @default 'simulation' */
  readonly name?: string | undefined;
  /** How many nodes, at most 1 000 000. */
  readonly nodes: number;
  /** The same seed gives the same run. @default 0 */
  readonly seed?: Seed | undefined;
  /** @default 'memory', without loss or latency */
  readonly network?: 'memory' | 'internet' | MemoryNetwork | InternetNetwork | undefined;
  /** How long it runs, in virtual time. */
  readonly durationMs: number;
  /** Opens a node: what it returns is the node. Called again when a node comes back. */
  readonly open: (context: NodeContext) => N | Promise<N>;
  /** Closes a node. @default its `[Symbol.asyncDispose]()`, else its `close()`, else nothing */
  readonly close?: ((node: N) => void | Promise<void>) | undefined;
  /** Time between the openings of two nodes. @default 0: all at once */
  readonly openEveryMs?: number | undefined;
  /** What happens in the network: called once all nodes are open. What it awaits must end within `durationMs`. */
  readonly run?: ((simulation: Simulation<N>) => void | Promise<void>) | undefined;
  /** Throws where something is wrong that must never be. Called every `checkEveryMs` and at the end. */
  readonly check?: ((simulation: Simulation<N>) => void | Promise<void>) | undefined;
  /** @default a tenth of `durationMs` */
  readonly checkEveryMs?: number | undefined;
  readonly churn?: Churn | undefined;
  /** What goes wrong, or a function that draws it from the seed. */
  readonly chaos?:
    | readonly ChaosEvent[]
    | ((random: SeededRandom, durationMs: number) => readonly ChaosEvent[])
    | undefined;
  /**
   * After `durationMs` all faults end: partitions heal, links lose nothing and keep their latency, all nodes run. Then `check` must pass, at the
   * latest after `withinMs`; it is asked every second.
   */
  readonly liveness?:
    | { readonly withinMs: number; readonly check: (simulation: Simulation<N>) => void | Promise<void> }
    | undefined;
  /** Told of every event; costs time. */
  readonly onEvent?: ((event: SimulationEvent) => void) | undefined;
  /** Told how far it is, about two hundred times in each phase. */
  readonly onProgress?: ((progress: SimulationProgress) => void) | undefined;
  /** Ends the run early, with a rejection. */
  readonly signal?: AbortSignal | undefined;
}
