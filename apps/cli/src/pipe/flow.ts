/** Bytes between a stream of a pipe and what it ends in: standard input and output, or a TCP connection. */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseSocketAddress } from 'shoal/net';
import { type QuicConnection, type ReceiveStream, STREAM_CODE, type SendStream } from 'shoal/endpoint';
import { Failure, UsageError, explain } from '../failure.ts';
import { standardOutput } from '../standard-streams.ts';

/** Both directions of a stream. */
export interface PipeStream {
  readonly send: SendStream;
  readonly receive: ReceiveStream;
}

/** Bytes that went through. */
export interface Tally {
  sentBytes: number;
  receivedBytes: number;
}

/** Joins a stream with something that is read from and something that is written to; each direction ends by itself. */
export async function join(
  stream: PipeStream,
  source: Readable,
  target: Writable,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const out = pipeline(source, counted(tally, 'sentBytes'), Writable.fromWeb(stream.send.writable), { signal });
  const back = pipeline(Readable.fromWeb(stream.receive.readable), counted(tally, 'receivedBytes'), target, {
    signal,
    end: target !== standardOutput.writable,
  });
  try {
    await Promise.all([out, back]);
  } catch (error) {
    // One direction has failed, so the other one ends too.
    stream.send.reset(STREAM_CODE.CANCELLED);
    stream.receive.stop(STREAM_CODE.CANCELLED);
    source.destroy();
    await Promise.allSettled([out, back]);
    throw error;
  }
}

/** Not an async generator: iterating over a socket to its end would destroy it, and its other direction with it. */
function counted(tally: Tally, key: keyof Tally): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      tally[key] += chunk.length;
      done(null, chunk);
    },
  });
}

/** TCP connections, and so streams, that one side carries at a time. */
export const MAX_TCP_CONNECTIONS = 1024;
/** A stream comes at once, unless the other side has as many as it takes. */
const OPEN_TIMEOUT_MS = 10_000;

/** What carrying connections needs. */
export interface CarryContext {
  /** Says on one line why a connection was not carried. */
  readonly note: (line: string) => void;
  readonly tally: Tally;
  readonly signal: AbortSignal;
}

/** Carries each connection to a TCP port of this machine through a stream of its own. @throws {Failure} when it is taken. */
export async function listenTcp(
  place: string,
  context: CarryContext & { readonly connection: () => QuicConnection | undefined },
): Promise<Server> {
  const { ip, port } = tcpPlace(place, '--listen-tcp');
  const { connection, note, signal } = context;
  // Half-closed connections are carried as they are: who has ended its side still gets the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const from = `Cannot carry a connection to TCP ${place}`;
    void carry(socket, () => openStream(connection(), signal), from, context);
  });
  server.maxConnections = MAX_TCP_CONNECTIONS;
  server.on('drop', () => note(`shoal: Cannot carry more than ${MAX_TCP_CONNECTIONS} connections to TCP ${place}`));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.on('error', (error) => {
    // Afterwards: a connection that could not be taken, for want of file descriptors for example. The others go on.
    if (server.listening) note(`shoal: Cannot take a connection to TCP ${place}: ${error.message}`);
    else reject(new Failure(`Cannot listen on TCP ${place}: ${error.message}`, { cause: error }));
  });
  server.listen(port, ip, resolve);
  await promise;
  if (signal.aborted) server.close();
  else signal.addEventListener('abort', () => server.close());
  return server;
}

function openStream(to: QuicConnection | undefined, signal: AbortSignal): Promise<PipeStream> {
  if (to === undefined) throw new Failure('no peer is connected to the pipe');
  return to.openBi({ signal, timeoutMs: OPEN_TIMEOUT_MS });
}

/** Carries a stream that the other side has opened to a TCP port. */
export async function connectTcp(place: string, stream: PipeStream, context: CarryContext): Promise<void> {
  const { ip, port } = tcpPlace(place, '--connect-tcp');
  const socket = connect({ host: ip, port, allowHalfOpen: true, signal: context.signal });
  await carry(socket, () => Promise.resolve(stream), `Cannot carry a connection to TCP ${place}`, context);
}

/** Joins a connection and a stream. One that ends badly is seen at both its ends, and leaves the others alone. */
async function carry(
  socket: Socket,
  open: () => Promise<PipeStream>,
  what: string,
  { note, tally, signal }: CarryContext,
): Promise<void> {
  let fault: Error | undefined;
  let connected = !socket.connecting;
  socket.once('connect', () => (connected = true));
  // From the first moment on: a client may reset while its stream is being opened.
  socket.on('error', (error) => (fault ??= error));
  let stream: PipeStream;
  try {
    stream = await open();
  } catch (error) {
    if (!signal.aborted && fault === undefined) note(`shoal: ${what}: ${explain(error)}`);
    socket.destroy();
    return;
  }
  try {
    await join(stream, socket, socket, tally, signal);
  } catch {
    if (!signal.aborted && fault !== undefined && !connected) note(`shoal: ${what}: ${explain(fault)}`);
    socket.destroy();
  }
}

/** A place, or a port of this machine. @throws {UsageError} when it is neither. */
export function tcpPlace(text: string, option: string): { readonly ip: string; readonly port: number } {
  const place = parseSocketAddress(/^\d{1,5}$/.test(text) ? `127.0.0.1:${Number(text)}` : text);
  if (place !== undefined) return place;
  throw new UsageError(
    `Cannot use ${option} ${JSON.stringify(text)}: expected an IP and a port, as in 127.0.0.1:8080, or a port of this machine`,
  );
}
