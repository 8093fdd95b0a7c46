/** Probes the NAT from behind it, with this system's network: the same questions as for virtual NATs. */

import { report } from './report-line.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { probeTcp, probeUdp } from '../support/nat-probe.ts';

const [protocol, ...texts] = process.argv.slice(2);
const helpers = { addresses: texts.map((text) => parseSocketAddress(text)!), close: () => Promise.resolve() };
const verdict =
  protocol === 'udp'
    ? await probeUdp(systemNetwork, systemRealm, helpers, { timeoutMs: 200, tries: 3 })
    : await probeTcp(systemNetwork, systemRealm, helpers, 20_000, 800);
report(verdict);
process.exit(0);
