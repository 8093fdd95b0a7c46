/** Asks one STUN server over UDP and TCP under which address it sees this namespace. */

import { report } from './report-line.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { askStunOverTcp, observing } from '../../src/nat/index.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';

const [text] = process.argv.slice(2);
const server = parseSocketAddress(text!)!;
const swarm = observing(await openUdpSwarm({ bind: '0.0.0.0:20100' }));
// The server may still be starting: a question is repeated for 3 s.
await swarm.observe(text!).catch(() => undefined);
// The first answer may be that of a repeated question, whose round trip looks shorter than it is.
const udp = await swarm.observe(text!);
const tcp = await askStunOverTcp({
  network: systemNetwork,
  realm: systemRealm,
  server,
  bind: { ip: '0.0.0.0', port: 20_200 },
});
report({ udp: udp.mapped, tcp: tcp.mapped, rttMs: udp.rttMs });
process.exit(0);
