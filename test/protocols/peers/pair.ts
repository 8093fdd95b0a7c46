/** Two sessions, and paths between them that delay, lose, repeat and reorder packets, or die. */

import { type Bytes, copyBytes, encodeText } from '../../../src/base/bytes.ts';
import { createSeededRandom, type SeededRandom } from '../../../src/base/seeded-random.ts';
import { NEWEST_VERSION } from '../../../src/protocols/peers/constants.ts';
import type { Hello } from '../../../src/protocols/peers/hello.ts';
import { PeerSession } from '../../../src/protocols/peers/session.ts';
import type { SessionOptions } from '../../../src/protocols/peers/session-options.ts';
import type { SessionEvent } from '../../../src/protocols/peers/session-events.ts';

export interface PathConditions {
  readonly delayMs?: number;
  readonly lossShare?: number;
  readonly repeatShare?: number;
  /** Up to this much is added to the delay of each packet, so that they overtake each other. */
  readonly jitterMs?: number;
  readonly mtu?: number;
  readonly isReliable?: boolean;
  readonly rank?: number;
}

interface Line extends PathConditions {
  readonly id: number;
  isDead: boolean;
  /** Packets are lost and nobody says so. */
  isSilent: boolean;
}

interface Flying {
  readonly atMs: number;
  readonly to: Side;
  readonly line: Line;
  readonly packet: Bytes;
}

export const OPTIONS: Omit<SessionOptions, 'session' | 'isSmaller'> = {
  maxMessageBytes: 16_777_216,
  tellWindow: 4_194_304,
  requestWindow: 4_194_304,
  streamsWindow: 4_194_304,
  streamWindow: 262_144,
  resumeMs: 30_000,
  idleMs: Infinity,
  mayHold: () => true,
};

export class Side {
  readonly session: PeerSession;
  readonly events: SessionEvent[] = [];
  /** Called for each event; by default tells are consumed at once. */
  onEvent: (event: SessionEvent) => void = (event) => {
    if (event.type === 'tell') this.session.consumedTell(this.pair.now, event.payload.length);
  };
  readonly pair: Pair;
  other!: Side;

  constructor(pair: Pair, name: string, isSmaller: boolean, options: Partial<SessionOptions>) {
    this.pair = pair;
    this.session = new PeerSession({ ...OPTIONS, session: encodeText(name.padEnd(8, '.')), isSmaller, ...options }, 0);
  }

  of<T extends SessionEvent['type']>(type: T): Extract<SessionEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<SessionEvent, { type: T }> => event.type === type);
  }

  hello(): Hello {
    const { session } = this;
    return {
      oldest: 1,
      newest: NEWEST_VERSION,
      kind: 'node',
      intent: 'connect',
      token: new Uint8Array(8),
      session: session.id,
      known: session.peerSession,
      network: new Uint8Array(32),
      ...session.arrived,
      maxMessageBytes: OPTIONS.maxMessageBytes,
      tellWindow: this.session === undefined ? 0 : this.pair.windows.tellWindow,
      requestWindow: this.pair.windows.requestWindow,
      streamsWindow: this.pair.windows.streamsWindow,
      streamWindow: this.pair.windows.streamWindow,
      wallMs: 0,
      seen: '',
      addrs: [],
      abilities: 0,
    };
  }

  poll(): void {
    for (;;) {
      const output = this.session.poll();
      if (output.type === 'wait') {
        this.until = output.until;
        return;
      }
      if (output.type === 'event') {
        this.events.push(output.event);
        this.onEvent(output.event);
      } else this.pair.send(this, output.transmit.path, output.transmit.packet);
    }
  }

  until: number | undefined;
}

export class Pair {
  now = 0;
  readonly windows: Pick<SessionOptions, 'tellWindow' | 'requestWindow' | 'streamsWindow' | 'streamWindow'>;
  readonly random: SeededRandom;
  readonly alice: Side;
  readonly bob: Side;
  readonly #lines = new Map<number, Line>();
  /** In order of arrival. */
  #flying: Flying[] = [];
  #nextLine = 1;
  /** Packets that were sent. */
  sent = 0;

  constructor({ seed = 1, ...options }: { seed?: number | string } & Partial<SessionOptions> = {}) {
    this.random = createSeededRandom(seed);
    this.windows = { ...OPTIONS, ...options };
    this.alice = new Side(this, 'alice', true, options);
    this.bob = new Side(this, 'bob', false, options);
    this.alice.other = this.bob;
    this.bob.other = this.alice;
  }

  /** Opens a path: both sides have said hello on it. */
  open(conditions: PathConditions = {}): number {
    const id = this.#nextLine++;
    this.#lines.set(id, { ...conditions, id, isDead: false, isSilent: false });
    const [a, b] = [this.alice.hello(), this.bob.hello()];
    this.bob.session.handleHello(this.now, a);
    this.alice.session.handleHello(this.now, b);
    const { rank = 0, mtu = 2 ** 30, isReliable = true } = conditions;
    for (const side of [this.alice, this.bob]) {
      side.session.addPath(this.now, id, { rank, mtu, isReliable });
      side.poll();
    }
    return id;
  }

  /** The path dies; both sides are told. What is in flight is lost. */
  kill(id: number): void {
    this.silence(id);
    for (const side of [this.alice, this.bob]) {
      side.session.removePath(this.now, id, 'killed');
      side.poll();
    }
  }

  /** The path dies and nobody is told. */
  silence(id: number): void {
    const line = this.#lines.get(id)!;
    line.isSilent = true;
    this.#flying = this.#flying.filter((flying) => flying.line !== line);
  }

  send(from: Side, path: number, packet: Bytes): void {
    this.sent++;
    from.session.handleTaken(this.now, path, packet.length);
    const line = this.#lines.get(path)!;
    const copies = this.random.next() < (line.repeatShare ?? 0) ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      if (line.isSilent || this.random.next() < (line.lossShare ?? 0)) continue;
      const atMs = this.now + (line.delayMs ?? 10) + this.random.next() * (line.jitterMs ?? 0);
      let at = this.#flying.length;
      while (at > 0 && this.#flying[at - 1]!.atMs > atMs) at--;
      this.#flying.splice(at, 0, { atMs, to: from.other, line, packet: copyBytes(packet) });
    }
  }

  /** Lets time pass, until `ms` are over or `done` holds. */
  run(ms: number, done: () => boolean = () => false): void {
    const end = this.now + ms;
    this.alice.poll();
    this.bob.poll();
    while (!done()) {
      const [first] = this.#flying;
      const next = Math.min(first?.atMs ?? Infinity, this.alice.until ?? Infinity, this.bob.until ?? Infinity);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (first !== undefined && first.atMs <= this.now) {
        this.#flying.shift();
        first.to.session.handlePacket(this.now, first.line.id, first.packet);
        first.to.poll();
        continue;
      }
      for (const side of [this.alice, this.bob]) {
        if ((side.until ?? Infinity) > this.now) continue;
        side.session.handleTimeout(this.now);
        side.poll();
      }
    }
    this.now = done() ? this.now : end;
  }
}
