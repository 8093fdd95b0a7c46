/**
 * Who may use a pipe: every peer that knows its address, which contains a secret. The first message of a connection shows the
 * secret; every stream of bytes after it is a pipe.
 */

import { timingSafeEqual } from 'node:crypto';
import { type Addr, type PeerId } from 'shoal';
import { encodeText } from 'shoal/bytes';
import { ipOf } from 'shoal/net';
import { isPeerId } from 'shoal/keys';
import { CLOSE_CODE, type QuicConnection, type Feed, type IncomingStream, type SendStream } from 'shoal/endpoint';
import { Failure, UsageError } from '../failure.ts';

/** Where a pipe waits: `<PeerID>@127.0.0.1:5000#<secret>`. */
export interface PipeAddress {
  readonly id: PeerId;
  /** Where its socket is, as UDP writes it. */
  readonly place: string;
  readonly secret: string;
}

/** 128 bits. */
export const SECRET_BYTES = 16;
const SECRET_FORM = /^[\w-]{22}$/;
const SHOW_TIMEOUT_MS = 5000;

export function formatPipeAddress({ id, place, secret }: PipeAddress): string {
  return `${id}@${place}#${secret}`;
}

/** @throws {UsageError} for anything else. */
export function parsePipeAddress(text: string): PipeAddress {
  const at = text.indexOf('@');
  const hash = text.lastIndexOf('#');
  const [id, place, secret] = [text.slice(0, at), text.slice(at + 1, hash), text.slice(hash + 1)];
  if (at !== -1 && hash > at && isPeerId(id) && SECRET_FORM.test(secret)) return { id, place, secret };
  throw new UsageError(
    // It ends in a secret, so it is not repeated.
    `Cannot use this pipe address: expected the whole line that \`shoal pipe\` prints, <PeerID>@IP:PORT#SECRET`,
  );
}

/** Shows the secret. @throws {Failure} when the other side does not know it. */
export async function showSecret(connection: QuicConnection, secret: string, signal: AbortSignal): Promise<void> {
  try {
    await connection.request(encodeText(secret), { signal, timeoutMs: SHOW_TIMEOUT_MS, maxResponseBytes: 16 });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure('Cannot pipe: the other side does not know this address, or is in use', { cause: error });
  }
}

/** A connection that has shown the secret, and the streams that it opens. */
export interface AdmittedConnection {
  readonly connection: QuicConnection;
  readonly streams: Feed<IncomingStream<QuicConnection>>;
}

/** Strangers that have not shown the secret yet, in all and from one /24 or /64; each has {@link SHOW_TIMEOUT_MS}. */
export const MAX_STRANGERS = 64;
export const MAX_STRANGERS_PER_SOURCE = 16;

/**
 * Asks all that come for the secret, at the same time. Beyond the bounds the oldest stranger of the busiest source goes, so
 * nobody keeps the others out by waiting.
 */
export class SecretGate {
  readonly #secret: string;
  readonly #signal: AbortSignal;
  readonly #onAdmitted: (admitted: AdmittedConnection) => void;
  /** Oldest first, with where they come from. Bounded by {@link MAX_STRANGERS}. */
  readonly #strangers = new Map<QuicConnection, string>();
  #closed = false;

  constructor(secret: string, signal: AbortSignal, onAdmitted: (admitted: AdmittedConnection) => void) {
    this.#secret = secret;
    this.#signal = signal;
    this.#onAdmitted = onAdmitted;
  }

  /** Closes the strangers that wait, and all that come from now on. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#strangers.keys()) void refuse(connection, 'in use');
  }

  /** Lets a connection in that shows the secret, and closes it otherwise. */
  async receive(connection: QuicConnection): Promise<void> {
    if (this.#closed) return refuse(connection, 'in use');
    this.#strangers.set(connection, sourceOf(connection.remoteAddr));
    this.#makeRoom();
    const admitted = await this.#admit(connection);
    this.#strangers.delete(connection);
    if (!admitted) return refuse(connection, 'wrong secret');
    if (this.#closed) return refuse(connection, 'in use');
    this.#onAdmitted({ connection, streams: connection.streams({ signal: this.#signal }) });
  }

  #makeRoom(): void {
    const bySource = new Map<string, QuicConnection[]>();
    for (const [connection, source] of this.#strangers) {
      bySource.set(source, [...(bySource.get(source) ?? []), connection]);
    }
    const busiest = [...bySource.values()].reduce((most, each) => (each.length > most.length ? each : most), []);
    if (this.#strangers.size <= MAX_STRANGERS && busiest.length <= MAX_STRANGERS_PER_SOURCE) return;
    const [oldest] = busiest;
    this.#strangers.delete(oldest!);
    void refuse(oldest!, 'too many connections without the secret');
  }

  async #admit(connection: QuicConnection): Promise<boolean> {
    try {
      const shown = await showing(connection, this.#signal);
      if (shown === undefined || !equalSecrets(shown.payload, encodeText(this.#secret))) return false;
      await shown.reply.finish(encodeText('ok'), { signal: this.#signal, timeoutMs: SHOW_TIMEOUT_MS });
      return true;
    } catch {
      // Any failure counts as a missing secret.
      return false;
    }
  }
}

/** Closes a connection that gets nothing; never rejects. */
export async function refuse(connection: QuicConnection, reason: string): Promise<void> {
  await connection.close({ code: CLOSE_CODE.REFUSED, reason }).catch(() => undefined);
}

/** The /24 or /64 of an address. */
function sourceOf(addr: Addr): string {
  const ip = ipOf(addr) ?? '';
  return ip.includes(':') ? expandedPrefix(ip) : ip.split('.').slice(0, 3).join('.');
}

/** The first four groups of an IPv6 address as text. */
function expandedPrefix(ip: string): string {
  const [head = '', tail] = ip.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  return [...groups, ...Array.from({ length: missing }, () => '0'), ...(tail ?? '').split(':')].slice(0, 4).join(':');
}

/** The first message, if it wants an answer. */
async function showing(
  connection: QuicConnection,
  signal: AbortSignal,
): Promise<{ readonly payload: Uint8Array; readonly reply: SendStream } | undefined> {
  await using messages = connection.messages({ signal, timeoutMs: SHOW_TIMEOUT_MS });
  const { value: first } = await messages.next();
  return first?.reply === undefined ? undefined : { payload: first.payload, reply: first.reply };
}

function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
