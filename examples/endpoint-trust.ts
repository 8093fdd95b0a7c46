/** Which peers an endpoint trusts: by PeerID, or by your own certificate authority. */

import { P2PError } from 'shoal';
import { openEndpoint, type Trust } from 'shoal/endpoint';
import { generateKey } from 'shoal/keys';
import { createCertificate, parseCertificate } from 'shoal/x509';

const bind = '127.0.0.1:0';
const [aliceKey, bobKey, caKey] = [generateKey(), generateKey(), generateKey()];

// By PeerID: no other peer can have it, and nothing has to be set up.
await using bob = await openEndpoint({ bind, privateKey: bobKey });
await using careful = await openEndpoint({ bind, trust: { peerIds: [bob.peerId] } });
await careful.connect(bob.addr);
await using stranger = await openEndpoint({ bind });
try {
  await stranger.connect(careful.addr);
} catch (error) {
  if (!P2PError.is(error)) throw error;
  console.log(`the stranger is ${error.code}: ${error.message}`);
}

// By an authority: peers with a certificate of it for the expected name.
const dates = { notBeforeMs: Date.now() - 3_600_000, notAfterMs: Date.now() + 86_400_000 };
const serialNumber = crypto.getRandomValues(new Uint8Array(16));
const root = { ...dates, serialNumber, commonName: 'our group', isAuthority: true };
const ca = createCertificate({ ...root, subjectKey: caKey.publicKey, issuer: { key: caKey } });
const issuer = { key: caKey, certificate: parseCertificate(ca)! };
const member = (key: typeof caKey, name: string) => ({
  privateKey: key,
  certificate: createCertificate({ ...dates, serialNumber, subjectKey: key.publicKey, issuer, dnsNames: [name] }),
});
const trust: Trust = { ca, serverName: 'bob.example.test' };
await using alice = await openEndpoint({ bind, trust, ...member(aliceKey, 'alice.example.test') });
await using server = await openEndpoint({ bind, trust, ...member(bobKey, 'bob.example.test') });
const connection = await alice.connect(server.addr);
console.log(`connected to ${connection.peerId}, authenticated: ${connection.authenticated}`);
