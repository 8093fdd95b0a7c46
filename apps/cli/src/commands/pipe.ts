/** `shoal pipe`: standard input and output of two machines, or TCP ports in either direction, on streams between two peers. */

import type { AddressInfo } from 'node:net';
import { P2PError, type PeerId, Refusal } from 'shoal';
import { encodeText, equalBytes } from 'shoal/bytes';
import type { Peers, PeerStream } from 'shoal/peers';
import type { CommandContext } from '../context.ts';
import { Failure } from '../failure.ts';
import { addPlaces, APART, type NodeOptions, openPeersOf, placesOf } from '../open-peers.ts';
import { standardOutput } from '../standard-streams.ts';
import { type PipeAddress, SECRET_BYTES, formatPipeAddress, isSecret, parsePipeAddress } from '../pipe/address.ts';
import { type Tally, announce, connectTcp, join, listenTcp, tcpPlace } from '../pipe/flow.ts';

/** Options of `shoal pipe`. */
export interface PipeOptions extends NodeOptions {
  readonly listenTcp?: string | undefined;
  readonly connectTcp?: string | undefined;
}

/** What a side tells once it has written everything that came. */
const DONE = encodeText('done');
/** How long that may take to be acknowledged: at the other side nothing waits before it. */
const PARTING_MS = 10_000;
/** Why the session ends when the other side has ended in order. */
const CLOSED = 'the peer ended it: closed';
/** How long the waiting side may take to look at a secret, the way there included. */
const SHOW_TIMEOUT_MS = 15_000;

/** Opens one end; without an address it waits for the other. */
export async function pipe(context: CommandContext, addr: string | undefined, options: PipeOptions): Promise<void> {
  if (options.listenTcp !== undefined) tcpPlace(options.listenTcp, '--listen-tcp');
  if (options.connectTcp !== undefined) tcpPlace(options.connectTcp, '--connect-tcp');
  const target = addr === undefined ? undefined : parsePipeAddress(addr);
  await using peers = await openPeersOf(context, options, {
    ...APART,
    idleTimeoutMs: Infinity,
    ...(target === undefined ? {} : { kind: 'client', accept: ({ id }) => id === target.id }),
  });
  const end = new PipeEnd(context, options, peers);
  try {
    await (target === undefined ? end.wait() : end.dial(target));
  } catch (error) {
    // Ctrl-C is how a pipe ends.
    if (!context.interrupt.signal.aborted) throw error;
  }
  end.report();
}

class PipeEnd {
  readonly #context: CommandContext;
  readonly #options: PipeOptions;
  readonly #peers: Peers;
  readonly #tally: Tally = { sentBytes: 0, receivedBytes: 0 };
  /** Who has shown the secret; the last one is where ports that are listened on lead to. Bounded by the peers of the node. */
  readonly #admitted = new Set<PeerId>();
  /** Without TCP ports: the stream of the pipe, once the other side has opened it. */
  readonly #first = Promise.withResolvers<PeerStream>();
  /** The other side: the one that was dialled, or has opened the stream. */
  #partner: PeerId | undefined;
  /** Resolves when the other side has written everything. */
  readonly #done = Promise.withResolvers<void>();
  /** Resolves with why the session with the other side has ended. */
  readonly #lost = Promise.withResolvers<string>();

