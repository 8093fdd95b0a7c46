/** An application on one transport gains a second one in one line; addresses it has stored stay valid. */

import { createMemoryRealm } from 'shoal/memory';
import { multi } from 'shoal/multi';

const realm = createMemoryRealm();
await using before = multi({ lan: realm.swarm() });
const stored = before.addr.text;

await using after = multi({ lan: realm.swarm(), wan: realm.swarm() });
console.log('stored address:', stored);
console.log('own addresses now:', after.localAddrs().map(String).join(', '));

before.listen(({ src }) => console.log('heard from', src.text));
await after.tell(after.parseAddr(stored), Uint8Array.of(1));
await after.drain();

// A transport that is not there yet: the address is kept as it is, and using it says so.
const future = after.parseAddr('webrtc://somebody');
await after.tell(future, Uint8Array.of(1)).catch((error: Error) => console.log(error.message));
