/** What a stack does: trace events as they happen, counters by layer, and the whole stack as one plain object. */

import { inspect, systemRealm, withTrace } from 'shoal';
import { generateKey } from 'shoal/keys';
import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { openUdpSwarm } from 'shoal/udp';

const realm = withTrace(systemRealm, ({ layer, type, addr, reason }) =>
  console.log(`trace: ${layer} ${type} ${addr?.text ?? ''} ${reason ?? ''}`),
);
const bind = '127.0.0.1:0';
await using alice = mbapp(p2pke(await openUdpSwarm({ bind, realm }), { privateKey: generateKey() }));
await using bob = mbapp(p2pke(await openUdpSwarm({ bind, realm }), { privateKey: generateKey() }));
bob.serve(({ payload }) => payload);
await alice.ask(alice.parseAddr(bob.addr.text), Uint8Array.of(1, 2, 3));

for (let at: typeof alice.counters | undefined = alice.counters; at !== undefined; at = at.inner) {
  console.log(`${at.layer}: ${at.sent} sent, ${at.received} received, drops ${JSON.stringify([...at.drops])}`);
}
const { layer, abilities, limits } = inspect(alice);
console.log(layer, abilities, limits);
