/** `shoal bench`: how fast a stack is here, between two processes that it starts, or to a peer that echoes. */

import { spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { isSecure } from 'shoal';
import { type CommandContext, type StackOptions, bindFor, openStackOf } from '../context.ts';
import { Failure, asUsage } from '../failure.ts';
import { quantilesOf } from '../quantiles.ts';
import { MIN_PAYLOAD_BYTES, type RoundTrip, payloads, roundTripTo } from '../round-trip.ts';
import { sizeText } from '../transfer/progress.ts';

/** Options of `shoal bench`. */
export interface BenchOptions extends StackOptions {
  /** Bytes of each message. */
  readonly bytes: number;
  /** Seconds for each of the two measurements. */
  readonly seconds: number;
  readonly inFlight: number;
}

/** A round trip that takes longer counts as lost. */
const TIMEOUT_MS = 2000;
const CONTACT_MS = 10_000;
const WARM_UP_SHARE = 0.2;

/** Measures latency with one message under way, then throughput with many. */
export async function bench(context: CommandContext, addr: string | undefined, options: BenchOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { signal } = interrupt;
  await using echo = addr === undefined ? await startEcho(options, signal) : undefined;
  const there = addr ?? echo!.addr;
  await using stack = await openStackOf(context, options, addr === undefined ? '127.0.0.1:0' : bindFor(there));
  const { swarm } = stack;
  const dst = asUsage(`Cannot use address over ${stack.text}`, () => swarm.parseAddr(there));
  if (isSecure(swarm)) await swarm.lookupPublicKey(dst, { signal, timeoutMs: CONTACT_MS });
  const room = swarm.mtu(dst);
  const bytes = Math.max(options.bytes, MIN_PAYLOAD_BYTES);
  if (bytes > room) {
    throw new Failure(
      `Cannot send ${bytes} bytes over ${stack.text}: it carries ${room}; give --bytes less, or add frag`,
    );
  }
  const roundTrip = roundTripTo(swarm, dst, { timeoutMs: TIMEOUT_MS, signal });
  const payload = payloads(realm, bytes);
  let seq = 0;
  const next = (): Uint8Array => payload(seq++);

  const measure = async (event: string, inFlight: number): Promise<void> => {
    await rounds(roundTrip, next, inFlight, options.seconds * WARM_UP_SHARE, signal);
    const { times, lost, seconds } = await rounds(roundTrip, next, inFlight, options.seconds, signal);
    if (signal.aborted) return;
    const spread = quantilesOf(times);
    if (spread === undefined) {
      throw new Failure(`No answer from ${dst.text}: is \`shoal listen --echo --stack ${stack.text}\` running there?`);
    }
    const perSecond = Math.round(times.length / seconds);
    const shown = { inFlight, bytes, perSecond, bytesPerSecond: perSecond * bytes, lost, ...spread };
    const { minMs, medianMs, p99Ms } = spread;
    output.show(
      { event, stack: stack.text, ...shown },
      `${event.padEnd(11)} ${String(inFlight).padStart(4)} in flight  ${String(perSecond).padStart(7)} round trips/s of ${bytes} B  ${sizeText(shown.bytesPerSecond)}/s each way  min ${minMs} ms, median ${medianMs} ms, p99 ${p99Ms} ms  ${lost} lost`,
    );
  };
  await measure('latency', 1);
  await measure('throughput', options.inFlight);
}

interface Rounds {
  readonly times: readonly number[];
  readonly lost: number;
  readonly seconds: number;
}

async function rounds(
  roundTrip: RoundTrip,
  next: () => Uint8Array,
  inFlight: number,
  seconds: number,
  signal: AbortSignal,
): Promise<Rounds> {
  const times: number[] = [];
  let lost = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1000;
  const worker = async (): Promise<void> => {
    while (performance.now() < endsAt && !signal.aborted) {
      const sentAt = performance.now();
      if (await roundTrip(next())) times.push(performance.now() - sentAt);
      else lost++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return { times, lost, seconds: (performance.now() - startedAt) / 1000 };
}

const MAIN = path.join(import.meta.dirname, '..', 'main.ts');

/** A `shoal listen --echo` of our own, in another process. */
async function startEcho(
  { stack, preset }: BenchOptions,
  signal: AbortSignal,
): Promise<AsyncDisposable & { readonly addr: string }> {
  const args = [
    'listen',
    '--stack',
    stack,
    '--bind',
    '127.0.0.1:0',
    '--echo',
    '--quiet',
    '--json',
    ...(preset === undefined ? [] : ['--preset', preset]),
  ];
  const child = spawn(process.execPath, [...process.execArgv, MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGTERM',
  });
  let trouble = '';
  child.stderr.on('data', (chunk: Buffer) => (trouble += chunk.toString()));
  const exited = new Promise<void>((resolve) => {
    child.on('close', () => resolve());
    child.on('error', () => resolve());
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const { event, addr } = JSON.parse(line) as { readonly event: string; readonly addr?: string };
    if (event !== 'listening' || addr === undefined) continue;
    child.stdout.resume();
    return {
      addr,
      [Symbol.asyncDispose]: async () => {
        child.kill('SIGTERM');
        await exited;
      },
    };
  }
  await exited;
  throw new Failure(`Cannot start the other side: ${trouble.replace(/^shoal: /, '').trim() || 'it ended by itself'}`);
}
