/** Bytes between a stream of a pipe and what it ends in: standard input and output, or a TCP connection. */

import { connect, createServer, type Server, type Socket } from 'node:net';
import { Readable, Transform, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseEndpoint } from 'shoal';
import { type Connection, type ReceiveStream, STREAM_CODE, type SendStream } from 'shoal/endpoint';
import { Failure, UsageError } from '../failure.ts';

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
    end: target !== process.stdout,
  });
  try {
    await Promise.all([out, back]);
  } catch (error) {
    // One direction has broken: the other has nobody to talk to.
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

/** Carries each connection to a TCP port of this machine through a stream of its own. @throws {Failure} when it is taken. */
export async function listenTcp(
  place: string,
  connection: () => Connection | undefined,
  tally: Tally,
  signal: AbortSignal,
): Promise<Server> {
  const { ip, port } = tcpPlace(place, '--listen-tcp');
  // Half-closed connections are carried as they are: who has ended its side still gets the answer.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const to = connection();
    if (to === undefined) socket.destroy();
    else void carry(socket, () => to.openBi({ signal }), tally, signal);
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (error) =>
    reject(new Failure(`Cannot listen on TCP ${place}: ${error.message}`, { cause: error })),
  );
  server.listen(port, ip, resolve);
  await promise;
  signal.addEventListener('abort', () => server.close());
  return server;
}

/** Carries a stream that the other side has opened to a TCP port. */
export function connectTcp(place: string, stream: PipeStream, tally: Tally, signal: AbortSignal): Promise<void> {
  const { ip, port } = tcpPlace(place, '--connect-tcp');
  const socket = connect({ host: ip, port, allowHalfOpen: true, signal });
  return carry(socket, () => Promise.resolve(stream), tally, signal);
}

async function carry(
  socket: Socket,
  open: () => Promise<PipeStream>,
  tally: Tally,
  signal: AbortSignal,
): Promise<void> {
  try {
    await join(await open(), socket, socket, tally, signal);
  } catch {
    // One connection through the pipe has ended badly, and both its ends see that; the others go on.
    socket.destroy();
  }
}

/** @throws {UsageError} when it is no place. */
export function tcpPlace(text: string, option: string): { readonly ip: string; readonly port: number } {
  const place = parseEndpoint(text);
  if (place !== undefined) return place;
  throw new UsageError(`Cannot use ${option} ${JSON.stringify(text)}: expected an IP and a port, as in 127.0.0.1:8080`);
}
