/**
 * The demo network: starts the peers, watches them find each other, kills one with kill -9, starts it again, and says at
 * the end what they counted. It tells no peer of any other: they meet on the LAN of this machine. Only those behind NATs are told of one, which
 * relays; they meet the others by way of it.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Lan, openLan } from 'shoal/discovery';
import { exportKey, generateKey } from 'shoal/keys';
import type { CommandContext } from '../context.ts';
import { Failure } from '../failure.ts';
import type { Output } from '../output.ts';
import { printable } from '../printable.ts';
import { BLOB_BYTES, type Fetched } from './blob.ts';
import { detourLine, Detours } from './detours.ts';
import { BROADCAST } from './node.ts';
import { PeerHandle } from './peer-handle.ts';
import type { News, PathNews, StartOrder } from './reports.ts';
import { Progress } from './progress.ts';
import { type Participant, summarize, summaryLines } from './summary.ts';
import { LiveLines, tableLines } from './table.ts';

/** How a demo runs. */
export interface DemoOptions {
  /** Seconds of traffic, the killing and the recovery within. */
  readonly seconds: number;
  /** Runs on until it is interrupted. */
  readonly keep: boolean;
  readonly peers: number;
}

const NAMES = [
  'anchovy',
  'bream',
  'cod',
  'dab',
  'eel',
  'flounder',
  'goby',
  'hake',
  'ide',
  'jack',
  'koi',
  'ling',
] as const;

/** The first peer relays; the next ones are behind NATs: two, or one where only three peers are there, of which one is killed. */
const RELAY = 0;
const natCount = (peers: number): number => (peers < 4 ? 1 : 2);

const REDRAW_MS = 200;
const SETTLE_MS = 2000;
const STOP_MS = 3000;

