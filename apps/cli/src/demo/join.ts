/** `shoal demo --join`: a peer of this terminal in a demo network of another one. */

import { setTimeout as delay } from 'node:timers/promises';
import { generateKey } from 'shoal/keys';
import { type CommandContext } from '../context.ts';
import { UsageError } from '../failure.ts';
import { quantilesOf } from '../quantiles.ts';
import { DemoPeer, countSessions } from './demo-peer.ts';
import { type DemoSwarm, openLinks } from './links.ts';
import { type PeerReport } from './reports.ts';

const SHOW_EVERY_MS = 1000;
/** The network has ended when nobody has been there for so long. */
const ALONE_MS = 3000;

function checkAddr(swarm: DemoSwarm, addr: string): void {
  try {
    if (swarm.mtu(swarm.parseAddr(addr)) > 0) return;
  } catch {
    // Said below.
  }
  throw new UsageError(
    `Cannot join ${addr}: expected the address that \`shoal demo\` prints, as in p2pke://<PeerID>@127.0.0.1:5000`,
  );
}

/** Takes part until it is interrupted, or everybody else has gone. */
export async function joinDemo({ output, interrupt, realm: outer }: CommandContext, addr: string): Promise<void> {
  const privateKey = generateKey();
  const { realm, sessions } = countSessions(outer);
  await using swarm = await openLinks(realm, privateKey);
  checkAddr(swarm, addr);
  const alive = new Set<string>();
  const peer = new DemoPeer(swarm, privateKey, {
    name: `visitor-${process.pid}`,
    bootstrap: addr,
    onChange: (event, record) => {
      if (event === 'found') alive.add(record.name);
      else alive.delete(record.name);
      output.show({ event, name: record.name, id: record.id }, `${event} ${record.name}  ${record.addrs.join(' ')}`);
    },
  });
  try {
    await peer.join();
    let seenAt = performance.now();
    while (!interrupt.signal.aborted && performance.now() - seenAt < ALONE_MS) {
      await delay(SHOW_EVERY_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
      if (alive.size > 0) seenAt = performance.now();
      const { event, line } = shown(peer.report(sessions()));
      output.show({ event: 'stats', ...event }, line);
    }
    if (!interrupt.signal.aborted) output.show({ event: 'alone' }, 'everybody else has gone');
  } finally {
    peer.quiet();
  }
}

function shown({ known, tells, receivedTells, echoes, asks, answers, tellMs }: PeerReport): {
  readonly event: object;
  readonly line: string;
} {
  const medianMs = quantilesOf(tellMs)?.medianMs;
  return {
    event: { known, tells, receivedTells, echoes, asks, answers, medianMs },
    line: `${known.length} peers; told ${tells}, got ${receivedTells}, echoed ${echoes}, asked ${asks}, answered ${answers}; tell+echo ${medianMs ?? '-'} ms`,
  };
}
