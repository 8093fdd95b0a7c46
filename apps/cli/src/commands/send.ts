/** `shoal send`: offers a file or folder, prints the ticket for it, and serves it until it is interrupted. */

import { type CommandContext, keyOf } from '../context.ts';
import { APART, type NodeOptions, openPeersOf, placesOf } from '../open-peers.ts';
import { printable } from '../printable.ts';
import { totalBytes } from '../transfer/manifest.ts';
import { makeOffer } from '../transfer/offer.ts';
import { collectLessOften } from '../transfer/garbage.ts';
import { Progress, sizeText } from '../transfer/progress.ts';
import { encodeTicket } from '../transfer/ticket.ts';

/** Options of `shoal send`. */
export interface SendFileOptions extends NodeOptions {
  readonly once?: boolean | undefined;
}

/** Lines about what is left out; more are counted. */
const MAX_NOTES = 50;

/** Serves until Ctrl-C, or with `--once` until somebody has everything. */
export async function send(context: CommandContext, file: string, options: SendFileOptions): Promise<void> {
  const { output, interrupt } = context;
  const privateKey = await keyOf(options);
  const { signal } = interrupt;
  let leftOut = 0;
  const onLeftOut = (left: string, why: string): void => {
    if (++leftOut <= MAX_NOTES) output.note(`shoal: left out ${printable(left)}: ${printable(why)}`);
  };
  const offer = await makeOffer(
    file,
    privateKey,
    signal,
    onLeftOut,
    (name, total) => new Progress(output, name, total),
  );
  if (leftOut > MAX_NOTES) output.note(`shoal: left out ${leftOut - MAX_NOTES} more`);
  collectLessOften();
  await using peers = await openPeersOf(context, options, { ...APART, privateKey });
  let served = 0;
  peers.serve(async ({ src, payload }) => {
    const answer = await offer.answer(payload, () => {
      output.show({ event: 'delivered', dst: src.text }, `delivered to ${src.text}`);
      // After the answer is out.
      if (options.once === true) setImmediate(() => interrupt.fire());
    });
    served += answer.length;
    return answer;
  });

  const { manifest, hash, secret } = offer;
  const ticket = encodeTicket({ id: peers.id, secret, hash, addrs: placesOf(peers) });
  const total = totalBytes(manifest);
  const files = manifest.files.length;
  const what = manifest.kind === 'file' ? '' : `${files} files, `;
  if (!output.json) {
    output.note(`Sending ${printable(manifest.name)}, ${what}${sizeText(total)}, until Ctrl-C. On the other machine:`);
    output.note(`  shoal receive ${ticket}`);
  }
  output.show({ event: 'ticket', ticket, name: manifest.name, files, bytes: total, leftOut }, ticket);
  await Promise.race([peers.closed, interrupt.fired]);
  output.show({ event: 'closed', servedBytes: served });
}
