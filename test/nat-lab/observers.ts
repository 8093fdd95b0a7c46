/** Observers: the first of each two addresses, with the next one as its second; a single address has none. */

import { report } from './report-line.ts';
import { openObserver } from '../../src/nat/index.ts';

const ips = process.argv.slice(2);
const addresses: string[] = [];
for (let i = 0; i < ips.length; i += 2) {
  const otherBind = ips[i + 1] === undefined ? undefined : `${ips[i + 1]}:3479`;
  const observer = await openObserver({ bind: `${ips[i]}:3478`, otherBind });
  addresses.push(observer.addresses[0]!);
}
report({ addresses });
