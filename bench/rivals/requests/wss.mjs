/** Requests over `ws` with TLS 1.3: the client trusts any certificate. */

import { createServer } from 'node:https';
import { tlsIdentity } from '../../harness/tls-identity.ts';
import { serveOn } from './ws.mjs';

export { connect } from './ws.mjs';

export async function serve() {
  return `wss://127.0.0.1:${await serveOn(createServer({ ...tlsIdentity(2), minVersion: 'TLSv1.3' }))}`;
}
