/**
 * Cells in Redis or Valkey, by the package `@redis/client`: one string key for each cell; an empty cell has no key.
 *
 * - A swap is one command: `SET … IFEQ … GET` where the server has it (Redis 8.4, Valkey 8.1), else a script. Both compare the whole value.
 *   `IFDEQ` is not used: it compares 64 bits of a hash that is not made against forgery, so a writer could have one value taken for another.
 * - A command whose connection broke is not sent again: it may have taken effect, so the call rejects with `sent: 'maybe'`.
 * - What an acknowledged swap survives is the server's setting: with `appendonly yes` and `appendfsync always` everything, with
 *   `appendfsync everysec` the end of the server but not the last second before the end of the machine, without `appendonly` nothing.
 */

import { Buffer } from 'node:buffer';
import { type Bytes, copyBytes, equalBytes } from '../base/bytes.ts';
import { assertString } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import type { CasResult, CellStore } from './cell.ts';
import type { RedisCellsOptions } from './redis-options.ts';
import { loadPackage } from './optional-package.ts';
import {
  type BackendCall,
  type CellBackend,
  type ResolvedStoreOptions,
  resolveStoreOptions,
  storeOver,
} from './store.ts';

/** The part of a client that is used. */
interface RedisClient {
  on(event: 'error', listener: () => void): unknown;
  connect(): Promise<unknown>;
  sendCommand(args: readonly (string | Uint8Array)[], options?: object): Promise<unknown>;
  destroy(): void;
}

interface RedisPackage {
  readonly createClient: (options: object) => RedisClient;
}

/** The type of bulk strings in RESP, for the mapping to bytes (`RESP_TYPES.BLOB_STRING` of the package). */
const BLOB_STRING = 36;
/** A script compares and writes at once, since Redis runs nothing beside it. */
const SCRIPT = `local now = redis.call('GET', KEYS[1]) or ''
if now ~= ARGV[1] then return {0, now} end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
elseif ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return {1, ARGV[2]}`;
/** The pauses between attempts to reach the server again. */
const RECONNECT_MS = { first: 50, most: 1000 } as const;
const CONNECT_TIMEOUT_MS = 5000;

class RedisBackend implements CellBackend {
  readonly kind = 'redis';
  readonly #client: RedisClient;
  readonly #prefix: string;
  /** The value of PX; 0: none. */
  readonly #expireMs: string;
  #compare: 'native' | 'script';

  readonly #isFixed: boolean;

  constructor(client: RedisClient, options: RedisCellsOptions, { expireMs }: ResolvedStoreOptions) {
    this.#client = client;
    this.#prefix = options.keyPrefix ?? 'shoal:cell:';
    this.#expireMs = expireMs === Infinity ? '0' : String(Math.ceil(expireMs));
    this.#compare = options.compare ?? 'native';
    this.#isFixed = options.compare !== undefined;
  }

