/** Lies about addresses and tells. */

import { copyBytes } from '../../base/bytes.ts';
import { P2PError } from '../../core/errors.ts';
import { clockOf } from '../../runtime/system-realm.ts';
import { textOf, type Lies, OddBytes, received, telling } from './lie.ts';

/** Part of the rules that `lyingSwarm` can break. */
export const tellingLies: Lies = {
  'local addresses are never empty': () => ({ localAddrs: () => [] }),
  'local addresses parse back': (honest) => ({
    parseAddr: (text) => ({ ...honest.parseAddr(text), text: `${text}0`, toString: () => text }),
  }),
  'addresses show their text': (honest) => {
    const mute = honest.localAddrs().map((addr) => ({ ...addr, toString: () => '[object Object]' }));
    return { localAddrs: () => (honest.localAddrs().length === 0 ? [] : mute) };
  },
  'addresses cannot be changed': (honest) => {
    const soft = honest.localAddrs().map((addr) => Object.assign(Object.create(Object.getPrototypeOf(addr)), addr));
    return { localAddrs: () => (honest.localAddrs().length === 0 ? [] : soft) };
  },
  'parseAddr refuses garbage': (honest) => ({
    parseAddr: (text) => honest.parseAddr(text.replaceAll(/[^0-9]/g, '').slice(0, 3) || '0'),
  }),
  'addr is the best local address': (honest) => ({
    get addr() {
      return { ...honest.addr, text: '998' };
    },
  }),
  'tryParseAddr gives undefined for garbage': (honest) => ({
    tryParseAddr: (text) => honest.tryParseAddr(text) ?? honest.addr,
  }),
  'tell takes text': telling((honest, dst, payload, options) => {
    if (typeof dst === 'string') throw new TypeError('a text');
    return honest.tell(dst, payload, options);
  }),
  'tell to a text that is no address rejects': telling((honest, dst, payload, options) =>
    dst === '' ? Promise.resolve() : honest.tell(dst, payload, options),
  ),
  'payloads arrive unchanged': received((message) => ({
    ...message,
    payload: message.payload.map((byte) => byte ^ 1),
  })),
  'dst is the address told to': received((message) => ({ ...message, dst: message.src })),
  'src can be told back': received((message) => ({ ...message, src: message.dst })),
  'every message arrives on a reliable link': (honest) => {
    let count = 0;
    return {
      tell: (dst, payload, options) => (++count % 40 === 0 ? Promise.resolve() : honest.tell(dst, payload, options)),
    };
  },
  'no message arrives twice on a reliable link': telling((honest, dst, payload, options) => {
    void honest.tell(dst, payload, options);
    return honest.tell(dst, payload, options);
  }),
  'messages keep their order': (honest) => {
    let held: (() => void) | undefined;
    return {
      tell: (dst, payload) => {
        const kept = copyBytes(payload);
        if (held === undefined) {
          held = () => void honest.tell(dst, kept);
          clockOf(honest.realm).setTimer(honest.realm.nowMs() + 1, () => held?.());
          return Promise.resolve();
        }
        const told = honest.tell(dst, kept);
        held();
        held = undefined;
        return told;
      },
    };
  },
  'tell takes mtu bytes': telling((honest, dst, payload, options) =>
    payload instanceof Uint8Array && payload.length === honest.mtu(dst)
      ? honest.tell(dst, new Uint8Array(honest.mtu(dst) + 1), options)
      : honest.tell(dst, payload, options),
  ),
  'tell refuses mtu + 1 bytes': telling((honest, dst, payload, options) =>
    honest.tell(dst, payload instanceof Uint8Array ? payload.subarray(0, honest.mtu(dst)) : payload, options),
  ),
  'mtu_exceeded says that nothing was sent': telling((honest, dst, payload, options) => {
    if (!(payload instanceof Uint8Array) || payload.length <= honest.mtu(dst))
      return honest.tell(dst, payload, options);
    void honest.tell(dst, payload, options);
    const refused = Promise.reject(
      new P2PError('mtu_exceeded', 'local', `${payload.length} of ${honest.mtu(dst)} bytes`),
    );
    refused.catch((error: unknown) => error);
    return refused;
  }),
  'empty messages arrive': telling((honest, dst, payload, options) =>
    payload instanceof Uint8Array && payload.length === 0 ? Promise.resolve() : honest.tell(dst, payload, options),
  ),
  'telling oneself works': telling((honest, dst, payload, options) =>
    honest.localAddrs()[0]?.text === textOf(dst) && payload instanceof Uint8Array
      ? Promise.resolve()
      : honest.tell(dst, payload, options),
  ),
  'tell to nobody settles': telling((honest, dst, payload, options) =>
    textOf(dst) === '999' ? new Promise(() => {}) : honest.tell(dst, payload, options),
  ),
  'the payload is free when tell settles': (honest) => ({
    tell: (dst, payload, options) => {
      if (!(payload instanceof Uint8Array) || payload.length > honest.mtu(dst) || options?.signal?.aborted === true) {
        return honest.tell(dst, payload, options);
      }
      clockOf(honest.realm).setTimer(honest.realm.nowMs() + 1, () => void honest.tell(dst, payload, options));
      return honest.localAddrs().length === 0 ? honest.tell(dst, payload, options) : Promise.resolve();
    },
  }),
  'received payloads are plain': received((message) => ({
    ...message,
    payload: OddBytes.from(message.payload),
  })),
  'received payloads stay as they came': (honest) => {
    const shared = new Uint8Array(65_536);
    return {
      listen: (handler) =>
        honest.listen((message) => {
          shared.set(message.payload);
          return handler({ ...message, payload: shared.subarray(0, message.payload.length) });
        }),
    };
  },
  'misuse throws at once': telling(async (honest, dst, payload, options) => {
    await honest.tell(dst, payload, options);
  }),
  'foreign addresses are misuse': telling((honest, dst, payload, options) =>
    textOf(dst) === 'elsewhere' ? Promise.resolve() : honest.tell(dst, payload, options),
  ),
  'timeouts are checked': telling((honest, dst, payload) => honest.tell(dst, payload)),
  'an abort rejects with its reason': telling((honest, dst, payload, options) =>
    options?.signal?.aborted === true ? Promise.reject(new Error('aborted')) : honest.tell(dst, payload, options),
  ),
  'an aborted tell sends nothing': telling((honest, dst, payload, options) => {
    if (options?.signal?.aborted === true) void honest.tell(dst, payload);
    return honest.tell(dst, payload, options);
  }),
  'rejections of tell are marked as handled': telling((honest, dst, payload, options) => {
    const told = honest.tell(dst, payload, options);
    void told.then(() => undefined);
    return told;
  }),
  'rejections of tell are counted': (honest) => ({
    counters: {
      layer: 'memory',
      get sent() {
        return honest.counters.sent;
      },
      get received() {
        return honest.counters.received;
      },
      get sentBytes() {
        return honest.counters.sentBytes;
      },
      get receivedBytes() {
        return honest.counters.receivedBytes;
      },
      get drops() {
        return new Map([...honest.counters.drops].filter(([reason]) => !reason.startsWith('tell.')));
      },
    },
  }),
};
