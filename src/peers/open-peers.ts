/** Opens a connection manager: its transports, and the swarm over them. */

import { describeValue } from '../base/checks.ts';
import { parseIpSocketAddress } from '../net/socket-address.ts';
import { checkCall } from '../runtime/waits.ts';
import { type PeersOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { openOwn } from './own-transports.ts';
import { Signals } from './signals.ts';
import { closeSources, type OpenSource, openSources, sourcesOf } from './sources.ts';
import type { Peers } from './peers.ts';
import { PeersSwarm } from './peers-swarm.ts';
import type { OpenedTransport } from './transport.ts';

/**
 * Opens a connection manager: one connection with each peer, found and dialled by PeerID, over the best transport there is.
 *
 * @throws {TypeError | RangeError} (at once) for invalid options.
 * @throws {P2PError} (by rejection) `in_use` when a port is taken, `unreachable` when this machine does not have the address.
 *
 * @example
 * ```ts
 * await using peers = await openPeers({ privateKey, networkName: 'my-app', sources: [contacts] });
 * const answer = await peers.ask(bobId, request);
 * ```
 */
export function openPeers(options: PeersOptions): Promise<Peers> {
  const resolved = resolveOptions(options);
  checkCall({ signal: options.signal });
  const binds = bindsOf(options);
  const fixed = binds.find((bind) => bind !== undefined && parseIpSocketAddress(bind, 'bind').port !== 0);
  if (fixed !== undefined && options.movePortEveryMs !== undefined) {
    throw new RangeError(`Cannot take movePortEveryMs: bind ${fixed} has a fixed port; bind to port 0`);
  }
  return open(options, resolved);
}

/** Where to listen; `undefined` is all addresses. */
function bindsOf({ bind }: PeersOptions): readonly (string | undefined)[] {
  if (bind === undefined || typeof bind === 'string') return [bind];
  if (!Array.isArray(bind) || bind.length === 0) {
    throw new TypeError(`Cannot take bind: expected ip:port or a list of them, got ${describeValue(bind)}`);
  }
  return bind;
}

async function open(options: PeersOptions, resolved: ResolvedOptions): Promise<Peers> {
  const opened: OpenedTransport[] = [];
  let sources: readonly OpenSource[] = [];
  /** The object that is being opened, and what went wrong before it was there. Bounded by the sources. */
  let peers: PeersSwarm | undefined;
  const early: (readonly [source: string, text: string])[] = [];
  const signals = new Signals(resolved);
  const own = { ...resolved, realm: signals.realm };
  const ownAddrs = (): readonly string[] => peers?.addrs ?? [];
  const binds = bindsOf(options);
  try {
    for (const bind of binds) opened.push(...(await openOwn(own, bind, options.preferredPort, options.signal)));
    const fault = (source: string, text: string): void => {
      if (peers === undefined) early.push([source, text]);
      else peers.fault(source, text);
    };
    sources = await openSources(options, resolved, { ownAddrs, fault });
    options.signal?.throwIfAborted();
  } catch (error) {
    await Promise.all([...opened.map(({ swarm }) => swarm.close()), closeSources(sources)]);
    throw error;
  }
  for (const transport of resolved.transports) if (typeof transport !== 'string') opened.push(transport);
  peers = new PeersSwarm({ ...resolved, sources: sourcesOf(sources) }, opened, signals, sources);
  for (const [source, text] of early) peers.fault(source, text);
  peers.start(options, async () => {
    const moved: OpenedTransport[] = [];
    for (const bind of binds) moved.push(...(await openOwn(own, bind, undefined)));
    return moved;
  });
  return peers;
}