/** Runs the demo to its end. @throws {Failure} when the network did not form or recover. */
export async function runDemo(context: CommandContext, options: DemoOptions): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'shoal-demo-'));
  // Takes a port that no other node uses, until the end.
  await using lan = await openLan({
    privateKey: generateKey(),
    networkName: 'port',
    addrs: [],
    broadcast: BROADCAST,
    port: 0,
  });
  const demo = new Demo(context, options, lan, folder);
  try {
    await demo.run();
  } finally {
    await demo.end();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Transferred extends Fetched {
  readonly from: string;
  readonly to: string;
}

class Demo {
  readonly #output: Output;
  readonly #signal: AbortSignal;
  readonly #options: DemoOptions;
  /** The processes that run, or were killed and not started again. */
  #peers: PeerHandle[] = [];
  /** Killed, and started again since. */
  readonly #former: PeerHandle[] = [];
  readonly #keys = new Map<string, string>(); // Bounded by NAMES.
  readonly #lanPort: number;
  /** For the caches of the peers. */
  readonly #folder: string;
  readonly #live: LiveLines | undefined;
  readonly #startedAt = performance.now();
  readonly #detours = new Detours();
  #transferred: Transferred | undefined;
  readonly #progress: Progress;

  constructor({ output, interrupt, realm }: CommandContext, options: DemoOptions, { port }: Lan, folder: string) {
    this.#lanPort = port;
    this.#folder = folder;
    this.#output = output;
    this.#signal = interrupt.signal;
    this.#progress = new Progress(realm, interrupt.signal);
    this.#options = options;
    this.#live = !output.json && process.stdout.isTTY ? new LiveLines() : undefined;
  }

  async run(): Promise<void> {
    const drawing = this.#live === undefined ? undefined : setInterval(() => this.#draw(), REDRAW_MS);
    try {
      await this.#form();
      await this.#transfer();
      await this.#loseAndRecover();
    } catch (error) {
      if (!this.#signal.aborted) throw error;
    } finally {
      clearInterval(drawing);
      this.#live?.end();
    }
    await this.#settle();
  }

  /** Ends every process that is left. */
  async end(): Promise<void> {
    await Promise.all(this.#peers.map((peer) => peer.stop(STOP_MS)));
  }

  /** They find each other. Those behind NATs are told of the peer that relays, and nobody else is told of anybody. */
  async #form(): Promise<void> {
    const addr = `${BROADCAST}:${this.#lanPort}`;
    const command = `npx shoal demo --join '${addr}'`;
    this.#say({ event: 'join', addr, command }, `Join from another terminal:  ${command}`);
    const names = NAMES.slice(0, this.#options.peers);
    const nats = natCount(names.length);
    const isBehindNat = (i: number): boolean => i > RELAY && i <= RELAY + nats;
    for (const [i, name] of names.entries()) if (!isBehindNat(i)) this.#start(name, { relays: i === RELAY });
    await this.#up();
    const relay = this.#peers[RELAY]!;
    const contact = relay.addrs[0]!.replace(/^[a-z]+:\/\//, '');
    for (const [i, name] of names.entries()) if (isBehindNat(i)) this.#start(name, { nat: { number: i, contact } });
    await this.#up();
    await this.#acquainted('the peers have found each other', () => this.#peers.every((peer) => this.#knowsAll(peer)));
    const ms = this.#elapsedMs();
    this.#say(
      { event: 'formed', peers: this.#peers.length, ms },
      `${this.#peers.length} peers know each other after ${ms} ms; none was told of another, but those behind NATs of ${relay.name}`,
    );
    await this.#withoutRelay();
  }

  /** Waits until the peers behind NATs are reached without a relay. */
  #withoutRelay(): Promise<void> {
    return this.#progress.until({
      what: 'the peers behind NATs are reached without a relay',
      isReached: () => this.#detours.relayed.length === 0,
      moved: () => this.#detours.relayed.length,
      state: () => `relayed: ${this.#detours.relayed.join(', ')}`,
    });
  }

  /** One peer fetches from another. */
  async #transfer(): Promise<void> {
    // A relay has a budget, and the path to a peer behind a NAT may still lead over one.
    const [receiver, sender] = this.#peers.filter(({ nat }) => nat === '');
    const orderedMs = this.#elapsedMs();
    const fetchedBytes = (): number => receiver!.report?.fetchedBytes ?? 0;
    receiver!.order({ type: 'fetch', from: sender!.id! });
    await this.#progress.until({
      what: 'the transfer is over',
      isReached: () => receiver!.fetched !== undefined,
      moved: fetchedBytes,
      state: () =>
        `${receiver!.name}, told to fetch ${(this.#elapsedMs() - orderedMs) / 1000} s ago, has ${fetchedBytes()} of ${BLOB_BYTES} bytes from ${sender!.name}`,
    });
    const fetched = receiver!.fetched!;
    this.#transferred = { from: sender!.name, to: receiver!.name, ...fetched };
    const rate = `${(fetched.bytes / 1_048_576 / (fetched.ms / 1000)).toFixed(0)} MiB/s`;
    this.#say(
      { event: 'transferred', ...this.#transferred },
      `${receiver!.name} has fetched ${fetched.bytes / 1_048_576} MiB from ${sender!.name} over a stream in ${fetched.ms} ms (${rate}); the hash is right`,
    );
  }

  async #loseAndRecover(): Promise<void> {
    const { seconds, keep } = this.#options;
    const endsAt = performance.now() + seconds * 1000;
    await this.#pass((seconds * 1000) / 4);
    const victim = this.#peers.findLast(({ nat }) => nat === '')!;
    const survivors = this.#peers.filter((peer) => peer !== victim);
    const killedAt = this.#elapsedMs();
    await victim.kill();
    this.#say(
      { event: 'killed', name: victim.name, pid: victim.pid, atMs: killedAt },
      `kill -9 ${victim.pid}: ${victim.name} is gone`,
    );
    await this.#acquainted('the others have noticed', () => survivors.every(({ known }) => !known.has(victim.name)));
    const noticedMs = this.#elapsedMs() - killedAt;
    this.#say(
      { event: 'noticed', name: victim.name, ms: noticedMs },
      `the ${survivors.length} others noticed within ${noticedMs} ms, and go on`,
    );

    const restartedAt = this.#elapsedMs();
    this.#former.push(victim);
    this.#peers = survivors;
    const again = this.#start(victim.name);
    await this.#up();
    await this.#acquainted('it has been found again', () => this.#peers.every((peer) => this.#knowsAll(peer)));
    const recoveredMs = this.#elapsedMs() - restartedAt;
    this.#say(
      { event: 'recovered', name: victim.name, id: again.id, pid: again.pid, ms: recoveredMs },
      `${victim.name} is back as process ${again.pid}, with nothing but its key, on another port; all have found it again after ${recoveredMs} ms`,
    );
    await this.#withoutRelay();
    if (keep) {
      this.#say({ event: 'keeping' }, 'Running on until Ctrl-C');
      await this.#pass(Infinity);
    } else await this.#pass(endsAt - performance.now());
  }

  /** Lets what is under way arrive, takes the last reports, and adds them up. */
  async #settle(): Promise<void> {
    const running = this.#peers.filter(({ state }) => state === 'up');
    for (const peer of running) peer.order({ type: 'quiet' });
    const deadline = performance.now() + SETTLE_MS;
    // Two reports and a bit: what was on its way when the peers fell quiet has been counted by then, or is late.
    do await delay(500);
    while (performance.now() < deadline && summarize(this.#participants()).lost > 0);
    await Promise.all(running.map((peer) => peer.stop(STOP_MS)));

    const participants = this.#participants();
    if (participants.length === 0) throw new Failure('The demo was ended before it began');
    const summary = { ...summarize(participants), relayed: this.#detours.summary() };
    const table = this.#output.json ? [] : tableLines(this.#peers);
    const ms = this.#elapsedMs();
    this.#say({ event: 'summary', ms, transfer: this.#transferred, ...summary }, [
      '',
      ...table,
      '',
      ...summaryLines(summary),
      detourLine(summary.relayed),
      ...this.#transferLines(),
      `Took       ${(ms / 1000).toFixed(1)} s`,
    ]);
  }

  #transferLines(): readonly string[] {
    if (this.#transferred === undefined) return [];
    const { from, to, bytes, sha256 } = this.#transferred;
    return [`Transfer   ${bytes} bytes from ${from} to ${to}, SHA-256 ${sha256.slice(0, 16)}… as promised`];
  }

  #participants(): Participant[] {
    return [...this.#former, ...this.#peers].flatMap(({ name, pid, state, report }) =>
      report === undefined ? [] : [{ name, pid, survived: state !== 'killed', report }],
    );
  }

  #start(name: string, role: Pick<StartOrder, 'nat' | 'relays'> = {}): PeerHandle {
    const key = this.#keys.get(name) ?? exportKey(generateKey(), 'pem');
    this.#keys.set(name, key);
    const cache = path.join(this.#folder, `${name}-${this.#former.length}.json`);
    const lanPort = this.#lanPort;
    const peer = new PeerHandle({ type: 'start', name, key, lanPort, cache, ...role }, (from, news) => {
      this.#tell(from, news);
      if (news.type === 'failed') this.#progress.fail(new Failure(`Peer ${name} failed: ${news.message}`));
      else this.#progress.recheck();
    });
    this.#peers.push(peer);
    return peer;
  }

  /** Says what is of interest in the news of a peer. */
  #tell(from: PeerHandle, news: News): void {
    const { name, pid, id, addrs, nat } = from;
    if (news.type === 'ready') {
      const behind = nat === '' ? '' : `, behind a ${nat}`;
      this.#say(
        { event: 'peer', name, pid, id, addrs, nat: nat === '' ? undefined : nat },
        `${name.padEnd(10)} process ${pid}, ${addrs.join(' ')}${behind}`,
      );
    } else if (news.type === 'path') this.#tellPath(name, news);
    else if ((news.type === 'found' || news.type === 'lost') && !this.#isOurs(news.name) && from === this.#peers[0]) {
      const words = `visitor ${printable(news.name)}: ${news.type}`;
      this.#say({ event: 'visitor', what: news.type, name: news.name }, words);
    }
  }

  #tellPath(from: string, news: PathNews): void {
    const to = this.#peers.find(({ id }) => id === news.id)?.name;
    if (to === undefined || !this.#detours.note(from, to, news)) return;
    const { kind, relayedMs } = news;
    const after = `${Math.round(relayedMs ?? 0)} ms`;
    const words = {
      relay: `${from} and ${to} meet by way of the relay`,
      punch: `${from} and ${to} have opened a way through the NAT, after ${after} by way of the relay`,
      direct: `${from} and ${to} reach each other directly, after ${after} by way of the relay`,
    } as const;
    this.#say({ event: 'path', from, to, kind, relayedMs }, words[kind]);
  }

  #isOurs(name: string): boolean {
    return this.#keys.has(name);
  }

  #knowsAll({ name, known }: PeerHandle): boolean {
    return this.#peers.every((other) => other.name === name || known.has(other.name));
  }

  /** Waits until all processes listen. */
  async #up(): Promise<void> {
    const count = (): number => this.#peers.filter(({ state }) => state === 'up').length;
    await this.#progress.until({
      what: 'the peers have started',
      isReached: () => count() === this.#peers.length,
      moved: count,
      state: () => this.#peers.map(({ name, state }) => `${name}: ${state}`).join(', '),
    });
  }

  /** Waits until the peers know each other as `isReached` has it. */
  async #acquainted(what: string, isReached: () => boolean): Promise<void> {
    await this.#progress.until({
      what,
      isReached,
      moved: () => this.#peers.reduce((sum, { known }) => sum + known.size, 0),
      state: () => this.#peers.map(({ name, known }) => `${name} knows ${[...known].join(' ')}`).join(', '),
    });
  }

  /** Lets the network run; rejects when the user has had enough. */
  async #pass(ms: number): Promise<void> {
    // A timer takes no more than 2^31 - 1 ms.
    await delay(Math.min(Math.max(ms, 0), 2 ** 31 - 1), undefined, { signal: this.#signal });
  }

  #elapsedMs(): number {
    return Math.round(performance.now() - this.#startedAt);
  }

  #say(event: { readonly event: string; readonly [field: string]: unknown }, lines: string | readonly string[]): void {
    if (this.#live === undefined) this.#output.show(event, lines);
    else this.#live.keep([lines].flat().join('\n'));
  }

  #draw(): void {
    this.#live?.draw(tableLines(this.#peers));
  }
}
