/** Lies about asks. */

import type { Bytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { textOf, type Lies, OddBytes, asking, serving } from './lie.ts';

/** Part of the rules that `lyingSwarm` can break. */
export const askingLies: Lies = {
  'requests arrive unchanged': serving((handler) => (request) => {
    const payload = request.payload.map((byte) => byte ^ 1);
    return handler({ ...request, payload, signal: request.signal, src: request.src, dst: request.dst });
  }),
  'a spread copy of a request is whole': serving(
    (handler) => (request) => handler(Object.create(request) as typeof request),
  ),
  'answers arrive unchanged': asking(async (honest, dst, request, options) =>
    (await honest.ask(dst, request, options)).map((byte) => byte ^ 1),
  ),
  'dst of a request is the address asked': serving(
    (handler) => (request) =>
      handler({ src: request.src, dst: request.src, payload: request.payload, signal: request.signal }),
  ),
  'src of a request can be asked': serving(
    (handler) => (request) =>
      handler({ src: request.dst, dst: request.dst, payload: request.payload, signal: request.signal }),
  ),
  'each ask gets its own answer': (honest) => {
    const answers: Bytes[] = [];
    return {
      ask: async (dst, request, options) => {
        answers.push(await honest.ask(dst, request, options));
        return answers.at(-2) ?? answers[0]!;
      },
    };
  },
  'ask takes text': asking((honest, dst, request, options) => {
    if (typeof dst === 'string') throw new TypeError('a text');
    return honest.ask(dst, request, options);
  }),
  'empty answers arrive': asking(async (honest, dst, request, options) => {
    const answer = await honest.ask(dst, request, options);
    return answer.length === 0 ? Uint8Array.of(0) : answer;
  }),
  'asking oneself works': asking((honest, dst, request, options) =>
    honest.localAddrs()[0]?.text === textOf(dst)
      ? Promise.reject(new P2PError('unsupported', 'local', 'Cannot ask oneself'))
      : honest.ask(dst, request, options),
  ),
  'a throwing handler is a refusal': serving((handler) => async (request) => {
    try {
      return await handler(request);
    } catch {
      return new Uint8Array(0);
    }
  }),
  'refusals leak nothing': asking(async (honest, dst, request, options) => {
    try {
      return await honest.ask(dst, request, options);
    } catch (error) {
      if (!P2PError.is(error, 'refused')) throw error;
      throw new P2PError('refused', 'remote', `${error.message}: a secret of the server`, { cause: error });
    }
  }),
  'no server is a refusal': asking(async (honest, dst, request, options) => {
    try {
      return await honest.ask(dst, request, options);
    } catch (error) {
      if (!P2PError.is(error, 'refused')) throw error;
      throw new P2PError('not_found', 'remote', error.message);
    }
  }),
  'one server at a time': (honest) => {
    let current: Disposable | undefined;
    return {
      serve: (handler) => {
        current?.[Symbol.dispose]();
        current = honest.serve(handler);
        return current;
      },
    };
  },
  'ask takes maxRequestBytes': (honest) => ({ maxRequestBytes: (dst) => honest.maxRequestBytes(dst) + 1 }),
  'ask refuses maxRequestBytes + 1': (honest) => ({
    maxRequestBytes: (dst) => honest.maxRequestBytes(dst) - 100,
  }),
  'maxResponseBytes is kept': asking((honest, dst, request, options) => {
    return honest.ask(dst, request, { ...options, maxResponseBytes: undefined });
  }),
  'maxResponseBytes is checked': (honest) => ({
    ask: (dst, request, options) => honest.ask(dst, request, options?.maxResponseBytes === -1 ? {} : options),
  }),
  'asks of nobody end': asking((honest, dst, request, options) =>
    textOf(dst) === '999' ? new Promise(() => {}) : honest.ask(dst, request, options),
  ),
  'asks end at their deadline': asking((honest, dst, request, options) =>
    options?.timeoutMs === 3000
      ? honest.ask(dst, request, { ...options, timeoutMs: 20_000 })
      : honest.ask(dst, request, options),
  ),
  'the signal of a request fires': serving(
    (handler) => (request) =>
      handler({ src: request.src, dst: request.dst, payload: request.payload, signal: new AbortController().signal }),
  ),
  'an abort ends an ask with its reason': asking((honest, dst, request, options) =>
    honest.ask(dst, request, { ...options, signal: undefined }),
  ),
  'close wakes askers': (honest) => {
    const asks = new Set<Promise<unknown>>();
    return {
      ask: (dst, request, options) => {
        const asked = honest.ask(dst, request, options);
        asks.add(asked);
        return asked.catch((error: unknown) =>
          P2PError.is(error, 'closed') && asks.size > 10 ? new Promise<Bytes>(() => {}) : Promise.reject(error),
        );
      },
    };
  },
  'answers are plain': asking(async (honest, dst, request, options) => {
    const answer = await honest.ask(dst, request, options);
    return OddBytes.from(answer);
  }),
  'the request is free when ask settles': (honest) => {
    const shared = new Uint8Array(65_536);
    return {
      serve: (handler) =>
        honest.serve((request) => {
          shared.set(request.payload);
          const payload = shared.subarray(0, request.payload.length);
          const { src, dst, signal } = request;
          return handler({ src, dst, signal, payload });
        }),
    };
  },
  'a handler may ask back': (honest) => {
    let serving = 0;
    return {
      serve: (handler) =>
        honest.serve(async (request) => {
          serving++;
          try {
            return await handler(request);
          } finally {
            serving--;
          }
        }),
      ask: (dst, request, options) => (serving > 0 ? new Promise(() => {}) : honest.ask(dst, request, options)),
    };
  },
  'misuse of ask throws at once': (honest) => ({
    ask: async (dst, request, options) => honest.ask(dst, request, options),
  }),
  'requests in hand are bounded': serving((handler) => {
    let queue: Promise<unknown> = Promise.resolve();
    return (request) => {
      const answer = handler(request);
      queue = Promise.allSettled([queue, answer]);
      // Requests beyond the limit are served a second time instead of being refused.
      void Promise.resolve(handler(request)).catch((error: unknown) => error);
      return answer;
    };
  }),
};
