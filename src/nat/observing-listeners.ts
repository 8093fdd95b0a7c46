/** A network whose TCP listeners also tell those who ask under which address they are seen: every listener is an observer. */

import type { Bytes } from '../base/bytes.ts';
import { sourceOf } from '../base/source-shares.ts';
import { SourceBuckets } from '../base/token-bucket.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import { routedListeners } from '../net/listener-routes.ts';
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

/** A connection with questions is closed after this long. */
const CONNECTION_MS = 10_000;
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
  const answer = (request: Bytes, { remote, local }: RawConnection): Bytes | undefined =>
    rates.take(realm.nowMs(), sourceOf(remote.ip)) ? answerStun(request, remote, { here: local })?.bytes : undefined;
  const serve = (connection: RawConnection, done: () => void): void => {
    const { pipe } = connection;
    const ended = (): void => pipe.destroy();
    const end = clockOf(realm).setTimer(realm.nowMs() + CONNECTION_MS, ended, { background: true });
    answerStunOn(
      pipe,
      (request) => answer(request, connection),
      () => {
        end.cancel();
        done();
      },
    );
  };
  return routedListeners({ network, realm, route: { prefixes: [PREFIX], serve } });
}
