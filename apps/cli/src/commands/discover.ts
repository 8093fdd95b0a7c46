/** `shoal discover`: the nodes of a network on the LANs of this host. */

import { once } from 'node:events';
import { type LanPeer, openLan } from 'shoal/discovery';
import { generateKey } from 'shoal/keys';
import type { CommandContext, CommonOptions } from '../context.ts';
import { asUsage, Failure } from '../failure.ts';

/** Options of `shoal discover`. */
export interface DiscoverOptions extends CommonOptions {
  readonly networkName: string;
  /** How long it listens. */
  readonly seconds: number;
  readonly port: number;
  readonly broadcast?: string | undefined;
  /** Interfaces to use. */
  readonly interface?: readonly string[] | undefined;
}

/**
 * Asks who is on the LAN, and shows each node when it answers, and again when its addresses change. Announces nobody.
 *
 * @throws {Failure} when no node has answered.
 */
export async function discover(context: CommandContext, options: DiscoverOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { networkName, seconds, port, broadcast } = options;
  const startMs = realm.nowMs();
  const signal = AbortSignal.any([interrupt.signal, AbortSignal.timeout(seconds * 1000)]);
  const show = ({ id, addrs, interfaces, ip }: LanPeer): void => {
    const ms = Math.round(realm.nowMs() - startMs);
    const words = `${id} at ${ip} on ${interfaces.join(', ')} (${ms} ms)`;
    output.show({ event: 'lan_peer', id, ip, interfaces, addrs, ms }, [words, ...addrs.map((addr) => `  ${addr}`)]);
  };
  await using lan = await asUsage('Cannot discover', () =>
    openLan({
      privateKey: generateKey(),
      networkName,
      addrs: [],
      port,
      broadcast,
      interfaces: options.interface,
      answer: false,
      onPeer: show,
      realm,
    }),
  );
  if (!signal.aborted) await once(signal, 'abort');
  const found = lan.peers.length;
  const nodes = `${found} ${found === 1 ? 'node' : 'nodes'}`;
  output.show({ event: 'discovered', peers: found }, `${nodes} of network '${networkName}' in ${seconds} s`);
  if (found === 0 && !interrupt.signal.aborted)
    throw new Failure(`No node of network '${networkName}' answered on the LAN`);
}
