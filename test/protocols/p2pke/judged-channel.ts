/** A channel whose questions are answered at once, and whose drops are noted. */

import type { Bytes } from '../../../src/base/bytes.ts';
import type { Output } from '../../../src/base/machine.ts';
import type { PublicKey } from '../../../src/core/secure.ts';
import type { ChannelEvent, ChannelOptions, ChannelVerdict } from '../../../src/protocols/p2pke/channel-options.ts';
import { Channel } from '../../../src/protocols/p2pke/channel.ts';
import type { P2pkeDrop } from '../../../src/protocols/p2pke/drop-reason.ts';
import type { VerifiedHello } from '../../../src/protocols/p2pke/hello.ts';

export interface JudgedChannelOptions extends ChannelOptions {
  readonly accept: (publicKey: PublicKey) => boolean;
  /** What a key that is not accepted is called. @default 'not_accepted' */
  readonly refusal?: ChannelVerdict;
}

export class JudgedChannel extends Channel {
  readonly #dropped: P2pkeDrop[] = [];
  readonly #accept: JudgedChannelOptions['accept'];
  readonly #refusal: ChannelVerdict;
  readonly #outputs: Output<Bytes, ChannelEvent>[] = [];

  constructor({ accept, refusal = 'not_accepted', ...options }: JudgedChannelOptions) {
    super(options);
    this.#accept = accept;
    this.#refusal = refusal;
  }

  /** Why datagrams were dropped, in order; tests take them out. */
  get dropped(): P2pkeDrop[] {
    return this.#dropped;
  }

  override handleDatagram(now: number, wallMs: number, datagram: Uint8Array): Bytes | undefined {
    const received = super.handleDatagram(now, wallMs, datagram);
    this.#judge(now, wallMs);
    if (typeof received !== 'string') return received;
    this.#dropped.push(received);
    return undefined;
  }

  override handleHello(now: number, wallMs: number, hello: VerifiedHello): P2pkeDrop | undefined {
    const reason = super.handleHello(now, wallMs, hello);
    if (reason !== undefined) this.#dropped.push(reason);
    this.#judge(now, wallMs);
    return reason;
  }

  override poll(): Output<Bytes, ChannelEvent> {
    return this.#outputs.shift() ?? super.poll();
  }

  override close(): void {
    super.close();
    this.#outputs.length = 0;
  }

  #judge(now: number, wallMs: number): void {
    for (let output = super.poll(); output.type !== 'wait'; output = super.poll()) {
      if (output.type !== 'event' || output.event.type !== 'accept') {
        this.#outputs.push(output);
        continue;
      }
      const { publicKey } = output.event;
      const reason = this.answer(now, wallMs, publicKey, this.#accept(publicKey) ? 'accepted' : this.#refusal);
      if (reason !== undefined) this.#dropped.push(reason);
    }
  }
}
