/** The demo's peers as a table that is drawn again in place on a terminal. */

import { styleText } from 'node:util';
import { createLogUpdate } from 'log-update';
import { quantilesOf } from '../quantiles.ts';
import type { PeerHandle } from './peer-handle.ts';

/** With the width of each. */
const COLUMNS = [
  ['peer', 10],
  ['pid', 8],
  ['PeerID', 10],
  ['direct', 7],
  ['punched', 8],
  ['relayed', 8],
  ['told', 7],
  ['got', 7],
  ['missing', 8],
  ['asked', 7],
  ['tell+echo', 11],
  ['NAT', 15],
  ['', 8],
] as const;
/** As many characters of a PeerID as tell a few peers apart. */
const SHOWN_ID = 8;

const STATE_COLOURS = { starting: 'yellow', up: 'green', killed: 'red', ended: 'gray' } as const;

type Colour = 'bold' | (typeof STATE_COLOURS)[keyof typeof STATE_COLOURS];

/** Colours only where a terminal shows them; `NO_COLOR` turns them off. */
function paint(colour: Colour, text: string): string {
  return process.stdout.isTTY ? styleText(colour, text, { stream: process.stdout }) : text;
}

function cells(peer: PeerHandle): readonly string[] {
  const { report } = peer;
  const missing = report?.pairs.reduce((sum, pair) => sum + pair.missing, 0) ?? 0;
  const median = quantilesOf(report?.tellMs ?? [])?.medianMs;
  return [
    peer.name,
    String(peer.pid),
    peer.id?.slice(0, SHOWN_ID) ?? '',
    ...(['direct', 'punch', 'relay'] as const).map((kind) => String(report?.paths[kind] ?? 0)),
    String(report?.tells ?? 0),
    String(report?.receivedTells ?? 0),
    String(missing),
    String(report?.asks ?? 0),
    median === undefined ? '' : `${median.toFixed(2)} ms`,
    peer.nat,
  ];
}

const pad = (texts: readonly string[]): string => texts.map((text, i) => text.padEnd(COLUMNS[i]![1])).join('');

/** The table as lines, a header first. */
export function tableLines(peers: readonly PeerHandle[]): readonly string[] {
  const rows = peers.map((peer) => pad(cells(peer)) + paint(STATE_COLOURS[peer.state], peer.state));
  return [paint('bold', pad(COLUMNS.map(([name]) => name)).trimEnd()), ...rows];
}

/** Draws lines that replace each other, under lines that stay. Only for terminals. */
export class LiveLines {
  readonly #update = createLogUpdate(process.stdout);

  /** Writes a line that stays, above the live ones. */
  keep(line: string): void {
    this.#update.persist(line);
  }

  draw(lines: readonly string[]): void {
    this.#update(lines.join('\n'));
  }

  /** Takes the live lines away. */
  end(): void {
    this.#update.clear();
    this.#update.done();
  }
}
