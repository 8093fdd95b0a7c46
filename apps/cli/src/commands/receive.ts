/** `shoal receive`: fetches what a ticket promises. */

import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { type Bytes, P2PError } from 'shoal';
import type { PeerAddr } from 'shoal/peers';
import type { CommandContext } from '../context.ts';
import { Failure, UsageError, explain } from '../failure.ts';
import { addPlaces, APART, type NodeOptions, openPeersOf } from '../open-peers.ts';
import { printable } from '../printable.ts';
import { Fetcher } from '../transfer/fetch.ts';
import { type Manifest, totalBytes } from '../transfer/manifest.ts';
import { isHidden } from '../transfer/names.ts';
import { collectLessOften } from '../transfer/garbage.ts';
import { Progress, sizeText } from '../transfer/progress.ts';
import { type Rest, Store } from '../transfer/store.ts';
import { decodeTicket } from '../transfer/ticket.ts';

/** Options of `shoal receive`. */
export interface ReceiveOptions extends NodeOptions {
  /** Folder to write to; undefined is the current one, where more is asked before something is written. */
  readonly out?: string | undefined;
  readonly force?: boolean | undefined;
  /** Answers the question beforehand. */
  readonly yes?: boolean | undefined;
  /** Milliseconds without anything from the sender after which it is given up. */
  readonly timeout: number;
}

/** Fetches everything, or says how to go on. */
export async function receive(context: CommandContext, text: string, options: ReceiveOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { signal } = interrupt;
  const ticket = decodeTicket(text);
  collectLessOften();
  await using peers = await openPeersOf(context, options, { ...APART, kind: 'client' });
  addPlaces(peers, realm, ticket.id, ticket.addrs, 'ticket');
  let cut = false;
  const fetcher = new Fetcher({
    realm,
    swarm: peers,
    addr: peers.parseAddr(ticket.id),
    ticket,
    signal,
    patienceMs: options.timeout,
    onCut: (error) => {
      if (!cut) output.show({ event: 'cut', reason: explain(error) });
      cut = true;
    },
  });
  const manifest = await orFailure(() => fetcher.manifest(), signal, undefined);
  const store = await orFailure(
    () => Store.open(options.out ?? '.', manifest, ticket.hash, options.force === true),
    signal,
    undefined,
  );
  if (options.out === undefined && options.yes !== true) {
    await orFailure(() => confirm(manifest, store, options.force === true, signal), signal, undefined);
  }
  await orFailure(() => fetchAll(context, fetcher, store, manifest), signal, store);
  await fetcher.done();
}

async function fetchAll(
  { output, interrupt: { signal } }: CommandContext,
  fetcher: Fetcher<PeerAddr>,
  store: Store,
  manifest: Manifest,
): Promise<void> {
  const startedAt = performance.now();
  await store.prepare();
  const rests: Rest[] = [];
  for (const file of manifest.files) rests.push(await store.rest(file, signal));
  const total = totalBytes(manifest);
  const from = rests.reduce((sum, rest) => sum + rest.from, 0);
  const name = printable(manifest.name);
  output.show(
    { event: 'receiving', name: manifest.name, kind: manifest.kind, files: manifest.files.length, bytes: total, from },
    from === 0 ? undefined : `${name}: going on from ${sizeText(from)}`,
  );
  {
    using progress = new Progress(output, manifest.name, total, from);
    const pieces = fetcher.pieces(
      manifest.files.map(({ path, bytes }, index) => ({
        file: index + 1,
        name: path === '' ? manifest.name : `${manifest.name}/${path}`,
        from: rests[index]!.from,
        to: bytes,
      })),
    );
    for (const [index, file] of manifest.files.entries()) {
      const rest = rests[index]!;
      await store.write(file, rest, take(pieces, file.bytes - rest.from), (bytes) => progress.add(bytes));
    }
    await store.finish();
  }
  const ms = Math.round(performance.now() - startedAt);
  const rate = sizeText(Math.round(((total - from) * 1000) / Math.max(ms, 1)));
  output.show(
    {
      event: 'received',
      path: store.target,
      files: manifest.files.length,
      bytes: total,
      fetchedBytes: total - from,
      ms,
    },
    `received ${printable(store.target)}, ${sizeText(total)} in ${(ms / 1000).toFixed(1)} s (${rate}/s), hashes right`,
  );
}

/** The next bytes of a longer stream. */
async function* take(pieces: AsyncGenerator<Bytes, void>, bytes: number): AsyncGenerator<Bytes, void> {
  for (let left = bytes; left > 0;) {
    const { value } = await pieces.next();
    if (value === undefined) return;
    left -= value.length;
    yield value;
  }
}

/** Asks before it writes what the user has neither named nor said a folder for. @throws {Failure} when it may not. */
async function confirm(manifest: Manifest, store: Store, force: boolean, signal: AbortSignal): Promise<void> {
  const doubt = isHidden(manifest.name)
    ? 'its name is hidden, as those are that programs read settings and keys from'
    : force && (await store.replacesFolder())
      ? 'it is a folder, and all in it would be replaced'
      : undefined;
  if (doubt === undefined) return;
  const target = printable(store.target);
  if (process.stdin.isTTY && process.stderr.isTTY) {
    // No terminal for readline, which would keep Ctrl-C for itself.
    using lines = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
    const ended = once(lines, 'close').then(() => '');
    const answer = await Promise.race([lines.question(`Write ${target}? ${doubt} [y/N] `, { signal }), ended]);
    if (/^y(?:es)?$/i.test(answer.trim())) return;
  }
  throw new Failure(`Cannot write ${target}: ${doubt}; --out DIR or --yes allows it`);
}

/** What goes wrong on the way, in terms of the command; what has come so far is kept. */
async function orFailure<T>(act: () => Promise<T>, signal: AbortSignal, store: Store | undefined): Promise<T> {
  try {
    return await act();
  } catch (error) {
    const again = store === undefined ? '' : '; what has come is kept, the same command goes on from there';
    if (signal.aborted) throw new Failure(`Interrupted${again}`, { cause: error });
    if (error instanceof Failure || error instanceof UsageError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const what = P2PError.is(error) ? `the sender does not answer: ${why}` : why;
    throw new Failure(`Cannot receive: ${what}${again}`, { cause: error });
  }
}
