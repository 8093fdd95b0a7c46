/** A mapping as programs hold it: one of those who asked for the same port. */

import { assertFunction } from '../base/checks.ts';
import type { SocketAddress } from '../base/ip.ts';
import type { Realm } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import type { MappingView } from '../protocols/port-mapping/mapping.ts';
import { ANSWER_MS } from '../protocols/port-mapping/transactions.ts';
import type { MappingProtocol } from '../protocols/port-mapping/types.ts';
import { Waits, type Wait } from '../runtime/waits.ts';
import { doubleNatText, failureText } from './mapping-text.ts';
import type { PortMapping } from './port-mapping.ts';

/** For sockets to be bound. */
const START_MS = 500;

/** What is shared by those who asked for one port. */
export interface MappingState {
  readonly key: string;
  readonly family: 4 | 6;
  isDecided: boolean;
  isReleasing: boolean;
  /** Bounded by the calls of the program that are not closed. */
  readonly handles: Set<OpenMapping>;
  readonly observed: () => string | undefined;
  /** `undefined` when it is gone. */
  readonly view: () => MappingView | undefined;
  /** Why it is gone. */
  readonly gone: string;
  readonly release: () => Promise<void>;
  /** The removal that has begun. */
  released: Promise<void> | undefined;
  onReleased?: (() => void) | undefined;
}

export class OpenMapping implements PortMapping {
  readonly ready: Promise<void>;
  readonly #state: MappingState;
  readonly #realm: Realm;
  /** Bounded by the program. */
  readonly #listeners = new Set<() => void>();
  readonly #ended = new AbortController();
  #ready: Wait<void> | undefined;
  #isClosed = false;

  constructor(state: MappingState, realm: Realm, call: CallOptions | undefined) {
    this.#state = state;
    this.#realm = realm;
    state.handles.add(this);
    this.ready = this.#waitForVerdict(call?.timeoutMs);
    const signal = call?.signal;
    const onAbort = (): void => void this.close();
    signal?.addEventListener('abort', onAbort, { once: true, signal: this.#ended.signal });
    if (signal?.aborted === true) onAbort();
  }

  get external(): SocketAddress | undefined {
    const external = this.#view?.grant?.external;
    return external?.ip === undefined ? undefined : { ip: external.ip, port: external.port };
  }

  get via(): MappingProtocol | undefined {
    return this.#view?.via;
  }

  get expiresMs(): number | undefined {
    return this.#view?.expiresMs;
  }

  get doubleNat(): boolean {
    const view = this.#view;
    // A router without an address that others see this host by another one.
    if (view?.failure === 'no_external_address')
      return this.#state.family === 4 && this.#state.observed() !== undefined;
    return this.#doubleNatText !== undefined;
  }

  get reason(): string | undefined {
    const view = this.#view;
    if (view === undefined) return this.#state.gone;
    if (view.failure !== undefined) return failureText(view.failure, view.gateway, view.detail);
    if (view.grant === undefined) return 'The routers are being asked';
    if (view.grant.external.ip === undefined) return failureText('no_external_address', view.gateway, undefined);
    return this.#doubleNatText;
  }

  onChange(listener: () => void): Disposable {
    assertFunction(listener, 'listener');
    const own = (): void => listener();
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  async close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#ended.abort(new Error('The mapping is closed'));
      this.#state.handles.delete(this);
      this.#ready?.resolve();
      this.#listeners.clear();
    }
    if (this.#state.handles.size === 0) await this.#state.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Something is different, or there is a verdict. */
  changed(): void {
    if (this.#state.isDecided) this.#ready?.resolve();
    for (const listener of this.#listeners) {
      try {
        listener();
      } catch (cause) {
        const realm = this.#realm;
        realm.trace?.({ layer: 'port-mapper', type: 'handler_error', atMs: realm.nowMs(), cause });
      }
    }
  }

  get #view(): MappingView | undefined {
    return this.#isClosed ? undefined : this.#state.view();
  }

  get #doubleNatText(): string | undefined {
    const ip = this.#view?.grant?.external.ip;
    return ip === undefined || this.#state.family === 6 ? undefined : doubleNatText(ip, this.#state.observed());
  }

  async #waitForVerdict(timeoutMs: number | undefined): Promise<void> {
    if (this.#state.isDecided) return;
    const what = (): string => `learn whether a router maps ${this.#state.key}`;
    // The machine gives a verdict by then. A call may wait less; at its timeout there is what there is.
    const defaultTimeoutMs = ANSWER_MS + START_MS;
    const call = { timeoutMs: Math.min(timeoutMs ?? Infinity, defaultTimeoutMs) };
    await new Waits(this.#realm)
      .wait<void>({ what, call, defaultTimeoutMs }, (wait) => {
        this.#ready = wait;
      })
      .catch(() => undefined);
  }
}
