/** The receiving side: fetches what a ticket promises, in order, again from where it was after a cut, checked by hash. */

import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Addr, type AskSwarm, type Bytes, P2PError, concatBytes, equalBytes, exponentialBackoff } from 'shoal';
import { Failure } from '../failure.ts';
import { MAX_MANIFEST_BYTES, type Manifest, decodeManifest } from './manifest.ts';
import { CHUNK_BYTES, STATUS, type TransferRequest, encodeRequest } from './messages.ts';
import { type Ticket } from './ticket.ts';

/** Pieces that are asked for at once: 2 MiB under way, which fills 100 MB/s at 20 ms. */
const IN_FLIGHT = 8;
/** An ask is repeated sooner than the user's patience ends, so that a cut line is found out. */
const ASK_TIMEOUT_MS = 5000;

/** Where to fetch from. */
export interface FetchOptions<A extends Addr> {
  readonly swarm: AskSwarm<A>;
  readonly addr: A;
  readonly ticket: Ticket;
  readonly signal: AbortSignal;
  /** How long nothing may come before it is given up, in milliseconds. */
  readonly patienceMs: number;
  /** Called when the sender does not answer, and when it does again. */
  readonly onCut: (error: unknown) => void;
}

/** Asks for pieces, and again after failures, until patience ends. */
export class Fetcher<A extends Addr> {
  readonly #options: FetchOptions<A>;
  #lastMs = performance.now();

  constructor(options: FetchOptions<A>) {
    this.#options = options;
  }

  /** @throws {Failure} when what comes is not what the ticket promises. */
  async manifest(): Promise<Manifest> {
    const parts: Bytes[] = [];
    let bytes = 0;
    for await (const part of this.file(0, 0, MAX_MANIFEST_BYTES)) {
      parts.push(part);
      bytes += part.length;
      if (part.length < CHUNK_BYTES) break;
    }
    const encoded = concatBytes(...parts);
    const hash = new Uint8Array(createHash('sha256').update(encoded).digest());
    const manifest = equalBytes(hash, this.#options.ticket.hash) ? decodeManifest(encoded) : undefined;
    if (manifest === undefined) {
      throw new Failure(`Cannot receive: the list of files, ${bytes} bytes, is not the one of the ticket`);
    }
    return manifest;
  }

  /** The bytes of a file from `from` to `to`, in order, several pieces under way at a time. */
  async *file(file: number, from: number, to: number): AsyncGenerator<Bytes, void> {
    const under: { readonly piece: Promise<Bytes>; readonly length: number }[] = [];
    let next = from;
    const ask = (): void => {
      // A manifest's length is not known before its end has come: one piece at a time.
      while (next < to && under.length < (file === 0 ? 1 : IN_FLIGHT)) {
        const length = Math.min(CHUNK_BYTES, to - next);
        const piece = this.#ask({ type: 'read', file, offset: next, length });
        piece.catch(() => undefined); // whoever awaits it sees it
        under.push({ piece, length });
        next += length;
      }
    };
    ask();
    for (let first = under.shift(); first !== undefined; first = under.shift()) {
      const bytes = await first.piece;
      if (bytes.length !== first.length && file !== 0) throw changed();
      yield bytes;
      ask();
    }
  }

  /** Tells the sender that all is there; whether it hears is its own business. */
  async done(): Promise<void> {
    const { swarm, addr, ticket } = this.#options;
    await swarm.ask(addr, encodeRequest(ticket.secret, { type: 'done' }), { timeoutMs: 1000 }).catch(() => undefined);
  }

  async #ask(request: TransferRequest): Promise<Bytes> {
    const { swarm, addr, ticket, signal, patienceMs, onCut } = this.#options;
    const message = encodeRequest(ticket.secret, request);
    const backoff = exponentialBackoff({ initialMs: 100, maxMs: 2000 });
    for (let attempt = 0; ; attempt++) {
      try {
        const timeoutMs = Math.min(ASK_TIMEOUT_MS, patienceMs);
        const answer = await swarm.ask(addr, message, { signal, timeoutMs, maxResponseBytes: 1 + CHUNK_BYTES });
        this.#lastMs = performance.now();
        if (answer[0] === STATUS.ok) return answer.subarray(1);
        if (answer[0] === STATUS.changed) throw changed();
        throw new Failure('Cannot receive: the sender does not know this ticket');
      } catch (error) {
        if (signal.aborted) throw error;
        const over = performance.now() - this.#lastMs > patienceMs;
        if (!P2PError.is(error) || error.code === 'closed' || over) throw error;
        onCut(error);
        await delay(backoff(attempt), undefined, { signal });
      }
    }
  }
}

function changed(): Failure {
  return new Failure('Cannot receive: the file has changed at the sender since it made the ticket; ask for a new one');
}
