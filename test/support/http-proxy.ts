/** An HTTP proxy on any network, which answers as a test says. */

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { parseSocketAddress, type SocketAddress } from '../../src/base/ip.ts';
import type { Listener, Network } from '../../src/net/network.ts';
import type { Pipe } from '../../src/net/pipe.ts';

/** A proxy that listens. */
export interface HttpProxy {
  readonly address: SocketAddress;
  /** The headers that have come. */
  readonly requests: string[];
  close(): Promise<void>;
}

function forward(from: Pipe, to: Pipe): void {
  from.sink = {
    onData: (chunk) => to.write([chunk], () => undefined),
    onEnd: () => to.end(),
    onClose: () => to.destroy(),
  };
  from.resume();
}

/** @param answer - what to say instead of connecting; `undefined`: connect. */
export async function openHttpProxy(
  network: Network,
  bind: SocketAddress,
  answer: (header: string) => string | undefined = () => undefined,
): Promise<HttpProxy> {
  const requests: string[] = [];
  const open = async (pipe: Pipe, header: string): Promise<void> => {
    const said = answer(header);
    const remote = parseSocketAddress(/^CONNECT (\S+) HTTP\/1\.1\r\n/.exec(header)?.[1] ?? '');
    if (said !== undefined || remote === undefined) {
      pipe.write([encodeText(said ?? 'HTTP/1.1 400 Bad Request\r\n\r\n')], () => undefined);
      return;
    }
    try {
      const { pipe: far } = await network.dial({ remote, signal: new AbortController().signal });
      pipe.write([encodeText('HTTP/1.1 200 Connection established\r\nVia: a test\r\n\r\n')], () => undefined);
      forward(pipe, far);
      forward(far, pipe);
    } catch {
      pipe.write([encodeText('HTTP/1.1 502 Bad Gateway\r\n\r\n')], () => pipe.end());
    }
  };
  const listener: Listener = await network.listen({
    bind,
    backlog: 16,
    reusePort: false,
    onError: () => undefined,
    onConnection: ({ pipe }) => {
      let header = '';
      pipe.sink = {
        onData: (chunk) => {
          header += decodeText(chunk);
          if (!header.includes('\r\n\r\n')) return;
          pipe.pause();
          requests.push(header);
          void open(pipe, header);
        },
        onEnd: () => undefined,
        onClose: () => undefined,
      };
      pipe.resume();
    },
  });
  return { address: listener.address, requests, close: () => listener.close() };
}
