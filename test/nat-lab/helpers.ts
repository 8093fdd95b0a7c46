/** The two hosts outside that the probe talks to, as one process: both addresses are of the namespace that it runs in. */

import { report } from './report-line.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { openTcpHelpers, openUdpHelpers } from '../support/nat-probe.ts';

const hosts = process.argv.slice(2).map((ip) => ({ network: systemNetwork, ip, ports: [443, 3479] }));
const [udp, tcp] = await Promise.all([openUdpHelpers(hosts), openTcpHelpers(hosts)]);
report({ udp: udp.addresses, tcp: tcp.addresses });
