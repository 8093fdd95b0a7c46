/** Reads a configuration again when its file changes: checked whole before it is applied, and the old one kept when it is not valid. */

import { assertFunction, assertString, describeValue, quantity } from '../base/checks.ts';
import type { Realm, Timer } from '../core/realm.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import { ConfigError, configChanges, parseConfig, type PeersConfig } from './config.ts';

/** Access to the file. `configFiles` of `config-files.ts` is that of this machine. */
export interface ConfigReader {
  /** A text that changes with the file, such as its time and size; `undefined` when there is no file. May reject. */
  stamp(path: string): Promise<string | undefined>;
  /** The whole text. Rejects when it cannot be read. */
  read(path: string): Promise<string>;
}

/** Takes a configuration. When it throws or rejects, that is reported, and the configuration counts as not applied. */
export type ApplyConfig = (config: PeersConfig, changed: readonly (keyof PeersConfig)[]) => void | Promise<void>;

/** How a file is watched. */
export interface WatchConfigOptions {
  readonly reader: ConfigReader;
  /** Called for each version of the file that is not used, with why. Must not throw. */
  readonly onFault?: ((error: Error) => void) | undefined;
  /** How often the file is looked at. @default 1000 */
  readonly everyMs?: number | undefined;
  /** @default the system realm */
  readonly realm?: Realm | undefined;
}

/** A watched configuration. */
export interface ConfigWatch extends Disposable {
  /** The one that was applied last. */
  readonly config: PeersConfig;
  /** Looks at the file now, and settles when that is done. Never rejects. */
  check(): Promise<void>;
}

/**
 * Reads a configuration, applies it, and does so again whenever the file has changed to another valid one.
 *
 * @throws {TypeError | RangeError} for misuse, at once.
 * @returns a promise that rejects when the first configuration cannot be read, is not valid, or cannot be applied.
 */
export function watchConfig(path: string, apply: ApplyConfig, options: WatchConfigOptions): Promise<ConfigWatch> {
  assertString(path, 'path');
  assertFunction(apply, 'apply');
  const { reader } = options;
  if (typeof reader?.stamp !== 'function' || typeof reader.read !== 'function') {
    throw new TypeError(`Cannot take reader: expected { stamp, read }, got ${describeValue(reader)}`);
  }
  const everyMs = quantity(options.everyMs, 'everyMs', 1000, 1, 86_400_000);
  const watch = new Watch(path, apply, options, everyMs);
  return watch.start();
}

class Watch implements ConfigWatch {
  config: PeersConfig = {};
  readonly #path: string;
  readonly #apply: ApplyConfig;
  readonly #options: WatchConfigOptions;
  readonly #realm: Realm;
  readonly #everyMs: number;
  /** Of the version that was read last. */
  #stamp: string | undefined;
  /** Whether the file has been read since the last look at which it had changed. */
  #isSettled = false;
  /** The text of the version that was read last, whether or not it was used. */
  #text: string | undefined;
  /** What was reported last, so that a fault that stays is reported once. */
  #fault: string | undefined;
  #checking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(path: string, apply: ApplyConfig, options: WatchConfigOptions, everyMs: number) {
    this.#path = path;
    this.#apply = apply;
    this.#options = options;
    this.#realm = options.realm ?? systemRealm;
    this.#everyMs = everyMs;
  }

  async start(): Promise<ConfigWatch> {
    const { reader } = this.#options;
    this.#stamp = await reader.stamp(this.#path);
    if (this.#stamp === undefined) throw noFile(this.#path);
    const text = await reader.read(this.#path);
    const config = parseConfig(text, this.#path);
    await this.#apply(config, configChanges({}, config));
    this.#text = text;
    this.config = config;
    this.#arm();
    return this;
  }

  check(): Promise<void> {
    this.#checking ??= this.#look().finally(() => (this.#checking = undefined));
    return this.#checking;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#isClosed) return;
    const again = (): void => void this.check().then(() => this.#arm());
    this.#timer = clockOf(this.#realm).setTimer(this.#realm.nowMs() + this.#everyMs, again, { background: true });
  }

  async #look(): Promise<void> {
    try {
      const { reader } = this.#options;
      const stamp = await reader.stamp(this.#path);
      if (stamp === undefined) throw noFile(this.#path);
      const isSame = stamp === this.#stamp;
      this.#stamp = stamp;
      // A second write within the resolution of its time leaves the stamp as it is: what changed is read once more.
      if (isSame && this.#isSettled) return;
      this.#isSettled = isSame;
      const text = await reader.read(this.#path);
      if (text === this.#text || this.#isClosed) return;
      this.#text = text;
      await this.#use(parseConfig(text, this.#path));
      this.#fault = undefined;
    } catch (error) {
      this.#report(error instanceof Error ? error : new Error(String(error)));
    }
  }

  async #use(config: PeersConfig): Promise<void> {
    const changed = configChanges(this.config, config);
    if (changed.length > 0) await this.#apply(config, changed);
    this.config = config;
  }

  #report(error: Error): void {
    if (this.#isClosed || error.message === this.#fault) return;
    this.#fault = error.message;
    this.#options.onFault?.(error);
  }
}

function noFile(path: string): ConfigError {
  return new ConfigError(path, [{ path: '', message: 'there is no such file' }]);
}
