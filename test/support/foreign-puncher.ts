/** A hole puncher of somebody else: it greets every address, then wherever a greeting with its token comes from. Public types only. */

import type { ClockedRealm } from 'shoal/swarm-kit';
import type { PunchingNetwork, PunchOffer, Puncher } from 'shoal/nat';
import type { SocketAddress } from 'shoal/net';

/** @param observe - asks as what the socket on `port` is seen. */
export function foreignPuncher(
  network: PunchingNetwork,
  port: number,
  realm: ClockedRealm,
  observe: () => Promise<SocketAddress>,
): Puncher {
  const socket = network.socketAt(port);
  return {
    offer: async (): Promise<PunchOffer> => ({ token: realm.random(16), addrs: [await observe()], ports: 'steady' }),
    punch: (own, theirs) =>
      new Promise((resolve, reject) => {
        const startMs = realm.nowMs();
        let probes = 0;
        let heard: SocketAddress | undefined;
        socket.filter = (payload, ip, from) => {
          if (payload.length !== 18 || !own.token.every((byte, i) => payload[2 + i] === byte)) return false;
          heard ??= { ip, port: from };
          // It has heard us: the way is open in both directions.
          if (payload[1] === 1) resolve({ remote: heard, rttMs: 0, probes, tookMs: realm.nowMs() - startMs });
          return true;
        };
        const greet = (): void => {
          for (const to of heard === undefined ? theirs.addrs : [heard]) {
            socket.send(Uint8Array.of(0, heard === undefined ? 0 : 1, ...theirs.token), to.ip, to.port);
            probes++;
          }
          if (probes < 20) realm.clock.setTimer(realm.nowMs() + 50, greet);
          else reject(new Error('Nobody answers')); // Without effect when it is through.
        };
        greet();
      }),
    [Symbol.asyncDispose]: async () => void (socket.filter = undefined),
  };
}
