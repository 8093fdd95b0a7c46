/** A network whose TCP listeners give connections to somebody else by the first bytes that come on them. */

import { type Bytes, joinBytes } from '../base/bytes.ts';
import { sourceOf, SourceShares } from '../base/source-shares.ts';
import type { Realm } from '../core/realm.ts';
import { clockOf } from '../runtime/system-realm.ts';
import type { Network, RawConnection } from './network.ts';

/** Who gets which connections. */
export interface ListenerRoute {
  /** What a connection begins with; `undefined` is any byte. One of several. */
  readonly prefixes: readonly (readonly (number | undefined)[])[];
  /**
   * Takes a connection, with all its bytes, as it came.
   *
   * @param done - to be called when the connection has ended: it counts as held until then.
   */
  serve(connection: RawConnection, done: () => void): void;
}

/** How connections are told apart. */
export interface ListenerRoutesOptions {
  readonly network: Network;
  readonly realm: Realm;
  readonly route: ListenerRoute;
}

/** How long a connection may be silent before the program gets it: its protocol may begin on this side. */
const SILENCE_MS = 1000;
/**
 * Connections whose first bytes are awaited, and those that are served here. When they are too many, the one of the network with the most that has waited longest
 * goes to the program; the one that came last, when no network has several.
 */
const MAX_HELD = 256;
const MAX_HELD_PER_SOURCE = 16;

/**
 * Wraps a network: a connection that begins with one of the prefixes goes to the route, every other one to the program with all its bytes, as it came. What ends before that is clear
 * goes to nobody.
 */
export function routedListeners({ network, realm, route }: ListenerRoutesOptions): Network {
  /** Connections that are held, by their network. Bounded by {@link MAX_HELD}. */
  const held = new Map<string, number>();
  let heldInAll = 0;
  /** Of these, how to give those whose first bytes are awaited to the program. */
  const silent = new SourceShares<() => void>();
  const count = (source: string, by: 1 | -1): void => {
    heldInAll += by;
    const left = (held.get(source) ?? 0) + by;
    if (left === 0) held.delete(source);
    else held.set(source, left);
  };
  const look = (connection: RawConnection, onConnection: (connection: RawConnection) => void): void => {
    const { pipe, remote } = connection;
    const source = sourceOf(remote.ip);
    const hasShare = (held.get(source) ?? 0) < MAX_HELD_PER_SOURCE;
    if (hasShare && heldInAll >= MAX_HELD) silent.victimFor(remote.ip)?.();
    if (!hasShare || heldInAll >= MAX_HELD) {
      onConnection(connection);
      return;
    }
    count(source, 1);
    let read: Bytes = new Uint8Array(0); // Bounded by the longest prefix and the last chunk.
    const ended = (): void => {
      timer.cancel();
      silent.delete(pass);
    };
    const stop = (): void => {
      ended();
      pipe.pause();
      pipe.sink = undefined;
      if (read.length > 0) pipe.unshift(read);
    };
    const pass = (): void => {
      stop();
      count(source, -1);
      onConnection(connection);
    };
    const timer = clockOf(realm).setTimer(realm.nowMs() + SILENCE_MS, pass, { background: true });
    silent.add(remote.ip, pass);
    pipe.sink = {
      onData: (chunk) => {
        read = joinBytes(read, chunk);
        const possible = route.prefixes.filter((prefix) => fits(read, prefix));
        if (possible.length === 0) pass();
        else if (possible.some((prefix) => read.length >= prefix.length)) {
          stop();
          let isHeld = true;
          route.serve(connection, () => {
            if (isHeld) count(source, -1);
            isHeld = false;
          });
        }
      },
      // A few bytes and then nothing more: that is no handshake of anything.
      onEnd: () => {
        ended();
        count(source, -1);
        pipe.sink = undefined;
        pipe.destroy();
      },
      onClose: () => {
        ended();
        count(source, -1);
      },
    };
    pipe.resume();
  };
  return {
    ...network,
    dial: (options) => network.dial(options),
    listen: (options) =>
      network.listen({ ...options, onConnection: (connection) => look(connection, options.onConnection) }),
    bindUdp: (options) => network.bindUdp(options),
    interfaces: () => network.interfaces(),
    onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
  };
}

function fits(bytes: Uint8Array, prefix: readonly (number | undefined)[]): boolean {
  return prefix.every((byte, i) => i >= bytes.length || byte === undefined || byte === bytes[i]);
}
