/** `shoal pipe`: standard input and output of two machines, or TCP ports in either direction, through QUIC. */

import { type AddressInfo } from 'node:net';
import { encodeText } from 'shoal/bytes';
import { type QuicConnection, type Endpoint, openEndpoint } from 'shoal/endpoint';
import { generateKey } from 'shoal/keys';
import { type CommandContext, type CommonOptions, bindFor, loadKey } from '../context.ts';
import { Failure } from '../failure.ts';
import { standardOutput } from '../standard-streams.ts';
import {
  SecretGate,
  type AdmittedConnection,
  type PipeAddress,
  SECRET_BYTES,
  formatPipeAddress,
  showSecret,
  parsePipeAddress,
  refuse,
} from '../pipe/secret-gate.ts';
import {
  MAX_TCP_CONNECTIONS,
  type PipeStream,
  type Tally,
  connectTcp,
  join,
  listenTcp,
  tcpPlace,
} from '../pipe/flow.ts';

/** Options of `shoal pipe`. */
export interface PipeOptions extends CommonOptions {
  readonly bind?: string | undefined;
  readonly key?: string | undefined;
  readonly listenTcp?: string | undefined;
  readonly connectTcp?: string | undefined;
}

/** Keeps an idle pipe open: NATs forget mappings after 30 s or more. */
const KEEP_ALIVE_MS = 10_000;
/** The other side may write to a slow disk. */
const PARTING_MS = 600_000;

/** Opens one end; without an address it waits for the other. */
export async function pipe(context: CommandContext, addr: string | undefined, options: PipeOptions): Promise<void> {
  if (options.listenTcp !== undefined) tcpPlace(options.listenTcp, '--listen-tcp');
  if (options.connectTcp !== undefined) tcpPlace(options.connectTcp, '--connect-tcp');
  const target = addr === undefined ? undefined : parsePipeAddress(addr);
  await using end = await PipeEnd.open(context, target, options);
  try {
    await (target === undefined ? end.wait() : end.dial(target));
  } catch (error) {
    // Ctrl-C is how a pipe ends.
    if (!context.interrupt.signal.aborted) throw error;
  }
  end.report();
}

class PipeEnd implements AsyncDisposable {
  readonly #context: CommandContext;
  readonly #options: PipeOptions;
  readonly #endpoint: Endpoint;
  readonly #tally: Tally = { sentBytes: 0, receivedBytes: 0 };
  /** Where ports that are listened on lead to; the last one that came in. */
  #connection: QuicConnection | undefined;

  private constructor(context: CommandContext, options: PipeOptions, endpoint: Endpoint) {
    this.#context = context;
    this.#options = options;
    this.#endpoint = endpoint;
  }

  static async open(context: CommandContext, target: PipeAddress | undefined, options: PipeOptions): Promise<PipeEnd> {
    const { realm, interrupt } = context;
    const privateKey = options.key === undefined ? generateKey() : await loadKey(options.key);
    const bind = options.bind ?? (target === undefined ? '0.0.0.0:0' : bindFor(target.place));
    const { signal } = interrupt;
    const endpoint = await openEndpoint({
      realm,
      bind,
      privateKey,
      signal,
      keepAliveMs: KEEP_ALIVE_MS,
      maxBidiStreams: MAX_TCP_CONNECTIONS,
    });
    return new PipeEnd(context, options, endpoint);
  }

