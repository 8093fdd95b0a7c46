/** The addresses of this machine, and those under which a bound socket can be reached. */

import { networkInterfaces } from 'node:os';

import type { Timer } from '../core/realm.ts';
import { canonicalIp, isLinkLocalIp } from '../base/ip.ts';
import { systemClock } from '../runtime/system-clock.ts';
import type { NetworkInterface } from './network.ts';

/** How long a list of addresses is used. Reading it takes up to 0.5 ms, and a connection needs it several times. */
const FRESH_MS = 500;

let current: readonly NetworkInterface[] = [];
let currentMs = -Infinity;

/** The addresses of this machine, as they were at most half a second ago. */
export function systemInterfaces(): readonly NetworkInterface[] {
  return systemClock.nowMs() - currentMs < FRESH_MS ? current : askSystem();
}

function askSystem(): readonly NetworkInterface[] {
  const found: NetworkInterface[] = [];
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, cidr, internal } of addresses ?? []) {
      const ip = canonicalIp(address);
      if (ip === undefined) continue;
      const zoned = ip.includes(':') && isLinkLocalIp(ip) && !ip.includes('%') ? `${ip}%${name}` : ip;
      const prefixLength = Number(cidr?.split('/')[1] ?? (ip.includes(':') ? 128 : 32));
      found.push({ name, ip: zoned, prefixLength, isInternal: internal });
    }
  }
  current = found;
  currentMs = systemClock.nowMs();
  return found;
}

function addresses(): string {
  return JSON.stringify(askSystem());
}

/** Node does not report changes, so they are polled. One poll costs about 100 µs. */
const POLL_MS = 2000;

/** Calls `listener` within two seconds after addresses have changed; does not keep the process alive. */
export function watchSystemInterfaces(listener: () => void): Disposable {
  let last = addresses();
  let timer: Timer;
  const arm = (): void => {
    timer = systemClock.setTimer(systemClock.nowMs() + POLL_MS, look, { background: true });
  };
  const look = (): void => {
    arm();
    const now = addresses();
    if (now === last) return;
    last = now;
    listener();
  };
  arm();
  return { [Symbol.dispose]: () => timer.cancel() };
}
