/** What one side tells the other of its attempts, so that both sides' reports can be joined. Source: docs/wire/peers.md §10. */

import { type Bytes, decodeText, encodeText } from '../../../base/bytes.ts';
import { printableText } from '../../../base/reason.ts';
import { PUNCH_PORTS, type PunchPorts } from '../../punch/offer.ts';
import type { ReachExplanation } from './explain.ts';

/** What a side knows of its own network. */
export interface NetworkReport {
  /** How its NAT gives out ports: `unknown` before it has asked observers. */
  readonly ports: PunchPorts;
  /** Whether a router forwards its ports. */
  readonly isMapped: boolean;
  /** Why not, as a sentence; `undefined` when it is, or nobody has asked the router. */
  readonly mapping: string | undefined;
  /** Relays at which it has a place. */
  readonly relays: number;
}

/** An attempt of the other side. */
export interface ReportedAttempt {
  readonly transport: string;
  readonly addr: string;
  readonly kind: string;
  /** How long before the report it began. */
  readonly agoMs: number;
  readonly tookMs: number;
  readonly result: string;
  readonly rule: string;
  readonly detail: string | undefined;
}

/** One side's report. Texts are the peer's: they have no control characters, and lengths are bounded. */
export interface ReachReport {
  readonly network: NetworkReport;
  readonly attempts: readonly ReportedAttempt[];
  /** Addresses that it did not dial, and why. */
  readonly refused: readonly { readonly addr: string; readonly reason: string }[];
}

/** What is reported at most. */
const MAX_ATTEMPTS = 32;
const MAX_REFUSED = 16;
const MAX_TEXT_CHARACTERS = 200;
export const MAX_REPORT_BYTES = 32_768;

/** Encodes what this side knows of its attempts at the peer that asks. */
export function encodeReport(network: NetworkReport, explanation: ReachExplanation | undefined): Bytes {
  const { atMs = 0, attempts = [], refused = [] } = explanation ?? {};
  const report: ReachReport = {
    network,
    attempts: attempts.slice(-MAX_ATTEMPTS).map(({ transport, addr, kind, startMs, endMs, result, rule, detail }) => ({
      transport,
      addr: cut(addr),
      kind,
      agoMs: Math.round(atMs - startMs),
      tookMs: Math.round(endMs - startMs),
      result,
      rule,
      detail: detail === undefined ? undefined : cut(detail),
    })),
    refused: refused
      .slice(-MAX_REFUSED)
      .map(({ transport, addr, reason }) => ({ addr: cut(`${transport} ${addr}`), reason: cut(reason) })),
  };
  return encodeText(JSON.stringify(report));
}

/** Reads a report; `undefined` when it is malformed. */
export function decodeReport(bytes: Bytes): ReachReport | undefined {
  const text = bytes.length > MAX_REPORT_BYTES ? undefined : decodeText(bytes);
  if (text === undefined) return undefined;
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    return undefined;
  }
  const { network, attempts, refused } = fieldsOf(read);
  const { ports, isMapped, mapping, relays } = fieldsOf(network);
  if (!Array.isArray(attempts) || attempts.length > MAX_ATTEMPTS || !Array.isArray(refused)) return undefined;
  if (refused.length > MAX_REFUSED || !PUNCH_PORTS.includes(ports as PunchPorts) || typeof isMapped !== 'boolean')
    return undefined;
  return {
    network: { ports: ports as PunchPorts, isMapped, mapping: optionalText(mapping), relays: numberOf(relays) },
    attempts: attempts.map((each) => {
      const { transport, addr, kind, agoMs, tookMs, result, rule, detail } = fieldsOf(each);
      return {
        transport: textOf(transport),
        addr: textOf(addr),
        kind: textOf(kind),
        agoMs: numberOf(agoMs),
        tookMs: numberOf(tookMs),
        result: textOf(result),
        rule: textOf(rule),
        detail: optionalText(detail),
      };
    }),
    refused: refused.map((each) => {
      const { addr, reason } = fieldsOf(each);
      return { addr: textOf(addr), reason: textOf(reason) };
    }),
  };
}

/** What would help, from both networks; empty while one is not known. */
export function helpForNetworks(own: NetworkReport, theirs: NetworkReport | undefined): readonly string[] {
  const help: string[] = [];
  if (theirs !== undefined) {
    const random = [own, theirs].filter(({ ports, isMapped }) => ports === 'random' && !isMapped);
    if (random.length === 2)
      help.push('Both NATs give random ports: only a relay can work, unless a port is mapped on one router.');
    else if (random.length === 1) {
      const which = random[0] === own ? 'The NAT of this side' : "The NAT of the peer's side";
      help.push(
        `${which} gives random ports, so a punch has to guess them: it may take some seconds, and fails sometimes.`,
      );
    }
  }
  for (const [which, { mapping, isMapped }] of [
    ['this side', own],
    ["the peer's side", theirs ?? own],
  ] as const) {
    if (isMapped || mapping === undefined || (which !== 'this side' && theirs === undefined)) continue;
    help.push(`Enable PCP or UPnP on the router of ${which}: ${mapping}`);
  }
  return help;
}

/** The report of the other side as lines. */
export function reportLines({ network, attempts, refused }: ReachReport): readonly string[] {
  const { ports, isMapped, relays } = network;
  const mapped = isMapped ? ', a router forwards its ports' : '';
  const lines = [`the peer's side: its NAT gives ${ports} ports${mapped}, it has a place at ${relays} relays`];
  for (const { transport, addr, kind, agoMs, tookMs, result, rule, detail } of attempts) {
    const because = rule === 'outcome' ? '' : `, ${rule.replaceAll('_', ' ')}`;
    const more = detail === undefined ? '' : `: ${detail}`;
    const when = `${(agoMs / 1000).toFixed(1)} s ago`;
    lines.push(
      `  ${when} ${kind} ${transport} ${addr}: ${result.replaceAll('_', ' ')} after ${tookMs} ms${because}${more}`,
    );
  }
  for (const { addr, reason } of refused) lines.push(`  not dialled: ${addr}: ${reason}`);
  return lines;
}

const cut = (text: string): string => text.slice(0, MAX_TEXT_CHARACTERS);

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

const textOf = (value: unknown): string => (typeof value === 'string' ? printableText(cut(value)) : '');

const optionalText = (value: unknown): string | undefined => (typeof value === 'string' ? textOf(value) : undefined);

const numberOf = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? Math.min(value, Number.MAX_SAFE_INTEGER) : 0;
