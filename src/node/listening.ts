/** The listening state of a node. */

import { type SocketAddress, formatSocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import { bindFirst } from '../net/default-bind.ts';
import type { Listener, ListenOptions, Network } from '../net/network.ts';

/** Options of listening. */
export interface ListeningOptions extends Omit<ListenOptions, 'bind'> {
  readonly network: Network;
  /** The error of an operation on a closed node; `undefined` while it is open. */
  readonly closedError: (what: string) => P2PError | undefined;
}

/** Starts and stops the listener; calls run one after the other. */
export class Listening {
  readonly #options: ListeningOptions;
  #listener: Listener | undefined;
  #toggling: Promise<unknown> = Promise.resolve();

  constructor(options: ListeningOptions) {
    this.#options = options;
  }

  /** The listening address. */
  get address(): SocketAddress | undefined {
    return this.#listener?.address;
  }

  /**
   * @param binds - candidate addresses: the first that this machine has is used.
   * @throws (by rejection) {P2PError} `in_use`, `unreachable`, `unsupported`, `closed`.
   */
  start(binds: readonly SocketAddress[]): Promise<SocketAddress> {
    return this.#toggle(async () => {
      this.#throwIfClosed();
      if (this.address !== undefined) {
        const at = formatSocketAddress(this.address.ip, this.address.port);
        throw new P2PError('in_use', 'local', `Cannot listen: the node listens on ${at} already`, { sent: 'no' });
      }
      const { network, closedError: _, ...options } = this.#options;
      const listener = await bindFirst(binds, (bind) => network.listen({ ...options, bind }));
      try {
        this.#throwIfClosed();
      } catch (error) {
        await listener.close();
        throw error;
      }
      this.#listener = listener;
      return listener.address;
    });
  }

  /** Waits for earlier calls. */
  stop(): Promise<void> {
    return this.#toggle(() => this.stopNow());
  }

  async stopNow(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.close();
  }

  #throwIfClosed(): void {
    const error = this.#options.closedError('listen');
    if (error !== undefined) throw error;
  }

  #toggle<T>(act: () => Promise<T>): Promise<T> {
    const done = this.#toggling.then(act);
    this.#toggling = done.catch(() => undefined); // The caller gets the error.
    return done;
  }
}
