/** Lies about keys. */

import { textOf, type Lies } from './lie.ts';

/** Part of the rules that `lyingSwarm` can break. */
export const securingLies: Lies = {
  'keys are one’s own': () => ({ publicKey: { algorithm: 'test', spki: Uint8Array.of(255) } }),
  'the key of a source is known': (honest) => {
    let inHandler = false;
    return {
      listen: (handler) =>
        honest.listen((message) => {
          inHandler = true;
          const result = handler(message);
          inHandler = false;
          return result;
        }),
      knownPublicKey: (addr) => (inHandler ? undefined : honest.knownPublicKey(addr)),
    };
  },
  'looked up keys are the right ones': (honest) => ({
    lookupPublicKey: async (dst, options) => {
      await honest.lookupPublicKey(dst, options);
      return honest.publicKey;
    },
  }),
  'a text that is no address has no key': (honest) => ({
    knownPublicKey: (addr) => (addr === '' ? honest.publicKey : honest.knownPublicKey(addr)),
  }),
  'looked up keys are remembered': (honest) => ({ knownPublicKey: () => void honest }),
  'looking up nobody ends': (honest) => ({
    lookupPublicKey: (dst, options) =>
      textOf(dst) === '999' ? new Promise(() => {}) : honest.lookupPublicKey(dst, options),
  }),
  'looking up after close is closed': (honest) => ({
    lookupPublicKey: (dst, options) =>
      honest.localAddrs().length === 0 ? Promise.resolve(honest.publicKey) : honest.lookupPublicKey(dst, options),
  }),
  'misuse of the secure half throws at once': (honest) => ({
    lookupPublicKey: async (dst, options) => honest.lookupPublicKey(dst, options),
  }),
};
