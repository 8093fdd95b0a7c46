/** Lies about handlers, closing, counters and inspection. */

import type { Addr } from '../../core/addr.ts';
import { copyBytes } from '../../base/bytes.ts';
import { closedError } from '../../core/errors.ts';
import type { Message, TellHandler } from '../../core/message.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { type Honest, type Lies, listening, telling, textOf } from './lie.ts';

/** Buffers everything and never drops. */
function unbounded(honest: Honest, handler: TellHandler<Addr>): Disposable {
  return honest.listen((message) => {
    void Promise.resolve(handler(message)).catch((error: unknown) => error);
  });
}

/** Part of the rules that `lyingSwarm` can break. */
export const handlingLies: Lies = {
  'one handler at a time': (honest) => {
    let current: Disposable | undefined;
    return {
      listen: (handler) => {
        current?.[Symbol.dispose]();
        current = honest.listen(handler);
        return current;
      },
    };
  },
  'a handler must be a function': (honest) => ({
    listen: (handler) => honest.listen(typeof handler === 'function' ? handler : () => {}),
  }),
  'a detached handler gets nothing': (honest) => ({
    listen: (handler) => {
      const listening = honest.listen((message) => handler(message));
      let detached = false;
      const forwarded = { [Symbol.dispose]: () => void (detached = true) };
      void honest.closed.then(() => detached && listening[Symbol.dispose]());
      return forwarded;
    },
  }),
  'no handler runs inside a call': (honest) => {
    let handler: TellHandler<Addr> | undefined;
    return {
      listen: (given) => {
        handler = given;
        return honest.listen(given);
      },
      tell: (dst, payload, options) => {
        if (
          payload instanceof Uint8Array &&
          payload.length <= honest.mtu(dst) &&
          honest.localAddrs()[0]?.text === textOf(dst)
        ) {
          void handler?.({ src: honest.addr, dst: honest.addr, payload: copyBytes(payload) });
          return Promise.resolve();
        }
        return honest.tell(dst, payload, options);
      },
    };
  },
  'handlers overlap': listening((honest, handler) => {
    let last: void | Promise<void> = undefined;
    return honest.listen(async (message) => {
      await last;
      last = handler(message);
      await last;
    });
  }),
  'pending handlers are bounded': listening(unbounded),
  'messages without a handler are counted': (honest) => {
    const silent = honest.listen(() => {});
    return {
      listen: (handler) => {
        silent[Symbol.dispose]();
        return honest.listen(handler);
      },
    };
  },
  'handlers that throw are counted': listening((honest, handler) =>
    honest.listen(async (message) => {
      try {
        await handler(message);
      } catch (error) {
        void error;
      }
    }),
  ),
  'a handler that throws harms no other message': (honest) => {
    let broken = false;
    return {
      listen: (handler) =>
        honest.listen((message) => {
          if (broken) return;
          broken = true;
          const result = handler(message);
          broken = false;
          return result;
        }),
    };
  },
  'a handler may close its swarm': (honest) => {
    let inside = 0;
    return {
      listen: (handler) =>
        honest.listen(async (message) => {
          inside++;
          await handler(message);
          inside--;
        }),
      close: () => (inside > 0 ? new Promise(() => {}) : honest.close()),
    };
  },
  'close is idempotent': (honest) => {
    let closing = false;
    return {
      close: () => {
        if (closing) return Promise.reject(closedError('close'));
        closing = true;
        return honest.close();
      },
    };
  },
  'close ends within a second': (honest) => ({
    close: async () => {
      await new Promise<void>((resolve) => {
        clockOf(honest.realm).setTimer(honest.realm.nowMs() + 5000, resolve);
      });
      await honest.close();
    },
  }),
  'closed says how': (honest) => ({ closed: honest.closed.then(() => ({ by: 'failure' as const })) }),
  'a closed swarm has no addresses': (honest) => {
    const addrs = honest.localAddrs();
    return { localAddrs: () => addrs };
  },
  'tell after close is closed': telling((honest, dst, payload, options) =>
    honest.localAddrs().length === 0 ? Promise.resolve() : honest.tell(dst, payload, options),
  ),
  'drain after close is closed': (honest) => ({
    drain: (options) => (honest.localAddrs().length === 0 ? Promise.resolve() : honest.drain(options)),
  }),
  'await using closes': () => ({ [Symbol.asyncDispose]: () => Promise.resolve() }),
  'no handler is called after close': (honest) => {
    let handler: TellHandler<Addr> | undefined;
    const late: Message<Addr>[] = [];
    return {
      listen: (given) => {
        handler = given;
        return honest.listen((message) => {
          late.push(message);
          return given(message);
        });
      },
      close: () => {
        for (const message of late) void handler?.(message);
        return honest.close();
      },
    };
  },
  'drain settles': () => ({ drain: () => new Promise(() => {}) }),
  'counters count': (honest) => ({
    counters: {
      ...honest.counters,
      sent: 0,
      received: 0,
      sentBytes: 0,
      receivedBytes: 0,
      layer: 'memory',
      drops: honest.counters.drops,
    },
  }),
  'inspect tells the addresses': (honest) => ({
    localAddrs: () => (new Error('who asks').stack?.includes('inspect') === true ? [] : honest.localAddrs()),
  }),
  'the realm has randomness': (honest) => ({ realm: { ...honest.realm, random: () => new Uint8Array(0) } }),
};
