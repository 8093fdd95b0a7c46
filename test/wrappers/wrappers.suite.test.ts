import { describe, it } from 'node:test';

import { type Addr, makeAddr } from '../../src/core/addr.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import { allow } from '../../src/wrappers/allow.ts';
import { mapAddrs } from '../../src/wrappers/map.ts';
import { type MemoryAddr, memoryAddr } from '../../src/swarms/memory/index.ts';
import { multi } from '../../src/wrappers/multi.ts';
import { mux } from '../../src/wrappers/mux.ts';
import type { SecureAskSwarm } from '../../src/core/secure.ts';
import { type SuiteFixture, askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { overMemory, overUdp } from '../swarms/fixtures.ts';

const runner = { describe, it };

interface Named extends Addr {
  readonly name: string;
}
const named = (n: number): Named => makeAddr<Named>({ name: `node-${n}`, text: `node-${n}` });
function numberOf(text: string): MemoryAddr {
  if (!text?.startsWith?.('node-')) throw new TypeError(`Cannot parse name: expected node-1, got ${text}`);
  const n = Number(text.slice(5));
  if (text !== `node-${n}`) throw new TypeError(`Cannot parse name: expected node-1, got ${text}`);
  return memoryAddr(n);
}
const translate = {
  up: ({ n }: MemoryAddr) => named(n),
  down: ({ name }: Named) => numberOf(name),
  parse: (text: string) => named(numberOf(text).n),
};

function all<A extends Addr>(name: string, fixture: SuiteFixture<SecureAskSwarm<A>>): void {
  swarmSuite(runner, name, fixture);
  askSuite(runner, name, fixture);
  secureSuite(runner, name, fixture);
}

all(
  'map over memory',
  overMemory((inner) => mapAddrs<MemoryAddr, Named, typeof inner>(inner, translate)),
);
all(
  'allow over memory',
  overMemory((inner) => allow(inner, { accept: () => true })),
);
all(
  'multi over memory',
  overMemory((inner) => multi({ memory: inner })),
);
all(
  'mux with strings over memory',
  overMemory((inner) => mux(inner, 'string').open('chat')),
);
all(
  'mux with u16 over memory',
  overMemory((inner) => mux(inner, 'u16').open(7)),
);
all(
  'mux with u32 over memory',
  overMemory((inner) => mux(inner, 'u32').open(7)),
);
all(
  'mux with u64 over memory',
  overMemory((inner) => mux(inner, 'u64').open(7n)),
);
all(
  'mux with varints over memory',
  overMemory((inner) => mux(inner, 'varint').open(300)),
);
all(
  'mux over netem lossy',
  overMemory((inner) => mux(inner, 'u16').open(7), { netem: 'lossy', seed: 5 }),
);
swarmSuite(
  runner,
  'mux over udp',
  overUdp((inner): Swarm<Addr & { net: 'udp'; ip: string; port: number }> => mux(inner, 'string').open('chat')),
);
swarmSuite(
  runner,
  'multi over udp',
  overUdp((inner) => multi({ udp: inner })),
);
