/** Tells and asks of a node to itself: without a session, asynchronously to its own handlers. */

import { type Bytes, copyBytes } from '../base/bytes.ts';
import { P2PError } from '../core/errors.ts';
import { isPending, RESOLVED } from '../runtime/promises.ts';
import type { Wait } from '../runtime/waits.ts';
import type { Answer, AskSlot, Serving } from '../swarm-kit/ask-slot.ts';
import type { CounterSet } from '../swarm-kit/counter-set.ts';
import type { TellSlot } from '../swarm-kit/tell-slot.ts';
import type { KeyedAddr } from './peer-sessions.ts';

export class SelfCalls<A extends KeyedAddr> {
  readonly #counters: CounterSet;
  readonly #tells: TellSlot<A>;
  readonly #asks: AskSlot<A>;
  readonly #later: (act: () => void) => void;

  constructor(counters: CounterSet, tells: TellSlot<A>, asks: AskSlot<A>, later: (act: () => void) => void) {
    this.#counters = counters;
    this.#tells = tells;
    this.#asks = asks;
    this.#later = later;
  }

  tell(own: A, payload: Uint8Array): Promise<void> {
    const message = { src: own, dst: own, payload: copyBytes(payload) };
    this.#counters.countSent(payload.length);
    this.#later(() => void this.#tells.deliver(message));
    return RESOLVED;
  }

  /** @returns a function that cancels it */
  ask(own: A, request: Uint8Array, maxResponseBytes: number, wait: Wait<Bytes>): () => void {
    const payload = copyBytes(request);
    let serving: Serving | undefined;
    this.#counters.countSent(payload.length);
    this.#later(() => {
      serving = this.#asks.handle({ src: own, dst: own, payload });
      const settle = (answer: Answer): void => {
        if (!answer.ok) wait.reject(new P2PError('refused', 'remote', `Cannot ask ${own.text}: refused`));
        else if (answer.bytes.length > maxResponseBytes) {
          wait.reject(new P2PError('limit_exceeded', 'local', `The answer has ${answer.bytes.length} bytes`));
        } else {
          this.#counters.countReceived(answer.bytes.length);
          wait.resolve(copyBytes(answer.bytes));
        }
      };
      if (isPending(serving.answer)) void serving.answer.then(settle);
      else settle(serving.answer);
    });
    return () => serving?.abort(new P2PError('disconnected', 'local', 'The asker has cancelled the ask'));
  }
}
