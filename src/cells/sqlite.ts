/**
 * Cells in a SQLite database, by node:sqlite: one table, write-ahead log, and a commit that is on the disk (`synchronous=FULL`) before a swap
 * resolves. Several processes on one machine may use one file. The swaps of one turn of the event loop are one transaction.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { type Bytes, copyBytes, EMPTY_BYTES } from '../base/bytes.ts';
import { assertString } from '../base/checks.ts';
import { P2PError } from '../core/errors.ts';
import { later } from '../runtime/later.ts';
import type { CasResult, CellStore, CellStoreOptions } from './cell.ts';
import {
  type BackendCall,
  type CellBackend,
  type ResolvedStoreOptions,
  resolveStoreOptions,
  storeOver,
} from './store.ts';

/** How long SQLite waits for another process that writes. It blocks this one meanwhile. */
const BUSY_MS = 5000;
/** Expired cells that are removed with each transaction. */
const SWEEP = 16;

interface Pending {
  readonly key: string;
  readonly expected: Bytes;
  readonly next: Bytes;
  readonly call: BackendCall;
  readonly resolve: (result: CasResult) => void;
  readonly reject: (error: unknown) => void;
}

class SqliteBackend implements CellBackend {
  readonly kind = 'sqlite';
  readonly #database: DatabaseSync;
  readonly #options: ResolvedStoreOptions;
  readonly #select: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #delete: StatementSync;
  readonly #sweep: StatementSync;
  /** Swaps of this turn. Bounded by the calls under way. */
  #pending: Pending[] = [];

  constructor(database: DatabaseSync, options: ResolvedStoreOptions) {
    this.#database = database;
    this.#options = options;
    // A database that another program has made may not be what this is for.
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF;
      CREATE TABLE IF NOT EXISTS cells (key TEXT PRIMARY KEY, value BLOB NOT NULL, written_ms INTEGER NOT NULL) WITHOUT ROWID;
      CREATE INDEX IF NOT EXISTS cells_written ON cells (written_ms);`);
    this.#select = database.prepare('SELECT value FROM cells WHERE key = ? AND written_ms > ?');
    this.#insert = database.prepare(
      'INSERT INTO cells (key, value, written_ms) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, written_ms = excluded.written_ms WHERE cells.written_ms <= ?',
    );
    this.#update = database.prepare(
      'UPDATE cells SET value = ?, written_ms = ? WHERE key = ? AND value = ? AND written_ms > ?',
    );
    this.#delete = database.prepare('DELETE FROM cells WHERE key = ? AND value = ? AND written_ms > ?');
    this.#sweep = database.prepare(
      'DELETE FROM cells WHERE key IN (SELECT key FROM cells WHERE written_ms <= ? ORDER BY written_ms LIMIT ?)',
    );
  }

  async read(key: string): Promise<Bytes> {
    return this.#valueOf(key);
  }

  swap(key: string, expected: Bytes, next: Bytes, call: BackendCall): Promise<CasResult> {
    return new Promise((resolve, reject) => {
      if (this.#pending.length === 0) later(this.#options.realm, this.#commit);
      this.#pending.push({ key, expected, next, call, resolve, reject });
    });
  }

  release(): Promise<void> {
    this.#commit();
    this.#database.close();
    return Promise.resolve();
  }

  readonly #commit = (): void => {
    const pending = this.#pending.filter(({ call }) => !call.signal.aborted);
    this.#pending = [];
    if (pending.length === 0 || !this.#database.isOpen) return;
    let results: readonly CasResult[];
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      results = pending.map((each) => this.#swapNow(each));
      if (this.#options.expireMs !== Infinity) this.#sweep.run(this.#deadMs(), SWEEP);
      for (const { call } of pending) call.sending();
      this.#database.exec('COMMIT');
    } catch (cause) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      for (const { reject } of pending) reject(cause);
      return;
    }
    for (const [i, { resolve }] of pending.entries()) resolve(results[i]!);
  };

  #swapNow({ key, expected, next }: Pending): CasResult {
    const nowMs = this.#options.realm.wallMs();
    const deadMs = this.#deadMs();
    let changes: number | bigint;
    if (expected.length === 0) ({ changes } = this.#insert.run(key, next, nowMs, deadMs));
    else if (next.length === 0) ({ changes } = this.#delete.run(key, expected, deadMs));
    else ({ changes } = this.#update.run(next, nowMs, key, expected, deadMs));
    if (changes === 1) return { swapped: true, current: copyBytes(next) };
    return { swapped: false, current: this.#valueOf(key) };
  }

  #valueOf(key: string): Bytes {
    const row = this.#select.get(key, this.#deadMs());
    const value = row?.['value'];
    return value instanceof Uint8Array ? copyBytes(value) : copyBytes(EMPTY_BYTES);
  }

  /** Cells that were written then, or before, are expired. */
  #deadMs(): number {
    const { expireMs, realm } = this.#options;
    return expireMs === Infinity ? Number.MIN_SAFE_INTEGER : Math.floor(realm.wallMs() - expireMs);
  }
}

/**
 * Opens cells in a SQLite database; the file is made if it is not there.
 *
 * @param path - a file, or `:memory:`.
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {P2PError} (by rejection) `unsupported` on a Node without node:sqlite, `unreachable` when the file cannot be used.
 */
export function openSqliteCells(path: string, options: CellStoreOptions = {}): Promise<CellStore> {
  assertString(path, 'path');
  const resolved = resolveStoreOptions(options);
  return open(path, resolved);
}

async function open(path: string, options: ResolvedStoreOptions): Promise<CellStore> {
  let Database: typeof DatabaseSync;
  try {
    ({ DatabaseSync: Database } = await import('node:sqlite'));
  } catch (cause) {
    const what = `Cannot open ${path}: this Node has no node:sqlite; use Node 22.13 or newer, or another store`;
    throw new P2PError('unsupported', 'local', what, { sent: 'no', cause });
  }
  let database: DatabaseSync | undefined;
  try {
    database = new Database(path, { timeout: BUSY_MS, allowExtension: false });
    return storeOver(new SqliteBackend(database, options), options);
  } catch (cause) {
    database?.close();
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new P2PError('unreachable', 'local', `Cannot open ${path}: ${why}`, { sent: 'no', cause });
  }
}
