/** Requests and answers between two peers that know each other by key: mbapp over p2pke over UDP. */

import { decodeText, encodeText } from 'shoal/bytes';
import { P2PError, Refusal } from 'shoal';
import { generateKey } from 'shoal/keys';
import { mbapp } from 'shoal/mbapp';
import { p2pke } from 'shoal/p2pke';
import { openUdpSwarm } from 'shoal/udp';
import { loadWasmAead } from 'shoal/wasm-aead';

// Optional: small messages are encrypted faster than by node:crypto, which large ones still use.
const aead = await loadWasmAead();
const open = async () => mbapp(p2pke(await openUdpSwarm({ bind: '127.0.0.1:0' }), { privateKey: generateKey(), aead }));

await using alice = await open();
await using bob = await open();

bob.serve(({ payload }) => {
  const name = decodeText(payload);
  if (name === undefined) throw new Refusal('not text');
  return encodeText(`hello, ${name}`);
});

const dst = alice.parseAddr(bob.addr.text);
console.log(decodeText(await alice.ask(dst, encodeText('Alice'), { timeoutMs: 5000 })));

try {
  await alice.ask(dst, Uint8Array.of(0xff));
} catch (error) {
  if (!P2PError.is(error, 'refused')) throw error;
  console.log('bytes that are no text are refused');
}