  /** Waits for others, and serves them until it is over. */
  async wait(): Promise<void> {
    const { output, realm, interrupt } = this.#context;
    const { signal } = interrupt;
    const secret = Buffer.from(realm.random(SECRET_BYTES)).toString('base64url');
    const id = this.#endpoint.peerId;
    const [place] = this.#endpoint.localAddrs();
    const text = formatPipeAddress({ id, place: place!.text, secret });
    await this.#listenTcp();
    const command = `shoal pipe '${text}'`;
    output.show({ event: 'pipe', addr: text, command });
    if (!output.json) output.note(`On the other machine:  ${command}`);
    if (this.#forwards) {
      const gate = new SecretGate(secret, signal, (admitted) => void this.#letIn(admitted));
      await this.#receiveAll(gate);
      return;
    }
    const { promise: first, resolve, reject } = Promise.withResolvers<readonly [QuicConnection, PipeStream]>();
    const gate = new SecretGate(secret, signal, ({ connection, streams }) => {
      first.then(
        ([winner]) => (winner === connection ? undefined : refuse(connection, 'in use')),
        () => undefined,
      );
      streams.next().then(
        ({ value: stream }) =>
          stream?.send !== undefined && resolve([connection, { send: stream.send, receive: stream.receive }]),
        () => undefined,
      );
    });
    this.#receiveAll(gate).then(() => reject(new Failure('the endpoint has closed')), reject);
    const [connection, stream] = await first;
    gate.close();
    await this.#stdio(connection, stream);
  }

  async #receiveAll(gate: SecretGate): Promise<void> {
    const { signal } = this.#context.interrupt;
    for await (const connection of this.#endpoint.connections({ signal })) void gate.receive(connection);
  }

  /** Connects to one that waits. */
  async dial({ id, place, secret }: PipeAddress): Promise<void> {
    const { output, interrupt } = this.#context;
    const { signal } = interrupt;
    const connection = await this.#endpoint.connect({ addr: place, expect: id }, { signal });
    await showSecret(connection, secret, signal);
    output.show({ event: 'connected', peer: id });
    this.#connection = connection;
    if (!this.#forwards) {
      await this.#stdio(connection, await connection.openBi({ signal }));
      return;
    }
    await this.#listenTcp();
    await this.#forward(connection, connection.streams({ signal }));
    if (signal.aborted) return;
    const closed = await connection.closed;
    if (!closed.benign) throw new Failure(`The pipe has broken: ${closed.by}`);
  }

  report(): void {
    this.#context.output.show({ event: 'closed', ...this.#tally });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endpoint.close();
  }

  get #forwards(): boolean {
    return this.#options.listenTcp !== undefined || this.#options.connectTcp !== undefined;
  }

  async #stdio(connection: QuicConnection, stream: PipeStream): Promise<void> {
    const { signal } = this.#context.interrupt;
    try {
      await join(stream, process.stdin, standardOutput.writable, this.#tally, signal);
      await this.#partTogether(connection);
    } catch (error) {
      if (signal.aborted) return;
      const why = error instanceof Error ? error.message : String(error);
      throw new Failure(`The pipe has broken: ${why}`, { cause: error });
    }
  }

  /** A connection takes what was not read with it, so neither side ends it before the other has written everything. */
  async #partTogether(connection: QuicConnection): Promise<void> {
    const { signal } = this.#context.interrupt;
    await using messages = connection.messages({ signal, timeoutMs: PARTING_MS });
    const [{ done }] = await Promise.all([
      messages.next(),
      connection.send(encodeText('done'), { signal, acked: true }),
    ]);
    if (done === true) throw new Failure('the other side has ended before it had written everything');
  }

  async #letIn({ connection, streams }: AdmittedConnection): Promise<void> {
    this.#context.output.show({ event: 'connected', peer: connection.peerId });
    this.#connection = connection;
    await this.#forward(connection, streams);
  }

  /** Carries each stream that the other side opens to the port that `--connect-tcp` names. */
  async #forward(connection: QuicConnection, streams: ReturnType<QuicConnection['streams']>): Promise<void> {
    const { connectTcp: to } = this.#options;
    const note = (line: string): void => this.#context.output.note(line);
    const { signal } = this.#context.interrupt;
    try {
      for await (const { receive, send } of streams) {
        if (to === undefined || send === undefined) {
          receive.stop();
          send?.reset();
        } else void connectTcp(to, { receive, send }, { note, tally: this.#tally, signal });
      }
    } catch {
      // The connection is over, or the user has had enough; the side that dialled finds out which.
    }
    if (this.#connection === connection) this.#connection = undefined;
  }

  async #listenTcp(): Promise<void> {
    const { listenTcp: at } = this.#options;
    const { output, interrupt } = this.#context;
    if (at === undefined) return;
    const server = await listenTcp(at, {
      connection: () => this.#connection,
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
