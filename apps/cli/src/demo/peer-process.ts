/** The process of one demo peer. It gets its orders over the channel of `fork`, and ends when that does. */

import { systemRealm } from 'shoal';
import { importKey } from 'shoal/keys';
import { DemoPeer } from './demo-peer.ts';
import { openDemoNode } from './node.ts';
import type { News, Order, StartOrder } from './reports.ts';

const REPORT_EVERY_MS = 200;

function send(news: News): void {
  // The coordinator may be gone; `disconnect` below ends this process then.
  if (process.connected) process.send?.(news, undefined, undefined, () => undefined);
}

/** Runs until `stop`; the rest of the orders go to the peer. */
async function start({ name, key, ...options }: StartOrder): Promise<(order: Order) => Promise<void>> {
  const peers = await openDemoNode({ ...options, realm: systemRealm, privateKey: importKey(key) });
  const peer = new DemoPeer(peers, {
    name,
    pid: process.pid,
    onChange: (type, { id, name: called }) => send({ type, id, name: called }),
    onPath: send,
  });
  const report = (): void => send({ type: 'report', report: peer.report() });
  const reporting = setInterval(report, REPORT_EVERY_MS);
  send({ type: 'ready', id: peers.id, addrs: peers.addrs });
  return async (order) => {
    if (order.type === 'quiet') peer.quiet();
    if (order.type === 'fetch') send({ type: 'fetched', from: order.from, fetched: await peer.fetch(order.from) });
    if (order.type !== 'stop') return;
    clearInterval(reporting);
    peer.quiet();
    report();
    await peers.close();
    process.disconnect?.();
  };
}

let running: Promise<(order: Order) => Promise<void>> | undefined;
process.on('message', (order: Order) => {
  const done = order.type === 'start' ? (running = start(order)) : running?.then((handle) => handle(order));
  done?.catch((error: unknown) => {
    send({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  });
});
process.on('disconnect', () => process.exit());
// Ctrl-C goes to the whole group; the coordinator ends its peers in order.
process.on('SIGINT', () => undefined);
