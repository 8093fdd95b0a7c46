/** Connects to the first of several contacts that answers. If none does, the error has a cause for each. */

import { P2PError } from 'shoal';
import { openEndpoint } from 'shoal/endpoint';

const bind = '127.0.0.1:0';
await using alice = await openEndpoint({ bind });
await using bob = await openEndpoint({ bind });
const gone = await openEndpoint({ bind });
const dead = gone.addr.text;
await gone.close();

const contacts = [dead, { addr: bob.addr, expect: bob.peerId }];
const connection = await alice.connectToAny(contacts, { staggerMs: 250, maxParallel: 2, timeoutMs: 3000 });
console.log(`connected to ${connection.remoteAddr.text}`);

try {
  await alice.connectToAny([dead, '127.0.0.1:0'], { timeoutMs: 300 });
} catch (error) {
  if (!P2PError.is(error) || !(error.cause instanceof AggregateError)) throw error;
  for (const cause of error.cause.errors) console.log(`${(cause as P2PError).code}: ${(cause as P2PError).message}`);
}
