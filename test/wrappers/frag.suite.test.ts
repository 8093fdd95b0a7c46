import { describe, it } from 'node:test';

import { frag } from '../../src/wrappers/frag.ts';
import { askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { overMemory, overUdp } from '../swarms/fixtures.ts';

const small = overMemory((inner) => frag(inner), { mtu: 100 });
swarmSuite({ describe, it }, 'frag over memory', small);
askSuite({ describe, it }, 'frag over memory', small);
secureSuite({ describe, it }, 'frag over memory', small);
swarmSuite(
  { describe, it },
  'frag over memory of one part',
  overMemory((inner) => frag(inner)),
);
swarmSuite(
  { describe, it },
  'frag over netem lossy',
  overMemory((inner) => frag(inner), { mtu: 100, netem: 'lossy', seed: 3 }, { maxTriedBytes: 800 }),
);
swarmSuite(
  { describe, it },
  'frag over frag',
  overMemory((inner) => frag(frag(inner)), { mtu: 64 }),
);
swarmSuite(
  { describe, it },
  'frag over udp',
  overUdp((inner) => frag(inner)),
);
