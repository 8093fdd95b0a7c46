/**
 * A small HTTP/1.1 server over the listeners of a network: bounded in connections, headers, bodies, time and requests under way, with a share per source.
 * It reads whole bodies and answers with whole bodies.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { type Bytes, concatBytes } from '../base/bytes.ts';
import { canonicalIp, isLoopbackIp, type SocketAddress } from '../base/ip.ts';
import { SourceShares } from '../base/source-shares.ts';
import type { Timer } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { HttpReply, HttpServer, HttpServerLimits, HttpServerOptions } from './http.ts';
import type { Listener, RawConnection } from './network.ts';
import { PipeDuplex } from './pipe-duplex.ts';

/** How often connections are looked at: times of {@link HttpServerLimits} are kept to within this. */
const WATCH_MS = 1000;
/** How long a server that closes waits for requests under way. */
const CLOSE_MS = 900;
/** What the bodies and the answers of all requests under way may have: with longer bodies fewer requests are taken, but {@link MIN_PENDING}. */
const MAX_HELD_BYTES = 134_217_728;
const MIN_PENDING = 16;

interface Held {
  readonly connection: RawConnection;
  readonly stream: Duplex;
  readonly ip: string;
  /** What was sent and received by `activeMs`. */
  wireBytes: number;
  activeMs: number;
  /** Bytes received before the request that is awaited, and since when some of it is here. */
  receivedBefore: number;
  headerSinceMs: number | undefined;
  /** The requests whose bodies are read, or whose answers are not sent; since when the oldest is. Bounded by node:http, which stops reading. */
  requests: number;
  requestSinceMs: number;
  isReading: boolean;
}

/** A request under way. */
interface Slot {
  readonly held: Held;
}

