/** What openssl says of a chain, where it is installed. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import { encodePem } from '../../src/identity/x509.ts';

/** For `skip`: why tests with openssl are left out; `false` where it is installed. */
export const skipOpenssl: string | false = ((): string | false => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'openssl is not installed';
  }
})();

const folder = mkdtempSync(path.join(tmpdir(), 'shoal-chain-'));
after(() => rmSync(folder, { recursive: true }));

export interface OpensslQuestion {
  readonly chain: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  readonly atSeconds: number;
  readonly usage: 'server' | 'client';
  readonly serverName: string | undefined;
}

/** Whether `openssl verify` takes the chain; `undefined` where it is not installed. */
export function opensslAccepts({ chain, anchors, atSeconds, usage, serverName }: OpensslQuestion): boolean | undefined {
  if (skipOpenssl !== false) return undefined;
  const write = (name: string, certificates: readonly Uint8Array[]): string => {
    const file = path.join(folder, name);
    writeFileSync(file, certificates.map((der) => encodePem('CERTIFICATE', der)).join(''));
    return file;
  };
  const [leaf, ...others] = chain;
  const args = ['verify', '-attime', String(atSeconds), '-purpose', `ssl${usage}`, '-partial_chain'];
  if (serverName !== undefined) args.push(isIP(serverName) === 0 ? '-verify_hostname' : '-verify_ip', serverName);
  args.push('-CAfile', write('anchors', anchors));
  if (others.length > 0) args.push('-untrusted', write('others', others));
  args.push(write('leaf', [leaf!]));
  try {
    execFileSync('openssl', args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
