import { describe, it } from 'node:test';

import { frag } from '../../src/wrappers/frag.ts';
import { mbapp } from '../../src/wrappers/mbapp/index.ts';
import { askSuite, secureSuite, swarmSuite } from '../../src/testing/suites/index.ts';
import { overMemory, overUdp } from '../swarms/fixtures.ts';

const runner = { describe, it };
const features = { maxTriedBytes: 200_000 };

const small = overMemory((inner) => mbapp(inner), { mtu: 500 }, features);
swarmSuite(runner, 'mbapp over memory', small);
askSuite(runner, 'mbapp over memory', small);
secureSuite(runner, 'mbapp over memory', small);

const original = overMemory((inner) => mbapp(inner, { preset: 'go-p2p' }), {}, features);
swarmSuite(runner, 'mbapp as go-p2p over memory', original);
askSuite(runner, 'mbapp as go-p2p over memory', original);

const lossy = overMemory((inner) => mbapp(inner), { netem: 'lossy', seed: 11, mtu: 1212 }, { maxTriedBytes: 5000 });
swarmSuite(runner, 'mbapp over netem lossy', lossy);
askSuite(runner, 'mbapp over netem lossy', lossy);
secureSuite(runner, 'mbapp over netem lossy', lossy);

const udp = overUdp((inner) => mbapp(inner), { maxTriedBytes: 500_000 });
swarmSuite(runner, 'mbapp over udp', udp);
askSuite(runner, 'mbapp over udp', udp);
askSuite(
  runner,
  'mbapp over frag over memory',
  overMemory((inner) => mbapp(frag(inner)), { mtu: 100 }, features),
);
