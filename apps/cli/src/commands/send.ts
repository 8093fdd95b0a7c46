/** `shoal send`: offers a file or folder, prints the ticket for it, and serves it until it is interrupted. */

import { encodeText } from 'shoal/bytes';
import { generateKey, peerIdOfKey } from 'shoal/keys';
import { openQuicSwarm } from 'shoal/quic';
import { type CommandContext, type CommonOptions, loadKey } from '../context.ts';
import { printable } from '../printable.ts';
import { totalBytes } from '../transfer/manifest.ts';
import { makeOffer } from '../transfer/offer.ts';
import { Progress, sizeText } from '../transfer/progress.ts';
import { encodeTicket } from '../transfer/ticket.ts';

/** Options of `shoal send`. */
export interface SendFileOptions extends CommonOptions {
  readonly bind?: string | undefined;
  readonly key?: string | undefined;
  readonly once?: boolean | undefined;
}

/** Lines about what is left out; more are counted. */
const MAX_NOTES = 50;

/** Serves until Ctrl-C, or with `--once` until somebody has everything. */
export async function send(context: CommandContext, file: string, options: SendFileOptions): Promise<void> {
  const { output, interrupt, realm } = context;
  const privateKey = options.key === undefined ? generateKey() : await loadKey(options.key);
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
  await using swarm = await openQuicSwarm({
    realm,
    bind: options.bind ?? '0.0.0.0:0',
    privateKey,
    signal,
    // With a key that stays, receivers notice at once when the sender has been started again.
    resetKey: privateKey.sign(encodeText('shoal send reset\0')),
  });
  let served = 0;
  swarm.serve(async ({ src, payload }) => {
    const answer = await offer.answer(payload, () => {
      output.show({ event: 'delivered', dst: src.text }, `delivered to ${src.text}`);
      // After the answer is out.
      if (options.once === true) setImmediate(() => interrupt.fire());
    });
    served += answer.length;
    return answer;
  });

  const { manifest, hash, secret } = offer;
  const addrs = swarm.localAddrs().map(({ inner }) => inner.text);
  const ticket = encodeTicket({ id: peerIdOfKey(privateKey.publicKey), secret, hash, addrs });
  const total = totalBytes(manifest);
  const files = manifest.files.length;
  const what = manifest.kind === 'file' ? '' : `${files} files, `;
  if (!output.json) {
    output.note(`Sending ${printable(manifest.name)}, ${what}${sizeText(total)}, until Ctrl-C. On the other machine:`);
    output.note(`  shoal receive ${ticket}`);
  }
  output.show({ event: 'ticket', ticket, name: manifest.name, files, bytes: total, leftOut }, ticket);
  await Promise.race([swarm.closed, interrupt.fired]);
  output.show({ event: 'closed', servedBytes: served });
}