  async read(key: string): Promise<Bytes> {
    return valueOf(await this.#send(['GET', this.#prefix + key]));
  }

  async swap(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult> {
    if (this.#compare === 'native' && next.length > 0) {
      const result = await this.#swapNatively(key, expected, next, call);
      if (result !== undefined) return result;
      this.#compare = 'script';
    }
    const args = ['EVAL', SCRIPT, '1', this.#prefix + key, expected, next, this.#expireMs];
    const [done, current] = (await this.#send(args, call)) as [number, unknown];
    return { swapped: done === 1, current: valueOf(current) };
  }

  release(): Promise<void> {
    try {
      this.#client.destroy();
    } catch {
      // It was closed already.
    }
    return Promise.resolve();
  }

  /** @returns `undefined` when the server does not know the command; nothing was written then */
  async #swapNatively(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult | undefined> {
    const condition = expected.length === 0 ? ['NX'] : ['IFEQ', expected];
    const expiry = this.#expireMs === '0' ? [] : ['PX', this.#expireMs];
    let before: Bytes;
    try {
      // IFEQ fails where there is no key, so an empty cell is NX.
      before = valueOf(await this.#send(['SET', this.#prefix + key, next, ...condition, 'GET', ...expiry], call));
    } catch (error) {
      if (!this.#isFixed && isErrorReply((error as P2PError).cause, /syntax error/i)) return undefined;
      throw error;
    }
    return equalBytes(before, expected)
      ? { swapped: true, current: copyBytes(next) }
      : { swapped: false, current: before };
  }

  async #send(args: readonly (string | Bytes)[], call?: BackendCall): Promise<unknown> {
    // The package takes texts and Buffers.
    const taken = args.map((arg) =>
      typeof arg === 'string' ? arg : Buffer.from(arg.buffer, arg.byteOffset, arg.length),
    );
    let reachedWire = true;
    try {
      const answered = this.#client.sendCommand(taken, { typeMapping: { [BLOB_STRING]: Buffer } });
      return await Promise.race([answered, aborted(call)]);
    } catch (cause) {
      reachedWire = !NOT_SENT.includes(nameOf(cause)) && !isErrorReply(cause);
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new P2PError('unreachable', 'remote', `Cannot use Redis: ${why}`, {
        sent: reachedWire ? 'maybe' : 'no',
        cause,
      });
    } finally {
      if (reachedWire) call?.sending();
    }
  }
}

/** Errors of the package for commands that were not sent. */
const NOT_SENT: readonly string[] = ['ClientOfflineError', 'ClientClosedError'];

function aborted(call: BackendCall | undefined): Promise<never> {
  return new Promise((_, reject) => call?.signal.addEventListener('abort', () => reject(call.signal.reason)));
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.constructor.name : '';
}

/** Whether the server has answered with an error: the command had no effect. */
function isErrorReply(error: unknown, pattern = /^/): boolean {
  return ['ErrorReply', 'SimpleError', 'BlobError'].includes(nameOf(error)) && pattern.test((error as Error).message);
}

function valueOf(reply: unknown): Bytes {
  if (reply === null || reply === undefined) return new Uint8Array(0);
  if (reply instanceof Uint8Array) return copyBytes(reply);
  throw new P2PError('unreachable', 'remote', 'Cannot use Redis: the answer is no string', { sent: 'maybe' });
}

/**
 * Opens cells in Redis. It needs the package `@redis/client`. When the connection breaks, it is opened again; until then, calls reject with `unreachable`.
 *
 * @param url - `redis://[user:password@]host[:port][/database]`, `rediss:` with TLS.
 * @throws {TypeError | RangeError} (at once) for invalid arguments.
 * @throws {P2PError} (by rejection) `unsupported` without the package, `unreachable` when the server does not answer.
 */
export function openRedisCells(url: string, options: RedisCellsOptions = {}): Promise<CellStore> {
  assertString(url, 'url');
  const resolved = resolveStoreOptions(options);
  const { keyPrefix, compare } = options;
  if (keyPrefix !== undefined) assertString(keyPrefix, 'keyPrefix');
  if (compare !== undefined && compare !== 'native' && compare !== 'script') {
    throw new TypeError(`Cannot take compare: expected 'native' or 'script'`);
  }
  const parsed = URL.parse(url);
  if ((parsed?.protocol !== 'redis:' && parsed?.protocol !== 'rediss:') || parsed.host === '') {
    throw new TypeError('Cannot take url: expected redis://host:port or rediss://host:port');
  }
  return open(url, parsed.host, options, resolved);
}

async function open(
  url: string,
  host: string,
  options: RedisCellsOptions,
  resolved: ResolvedStoreOptions,
): Promise<CellStore> {
  const { createClient } = await loadPackage<RedisPackage>('@redis/client', '@redis/client@6');
  let wasOpen = false;
  const reconnectStrategy = (retries: number, cause: Error): number | Error =>
    wasOpen ? Math.min(RECONNECT_MS.first * 2 ** Math.min(retries, 10), RECONNECT_MS.most) : cause;
  const socket = { reconnectStrategy, connectTimeout: CONNECT_TIMEOUT_MS };
  const client = createClient({ url, socket, disableOfflineQueue: true });
  client.on('error', () => undefined); // Calls report it.
  try {
    await client.connect();
    wasOpen = true;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new P2PError('unreachable', 'remote', `Cannot open Redis at ${host}: ${why}`, { sent: 'no', cause });
  }
  return storeOver(new RedisBackend(client, options, resolved), resolved);
}
