/** Answers STUN requests on a connection until it says something else. */

import type { Bytes } from '../base/bytes.ts';
import type { Pipe } from '../net/pipe.ts';
import { StunStreamReader } from '../protocols/stun/stream-reader.ts';

/**
 * @param answer - of a request; `undefined` ends the connection.
 * @param closed - called once, when the connection has ended.
 */
export function answerStunOn(pipe: Pipe, answer: (request: Bytes) => Bytes | undefined, closed: () => void): void {
  const reader = new StunStreamReader();
  pipe.sink = {
    onData: (chunk) => {
      reader.push(chunk);
      // One at a time: what was read is answered before more is, so that nothing piles up.
      for (let message = reader.next(); message !== undefined; message = reader.next()) {
        const reply = message === 'malformed' ? undefined : answer(message);
        if (reply === undefined) {
          pipe.destroy();
          return;
        }
        pipe.write([reply], () => undefined);
      }
    },
    onEnd: () => pipe.end(),
    onClose: closed,
  };
  pipe.resume();
}
