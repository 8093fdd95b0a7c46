/** Reports the layers of a swarm, for people and tools. */

import type { Addr } from './addr.ts';
import { canAsk } from './ask.ts';
import type { Counters } from './counters.ts';
import { isSecure } from './secure.ts';
import { type Swarm, assertSwarm } from './swarm.ts';

/** The ability to report limits and the layers below. A swarm without it is described by its counters alone. */
export interface Describes {
  /** Called by {@link inspect}; returns plain data of this moment. */
  describe(): LayerDescription;
}

/** One layer's own part of an {@link Inspection}. */
export interface LayerDescription {
  /** The limits of this layer, by option name: `{ maxPendingMessages: 256 }`. */
  readonly limits: Readonly<Record<string, number | string | boolean>>;
  /** Current fill levels: sessions, queues. */
  readonly state?: Readonly<Record<string, number | string | boolean>> | undefined;
  /** Inspections of the inner swarms; several for `multi`. */
  readonly inner?: readonly Inspection[] | undefined;
}

/** A stack as one plain object, which can be printed, compared and sent as JSON. */
export interface Inspection {
  readonly layer: string;
  readonly addrs: readonly string[];
  /** Its abilities; `streams`: an endpoint. */
  readonly abilities: readonly ('tell' | 'ask' | 'secure' | 'streams')[];
  readonly limits: Readonly<Record<string, number | string | boolean>>;
  readonly state: Readonly<Record<string, number | string | boolean>>;
  readonly counters: {
    readonly sent: number;
    readonly received: number;
    readonly sentBytes: number;
    readonly receivedBytes: number;
    readonly drops: Readonly<Record<string, number>>;
  };
  readonly inner: readonly Inspection[];
}

/** The stack of a swarm or an endpoint with its addresses, limits and counters as one plain object, outermost layer first. */
export function inspect<A extends Addr>(target: Swarm<A> | Pick<Swarm<Addr>, 'counters' | 'localAddrs'>): Inspection {
  if (typeof target === 'object' && target !== null && !('tell' in target) && describes(target)) {
    return inspection(target, target.describe(), ['streams']);
  }
  const swarm = target as Swarm<A>;
  assertSwarm(swarm, 'swarm');
  const [first] = swarm.localAddrs();
  const described: LayerDescription = describes(swarm) ? swarm.describe() : { limits: {} };
  const limits: Record<string, number | string | boolean> = { ...described.limits };
  if (first !== undefined) {
    limits['mtu'] = swarm.mtu(first);
    if (canAsk(swarm)) limits['maxRequestBytes'] = swarm.maxRequestBytes(first);
  }
  const abilities = [
    'tell',
    ...(canAsk(swarm) ? (['ask'] as const) : []),
    ...(isSecure(swarm) ? (['secure'] as const) : []),
  ] as const;
  return inspection(swarm, { ...described, limits }, abilities);
}

function inspection(
  target: Pick<Swarm<Addr>, 'counters' | 'localAddrs'>,
  { limits, state, inner }: LayerDescription,
  abilities: Inspection['abilities'],
): Inspection {
  return {
    layer: target.counters.layer,
    addrs: target.localAddrs().map((addr) => addr.text),
    abilities,
    limits: { ...limits },
    state: { ...state },
    counters: plainCounters(target.counters),
    inner: inner ?? [],
  };
}

function describes(swarm: object): swarm is Describes {
  return 'describe' in swarm && typeof swarm.describe === 'function';
}

function plainCounters(counters: Counters): Inspection['counters'] {
  const { sent, received, sentBytes, receivedBytes, drops } = counters;
  return { sent, received, sentBytes, receivedBytes, drops: Object.fromEntries(drops) };
}
