/** A relay of somebody else, and an observer: what nodes with foreign parts need. Arguments: where. */

import { openObserver } from '../../src/nat/index.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { serveForeignRelay } from '../support/foreign-relay.ts';
import { report } from './report-line.ts';

const [relay, observer] = process.argv.slice(2);
serveForeignRelay(await openUdpSwarm({ bind: relay!, maxDatagramBytes: 1452 }));
await openObserver({ bind: observer! });
report({ up: true });
