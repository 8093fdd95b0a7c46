/** Passes the bytes of a connection unchanged: the machine handles framing. */

import type { Bytes } from '../../base/bytes.ts';
import type { Codec } from '../../node/index.ts';

export const RAW_CODEC: Codec<Bytes, readonly Bytes[]> = {
  decoder: () => {
    let chunk: Bytes | undefined;
    return {
      push: (bytes) => void (chunk = bytes),
      next: () => {
        const next = chunk;
        chunk = undefined;
        return next;
      },
      get bufferedBytes() {
        return chunk?.length ?? 0;
      },
    };
  },
  encoder: () => ({
    encode: (pieces, out) => {
      for (const piece of pieces) out.bytes(piece);
    },
    pieces: (pieces) => pieces,
  }),
};
