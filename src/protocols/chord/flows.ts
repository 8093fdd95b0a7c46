/** Conversations of a node as generators: each yields a request, and gets the answer or `undefined` where none came. */

import type { Bytes } from '../../base/bytes.ts';
import type { ChordRequest } from './messages.ts';

/** A request that a conversation waits for. */
export interface ChordCall {
  /** The address as text. */
  readonly to: string;
  readonly request: ChordRequest;
}

/** A conversation. */
export type Flow<R> = Generator<ChordCall, R, Bytes | undefined>;

/** One request and its answer, read. */
export function* call<T>(
  to: string,
  request: ChordRequest,
  read: (bytes: Bytes) => T | undefined,
): Flow<T | undefined> {
  const answer = yield { to, request };
  return answer === undefined ? undefined : read(answer);
}
