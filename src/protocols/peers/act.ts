/** What messages of a session do to it: answers, streams, credit. Source: docs/wire/peers.md §§3, 5, 6. */

import { type Bytes, viewFrom } from '../../base/bytes.ts';
import { MAX_REFUSAL_BYTES, MESSAGE, type MessageType } from './constants.ts';
import type { Receiver } from './receiver.ts';
import type { Sender } from './sender.ts';
import type { SessionEvent } from './session-events.ts';
import type { PeerStreams } from './streams.ts';

/** The parts of a session that messages act on. */
export interface SessionParts {
  readonly sender: Sender;
  readonly receiver: Receiver;
  readonly streams: PeerStreams;
  readonly maxMessageBytes: number;
  readonly event: (event: SessionEvent) => void;
}

/** Does what a message says that is not handed on as it is. @returns false when it breaks a rule */
export function act(
  { sender, receiver, streams, maxMessageBytes, event }: SessionParts,
  message: MessageType,
  [first = 0, second = 0, third = 0]: readonly number[],
  rest: Bytes,
): boolean {
  switch (message) {
    case MESSAGE.ANSWER: {
      const asked = sender.takeAsked(first);
      if (asked !== undefined) event({ type: 'answer', message: asked, payload: rest });
      return rest.length <= maxMessageBytes;
    }
    case MESSAGE.REFUSAL: {
      if (rest.length === 0 || rest.length > 1 + MAX_REFUSAL_BYTES) return false;
      const asked = sender.takeAsked(first);
      if (asked === undefined) return true;
      event({ type: 'refusal', message: asked, code: rest[0]!, payload: viewFrom(rest, 1) });
      return true;
    }
    case MESSAGE.CANCEL: {
      if (receiver.cancel(first)) event({ type: 'cancelled', number: first });
      return true;
    }
    case MESSAGE.STREAM:
    case MESSAGE.FIN:
    case MESSAGE.RESET:
    case MESSAGE.WINDOW:
      return streams.handle(message, first, second, rest);
    case MESSAGE.CREDIT:
      sender.handleCredit(first, second, third);
      return true;
    case MESSAGE.TELL:
    case MESSAGE.REQUEST:
    case MESSAGE.SERVICE:
      break; // The receiver hands them on itself.
  }
  return false;
}
