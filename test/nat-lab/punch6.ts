/** Sends to a peer and hears whether anything comes: over IPv6 there are no NATs to punch, but firewalls. */

import { report } from './report-line.ts';
import { parseSocketAddress } from '../../src/base/ip.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { pause } from '../support/nat-probe.ts';

const [own, peer, mode] = process.argv.slice(2);
const socket = await systemNetwork.bindUdp({ bind: parseSocketAddress(own!)! });
const to = parseSocketAddress(peer!)!;
let heard = 0;
socket.sink = { onDatagram: () => heard++ };
for (let i = 0; i < 10; i++) {
  if (mode === 'send') socket.send(Uint8Array.of(i), to.ip, to.port);
  await pause(systemRealm, 100);
}
report({ heard });
process.exit(0);
