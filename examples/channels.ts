/** Several protocols over one swarm: each channel is a swarm of its own. */

import { decodeText, encodeText } from 'shoal/bytes';
import { createMemoryRealm } from 'shoal/memory';
import { mux } from 'shoal/mux';

const realm = createMemoryRealm();
await using alice = mux(realm.swarm(), 'string');
await using bob = mux(realm.swarm(), 'string');

const [chat, files] = [bob.open('chat'), bob.open('files')];
const heard = Promise.withResolvers<void>();
chat.listen(({ payload }) => {
  console.log(`chat: ${decodeText(payload)}`);
  heard.resolve();
});
files.serve(({ payload }) => encodeText(`contents of ${decodeText(payload)}`));

const dst = chat.addr;
await alice.open('chat').tell(dst, encodeText('hi'));
await heard.promise;
console.log(`files: ${decodeText(await alice.open('files').ask(dst, encodeText('notes.txt')))}`);
