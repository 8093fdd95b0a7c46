/**
 * Cells in a key-value bucket of NATS JetStream, by the packages `@nats-io/kv` and `@nats-io/transport-node`.
 *
 * - A swap reads value and revision, compares, and writes for that revision: the server refuses any other. Both error codes that mean a wrong revision (10071, 10164) begin it again.
 * - `create` of the package is two steps where a deleted value left its marker; here, a marker is a revision as any other.
 * - Reads go to the leader of the stream: what replicas answer directly may be old.
 * - Nothing is watched, since a watcher may be dead after a restart of the server without a word.
 * - What an acknowledged swap survives is the server's setting: the end of the server always, the end of the machine with `sync_interval: always`; the
 *   default of the server is to sync every two minutes.
 */

import { type Bytes, copyBytes, equalBytes } from '../base/bytes.ts';
import { assertString, describeValue, wholeNumber } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { CasResult, CellStore } from './cell.ts';
import type { NatsCellsOptions } from './nats-options.ts';
import { loadPackage } from './optional-package.ts';
import {
  type BackendCall,
  type CellBackend,
  type ResolvedStoreOptions,
  resolveStoreOptions,
  storeOver,
} from './store.ts';

interface NatsStatus {
  readonly type: string;
}

interface NatsConnection {
  status(): AsyncIterable<NatsStatus>;
  close(): Promise<void>;
}

interface KvEntry {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly operation: 'PUT' | 'DEL' | 'PURGE';
}

interface KvBucket {
  get(key: string): Promise<KvEntry | null>;
  put(
    key: string,
    value: Uint8Array,
    options: { readonly previousSeq: number; readonly timeout: number },
  ): Promise<number>;
  delete(key: string, options: { readonly previousSeq: number }): Promise<void>;
}

interface KvPackage {
  readonly Kvm: new (connection: NatsConnection) => { create(name: string, options: object): Promise<KvBucket> };
}

interface TransportPackage {
  readonly connect: (options: object) => Promise<NatsConnection>;
}

/** Answers of the server that mean another revision: `wrong last sequence`, with and without the right one. */
const WRONG_REVISION: readonly unknown[] = [10_071, 10_164];
/** How often a swap begins again while others write the expected value. */
const MAX_TRIES = 64;
/** The deadline of a request to the server; that of the call may be earlier. */
const REQUEST_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 5000;
const RECONNECT_MS = 50;
/** What the size of a message counts on top of the value: its headers, of which there are fewer. */
const HEADER_BYTES = 1024;
const BUCKET = /^[\w-]{1,64}$/;

class NatsBackend implements CellBackend {
  readonly kind = 'nats';
  readonly #connection: NatsConnection;
  readonly #bucket: KvBucket;
  #isConnected = true;
  /** Rejects the requests under way. Bounded by the calls. */
  readonly #waiting = new Set<(error: P2PError) => void>();

  constructor(connection: NatsConnection, bucket: KvBucket) {
    this.#connection = connection;
    this.#bucket = bucket;
    void this.#follow();
  }

  async read(key: string): Promise<Bytes> {
    return (await this.#entry(key)).value;
  }

  async swap(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { value, revision } = await this.#entry(key);
      if (!equalBytes(value, expected)) return { swapped: false, current: value };
      call.signal.throwIfAborted();
      if (await this.#write(key, next, revision, call)) return { swapped: true, current: copyBytes(next) };
    }
    const what = `Cannot write cell ${key}: others wrote the expected value ${MAX_TRIES} times meanwhile`;
    throw new P2PError('limit_exceeded', 'path', what, { sent: 'no' });
  }

  async release(): Promise<void> {
    await this.#connection.close().catch(() => undefined);
  }

  /** The value and its revision; 0 for a key that was never written. */
  async #entry(key: string): Promise<{ readonly value: Bytes; readonly revision: number }> {
    this.#checkConnected();
    const entry = await this.#answered(this.#bucket.get(key));
    if (entry === null) return { value: new Uint8Array(0), revision: 0 };
    const { value, revision, operation } = entry;
    return { value: operation === 'PUT' ? copyBytes(value) : new Uint8Array(0), revision };
  }

