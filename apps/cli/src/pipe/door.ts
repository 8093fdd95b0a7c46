/**
 * Who may use a pipe: whoever knows its address, of which a secret is a part. The first message of a connection shows the
 * secret; every stream of bytes after it is a pipe.
 */

import { timingSafeEqual } from 'node:crypto';
import { type PeerId, encodeText, isPeerId } from 'shoal';
import { CLOSE_CODE, type Connection, type Feed, type IncomingStream, type SendStream } from 'shoal/endpoint';
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

/** @throws {UsageError} when it is none. */
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
export async function knock(connection: Connection, secret: string, signal: AbortSignal): Promise<void> {
  try {
    await connection.request(encodeText(secret), { signal, timeoutMs: SHOW_TIMEOUT_MS, maxResponseBytes: 16 });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Failure('Cannot pipe: the other side does not know this address, or is in use', { cause: error });
  }
}

/** Lets a connection in that shows the secret, and hands on its further streams; closes it otherwise. */
export async function admit(
  connection: Connection,
  secret: string,
  signal: AbortSignal,
): Promise<Feed<IncomingStream<Connection>> | undefined> {
  try {
    const shown = await showing(connection, signal);
    if (shown !== undefined && equalSecrets(shown.payload, encodeText(secret))) {
      await shown.reply.finish(encodeText('ok'), { signal, timeoutMs: SHOW_TIMEOUT_MS });
      return connection.streams({ signal });
    }
  } catch {
    // Whatever kept it from showing the secret: it has not shown it.
  }
  await connection.close({ code: CLOSE_CODE.REFUSED, reason: 'wrong secret' });
  return undefined;
}

/** The first message, if it wants an answer. */
async function showing(
  connection: Connection,
  signal: AbortSignal,
): Promise<{ readonly payload: Uint8Array; readonly reply: SendStream } | undefined> {
  await using messages = connection.messages({ signal, timeoutMs: SHOW_TIMEOUT_MS });
  const { value: first } = await messages.next();
  return first?.reply === undefined ? undefined : { payload: first.payload, reply: first.reply };
}

function equalSecrets(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
