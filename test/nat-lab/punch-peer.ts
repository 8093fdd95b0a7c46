/** A host that punches when the helper says so: each punch with sockets of its own. It tells the helper how it went. */

import { createInterface } from 'node:readline';
import { connect } from 'node:net';
import { once } from 'node:events';
import { decodeText, encodeText, fromHex, toHex } from '../../src/base/bytes.ts';
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from '../../src/base/ip.ts';
import {
  decodePunchOffer,
  encodePunchOffer,
  type PunchedConnection,
  type PunchedPath,
  type Puncher,
  type PunchOffer,
  type PunchOptions,
  punching,
  tcpPuncher,
  udpPuncher,
} from '../../src/nat/index.ts';
import { systemNetwork } from '../../src/net/system-network.ts';
import { systemRealm } from '../../src/runtime/system-realm.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { pause } from '../support/nat-probe.ts';
import type { PunchOrder, PunchReport } from './punch-orders.ts';

/** A punch that was offered. */
interface Offered {
  readonly offer: PunchOffer;
  punch(theirs: PunchOffer, options: PunchOptions): Promise<PunchedPath & { readonly heard: string }>;
  close(): Promise<void>;
}

const GREETING = 'through the hole';
const WAIT_MS = 2000;

async function offerUdp(observers: readonly SocketAddress[]): Promise<Offered> {
  const network = punching(systemNetwork);
  const swarm = await openUdpSwarm({ network, bind: '0.0.0.0:0' });
  let heard = '';
  swarm.listen(({ payload }) => void (heard = decodeText(payload) ?? ''));
  const puncher: Puncher = udpPuncher({ network, port: swarm.addr.port, observers: () => observers });
  const offer = await puncher.offer();
  return {
    offer,
    close: () => swarm.close(),
    punch: async (theirs, options) => {
      const path = await puncher.punch(offer, theirs, options);
      const { ip, port } = path.remote;
      // The other side may still be a step behind, and datagrams get lost.
      for (let waited = 0; waited < WAIT_MS && (heard === '' || waited < 200); waited += 50) {
        await swarm.tell(formatSocketAddress(ip, port), encodeText(GREETING));
        await pause(systemRealm, 50);
      }
      return { ...path, heard };
    },
  };
}

async function offerTcp(observers: readonly SocketAddress[]): Promise<Offered> {
  const puncher: Puncher<PunchedConnection> = tcpPuncher({ observers: () => observers });
  const offer = await puncher.offer();
  return {
    offer,
    close: async () => {
      await puncher[Symbol.asyncDispose]();
    },
    punch: async (theirs, options) => {
      const path = await puncher.punch(offer, theirs, options);
      const { pipe } = path.connection;
      let heard = '';
      const { promise, resolve } = Promise.withResolvers<string>();
      pipe.sink = {
        onData: (chunk) => {
          heard += decodeText(chunk) ?? '?';
          if (heard.length >= GREETING.length) resolve('all');
        },
        onEnd: () => resolve('end'),
        onClose: () => resolve('closed'),
      };
      pipe.write([encodeText(GREETING)], () => undefined);
      pipe.resume();
      await Promise.race([promise, pause(systemRealm, WAIT_MS)]);
      await pause(systemRealm, 100);
      pipe.destroy();
      return { ...path, heard };
    },
  };
}

const [name, helper, ...texts] = process.argv.slice(2);
const observers = texts.map((text) => parseSocketAddress(text)!);
const { ip, port } = parseSocketAddress(helper!)!;
const socket = connect({ host: ip, port });
await once(socket, 'connect');
const say = (report: PunchReport): void => void socket.write(`${JSON.stringify(report)}\n`);
say({ report: 'name', name: name! });
let offered: Offered | undefined;
for await (const line of createInterface({ input: socket })) {
  const order = JSON.parse(line) as PunchOrder;
  try {
    if (order.order === 'offer') {
      offered = await (order.protocol === 'udp' ? offerUdp(observers) : offerTcp(observers));
      say({ report: 'offer', bytes: toHex(encodePunchOffer(offered.offer)), ports: offered.offer.ports });
    } else {
      const { side, proven, timeoutMs } = order;
      const path = await offered!.punch(decodePunchOffer(fromHex(order.theirs))!, {
        side,
        proven,
        timeoutMs,
        rttMs: 10,
      });
      say({ report: 'punched', rttMs: path.rttMs, probes: path.probes, tookMs: path.tookMs, heard: path.heard });
      await offered!.close();
    }
  } catch (error) {
    say({ report: 'failed', why: (error as Error).message });
    await offered?.close();
  }
}
process.exit(0);
