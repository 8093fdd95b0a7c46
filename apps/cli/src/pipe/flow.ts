/** Bytes between a stream of a pipe and what it ends in: standard input and output, or a TCP connection. */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseSocketAddress } from 'shoal/net';
import type { PeerStream } from 'shoal/peers';
import { Failure, UsageError, explain } from '../failure.ts';
import { standardOutput } from '../standard-streams.ts';

/** Bytes that went through. */
export interface Tally {
  sentBytes: number;
  receivedBytes: number;
}

/** The first byte of a stream, from the side that opens it: the other side sees it before there is anything to say. */
const OPENING = Uint8Array.of(0);

/** Has the other side see a stream. */
export async function announce(stream: PeerStream): Promise<PeerStream> {
  const writer = stream.writable.getWriter();
  await writer.write(OPENING);
  writer.releaseLock();
  return stream;
}

/**
 * Joins a stream with something that is read from and something that is written to; each direction ends by itself.
 *
 * @param opener - whether this side has opened and announced the stream.
 */
export async function join(
  stream: PeerStream,
  opener: boolean,
  source: Readable,
  target: Writable,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  const out = pipeline(source, counted(tally, 'sentBytes', 0), Writable.fromWeb(stream.writable), { signal });
  const skipped = opener ? 0 : OPENING.length;
  const back = pipeline(Readable.fromWeb(stream.readable), counted(tally, 'receivedBytes', skipped), target, {
    signal,
    end: target !== standardOutput.writable,
  });
  try {
    await Promise.all([out, back]);
  } catch (error) {
    // One direction has failed, so the other one ends too.
    stream.reset();
    source.destroy();
    await Promise.allSettled([out, back]);
    throw error;
  }
}

/** Not an async generator: iterating over a socket to its end would destroy it, and its other direction with it. */
function counted(tally: Tally, key: keyof Tally, skipped: number): Transform {
  let skip = skipped;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const rest = chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
      tally[key] += rest.length;
      done(null, rest);
    },
  });
}

/** TCP connections that one side carries at a time: as many streams as a peer may open. */
const MAX_TCP_CONNECTIONS = 256;

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
  context: CarryContext & { readonly openStream: () => Promise<PeerStream> },
): Promise<Server> {
  const { ip, port } = tcpPlace(place, '--listen-tcp');
  const { note, signal } = context;
  // Half-closed connections are carried as they are: who has ended its side still gets the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const from = `Cannot carry a connection to TCP ${place}`;
    void carry(socket, true, async () => announce(await context.openStream()), from, context);
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

/** Carries a stream that the other side has opened to a TCP port. */
export async function connectTcp(place: string, stream: PeerStream, context: CarryContext): Promise<void> {
  const { ip, port } = tcpPlace(place, '--connect-tcp');
  const socket = connect({ host: ip, port, allowHalfOpen: true, signal: context.signal });
  await carry(socket, false, () => Promise.resolve(stream), `Cannot carry a connection to TCP ${place}`, context);
}

/** Joins a connection and a stream. One that ends badly is seen at both its ends, and leaves the others alone. */
async function carry(
  socket: Socket,
  opener: boolean,
  open: () => Promise<PeerStream>,
  what: string,
  { note, tally, signal }: CarryContext,
): Promise<void> {
  let fault: Error | undefined;
  let connected = !socket.connecting;
  socket.once('connect', () => (connected = true));
  // From the first moment on: a client may reset while its stream is being opened.
  socket.on('error', (error) => (fault ??= error));
  let stream: PeerStream;
  try {
    stream = await open();
  } catch (error) {
    if (!signal.aborted && fault === undefined) note(`shoal: ${what}: ${explain(error)}`);
    socket.destroy();
    return;
  }
  try {
    await join(stream, opener, socket, socket, tally, signal);
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
