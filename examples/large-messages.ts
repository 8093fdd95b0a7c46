/** Messages larger than a datagram, in parts, over UDP; and what happens to them on a link that loses packets. */

import { inspect, receiveOne } from 'shoal';
import { frag } from 'shoal/frag';
import { createMemoryRealm } from 'shoal/memory';
import { openUdpSwarm } from 'shoal/udp';

const options = { maxMessageBytes: 1_048_576 };
await using alice = frag(await openUdpSwarm({ bind: '127.0.0.1:0' }), options);
await using bob = frag(await openUdpSwarm({ bind: '127.0.0.1:0' }), options);
const arriving = receiveOne(bob, { timeoutMs: 10_000 });
await alice.tell(bob.addr, new Uint8Array(1_048_576));
console.log(`${(await arriving).payload.length} bytes in one message over datagrams of ${alice.mtu(bob.addr)} at most`);

const realm = createMemoryRealm({ clock: 'virtual', seed: 1, mtu: 1232, netem: { loss: 0.02 } });
const [carol, dave] = [frag(realm.swarm()), frag(realm.swarm())];
let whole = 0;
dave.listen(() => void whole++);
for (let i = 0; i < 50; i++) void carol.tell(dave.addr, new Uint8Array(20_000));
await realm.clock.advance(60_000);
console.log(
  `${whole} of 50 messages of 17 parts survived 2 % loss; drops: ${JSON.stringify(inspect(dave).counters.drops)}`,
);
