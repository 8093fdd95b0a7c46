/** Why a peer is connected as it is, or not at all: what this side knows, and what the peer reported. */

import { printableText } from '../base/reason.ts';
import type { PeerId } from '../core/peer-id.ts';
import type { ReachExplanation } from '../protocols/peers/reach/explain.ts';
import { explainText } from '../protocols/peers/reach/explain-text.ts';
import { helpForNetworks, type NetworkReport, reportLines } from '../protocols/peers/reach/report.ts';
import { infoOf, pathsOf } from './peer-info.ts';
import type { MeasuredPath, PeerExplanation } from './peers.ts';
import type { RemotePeer } from './remote-peer.ts';

/** @param network - what this node knows of its own network. */
export function explainPeer(
  id: PeerId,
  known: RemotePeer | undefined,
  reach: ReachExplanation | undefined,
  network: NetworkReport,
): PeerExplanation {
  const remote = known?.report;
  const paths = known === undefined ? [] : pathsOf(known);
  const isDirect = reach?.path !== undefined && reach.path.kind !== 'relay';
  const help = isDirect ? [] : [...(reach?.help ?? []), ...helpForNetworks(network, remote?.network)];
  const first = reach === undefined ? `${id}: nobody has looked for this peer` : explainText({ ...reach, help: [] });
  const lines = [first, ...paths.map(pathLine)];
  if (remote !== undefined) lines.push(...reportLines(remote));
  if (help.length > 0) lines.push('what would help:', ...help.map((sentence) => `  ${sentence}`));
  const info = known === undefined ? undefined : infoOf(known);
  return { info, reach, paths, remote, help, text: lines.join('\n') };
}

function pathLine({ transport, addr, kind, rttMs, isUsed }: MeasuredPath): string {
  const rtt = rttMs === undefined ? 'not measured' : `${rttMs.toFixed(1)} ms`;
  return `path ${kind} ${printableText(transport)} ${printableText(addr)}: ${rtt}${isUsed ? ', in use' : ''}`;
}
