/** `shoal peers`: takes part in a network and shows its peers; `shoal explain`: why a peer is reached, or not. */

import { once } from 'node:events';
import { parsePeerId } from 'shoal';
import type { PathInfo, PeerChange, PeerInfo } from 'shoal/peers';
import type { CommandContext } from '../context.ts';
import { LiveLines } from '../demo/table.ts';
import { asUsage, Failure } from '../failure.ts';
import { openPeersOf, type PeersCommandOptions } from '../open-peers.ts';
import { printable } from '../printable.ts';

/** Options of `shoal peers`. */
export interface PeersTableOptions extends PeersCommandOptions {
  /** PeerIDs to keep a connection with. */
  readonly maintain?: readonly string[] | undefined;
}

/** Options of `shoal explain`. */
export interface ExplainOptions extends PeersCommandOptions {
  /** Milliseconds. */
  readonly timeout: number;
}

/** How long the peer may take to report. */
const REPORT_MS = 3000;
/** How often the table is drawn. */
const DRAW_MS = 500;

/** Takes part until Ctrl-C. */
export async function peers(context: CommandContext, options: PeersTableOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const ids = (options.maintain ?? []).map((id) => asUsage('Cannot maintain', () => parsePeerId(id.trim())));
  await using node = await openPeersOf(context, options);
  const command = `shoal peers --contact '${node.addrs[0]!.replace(/^[a-z]+:\/\//, '')}'`;
  output.show({ event: 'peers', id: node.id, addrs: node.addrs, command }, [
    `PeerID ${node.id}`,
    ...node.addrs.map((addr) => `  ${addr}`),
    `Join from elsewhere: ${command}`,
  ]);
  for (const id of ids) node.maintain(id);
  const live = output.json || !process.stdout.isTTY ? undefined : new LiveLines();
  const draw = (): void => live?.draw(tableOf(node.list(), realm.nowMs()).map(printable));
  const drawing = setInterval(draw, DRAW_MS);
  const changes = node.changes();
  interrupt.signal.addEventListener('abort', () => void changes.return());
  try {
    if (!interrupt.signal.aborted) {
      for await (const change of changes) {
        const words = wordsOf(change);
        if (live !== undefined && words !== undefined) live.keep(printable(words));
        else output.show({ event: `peer_${change.type}`, ...fieldsOf(change) }, words);
        draw();
      }
    }
  } finally {
    clearInterval(drawing);
    live?.end();
  }
  output.show({ event: 'closed' });
}

/** Connects, and tells all that is known of the ways to a peer. @throws {Failure} when it cannot be reached */
export async function explain(context: CommandContext, peer: string, options: ExplainOptions): Promise<void> {
  const { output, interrupt } = context;
  const id = asUsage('Cannot explain', () => parsePeerId(peer.trim()));
  await using node = await openPeersOf(context, options);
  const { signal } = interrupt;
  let failure: unknown;
  try {
    await Promise.race([node.connect(id, { signal, timeoutMs: options.timeout }), once(signal, 'abort')]);
  } catch (error) {
    failure = error;
  }
  // The peer's own report says what this side cannot see. It can be had only over a path.
  const { info, reach, remote, help, text } =
    failure === undefined
      ? await node.explainBoth(id, { signal, timeoutMs: REPORT_MS }).catch(() => node.explain(id))
      : node.explain(id);
  const fields = {
    id,
    remote,
    state: info?.state ?? 'unknown',
    path: info?.path,
    attempts: reach?.attempts,
    help,
  };
  output.show({ event: 'explained', ...fields }, text.split('\n'));
  if (failure instanceof Error) throw new Failure(failure.message, { cause: failure });
}

const COLUMNS = ['peer', 'state', 'kind', 'path', 'round trip', 'since', 'in', 'out'] as const;
const WIDTHS = [14, 13, 8, 34, 12, 10, 8, 8] as const;

const pad = (texts: readonly string[]): string =>
  texts
    .map((text, i) => text.padEnd(WIDTHS[i]!))
    .join('')
    .trimEnd();

/** The peers as lines, a header first. */
export function tableOf(list: readonly PeerInfo[], nowMs: number): readonly string[] {
  const rows = list.map(({ id, state, kind, path, rttMs, sinceMs, received, sent }) =>
    pad([
      id.slice(0, 10),
      state,
      kind,
      path === undefined ? '' : whereOf(path),
      rttMs === undefined ? '' : `${rttMs.toFixed(1)} ms`,
      sinceMs === undefined ? '' : `${Math.round((nowMs - sinceMs) / 1000)} s`,
      String(received),
      String(sent),
    ]),
  );
  return [pad(COLUMNS), ...rows];
}

function whereOf({ transport, addr, kind }: PathInfo): string {
  const where = `${transport} ${addr.slice(addr.indexOf('@') + 1)}`;
  return kind === 'punch' ? `${where} (punched)` : where;
}

function wordsOf(change: PeerChange): string | undefined {
  switch (change.type) {
    case 'connected':
      return `connected  ${change.id} by ${whereOf(change.path)}`;
    case 'lost':
      return `lost       ${change.id}: ${change.reason}`;
    case 'path':
      return change.path === undefined
        ? `no path    ${change.id}: ${change.reason}`
        : `path       ${change.id} by ${whereOf(change.path)}`;
    case 'kind':
      return `${change.kind.padEnd(11)}${change.id}`;
    case 'unreachable':
      return `unreached  ${change.id}: ${change.reason}`;
    case 'attack':
      return `attack     ${change.source}: ${change.signal}, ${change.count} in ${change.lastMs - change.firstMs} ms`;
    case 'fault':
      return `fault      ${change.source}: ${change.text}`;
    case 'key_elsewhere':
      return `key        another process uses the key of this node, says ${change.id ?? 'peer exchange'}`;
    case 'clock_differs':
      return `clock      ${change.id} differs by ${Math.round(change.differenceMs / 1000)} s`;
    case 'relay':
      return `relay      ${change.relay}: ${change.state}${change.reason === undefined ? '' : `, ${change.reason}`}`;
    case 'addrs':
      return `addresses  ${change.addrs.join(' ')}`;
    case 'lists':
      break;
  }
  return undefined;
}

function fieldsOf(change: PeerChange): Readonly<Record<string, unknown>> {
  const { type: _, ...fields } = change;
  return fields;
}
