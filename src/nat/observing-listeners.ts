/** A network whose TCP listeners also tell those who ask under which address they are seen: every listener is an observer. */

import { type Bytes, joinBytes } from '../base/bytes.ts';
import { sourceOf } from '../base/source-shares.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { assertNetwork, type Network, type RawConnection } from '../net/network.ts';
import { systemNetwork } from '../net/system-network.ts';
import { answerStun } from '../protocols/stun/server.ts';
import { STUN_COOKIE } from '../protocols/stun/constants.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import { answerStunOn } from './stun-stream.ts';

/** How listeners observe. */
export interface ObservingListenersOptions {
  /** @default this system's */
  readonly network?: Network | undefined;
  readonly realm?: Realm | undefined;
}

/** How long a connection may be silent before the program gets it: its protocol may begin on this side. */
const SILENCE_MS = 1000;
/** A connection with questions is closed after this long. */
const CONNECTION_MS = 10_000;
/** Connections whose first bytes are awaited, and those with questions; others go to the program at once. */
const MAX_HELD = 256;
const MAX_HELD_PER_SOURCE = 16;
const MAX_PER_SOURCE_PER_SECOND = 20;
const MAX_SOURCES = 1024;
/** What a Binding request begins with, but for the length in bytes 2 and 3 (RFC 8489 §5). */
const PREFIX: readonly (number | undefined)[] = [
  0,
  1,
  undefined,
  undefined,
  ...[24, 16, 8, 0].map((shift) => (STUN_COOKIE >> shift) & 255),
];

/**
 * Makes the listeners of a network observe: a connection that begins with a STUN Binding request is answered, every other one goes to the program with all its
 * bytes, as it came. What ends before its eighth byte does not.
 *
 * @throws {TypeError} for wrong options.
 */
export function observingListeners({
  network = systemNetwork,
  realm = systemRealm,
}: ObservingListenersOptions = {}): Network {
  assertNetwork(network);
  assertRealm(realm);
  const rates = new SourceBuckets(MAX_PER_SOURCE_PER_SECOND, MAX_PER_SOURCE_PER_SECOND, MAX_SOURCES);
  /** Connections that are held, by their network. Bounded by {@link MAX_HELD}. */
  const held = new Map<string, number>();
  let heldInAll = 0;
  const count = (source: string, by: 1 | -1): void => {
    heldInAll += by;
    const left = (held.get(source) ?? 0) + by;
    if (left === 0) held.delete(source);
    else held.set(source, left);
  };
  const answer = (request: Bytes, { remote, local }: RawConnection): Bytes | undefined =>
    rates.take(realm.nowMs(), sourceOf(remote.ip)) ? answerStun(request, remote, { here: local })?.bytes : undefined;

  const observe = (connection: RawConnection, onConnection: (connection: RawConnection) => void): void => {
    const { pipe, remote } = connection;
    const source = sourceOf(remote.ip);
    if (heldInAll >= MAX_HELD || (held.get(source) ?? 0) >= MAX_HELD_PER_SOURCE) {
      onConnection(connection);
      return;
    }
    count(source, 1);
    let read: Bytes = new Uint8Array(0); // Bounded by the prefix and the last chunk.
    const clock = clockOf(realm);
    const pass = (): void => {
      timer.cancel();
      count(source, -1);
      pipe.pause();
      pipe.sink = undefined;
      if (read.length > 0) pipe.unshift(read);
      onConnection(connection);
    };
    const serve = (): void => {
      timer.cancel();
      pipe.pause();
      pipe.unshift(read);
      const end = clock.setTimer(realm.nowMs() + CONNECTION_MS, () => pipe.destroy(), { background: true });
      answerStunOn(
        pipe,
        (request) => answer(request, connection),
        () => {
          end.cancel();
          count(source, -1);
        },
      );
    };
    const timer = clock.setTimer(realm.nowMs() + SILENCE_MS, pass, { background: true });
    pipe.sink = {
      onData: (chunk) => {
        read = joinBytes(read, chunk);
        const isOther = PREFIX.some((byte, i) => i < read.length && byte !== undefined && byte !== read[i]);
        if (isOther) pass();
        else if (read.length >= PREFIX.length) serve();
      },
      // Fewer than eight bytes and then nothing more: that is no handshake of anything.
      onEnd: () => {
        timer.cancel();
        count(source, -1);
        pipe.sink = undefined;
        pipe.destroy();
      },
      onClose: () => {
        timer.cancel();
        count(source, -1);
      },
    };
    pipe.resume();
  };
  return {
    dial: (options) => network.dial(options),
    listen: (options) =>
      network.listen({ ...options, onConnection: (connection) => observe(connection, options.onConnection) }),
    bindUdp: (options) => network.bindUdp(options),
    interfaces: () => network.interfaces(),
    onInterfacesChanged: (listener) => network.onInterfacesChanged(listener),
  };
}
