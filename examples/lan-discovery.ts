/** Two nodes that find each other without any address. On the loopback network here: leave `broadcast` out for the LAN. */

import { openLan } from 'shoal/discovery';
import { generateKey } from 'shoal/keys';
import { openTcpSwarm } from 'shoal/tcp';

const broadcast = '127.255.255.255';

async function join(port: number) {
  const privateKey = generateKey();
  const swarm = await openTcpSwarm({ privateKey, bind: '127.0.0.1:0' });
  swarm.serve(({ payload }) => payload.toReversed());
  const addrs = (): string[] => swarm.localAddrs().map(({ text }) => text);
  return { swarm, lan: await openLan({ privateKey, networkName: 'example', addrs, broadcast, port }) };
}

const alice = await join(0);
const bob = await join(alice.lan.port);

for await (const { addr } of bob.lan.candidates()) {
  const answer = await bob.swarm.ask(addr, new TextEncoder().encode('!olleh'));
  console.log(`found ${addr}, which says ${new TextDecoder().decode(answer)}`);
  break;
}
await Promise.all([alice, bob].flatMap(({ swarm, lan }) => [swarm.close(), lan.close()]));
