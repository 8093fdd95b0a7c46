/** `shoal ping`: round trips to a peer that runs `shoal listen --echo`. */

import { setTimeout as delay } from 'node:timers/promises';
import { isSecure } from 'shoal';
import { type CommandContext, type StackOptions, bindFor, openStackOf } from '../context.ts';
import { Failure, asUsage } from '../failure.ts';
import { quantilesOf } from '../quantiles.ts';
import { payloads, roundTripTo } from '../round-trip.ts';

/** Options of `shoal ping`. */
export interface PingOptions extends StackOptions {
  readonly count: number;
  /** Milliseconds between the beginnings of two pings. */
  readonly interval: number;
  /** Milliseconds to wait for each answer. */
  readonly timeout: number;
}

/** A handshake may take longer than a round trip. */
const MIN_CONTACT_MS = 5000;

/** Measures `count` round trips, one after the other. */
export async function ping(context: CommandContext, addr: string, options: PingOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { signal } = interrupt;
  await using stack = await openStackOf(context, options, bindFor(addr));
  const { swarm } = stack;
  const dst = asUsage(`Cannot use address over ${stack.text}`, () => swarm.parseAddr(addr));
  // Contact first: a handshake is no round trip, and an absent peer is an error, not a lost ping.
  if (isSecure(swarm)) {
    await swarm.lookupPublicKey(dst, { signal, timeoutMs: Math.max(options.timeout, MIN_CONTACT_MS) });
  }
  const roundTrip = roundTripTo(swarm, dst, { timeoutMs: options.timeout, signal });
  const payload = payloads(realm, 0);

  const times: number[] = [];
  let sent = 0;
  while (sent < options.count && !signal.aborted) {
    const startedAt = performance.now();
    const came = await roundTrip(payload(sent));
    const ms = Math.round((performance.now() - startedAt) * 1000) / 1000;
    if (!came && signal.aborted) break;
    sent++;
    if (came) times.push(ms);
    if (came) output.show({ event: 'pong', seq: sent, src: dst.text, ms }, `${sent}: ${ms.toFixed(3)} ms`);
    else output.show({ event: 'lost', seq: sent, dst: dst.text }, `${sent}: no answer in ${options.timeout} ms`);
    const rest = options.interval - (performance.now() - startedAt);
    if (sent < options.count && rest > 0) await delay(rest, undefined, { signal }).catch(() => undefined);
  }

  const lost = sent - times.length;
  const spread = quantilesOf(times);
  const words =
    spread === undefined ? '' : `; min ${spread.minMs} ms, median ${spread.medianMs} ms, p99 ${spread.p99Ms} ms`;
  output.show(
    { event: 'summary', sent, received: times.length, lost, ...spread },
    `${sent} sent, ${times.length} came back, ${lost} lost${words}`,
  );
  if (times.length === 0) {
    throw new Failure(`No answer from ${dst.text}: is \`shoal listen --echo --stack ${stack.text}\` running there?`);
  }
}
