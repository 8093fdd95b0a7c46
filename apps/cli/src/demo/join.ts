/** `shoal demo --join`: a peer of this terminal in a demo network of another one. */

import { setTimeout as delay } from 'node:timers/promises';
import { generateKey } from 'shoal/keys';
import type { CommandContext } from '../context.ts';
import { UsageError } from '../failure.ts';
import { quantilesOf } from '../quantiles.ts';
import { DemoPeer } from './demo-peer.ts';
import { BROADCAST, lanPortOf, openDemoNode } from './node.ts';
import type { PeerReport } from './reports.ts';

const SHOW_EVERY_MS = 1000;
/** The network has ended when nobody has been there for so long. */
const ALONE_MS = 3000;

/** Takes part until it is interrupted, or everybody else has gone. */
export async function joinDemo({ output, interrupt, realm }: CommandContext, addr: string): Promise<void> {
  const lanPort = lanPortOf(addr);
  if (lanPort === undefined) {
    throw new UsageError(
      `Cannot join ${addr}: expected the address that \`shoal demo\` prints, as in ${BROADCAST}:5000`,
    );
  }
  await using peers = await openDemoNode({ realm, privateKey: generateKey(), lanPort });
  const alive = new Set<string>();
  const peer = new DemoPeer(peers, {
    name: `visitor-${process.pid}`,
    pid: process.pid,
    onChange: (event, { name, id }) => {
      if (event === 'found') alive.add(name);
      else alive.delete(name);
      output.show(
        { event, name, id },
        `${event} ${name}  ${peers.list().find((each) => each.id === id)?.path?.addr ?? id}`,
      );
    },
  });
  let seenAt = performance.now();
  while (!interrupt.signal.aborted && performance.now() - seenAt < ALONE_MS) {
    await delay(SHOW_EVERY_MS, undefined, { signal: interrupt.signal }).catch(() => undefined);
    if (alive.size > 0) seenAt = performance.now();
    const { event, line } = shown(peer.report());
    output.show({ event: 'stats', ...event }, line);
  }
  peer.quiet();
  if (!interrupt.signal.aborted) output.show({ event: 'alone' }, 'everybody else has gone');
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
