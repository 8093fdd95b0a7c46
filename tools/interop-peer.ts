/** Builds and starts a peer of interop/, for people who want to try: `npm run interop:peer -- NAME [its own arguments]`. */

import { spawn } from 'node:child_process';
import { PEERS } from '../interop/peers.ts';

const [name, ...args] = process.argv.slice(2);
const peer = PEERS.find((each) => each.name === name);
if (peer === undefined) {
  const lines = PEERS.map((each) => `  ${each.name.padEnd(10)} ${each.what}`);
  console.error(`Usage: npm run interop:peer -- NAME [arguments of the peer]\n${lines.join('\n')}`);
  process.exitCode = 2;
} else {
  const missing = peer.missing();
  if (missing === false) {
    const [command, ...more] = peer.build();
    const child = spawn(command!, [...more, ...args], { stdio: 'inherit' });
    child.on('exit', (code) => (process.exitCode = code ?? 1));
  } else {
    console.error(`Cannot start ${peer.name}: ${missing}`);
    process.exitCode = 1;
  }
}
