/** Real bytes of the TCP swarm's protocol, to be spoilt, and a session that reads them. */

import { type Bytes, concatBytes } from '../src/base/bytes.ts';
import { FrameWriter } from '../src/protocols/tcp/frame-writer.ts';
import { TcpSession } from '../src/protocols/tcp/session.ts';

const OPTIONS = { maxMessageBytes: 65_536, windowBytes: 65_536, port: 0, idleTimeoutMs: 60_000 };

/** What one side may say, with hello in front. */
export const tcpStreams: readonly Bytes[] = [0, 1].map((kind) => {
  const writer = new FrameWriter();
  writer.hello([1, 65_536, 65_536, 65_536, 5000]);
  writer.tell(new Uint8Array(20));
  writer.message({ type: 'request', id: 1, maxResponseBytes: 100 }, new Uint8Array(5));
  writer.message(kind === 0 ? { type: 'answer', id: 1 } : { type: 'refusal', id: 1, code: 3 }, new Uint8Array(3));
  writer.begin(1, 30, { type: 'tell' });
  writer.chunk(1, new Uint8Array(20));
  writer.ping('ping', new Uint8Array(3));
  if (kind === 0) writer.chunk(1, new Uint8Array(10));
  else writer.abort(1);
  writer.cancel(1);
  writer.credit(0, 0);
  writer.bye(1, 'idle');
  return concatBytes(...writer.take());
});

/** Has a session with an ask under way read what came, and do what it wants done. */
export function feedTcpSession(input: Bytes): void {
  const session = new TcpSession(OPTIONS, 0);
  session.ask(0, new Uint8Array(3), 100);
  session.handleBytes(0, input);
  for (let output = session.poll(); output.type !== 'wait'; output = session.poll()) {
    if (output.type !== 'event') continue;
    if (output.event.type === 'tell') session.release(output.event.payload.length);
    if (output.event.type === 'request') session.answer(0, output.event.id, new Uint8Array(10));
  }
  session.handleTimeout(100_000);
  session.handleEnd();
  session.poll();
}
