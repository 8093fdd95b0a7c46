/** `shoal receive`: fetches what a ticket promises. */

import { P2PError } from 'shoal';
import { generateKey } from 'shoal/keys';
import { peerAddr, peerSwarm } from 'shoal/peer';
import { openQuicSwarm } from 'shoal/quic';
import { type CommandContext, type CommonOptions } from '../context.ts';
import { Failure, UsageError, explain } from '../failure.ts';
import { printable } from '../output.ts';
import { Fetcher } from '../transfer/fetch.ts';
import { type Manifest, totalBytes } from '../transfer/manifest.ts';
import { Progress, sizeText } from '../transfer/progress.ts';
import { type Rest, Store } from '../transfer/store.ts';
import { type Ticket, decodeTicket } from '../transfer/ticket.ts';

/** Options of `shoal receive`. */
export interface ReceiveOptions extends CommonOptions {
  readonly out: string;
  readonly force?: boolean | undefined;
  /** Milliseconds without anything from the sender after which it is given up. */
  readonly timeout: number;
}

/** Fetches everything, or says how to go on. */
export async function receive(context: CommandContext, text: string, options: ReceiveOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const { signal } = interrupt;
  const ticket = decodeTicket(text);
  const bind = ticket.addrs.every((addr) => addr.startsWith('[')) ? '[::]:0' : '0.0.0.0:0';
  await using quic = await openQuicSwarm({ realm, bind, privateKey: generateKey(), signal });
  const addrs = sourcesOf(ticket, (inner) => quic.parseAddr(`${ticket.id}@${inner}`));
  await using swarm = peerSwarm(quic, { source: () => addrs, searchTimeoutMs: options.timeout });
  let cut = false;
  const fetcher = new Fetcher({
    swarm,
    addr: peerAddr(ticket.id),
    ticket,
    signal,
    patienceMs: options.timeout,
    onCut: (error) => {
      if (!cut) output.show({ event: 'cut', reason: explain(error) });
      cut = true;
    },
  });
  const manifest = await orFailure(() => fetcher.manifest(), signal, undefined);
  const store = new Store(options.out, manifest, ticket.hash, options.force === true);
  await orFailure(() => fetchAll(context, fetcher, store, manifest), signal, store);
  await fetcher.done();
}

async function fetchAll(
  { output, interrupt: { signal } }: CommandContext,
  fetcher: Fetcher<ReturnType<typeof peerAddr>>,
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
    for (const [index, file] of manifest.files.entries()) {
      const rest = rests[index]!;
      const pieces = fetcher.file(index + 1, rest.from, file.bytes);
      await store.write(file, rest, pieces, (bytes) => progress.add(bytes));
    }
  }
  await store.finish();
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

function sourcesOf<A>(ticket: Ticket, parse: (inner: string) => A): readonly A[] {
  try {
    return ticket.addrs.map(parse);
  } catch (error) {
    throw new UsageError(`Cannot use this ticket: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
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
