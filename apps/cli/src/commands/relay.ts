/** `shoal relay`: relays for peers that cannot reach each other. */

import { once } from 'node:events';
import { parsePeerId, type PeerId } from 'shoal';
import type { CommandContext } from '../context.ts';
import { asUsage } from '../failure.ts';
import { openPeersOf, placesOf, type PeersCommandOptions } from '../open-peers.ts';

/** Options of `shoal relay`. */
export interface RelayOptions extends PeersCommandOptions {
  readonly maxPeers: number;
  readonly bytesPerSecond: number;
  readonly totalBytesPerSecond: number;
  readonly minutes: number;
  readonly allow?: readonly string[] | undefined;
}

/** How often the state is shown, while it changes. */
const SHOW_EVERY_MS = 5000;

/** Serves until Ctrl-C. */
export async function relay(context: CommandContext, options: RelayOptions): Promise<void> {
  const { output, interrupt } = context;
  const { maxPeers, bytesPerSecond, totalBytesPerSecond, minutes: maxMinutes } = options;
  const allowed = options.allow?.map((id) => asUsage('Cannot allow', () => parsePeerId(id.trim())));
  const accept = allowed === undefined ? undefined : ({ id }: { readonly id: PeerId }) => allowed.includes(id);
  const budgets = { maxPeers, bytesPerSecond, totalBytesPerSecond, maxMinutes };
  await using node = await openPeersOf(context, options, { serveRelay: { ...budgets, accept }, relays: false });
  const relays = placesOf(node).map((place) => `${node.id}@${place}`);
  output.show({ event: 'relaying', id: node.id, addrs: node.addrs, relays, ...budgets }, [
    `PeerID ${node.id}`,
    `Name it as a relay: ${relays.map((each) => `--relay '${each}'`).join('  or  ')}`,
  ]);
  let last = '';
  const show = (): void => {
    const { peers, guests, counters } = node.relayed!;
    const { sent: passedOn, sentBytes: passedBytes, drops } = counters;
    const now = `${peers.length} ${guests} ${passedOn}`;
    if (now === last) return;
    last = now;
    const ids = peers.map(({ id }) => id);
    output.show(
      { event: 'relayed', peers: ids, guests, passedOn, passedBytes, drops },
      `${peers.length} peers, ${guests} guests, ${passedOn} datagrams passed on`,
    );
  };
  const showing = setInterval(show, SHOW_EVERY_MS);
  try {
    if (!interrupt.signal.aborted) await once(interrupt.signal, 'abort');
  } finally {
    clearInterval(showing);
  }
  show();
  output.show({ event: 'closed' });
}
