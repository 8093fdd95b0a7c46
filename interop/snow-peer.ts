/** The peer of interop/rust/noise-xxpsk3: pea2pea's Noise example by snow, the Noise library that it uses. */

import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { missing } from './toolchains.ts';

const source = path.join(import.meta.dirname, 'rust', 'noise-xxpsk3');
const target = path.join(import.meta.dirname, '..', 'build', 'rust');
const name = process.platform === 'win32' ? 'noise-xxpsk3-peer.exe' : 'noise-xxpsk3-peer';

/** A reason to skip what needs snow, or false. */
export const snowMissing = (): string | false => missing('cargo', ['fetch', '--locked'], source);

/** Builds the peer; cargo's own cache makes it fast after the first time. @returns its path. */
export function buildSnowPeer(): string {
  execFileSync('cargo', ['build', '--release', '--locked', '--quiet', '--target-dir', target], {
    cwd: source,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return path.join(target, 'release', name);
}
