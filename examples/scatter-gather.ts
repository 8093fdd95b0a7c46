/** Asks many peers at once and takes answers as they come. */

import { askMany } from 'shoal';
import { createMemoryRealm } from 'shoal/memory';

const realm = createMemoryRealm({ clock: 'virtual', seed: 1, netem: 'wifi' });
const servers = Array.from({ length: 20 }, (_, i) => {
  const swarm = realm.swarm();
  swarm.serve(() => Uint8Array.of(i));
  return swarm.addr;
});
const asker = realm.swarm();

const gather = async (): Promise<void> => {
  let answers = 0;
  for await (const result of askMany(asker, servers, Uint8Array.of(1), { concurrency: 8, timeoutMs: 1000 })) {
    if (result.ok) answers++;
    else console.log(result.dst.text, String(result.error));
  }
  console.log(`${answers} of ${servers.length} answered within ${Math.ceil(realm.nowMs())} ms of virtual time`);
};
await realm.clock.run(gather());
