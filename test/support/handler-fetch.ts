/** A `fetch` that asks a handler of cells directly, without a network. */

import type { HttpAnswer, HttpFetch } from '../../src/cells/http-cell.ts';
import type { CellHttpRequest, CellHttpResponse } from '../../src/cells/http-handler.ts';

/** An answer with one chunk. */
export function answerOf(status: number, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): HttpAnswer {
  let left: Uint8Array | undefined = body;
  return {
    status,
    headers: { get: (name) => headers[name] ?? null },
    body: {
      getReader: () => ({
        read: () => {
          const value = left;
          left = undefined;
          return Promise.resolve({ done: value === undefined, value });
        },
        cancel: () => Promise.resolve(),
      }),
    },
  };
}

export function handlerFetch(handle: (request: CellHttpRequest) => Promise<CellHttpResponse>): HttpFetch {
  return async (url, { method, headers, body = new Uint8Array(0), signal }) => {
    signal.throwIfAborted();
    const path = new URL(url).pathname;
    const { status, body: answer } = await handle({
      method,
      path,
      current: headers['X-Current'],
      signer: headers['X-Signer'],
      body: body.slice(),
    });
    return answerOf(status, answer);
  };
}
