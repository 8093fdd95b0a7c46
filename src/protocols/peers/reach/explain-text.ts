/** An explanation as text for people. Text of peers is made harmless here. */

import { printableText } from '../../../base/reason.ts';
import type { ReachExplanation } from './explain.ts';
import type { AttemptRecord, ReachRule } from './types.ts';

const RULES: Readonly<Record<ReachRule, string>> = {
  outcome: '',
  timeout: 'no outcome in time',
  made_room: 'made room for others',
  other_path: 'another path was first',
  unwanted: 'nobody wanted the peer any more',
  woken: 'the network of this host changed',
  deadline: 'the time for this peer was over',
  expired: 'expired',
  policy: 'policy',
  transport: 'transport not used',
  not_allowed: 'not allowed',
  paused: 'resting',
  share: 'too many of this source',
};

/** Lines without an end of line at the end. Times are relative to the moment of the explanation. */
export function explainText(explanation: ReachExplanation): string {
  const { id, atMs, path, lastLoss, candidates, attempts, refused, help, forgotten, nextRoundMs } = explanation;
  const ago = (ms: number): string => `${((atMs - ms) / 1000).toFixed(1)} s ago`;
  const lines = [`peer ${id}`];
  lines.push(
    path === undefined
      ? `not connected${explanation.isSeeking ? ', being tried' : ''}`
      : `connected ${named(path)}, since ${ago(path.sinceMs)}, ${path.side === 'responder' ? 'dialled by this node' : 'dialled by the peer'}`,
  );
  if (lastLoss !== undefined)
    lines.push(`last connection lost ${ago(lastLoss.atMs)}: ${printableText(lastLoss.reason)}`);
  if (nextRoundMs !== undefined) lines.push(`tried again in ${Math.max(0, (nextRoundMs - atMs) / 1000).toFixed(1)} s`);
  lines.push(`candidates: ${candidates.length}`);
  for (const each of candidates) {
    const what =
      each.state === 'dialling'
        ? 'being dialled'
        : each.state === 'waiting'
          ? 'waits for its turn'
          : each.last === undefined
            ? 'not dialled'
            : `${ago(each.last.endMs)} ${resultOf(each.last)}`;
    const reason = each.reason === undefined ? '' : ` (${printableText(each.reason)})`;
    lines.push(`  ${named(each)}, ${printableText(each.source)}, ${each.scope}, ${each.trust}: ${what}${reason}`);
  }
  if (attempts.length > 0) lines.push(`attempts: ${attempts.length}`);
  for (const each of attempts) lines.push(`  ${ago(each.startMs)} ${named(each)}: ${resultOf(each)}`);
  if (refused.length > 0) lines.push(`not dialled: ${refused.length}`);
  for (const each of refused) {
    lines.push(`  ${ago(each.atMs)} ${named(each)}, ${printableText(each.source)}: ${printableText(each.reason)}`);
  }
  if (forgotten > 0) lines.push(`${forgotten} older lines are not kept`);
  if (help.length > 0) lines.push('what would help:');
  for (const sentence of help) lines.push(`  ${sentence}`);
  return lines.join('\n');
}

function named({
  transport,
  addr,
  kind,
}: {
  readonly transport: string;
  readonly addr: string;
  readonly kind: string;
}): string {
  return `${kind} ${printableText(transport)} ${printableText(addr)}`;
}

function resultOf({ result, rule, detail, startMs, endMs }: AttemptRecord): string {
  const because = RULES[rule] === '' ? '' : `, ${RULES[rule]}`;
  const more = detail === undefined ? '' : `: ${printableText(detail)}`;
  return `${result.replaceAll('_', ' ')} after ${Math.round(endMs - startMs)} ms${because}${more}`;
}