  constructor(context: CommandContext, options: PipeOptions, peers: Peers) {
    this.#context = context;
    this.#options = options;
    this.#peers = peers;
    peers.onStream((stream) => this.#streamOpened(stream));
    peers.listen(({ src, payload }) => {
      if (src.id === this.#partner && equalBytes(payload, DONE)) this.#done.resolve();
    });
    void this.#watch();
  }

  /** Waits for others, and serves them until it is over. */
  async wait(): Promise<void> {
    const { output, realm, interrupt } = this.#context;
    const secret = Buffer.from(realm.random(SECRET_BYTES)).toString('base64url');
    this.#peers.serve(({ src, payload }) => this.#answer(src.id, payload, secret));
    await this.#listenTcp();
    const text = formatPipeAddress({ id: this.#peers.id, place: placesOf(this.#peers)[0]!, secret });
    const command = `shoal pipe '${text}'`;
    output.show({ event: 'pipe', addr: text, command });
    if (!output.json) output.note(`On the other machine:  ${command}`);
    const over = Promise.race([this.#peers.closed, interrupt.fired]).then(() => undefined);
    const stream = await Promise.race([this.#first.promise, over]);
    if (stream !== undefined) await this.#stdio(stream, false);
  }

  /** Connects to one that waits. */
  async dial({ id, place, secret }: PipeAddress): Promise<void> {
    const { output, realm, interrupt } = this.#context;
    const { signal } = interrupt;
    const peers = this.#peers;
    addPlaces(peers, realm, id, [place], 'address');
    this.#partner = id;
    this.#admitted.add(id);
    try {
      await peers.ask(peers.parseAddr(id), encodeText(secret), { signal, timeoutMs: SHOW_TIMEOUT_MS });
    } catch (error) {
      if (signal.aborted || !P2PError.is(error, 'refused')) throw error;
      throw new Failure('Cannot pipe: the other side does not know this address, or is in use', { cause: error });
    }
    output.show({ event: 'connected', peer: id });
    if (!this.#forwards) {
      await this.#stdio(await announce(await peers.openStream(id, { signal })), true);
      return;
    }
    await this.#listenTcp();
    const lost = await Promise.race([this.#lost.promise, interrupt.fired]);
    if (lost !== undefined && lost !== CLOSED) throw new Failure(`The pipe has broken: ${lost}`);
  }

  report(): void {
    this.#context.output.show({ event: 'closed', ...this.#tally });
  }

  get #forwards(): boolean {
    return this.#options.listenTcp !== undefined || this.#options.connectTcp !== undefined;
  }

  /** @throws {Refusal} for a wrong secret, and when another peer has the pipe. */
  #answer(from: PeerId, message: Uint8Array, secret: string): Uint8Array {
    if (this.#partner !== undefined || !isSecret(message, secret)) throw new Refusal('not for you');
    // The last one stands at the end.
    this.#admitted.delete(from);
    this.#admitted.add(from);
    this.#context.output.show({ event: 'connected', peer: from });
    return new Uint8Array();
  }

  #streamOpened(stream: PeerStream): void {
    const { connectTcp: to } = this.#options;
    const { output, interrupt } = this.#context;
    if (!this.#admitted.has(stream.peer)) stream.reset();
    else if (!this.#forwards && this.#partner === undefined) {
      this.#partner = stream.peer;
      this.#first.resolve(stream);
    } else if (to === undefined) stream.reset();
    else {
      const note = (line: string): void => output.note(line);
      void connectTcp(to, stream, { note, tally: this.#tally, signal: interrupt.signal });
    }
  }

  async #stdio(stream: PeerStream, opener: boolean): Promise<void> {
    const { signal, fired } = this.#context.interrupt;
    const peers = this.#peers;
    try {
      await join(stream, opener, process.stdin, standardOutput.writable, this.#tally, signal);
      // A session takes what was not read with it, so neither side ends before the other has written everything.
      await peers.tell(peers.parseAddr(stream.peer), DONE, { signal });
      const lost = await Promise.race([this.#done.promise, this.#lost.promise, fired]);
      if (lost !== undefined) throw new Failure('the other side has ended before it had written everything');
      await peers.drain({ timeoutMs: PARTING_MS }).catch(() => undefined);
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      throw new Failure(`The pipe has broken: ${why}`, { cause: error });
    }
  }

  /** Who has gone shows the secret again. */
  async #watch(): Promise<void> {
    for await (const change of this.#peers.changes()) {
      if (change.type !== 'lost') continue;
      this.#admitted.delete(change.id);
      if (change.id === this.#partner) this.#lost.resolve(change.reason);
    }
  }

  async #listenTcp(): Promise<void> {
    const { listenTcp: at } = this.#options;
    const { output, interrupt } = this.#context;
    if (at === undefined) return;
    const server = await listenTcp(at, {
      openStream: async () => {
        const to = [...this.#admitted].at(-1);
        if (to === undefined) throw new Failure('no peer is connected to the pipe');
        return this.#peers.openStream(to, { signal: interrupt.signal });
      },
      note: (line) => output.note(line),
      tally: this.#tally,
      signal: interrupt.signal,
    });
    const { address, port } = server.address() as AddressInfo;
    const text = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
    output.show({ event: 'forwarding', tcp: text });
    if (!output.json) output.note(`Connections to TCP ${text} go through the pipe`);
  }
}
