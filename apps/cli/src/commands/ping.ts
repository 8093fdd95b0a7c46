/** `shoal ping`: round trips to a peer that runs `shoal listen --echo`. Asks where the stack can, else tells. */

import { setTimeout as delay } from 'node:timers/promises';
import { type Addr, type AskSwarm, canAsk, concatBytes, encodeVarint, equalBytes, isSecure, toHex } from 'shoal';
import { type CommandContext, type StackOptions, bindFor, openStackOf } from '../context.ts';
import { Failure, asUsage } from '../failure.ts';
import { quantilesOf } from '../quantiles.ts';
import { type AnySwarm } from '../stack/layers.ts';

/** Options of `shoal ping`. */
export interface PingOptions extends StackOptions {
  readonly count: number;
  /** Milliseconds between the beginnings of two pings. */
  readonly interval: number;
  /** Milliseconds to wait for each answer. */
  readonly timeout: number;
}

/** Sends one payload and waits for its echo; answers whether it came in time. */
type RoundTrip = (payload: Uint8Array) => Promise<boolean>;

/** What makes the payloads of this run different from those of any other. */
const NONCE_BYTES = 8;
/** A handshake may take longer than a round trip. */
const MIN_CONTACT_MS = 5000;

/** Measures `count` round trips, one after the other. */
export async function ping(context: CommandContext, addr: string, options: PingOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { signal } = interrupt;
  await using stack = await openStackOf(context, options, bindFor(addr));
  const { swarm } = stack;
  const dst = asUsage(`Cannot use address over ${stack.text}`, () => swarm.parseAddr(addr));
  // Contact first: a handshake is no round trip, and whoever is not there is better named than counted.
  if (isSecure(swarm)) {
    await swarm.lookupPublicKey(dst, { signal, timeoutMs: Math.max(options.timeout, MIN_CONTACT_MS) });
  }
  const roundTrip = canAsk(swarm) ? byAsk(swarm, dst, options, signal) : byTell(swarm, dst, options, signal);

  const nonce = realm.random(NONCE_BYTES);
  const times: number[] = [];
  let sent = 0;
  while (sent < options.count && !signal.aborted) {
    const startedAt = performance.now();
    const came = await roundTrip(concatBytes(nonce, encodeVarint(sent)));
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

function byAsk(swarm: AskSwarm<Addr>, dst: Addr, { timeout }: PingOptions, signal: AbortSignal): RoundTrip {
  return (payload) =>
    swarm.ask(dst, payload, { timeoutMs: timeout, signal }).then(
      (answer) => equalBytes(answer, payload),
      () => false,
    );
}

function byTell(swarm: AnySwarm, dst: Addr, { timeout }: PingOptions, signal: AbortSignal): RoundTrip {
  /** Who waits for which echo. Bounded: one at a time. */
  const waiting = new Map<string, () => void>();
  swarm.listen(({ payload }) => waiting.get(toHex(payload))?.());
  return async (payload) => {
    const echoed = Promise.withResolvers<boolean>();
    const over = new AbortController();
    const key = toHex(payload);
    waiting.set(key, () => echoed.resolve(true));
    // Whatever gives up the wait, the end of the time or the user, means that no echo came.
    delay(timeout, false, { signal: AbortSignal.any([over.signal, signal]) }).then(echoed.resolve, () =>
      echoed.resolve(false),
    );
    try {
      swarm.tell(dst, payload, { timeoutMs: timeout, signal }).catch(() => echoed.resolve(false));
      return await echoed.promise;
    } finally {
      waiting.delete(key);
      over.abort();
    }
  };
}