  /** @returns false when the revision is another one by now */
  async #write(key: string, next: Bytes, previousSeq: number, { sending }: BackendCall): Promise<boolean> {
    this.#checkConnected();
    try {
      const request =
        next.length === 0
          ? this.#bucket.delete(key, { previousSeq })
          : this.#bucket.put(key, next, { previousSeq, timeout: REQUEST_TIMEOUT_MS });
      await this.#answered<unknown>(request);
      return true;
    } catch (cause) {
      if (!isAnswer(cause)) {
        sending();
        throw cause;
      }
      if (WRONG_REVISION.includes(cause.code)) return false;
      throw new P2PError('unreachable', 'remote', `Cannot write cell ${key}: ${cause.message}`, { sent: 'no', cause });
    }
  }

  /** The package keeps what is sent without a connection, and sends it later; here, that fails at once. */
  #checkConnected(): void {
    if (this.#isConnected) return;
    throw new P2PError('unreachable', 'remote', 'Cannot use NATS: the connection is lost, and is being opened again', {
      sent: 'no',
    });
  }

  async #follow(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === 'reconnect') this.#isConnected = true;
      else if (type === 'disconnect' || type === 'reconnecting') {
        this.#isConnected = false;
        const lost = new P2PError('disconnected', 'path', 'Cannot use NATS: the connection ended before the answer');
        for (const reject of this.#waiting) reject(lost);
      }
    }
  }

  /** The answer to a request, which does not come any more once the connection has ended: the package would wait for its deadline. */
  #answered<T>(request: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.add(reject);
      request.then(resolve, reject).finally(() => this.#waiting.delete(reject));
    });
  }
}

/** Whether an error is an answer of JetStream: then nothing was written. */
function isAnswer(error: unknown): error is Error & { readonly code: number } {
  return (
    error instanceof Error && error.name === 'JetStreamApiError' && 'code' in error && typeof error.code === 'number'
  );
}

/**
 * Opens cells in a bucket of NATS. It needs the packages `@nats-io/kv` and `@nats-io/transport-node`. When the connection breaks, it is opened
 * again; until then, calls reject with `unreachable`.
 *
 * `expireMs` and `replicas` count when the bucket is made; a bucket that is there stays as it is.
 *
 * @param url - `nats://[user:password@]host[:port][/bucket]`, `tls:` with TLS.
 * @throws {TypeError | RangeError} (at once) for invalid arguments.
 * @throws {P2PError} (by rejection) `unsupported` without the packages, `unreachable` when the server does not answer or has no JetStream.
 */
export function openNatsCells(url: string, options: NatsCellsOptions = {}): Promise<CellStore> {
  assertString(url, 'url');
  const resolved = resolveStoreOptions(options);
  const parsed = URL.parse(url);
  if ((parsed?.protocol !== 'nats:' && parsed?.protocol !== 'tls:') || parsed.host === '') {
    throw new TypeError('Cannot take url: expected nats://host:port or tls://host:port');
  }
  const { bucket = parsed.pathname.replace(/^\//, '') || 'shoal-cells' } = options;
  assertString(bucket, 'bucket');
  if (!BUCKET.test(bucket)) {
    throw new TypeError(
      `Cannot take bucket: expected 1 to 64 characters of A-Z a-z 0-9 _ -, got ${describeValue(bucket)}`,
    );
  }
  const replicas = wholeNumber(options.replicas, 'replicas', 1, 1, 5);
  return open(parsed, bucket, replicas, resolved);
}

async function open(url: URL, name: string, replicas: number, resolved: ResolvedStoreOptions): Promise<CellStore> {
  const install = '@nats-io/kv@3 @nats-io/transport-node@3';
  const { connect } = await loadPackage<TransportPackage>('@nats-io/transport-node', install);
  const { Kvm } = await loadPackage<KvPackage>('@nats-io/kv', install);
  let connection: NatsConnection | undefined;
  try {
    connection = await connect({
      servers: url.host,
      ...(url.username === ''
        ? {}
        : { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) }),
      ...(url.protocol === 'tls:' ? { tls: {} } : {}),
      timeout: CONNECT_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_MS,
    });
    const { expireMs, maxBytes } = resolved;
    const ttl = expireMs === Infinity ? {} : { ttl: Math.ceil(expireMs) };
    const bucket = await new Kvm(connection).create(name, {
      history: 1,
      storage: 'file',
      allow_direct: false,
      maxValueSize: maxBytes + HEADER_BYTES,
      replicas,
      ...ttl,
    });
    return storeOver(new NatsBackend(connection, bucket), resolved);
  } catch (cause) {
    await connection?.close().catch(() => undefined);
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new P2PError('unreachable', 'remote', `Cannot open NATS at ${url.host}: ${why}`, { sent: 'no', cause });
  }
}
