/** Random stacks of wrappers that types allow: what there is to put on each other, and what a stack is like. */

import { type Addr, makeAddr } from '../../src/core/addr.ts';
import { type SecureSwarm, isSecure } from '../../src/core/secure.ts';
import type { SeededRandom } from '../../src/base/seeded-random.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { allow } from '../../src/wrappers/allow.ts';
import { frag } from '../../src/wrappers/frag.ts';
import { mapAddrs } from '../../src/wrappers/map.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { createMemoryRealm } from '../../src/swarms/memory/index.ts';
import { multi } from '../../src/wrappers/multi.ts';
import { mux } from '../../src/wrappers/mux.ts';
import { p2pke } from '../../src/swarms/p2pke/index.ts';
import { quic } from '../../src/swarms/quic/index.ts';
import type { SuiteFeatures } from '../../src/testing/suites/index.ts';
import { testKey } from '../../src/testing/test-key.ts';

export interface Layer {
  readonly name: string;
  /** Whether the layer may come on top of such a swarm. */
  readonly fits: (inner: Swarm<Addr>) => boolean;
  readonly wrap: (inner: Swarm<Addr>, index: number) => Swarm<Addr>;
}

interface Wrapped extends Addr {
  readonly below: Addr;
}
const wrapped = (below: Addr): Wrapped => makeAddr<Wrapped>({ below, text: `map(${below.text})` });

const always = (): boolean => true;
// Stacks are made at run time, so their address types are known only as Addr.
export const any = <S>(swarm: S): Swarm<Addr> => swarm as unknown as Swarm<Addr>;

/** Whether the inner swarm's messages are large enough. */
const carries =
  (bytes: number) =>
  (inner: Swarm<Addr>): boolean =>
    inner.mtu(inner.addr) >= bytes;

const LAYERS: readonly Layer[] = [
  { name: 'frag', fits: always, wrap: (inner) => frag(inner) },
  { name: 'mux:string', fits: always, wrap: (inner) => mux(inner, 'string').open('channel') },
  { name: 'mux:varint', fits: always, wrap: (inner) => mux(inner, 'varint').open(300) },
  { name: 'multi', fits: always, wrap: (inner) => any(multi({ only: inner })) },
  { name: 'allow', fits: isSecure, wrap: (inner) => allow(inner as SecureSwarm<Addr>, { accept: () => true }) },
  { name: 'mbapp', fits: always, wrap: (inner) => mbapp(inner) },
  { name: 'p2pke', fits: carries(200), wrap: (inner, i) => any(p2pke(inner, { privateKey: testKey(i) })) },
  { name: 'quic', fits: carries(1200), wrap: (inner, i) => any(quic(inner, { privateKey: testKey(i) })) },
  {
    name: 'map',
    fits: always,
    wrap: (inner) =>
      any(
        mapAddrs<Addr, Wrapped, Swarm<Addr>>(inner, {
          up: wrapped,
          down: (addr) => {
            if (typeof addr !== 'object' || addr === null || !('below' in addr))
              throw new TypeError('Cannot take dst: expected a mapped address');
            return addr.below;
          },
          parse: (text) => {
            const below = /^map\(([^]*)\)$/.exec(text)?.[1];
            if (below === undefined) throw new TypeError(`Cannot parse address: expected map(…), got ${text}`);
            return wrapped(inner.parseAddr(below));
          },
        }),
      ),
  },
];

/** Which layers go on top of each other, bottom first; the same for every swarm of the network. */
export function chooseStack(random: SeededRandom, without?: string): readonly Layer[] {
  const probe = createMemoryRealm({ clock: 'virtual' });
  let top: Swarm<Addr> = any(probe.secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) }));
  const stack: Layer[] = [];
  const depth = 2 + Math.floor(random.next() * 4);
  while (stack.length < depth) {
    const layer = LAYERS[Math.floor(random.next() * LAYERS.length)]!;
    if (layer.name === without || !layer.fits(top)) continue;
    top = layer.wrap(top, 0);
    stack.push(layer);
  }
  return stack;
}

/** QUIC stops reading and keeps no order; layers with a budget of their own end what QUIC hands up. */
export function featuresOf(
  stack: readonly Layer[],
  bottom: Pick<SuiteFeatures, 'flowControlled'> = {},
): Pick<SuiteFeatures, 'flowControlled' | 'ordered'> {
  let { flowControlled = false } = bottom;
  for (const { name } of stack) {
    if (name === 'quic') flowControlled = true;
    else if (['mux:string', 'mux:varint', 'mbapp', 'p2pke'].includes(name)) flowControlled = false;
  }
  return { flowControlled, ordered: stack.every(({ name }) => name !== 'quic') };
}
