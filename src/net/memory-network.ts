/**
 * A network in memory: the node as it is, in virtual time, and the same run for the same seed. It carries bytes as TCP does,
 * with a latency and a window, cut at random places.
 */

import { P2PError } from '../core/errors.ts';
import { canonicalIp, type SocketAddress, formatSocketAddress, isUnspecifiedIp } from '../base/ip.ts';
import { describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { type Realm } from '../core/realm.ts';
import { createSeededRandom, type Seed } from '../base/seeded-random.ts';
import { clockOf } from '../runtime/system-realm.ts';
import { type MemoryPipe, memoryPipes, type Path } from './memory-pipe.ts';
import {
  type DialOptions,
  type RawConnection,
  type ListenOptions,
  type Listener,
  type Network,
  type NetworkInterface,
} from './network.ts';

/** How a network in memory is. */
export interface MemoryNetworkOptions {
  /** Whose time; that of its nodes. */
  readonly realm: Realm;
  /** Where bytes are cut. @default 0 */
  readonly seed?: Seed | undefined;
  /** From one end to the other. @default 0 */
  readonly latencyMs?: number | undefined;
  /** Bytes that may be on their way or unread, in one direction of a connection. @default 65 536 */
  readonly windowBytes?: number | undefined;
}

/** Hosts that can reach each other, and nobody else. */
export interface MemoryNetwork {
  /**
   * What a node on a host with this IP uses as its `network`.
   *
   * @throws {TypeError} when `ip` is none.
   */
  host(ip: string): Network;
}

const FIRST_EPHEMERAL_PORT = 49_152;
const LAST_PORT = 65_535;

/**
 * Makes a network in memory.
 *
 * @throws {TypeError | RangeError} for wrong options.
 * @example
 * ```ts
 * const realm = createMemoryRealm({ clock: 'virtual', seed: 7 });
 * const net = createMemoryNetwork({ realm, latencyMs: 20 });
 * const node = createNode({ security: 'none', realm, network: net.host('10.0.0.1'), bind: '10.0.0.1:80' });
 * ```
 */
export function createMemoryNetwork(options: MemoryNetworkOptions): MemoryNetwork {
  const { realm } = options;
  const random = createSeededRandom(options.seed ?? 0);
  const path: Path = {
    realm,
    latencyMs: quantity(options.latencyMs, 'latencyMs', 0, 0, Number.MAX_SAFE_INTEGER),
    windowBytes: wholeNumber(options.windowBytes, 'windowBytes', 65_536, 1, Number.MAX_SAFE_INTEGER),
    // Half of what could go together goes whole.
    cut: (length) => (random.next() < 0.5 ? length : Math.ceil(random.next() * length)),
  };
  const listeners = new Map<string, ListenOptions>(); // Bounded by the listeners that are open.
  return {
    host: (text) => {
      const ip = canonicalIp(text);
      if (ip === undefined) throw new TypeError(`Cannot take ip: expected an IP, got ${describeValue(text)}`);
      return new Host(ip, path, listeners);
    },
  };
}

class Host implements Network {
  readonly #ip: string;
  readonly #path: Path;
  readonly #listeners: Map<string, ListenOptions>;
  #nextPort = FIRST_EPHEMERAL_PORT;

  constructor(ip: string, path: Path, listeners: Map<string, ListenOptions>) {
    this.#ip = ip;
    this.#path = path;
    this.#listeners = listeners;
  }

  interfaces(): readonly NetworkInterface[] {
    return [{ name: 'eth0', ip: this.#ip, prefixLength: 8, isInternal: false }];
  }

  onInterfacesChanged(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  bindUdp(): Promise<never> {
    return Promise.reject(
      new P2PError('unsupported', 'local', 'Cannot bind UDP: this network has none', { sent: 'no' }),
    );
  }

  dial({ remote, bind, signal }: DialOptions): Promise<RawConnection> {
    const { realm, latencyMs } = this.#path;
    const local = { ip: this.#ip, port: bind === undefined || bind.port === 0 ? this.#ephemeral() : bind.port };
    return new Promise((resolve, reject) => {
      const clock = clockOf(realm);
      const after = (ms: number, act: () => void): void => {
        timer = clock.setTimer(realm.nowMs() + ms, act);
      };
      let near: MemoryPipe | undefined;
      const onAbort = (): void => {
        timer.cancel();
        near?.destroy();
        reject(signal.reason);
      };
      const settle = (act: () => void): void => {
        signal.removeEventListener('abort', onAbort);
        act();
      };
      let timer = clock.setTimer(realm.nowMs() + latencyMs, () => {
        const listener = this.#listeners.get(formatSocketAddress(remote.ip, remote.port));
        if (listener === undefined) {
          after(latencyMs, () => settle(() => reject(nobody(remote))));
          return;
        }
        const [made, far] = memoryPipes(this.#path);
        near = made;
        listener.onConnection({ pipe: far, local: remote, remote: local });
        after(latencyMs, () => settle(() => resolve({ pipe: made, local, remote })));
      });
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort);
    });
  }

  listen(options: ListenOptions): Promise<Listener> {
    const { bind } = options;
    const ip = isUnspecifiedIp(bind.ip) ? this.#ip : bind.ip;
    const address = { ip, port: bind.port === 0 ? this.#ephemeral() : bind.port };
    const where = formatSocketAddress(address.ip, address.port);
    if (ip !== this.#ip) {
      const message = `Cannot listen on ${where}: this machine does not have that address`;
      return Promise.reject(new P2PError('unreachable', 'local', message, { sent: 'no' }));
    }
    if (this.#listeners.has(where)) {
      const message = `Cannot listen on ${where}: the port is in use`;
      return Promise.reject(new P2PError('in_use', 'local', message, { sent: 'no' }));
    }
    this.#listeners.set(where, options);
    return Promise.resolve({
      address,
      close: () => {
        this.#listeners.delete(where);
        return Promise.resolve();
      },
    });
  }

  /** The next port; after the last the first again. */
  #ephemeral(): number {
    const port = this.#nextPort;
    this.#nextPort = port === LAST_PORT ? FIRST_EPHEMERAL_PORT : port + 1;
    return port;
  }
}

function nobody(remote: SocketAddress): P2PError {
  const message = `Cannot connect to ${formatSocketAddress(remote.ip, remote.port)}: nobody listens there`;
  return new P2PError('unreachable', 'remote', message, { sent: 'no' });
}
