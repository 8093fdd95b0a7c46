/** One HTTP request to a router, over a connection of a network. */

import type { Bytes } from '../base/bytes.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Realm } from '../core/realm.ts';
import type { Network, RawConnection } from '../net/network.ts';
import { HttpResponseReader } from '../protocols/port-mapping/http.ts';
import type { HttpResult } from '../protocols/port-mapping/types.ts';
import { clockOf } from '../runtime/system-realm.ts';

/** A request. */
export interface HttpCallOptions {
  readonly network: Network;
  readonly realm: Realm;
  /** This host's address. */
  readonly from: string;
  readonly to: SocketAddress;
  readonly bytes: Bytes;
  /** For all of it: a router that sends a byte a second is given up. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Never rejects. The connection is closed when it resolves. */
export function httpCall(options: HttpCallOptions): Promise<HttpResult> {
  const { network, realm, from, to, bytes, timeoutMs, signal } = options;
  const { promise, resolve } = Promise.withResolvers<HttpResult>();
  const dialling = new AbortController();
  let connection: RawConnection | undefined;
  const end = (result: HttpResult): void => {
    timer.cancel();
    signal.removeEventListener('abort', onAbort);
    dialling.abort(new Error('The request is over'));
    connection?.pipe.destroy();
    resolve(result);
  };
  const onAbort = (): void => end('unreachable');
  const timer = clockOf(realm).setTimer(realm.nowMs() + timeoutMs, () => end('too_slow'));
  const ask = (made: RawConnection): void => {
    connection = made;
    if (dialling.signal.aborted) {
      made.pipe.destroy();
      return;
    }
    const reader = new HttpResponseReader();
    const look = (): void => {
      if (reader.result !== undefined) end(reader.result);
    };
    const ended = (): void => {
      reader.end();
      look();
    };
    made.pipe.sink = {
      onData: (chunk) => {
        reader.push(chunk);
        look();
      },
      onEnd: ended,
      onClose: ended,
    };
    made.pipe.write([bytes], () => undefined);
    made.pipe.resume();
  };
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  else
    network
      .dial({ remote: to, bind: { ip: from, port: 0 }, signal: dialling.signal })
      .then(ask, () => end('unreachable'));
  return promise;
}
