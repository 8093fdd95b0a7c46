/** What the demo came to: sums over what the peers have counted, nothing else. */

import { type Quantiles, quantilesOf } from '../quantiles.ts';
import type { PeerReport } from './reports.ts';

/** One process of the demo with its last report. */
export interface Participant {
  readonly name: string;
  readonly pid: number;
  /** Whether it was there to the end, so that its last report is complete. */
  readonly survived: boolean;
  readonly report: PeerReport;
}

/** The closing figures. */
export interface Summary {
  readonly peers: number;
  readonly processes: number;
  readonly killed: number;
  /** Tells and asks that peers sent, and tells and answers that came. */
  readonly messages: { readonly sent: number; readonly received: number };
  readonly bytes: { readonly sent: number; readonly received: number };
  readonly tells: { readonly sent: number; readonly received: number; readonly echoed: number };
  readonly asks: { readonly sent: number; readonly answered: number; readonly failed: number };
  /** Tells between processes that were there to the end: sent by number, less those that came. */
  readonly lost: number;
  readonly repeated: number;
  /** Tells to processes that were killed; nobody can say how many of them arrived. */
  readonly toTheKilled: number;
  /** Tells to peers from other terminals, which report to nobody. */
  readonly toVisitors: number;
  readonly sessions: number;
  readonly tellEchoMs: Quantiles | undefined;
  readonly askMs: Quantiles | undefined;
}

export function summarize(participants: readonly Participant[]): Summary {
  const sum = (count: (report: PeerReport) => number): number =>
    participants.reduce((total, { report }) => total + count(report), 0);
  const survivors = new Set(participants.filter(({ survived }) => survived).map(({ pid }) => pid));
  const killed = new Set(participants.filter(({ survived }) => !survived).map(({ pid }) => pid));
  const received = new Map<string, number>();
  for (const { report } of participants) {
    for (const { here, there, received: count } of report.pairs) received.set(`${there} ${here}`, count);
  }

  let [lost, toTheKilled, toVisitors] = [0, 0, 0];
  for (const { report, survived } of participants) {
    for (const { here, there, sent } of report.pairs) {
      if (killed.has(there)) toTheKilled += sent;
      else if (!survivors.has(there)) toVisitors += sent;
      else if (survived) lost += sent - (received.get(`${here} ${there}`) ?? 0);
    }
  }
  const tells = sum(({ tells }) => tells);
  const asks = sum(({ asks }) => asks);
  return {
    peers: new Set(participants.map(({ name }) => name)).size,
    processes: participants.length,
    killed: participants.filter(({ survived }) => !survived).length,
    messages: {
      sent: tells + asks,
      received: sum((report) => report.receivedTells + report.answers),
    },
    bytes: { sent: sum(({ tellBytes }) => tellBytes), received: sum(({ receivedBytes }) => receivedBytes) },
    tells: { sent: tells, received: sum(({ receivedTells }) => receivedTells), echoed: sum(({ echoes }) => echoes) },
    asks: { sent: asks, answered: sum(({ answers }) => answers), failed: sum(({ asksFailed }) => asksFailed) },
    lost,
    repeated: sum(({ pairs }) => pairs.reduce((total, { repeated }) => total + repeated, 0)),
    toTheKilled,
    toVisitors,
    sessions: sum(({ sessions }) => sessions),
    tellEchoMs: quantilesOf(participants.flatMap(({ report }) => report.tellMs)),
    askMs: quantilesOf(participants.flatMap(({ report }) => report.askMs)),
  };
}

const spread = (quantiles: Quantiles | undefined): string =>
  quantiles === undefined
    ? 'none'
    : `min ${quantiles.minMs} ms, median ${quantiles.medianMs} ms, p99 ${quantiles.p99Ms} ms`;

/** The summary for people. */
export function summaryLines(summary: Summary): readonly string[] {
  const { tells, asks, bytes } = summary;
  return [
    `Peers      ${summary.peers}, each a process of its own (${summary.processes} started, ${summary.killed} killed), on loopback`,
    `Messages   ${summary.messages.sent} sent, ${summary.messages.received} received; ${summary.sessions} sessions`,
    `Tells      ${tells.sent} sent, ${tells.received} received, ${tells.echoed} echoed`,
    `Asks       ${asks.sent} sent, ${asks.answered} answered, ${asks.failed} without answer`,
    `Bytes      ${bytes.sent} sent, ${bytes.received} received`,
    `Lost       ${summary.lost} of the tells between peers that were there to the end; ${summary.toTheKilled} went to the killed one`,
    ...(summary.killed === 0
      ? []
      : ['           (what the killed one did after its last report, up to 0.2 s, is in no figure)']),
    ...(summary.toVisitors === 0 ? [] : [`Visitors   ${summary.toVisitors} tells to peers from other terminals`]),
    `Tell+echo  ${spread(summary.tellEchoMs)}`,
    `Ask        ${spread(summary.askMs)}`,
  ];
}
