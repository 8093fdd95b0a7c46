/** There and back again: what `ping` and `bench` measure, at a peer that echoes. Asks where the stack can, else tells. */

import { type Addr, type Realm, canAsk } from 'shoal';
import { concatBytes, encodeVarint, equalBytes, toHex } from 'shoal/bytes';
import type { AnySwarm } from './stack/layers.ts';

/** Sends one payload and waits for its echo; answers whether it came in time. Any number at a time. */
export type RoundTrip = (payload: Uint8Array) => Promise<boolean>;

/** What makes the payloads of this run different from those of any other. */
const NONCE_BYTES = 8;
/** The nonce and a number: what a payload begins with. */
export const MIN_PAYLOAD_BYTES: number = NONCE_BYTES + 8;

/** How to wait for echoes. */
export interface RoundTripOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Round trips to `dst` over a swarm; it takes the listen slot of one that cannot ask. */
export function roundTripTo(swarm: AnySwarm, dst: Addr, { timeoutMs, signal }: RoundTripOptions): RoundTrip {
  if (canAsk(swarm)) {
    return (payload) =>
      swarm.ask(dst, payload, { timeoutMs, signal }).then(
        (answer) => equalBytes(answer, payload),
        () => false,
      );
  }
  /** Who waits for which echo. Bounded by the round trips under way. */
  const waiting = new Map<string, (came: boolean) => void>();
  swarm.listen(({ payload }) => waiting.get(keyOf(payload))?.(true));
  signal.addEventListener('abort', () => waiting.forEach((settle) => settle(false)));
  return (payload) =>
    new Promise((resolve) => {
      const key = keyOf(payload);
      // Whatever gives up the wait, the end of the time or the user, means that no echo came.
      const late = setTimeout(() => settle(false), timeoutMs);
      const settle = (came: boolean): void => {
        clearTimeout(late);
        waiting.delete(key);
        resolve(came);
      };
      waiting.set(key, settle);
      if (signal.aborted) settle(false);
      else swarm.tell(dst, payload, { timeoutMs, signal }).catch(() => settle(false));
    });
}

const keyOf = (payload: Uint8Array): string => toHex(payload.subarray(0, MIN_PAYLOAD_BYTES));

/** Payloads that differ from all others, `bytes` long and at least {@link MIN_PAYLOAD_BYTES}. */
export function payloads(realm: Realm, bytes: number): (seq: number) => Uint8Array {
  const nonce = realm.random(NONCE_BYTES);
  return (seq) => {
    const head = concatBytes(nonce, encodeVarint(seq));
    const payload = new Uint8Array(Math.max(bytes, MIN_PAYLOAD_BYTES));
    payload.set(head);
    return payload;
  };
}
