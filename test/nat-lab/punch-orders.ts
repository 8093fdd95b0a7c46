/** What hosts that punch and their helper say to each other: one line of JSON each. */

import type { PunchedPath } from '../../src/nat/index.ts';

/** What the helper says. */
export type PunchOrder =
  | { readonly order: 'offer'; readonly protocol: 'udp' | 'tcp' }
  | {
      readonly order: 'punch';
      readonly theirs: string;
      readonly side: 'initiator' | 'responder';
      readonly proven: readonly string[];
      readonly timeoutMs: number;
    };

/** What a host says. */
export type PunchReport =
  | { readonly report: 'name'; readonly name: string }
  | { readonly report: 'offer'; readonly bytes: string; readonly ports: string }
  | ({ readonly report: 'punched'; readonly heard: string } & Pick<PunchedPath, 'rttMs' | 'probes' | 'tookMs'>)
  | { readonly report: 'failed'; readonly why: string };
