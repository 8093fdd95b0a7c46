/** The receiving side: fetches what a ticket promises, in order, again from where it was after a cut, checked by hash. */

import { createHash } from 'node:crypto';
import { type Addr, type AskSwarm, type Bytes, P2PError, type Realm, exponentialBackoff, retry } from 'shoal';
import { concatBytes, equalBytes } from 'shoal/bytes';
import { Failure } from '../failure.ts';
import { MAX_MANIFEST_BYTES, type Manifest, decodeManifest } from './manifest.ts';
import { CHUNK_BYTES, STATUS, encodeRequest } from './messages.ts';
import { quoteName } from './names.ts';
import type { Ticket } from './ticket.ts';

/** Bytes that are asked for at once, which fills 100 MB/s at 20 ms. */
const MAX_BYTES = 8 * CHUNK_BYTES;
/** Pieces that are asked for at once, where files are small: a quarter of what a sender answers at a time. */
const MAX_ASKS = 64;
/** An ask is repeated sooner than the user's patience ends, so that a cut line is found out. */
const ASK_TIMEOUT_MS = 5000;
const BACKOFF = exponentialBackoff({ initialMs: 100, maxMs: 2000 });

/** What to fetch of one file. */
export interface Span {
  /** 0 is the manifest, from 1 on its files in order. */
  readonly file: number;
  /** For messages. */
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

interface Read {
  readonly file: number;
  readonly name: string;
  readonly offset: number;
  readonly length: number;
}

function* readsOf(spans: Iterable<Span>): Generator<Read, void> {
  for (const { file, name, from, to } of spans) {
    for (let offset = from; offset < to; offset += CHUNK_BYTES) {
      yield { file, name, offset, length: Math.min(CHUNK_BYTES, to - offset) };
    }
  }
}

/** Where to fetch from. */
export interface FetchOptions<A extends Addr> {
  readonly realm: Realm;
  readonly swarm: Pick<AskSwarm<A>, 'ask'>;
  readonly addr: A;
  readonly ticket: Ticket;
  readonly signal: AbortSignal;
  /** How long nothing may come before it is given up, in milliseconds. */
  readonly patienceMs: number;
  /** Called each time an ask gets no answer and is repeated. */
  readonly onCut: (error: unknown) => void;
}

/** Asks for pieces, and again after failures, until patience ends. */
export class Fetcher<A extends Addr> {
  readonly #options: FetchOptions<A>;
  #lastMs = 0;

  constructor(options: FetchOptions<A>) {
    this.#options = options;
  }

  /** @throws {Failure} when the manifest does not have the hash of the ticket, or has a name that may not be written. */
  async manifest(): Promise<Manifest> {
    const parts: Bytes[] = [];
    let bytes = 0;
    // Its length is not known before its end has come. Most end in the first piece; one byte too many shows too long ones.
    const ends = [CHUNK_BYTES, MAX_MANIFEST_BYTES + 1];
    for (const to of ends) {
      for await (const part of this.pieces([{ file: 0, name: 'the list of files', from: bytes, to }])) {
        parts.push(part);
        bytes += part.length;
        if (part.length < CHUNK_BYTES) break;
      }
      if (bytes < to) break;
    }
    const encoded = concatBytes(...parts);
    const hash = new Uint8Array(createHash('sha256').update(encoded).digest());
    if (!equalBytes(hash, this.#options.ticket.hash)) {
      throw new Failure(`Cannot receive: the list of files, ${bytes} bytes, is not the one of the ticket`);
    }
    let why = '';
    const manifest = decodeManifest(encoded, (reason) => (why = reason));
    if (manifest === undefined) throw new Failure(`Cannot receive: the list of files is refused: ${why}`);
    return manifest;
  }

  /** The bytes of all spans, in order, many pieces under way at a time, across the borders of spans. */
  async *pieces(spans: Iterable<Span>): AsyncGenerator<Bytes, void> {
    this.#lastMs = this.#options.realm.nowMs(); // patience begins with the first ask, whatever was waited for before
    const reads = readsOf(spans);
    /** Bounded by MAX_ASKS and MAX_BYTES. */
    const underWay: { readonly piece: Promise<Bytes>; readonly read: Read }[] = [];
    let bytes = 0;
    let next = reads.next();
    const ask = (): void => {
      while (next.done !== true && underWay.length < MAX_ASKS && bytes + next.value.length <= MAX_BYTES) {
        const piece = this.#ask(next.value);
        piece.catch(() => undefined); // the await below sees it
        underWay.push({ piece, read: next.value });
        bytes += next.value.length;
        next = reads.next();
      }
    };
    ask();
    for (let first = underWay.shift(); first !== undefined; first = underWay.shift()) {
      const { file, name, length } = first.read;
      const piece = await first.piece;
      if (file === 0 ? piece.length > length : piece.length !== length) {
        throw new Failure(`Cannot receive ${quoteName(name)}: the sender gave ${piece.length} bytes of ${length}`);
      }
      yield piece;
      bytes -= length;
      ask();
    }
  }

  /** Tells the sender that all is there; whether it hears is its own business. */
  async done(): Promise<void> {
    const { swarm, addr, ticket } = this.#options;
    await swarm.ask(addr, encodeRequest(ticket.secret, { type: 'done' }), { timeoutMs: 1000 }).catch(() => undefined);
  }

  #ask({ file, name, offset, length }: Read): Promise<Bytes> {
    const { realm, swarm, addr, ticket, signal, patienceMs, onCut } = this.#options;
    const message = encodeRequest(ticket.secret, { type: 'read', file, offset, length });
    const timeoutMs = Math.min(ASK_TIMEOUT_MS, patienceMs);
    const once = async (): Promise<Bytes> => {
      const answer = await swarm.ask(addr, message, { signal, timeoutMs, maxResponseBytes: 1 + CHUNK_BYTES });
      this.#lastMs = realm.nowMs();
      if (answer[0] === STATUS.ok) return answer.subarray(1);
      throw refusal(answer[0], name);
    };
    const shouldRetry = (error: unknown): boolean => {
      const over = realm.nowMs() - this.#lastMs > patienceMs;
      if (signal.aborted || over || !P2PError.is(error) || error.code === 'closed') return false;
      onCut(error);
      return true;
    };
    return retry(once, { realm, signal, shouldRetry, backoff: BACKOFF, timeoutMs: Infinity });
  }
}

/** What a refused request means. */
function refusal(status: number | undefined, name: string): Failure {
  if (status === STATUS.changed) {
    return new Failure(
      `Cannot receive ${quoteName(name)}: the file has changed at the sender since it made the ticket; ask for a new one`,
    );
  }
  if (status === STATUS.secret) return new Failure('Cannot receive: the sender does not know this ticket');
  return new Failure(`Cannot receive ${quoteName(name)}: the sender refuses to read it; are both of one version?`);
}