class NodeHttpServer implements HttpServer {
  readonly #options: HttpServerOptions;
  readonly #limits: HttpServerLimits;
  readonly #server: Server;
  readonly #secure: SecureContext | undefined;
  /** Bounded by `maxConnections`. */
  readonly #held = new Set<Held>();
  readonly #connections = new SourceShares<Held>();
  readonly #heldOf = new WeakMap<object, Held>();
  /** Requests that are read or answered, until their answers are taken. Bounded by `#maxSlots`. */
  readonly #slots = new SourceShares<Slot>();
  readonly #maxSlots: number;
  #watch: Timer | undefined;
  #pending = 0;
  #listener: Listener | undefined;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#limits = options.limits;
    const { maxPending, maxBodyBytes } = this.#limits;
    this.#maxSlots = Math.min(maxPending, Math.max(MIN_PENDING, Math.floor(MAX_HELD_BYTES / (2 * maxBodyBytes))));
    this.#secure = options.tls && createSecureContext({ ...options.tls, minVersion: 'TLSv1.2' });
    // node:http watches the time of connections only where it listens itself; `#look` does it here.
    this.#server = createServer(
      { maxHeaderSize: this.#limits.maxHeaderBytes, joinDuplicateHeaders: true },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.maxHeadersCount = 64;
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      options.onFault?.('malformed');
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
      if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      else socket.destroy();
    });
  }

  get connections(): number {
    return this.#held.size;
  }

  static async open(options: HttpServerOptions): Promise<HttpServer> {
    const server = new NodeHttpServer(options); // First: its certificate may be unusable.
    server.#listener = await options.network.listen({
      bind: options.bind,
      backlog: 511,
      reusePort: false,
      noDelay: true,
      onConnection: (connection) => server.accept(connection),
      onError: () => options.onFault?.('accept_failed'),
    });
    return server;
  }

  get address(): SocketAddress {
    return this.#listener?.address ?? this.#options.bind;
  }

  accept(connection: RawConnection): void {
    const ip = canonicalIp(connection.remote.ip) ?? connection.remote.ip;
    const { maxConnections, maxConnectionsPerSource } = this.#limits;
    const isFull = this.#held.size >= maxConnections;
    const hasShare = this.#connections.countOf(ip) < maxConnectionsPerSource;
    const victim = isFull && hasShare ? this.#connections.victimFor(ip) : undefined;
    if (isFull || !hasShare) this.#options.onFault?.('too_many_connections');
    if (this.#closing !== undefined || !hasShare || (isFull && victim === undefined)) {
      connection.pipe.destroy();
      return;
    }
    if (victim !== undefined) this.#drop(victim);
    const raw = new PipeDuplex(connection.pipe, this.#options.realm);
    raw.on('error', () => raw.destroy());
    const stream = this.#secure === undefined ? raw : this.#encrypted(raw, this.#secure);
    const activeMs = this.#options.realm.nowMs();
    const progress = { receivedBefore: 0, headerSinceMs: undefined, requests: 0, requestSinceMs: 0, isReading: false };
    const held: Held = { connection, stream, ip, wireBytes: 0, activeMs, ...progress };
    this.#held.add(held);
    this.#connections.add(ip, held);
    this.#heldOf.set(stream, held);
    raw.once('close', () => {
      stream.destroy();
      this.#forget(held);
    });
    this.#arm();
    this.#server.emit('connection', stream);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #encrypted(raw: Duplex, secureContext: SecureContext): TLSSocket {
    const socket = new TLSSocket(raw, { isServer: true, secureContext, ALPNProtocols: ['http/1.1'] });
    socket.on('error', () => raw.destroy());
    return socket;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const held = this.#heldOf.get(request.socket);
    if (held === undefined) return; // It has ended.
    this.#begin(held, response);
    const ip = this.#clientOf(request, held.ip);
    const { maxBodyBytes } = this.#limits;
    const { handle, admit, onFault } = this.#options;
    if (admit?.(ip) === false) {
      this.#refuse(request, response, 429, 'ask less often');
      return;
    }
    if (this.#closing !== undefined || !this.#takeSlot(held, ip, response)) {
      onFault?.('busy');
      this.#refuse(request, response, 503, 'busy');
      return;
    }
    this.#pending++;
    try {
      held.isReading = true;
      const body = await readBody(request, maxBodyBytes).finally(() => (held.isReading = false));
      if (body === undefined) {
        onFault?.('oversize');
        this.#refuse(request, response, 400, `the body has more than ${maxBodyBytes} bytes`);
        return;
      }
      const header = (name: string): string | undefined => {
        const value = request.headers[name.toLowerCase()];
        return typeof value === 'string' ? value : undefined;
      };
      const over = new AbortController();
      response.once('close', () => over.abort());
      const { method = '', url = '' } = request;
      const reply = await handle({ method, path: url, header, body, ip, signal: over.signal });
      this.#send(response, reply);
    } catch {
      // The connection broke, or the handler has a fault; it reports that itself.
      if (response.headersSent) response.destroy();
      else this.#send(response, { status: 500, body: new Uint8Array(0) });
    } finally {
      if (--this.#pending === 0) this.#onIdle?.();
    }
  }

  /** Takes a place for a request, that of the oldest one of the network with the most if need be. @returns false when no network has more than one */
  #takeSlot(held: Held, ip: string, response: ServerResponse): boolean {
    if (this.#slots.size >= this.#maxSlots) {
      const victim = this.#slots.victimFor(ip);
      if (victim === undefined) return false;
      this.#options.onFault?.('busy');
      this.#slots.delete(victim);
      this.#drop(victim.held);
      if (victim.held === held) return false;
    }
    const slot: Slot = { held };
    this.#slots.add(ip, slot);
    response.once('close', () => this.#slots.delete(slot));
    return true;
  }

  #drop(held: Held): void {
    this.#forget(held);
    held.stream.destroy();
    held.connection.pipe.destroy();
  }

  #forget(held: Held): void {
    this.#held.delete(held);
    this.#connections.delete(held);
  }

  /** Whom a request counts for: behind a proxy on this machine, whom that names last. */
  #clientOf(request: IncomingMessage, ip: string): string {
    if (this.#options.trustProxy !== true || !isLoopbackIp(ip)) return ip;
    const named = request.headers['x-forwarded-for'];
    const last = (typeof named === 'string' ? named : '').split(',').at(-1)!.trim();
    return canonicalIp(last) ?? ip;
  }

  /** Answers without reading what is left of the request. */
  #refuse(request: IncomingMessage, response: ServerResponse, status: number, why: string): void {
    const headers = { Connection: 'close', ...(status === 429 ? { 'Retry-After': '1' } : {}) };
    this.#send(response, { status, body: new TextEncoder().encode(`${why}\n`), headers });
    request.resume();
    response.once('finish', () => request.socket.destroySoon?.());
  }

  #send(response: ServerResponse, { status, body, headers = {} }: HttpReply): void {
    response.writeHead(status, {
      'Content-Type': status === 200 ? 'application/octet-stream' : 'text/plain; charset=utf-8',
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      ...headers,
      'Content-Length': body.length,
    });
    response.end(body);
  }

  /** Notes that a request has begun, until its answer is sent or the connection has ended. */
  #begin(held: Held, response: ServerResponse): void {
    const { pipe } = held.connection;
    held.headerSinceMs = undefined;
    if (held.requests++ === 0) held.requestSinceMs = this.#options.realm.nowMs();
    response.once('close', () => {
      held.requests--;
      held.receivedBefore = pipe.wireReceived;
    });
  }

  #arm(): void {
    if (this.#watch !== undefined || this.#held.size === 0) return;
    const { realm } = this.#options;
    this.#watch = clockOf(realm).setTimer(realm.nowMs() + WATCH_MS, () => this.#look(), { background: true });
  }

  /** Ends the connections that take too long. */
  #look(): void {
    this.#watch = undefined;
    const nowMs = this.#options.realm.nowMs();
    for (const held of this.#held) {
      if (!this.#isLate(held, nowMs)) continue;
      this.#options.onFault?.('too_slow');
      this.#drop(held);
    }
    this.#arm();
  }

  #isLate(held: Held, nowMs: number): boolean {
    const { headersTimeoutMs, requestTimeoutMs, answerTimeoutMs, idleMs } = this.#limits;
    const { wireReceived, wireSent } = held.connection.pipe;
    if (wireReceived + wireSent !== held.wireBytes) {
      held.wireBytes = wireReceived + wireSent;
      held.activeMs = nowMs;
    }
    if (nowMs - held.activeMs >= idleMs) return true;
    if (held.requests > 0) {
      const tookMs = nowMs - held.requestSinceMs;
      return tookMs >= answerTimeoutMs || (held.isReading && tookMs >= requestTimeoutMs);
    }
    if (wireReceived === held.receivedBefore) return false;
    held.headerSinceMs ??= nowMs;
    return nowMs - held.headerSinceMs >= headersTimeoutMs;
  }

  async #end(): Promise<void> {
    await this.#listener?.close();
    this.#server.closeIdleConnections();
    if (this.#pending > 0) {
      const { realm } = this.#options;
      await new Promise<void>((resolve) => {
        const timer = clockOf(realm).setTimer(realm.nowMs() + CLOSE_MS, resolve);
        this.#onIdle = () => {
          timer.cancel();
          resolve();
        };
      });
      // What was answered last is written in the next turn.
      await new Promise<void>((resolve) => void clockOf(realm).setTimer(realm.nowMs(), resolve));
    }
    this.#watch?.cancel();
    this.#server.close();
    for (const held of this.#held) this.#drop(held);
  }
}

/** The whole body; `undefined` when it is longer than `maxBytes`. @throws (by rejection) when the connection breaks */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<Bytes | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) return undefined;
  const chunks: Uint8Array[] = []; // Bounded by maxBytes and one chunk.
  let length = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return concatBytes(...chunks);
}

/** Listens. @throws (by rejection) {P2PError} `in_use`, `unreachable`; an error of node:tls for a certificate that cannot be used. */
export function openHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  return NodeHttpServer.open(options);
}

/** A server without a listener of its own: it gets its connections by `accept`. */
export function createHttpServer(options: HttpServerOptions): HttpServer {
  return new NodeHttpServer(options);
}
