/** Two hosts behind NATs of a virtual internet, with observers, that punch. */

import type { SocketAddress } from '../../src/base/ip.ts';
import { P2PError } from '../../src/core/errors.ts';
import type { Swarm } from '../../src/core/swarm.ts';
import {
  openObserver,
  type PunchOffer,
  type PunchedPath,
  punching,
  type PunchingNetwork,
  type UdpPuncher,
  udpPuncher,
} from '../../src/nat/index.ts';
import type { UdpAddr } from '../../src/net/socket-address.ts';
import type { LinkConfig } from '../../src/net/memory/links.ts';
import type { NatKind } from '../../src/net/virtual/nat-rules.ts';
import type { VirtualHost, VirtualNat, VirtualNatOptions } from '../../src/net/virtual/types.ts';
import { openUdpSwarm } from '../../src/swarms/udp.ts';
import { VirtualWorld } from './virtual-world.ts';

/** A host with a swarm and its puncher. */
export interface PunchHost {
  readonly host: VirtualHost;
  readonly nat: VirtualNat | undefined;
  readonly network: PunchingNetwork;
  readonly swarm: Swarm<UdpAddr>;
  readonly puncher: UdpPuncher;
  readonly heard: string[];
}

/** How a punch went. */
export interface Punched {
  readonly offers: readonly [PunchOffer, PunchOffer];
  readonly paths: readonly [PunchedPath, PunchedPath];
}

export class PunchWorld {
  readonly world: VirtualWorld;
  observers: SocketAddress[] = [];

  constructor(options: { readonly seed?: number; readonly latencyMs?: number; readonly ipv6?: boolean } = {}) {
    this.world = new VirtualWorld({ latencyMs: 20, ...options, trace: undefined });
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.run(promise);
  }

  get nowMs(): number {
    return this.world.realm.nowMs();
  }

  /** Observers in networks of their own. */
  async observe(count = 3): Promise<void> {
    for (let i = 0; i < count; i++) {
      const { network, realm, ips } = this.world.net.host();
      for (const ip of ips) {
        const bind = ip.includes(':') ? `[${ip}]:3478` : `${ip}:3478`;
        await this.run(openObserver({ bind, network, realm }));
        this.observers.push({ ip, port: 3478 });
      }
    }
  }

  async place(
    nat: VirtualNat | undefined,
    link?: LinkConfig,
    observers = (): readonly SocketAddress[] => this.observers,
  ): Promise<PunchHost> {
    const host = this.world.net.host({ ...(nat === undefined ? {} : { behind: nat }), link });
    const network = punching(host.network);
    const { realm } = host;
    const ip = host.ips.some((each) => each.includes(':')) ? '[::]' : '0.0.0.0';
    const swarm = await this.run(openUdpSwarm({ network, realm, bind: `${ip}:4000` }));
    const heard: string[] = [];
    swarm.listen(({ src, payload }) => void heard.push(`${payload.length} from ${src.text}`));
    const puncher = udpPuncher({ network, port: 4000, observers, realm });
    return { host, nat, network, swarm, puncher, heard };
  }

  behind(kind: NatKind, options?: VirtualNatOptions, link?: LinkConfig): Promise<PunchHost> {
    return this.place(this.world.net.nat(kind, options), link);
  }

  /** Both offer; the offers take half a round trip to the other side; both punch. */
  async punch(
    initiator: PunchHost,
    responder: PunchHost,
    options: { readonly oneWayMs?: number; readonly proven?: boolean } = {},
  ): Promise<Punched> {
    const { oneWayMs = 20, proven = true } = options;
    const offers = await this.run(Promise.all([initiator.puncher.offer(), responder.puncher.offer()]));
    const ips = (of: PunchHost): readonly string[] => (proven ? [of.nat?.ip ?? of.host.ip] : []);
    const rttMs = 2 * oneWayMs;
    const late = responder.puncher.punch(offers[1], offers[0], { side: 'responder', rttMs, proven: ips(initiator) });
    late.catch(() => undefined);
    await this.world.advance(oneWayMs);
    const early = initiator.puncher.punch(offers[0], offers[1], { side: 'initiator', rttMs, proven: ips(responder) });
    const paths = await this.run(Promise.all([early, late]));
    return { offers, paths };
  }

  /** A punch that must fail: its error, what the initiator or the responder has sent for it, and how long it took. */
  async fails(
    initiator: PunchHost,
    responder: PunchHost,
  ): Promise<{ readonly error: P2PError; readonly sent: number; readonly tookMs: number }> {
    const offers = await this.run(Promise.all([initiator.puncher.offer(), responder.puncher.offer()]));
    const sent = (): number => initiator.host.counters.sent + responder.host.counters.sent;
    const [before, startMs] = [sent(), this.nowMs];
    const punches = [
      responder.puncher.punch(offers[1], offers[0], { side: 'responder', proven: [initiator.nat?.ip ?? ''] }),
      initiator.puncher.punch(offers[0], offers[1], { side: 'initiator', proven: [responder.nat?.ip ?? ''] }),
    ];
    const error: unknown = await this.run(
      Promise.any(punches.map((punch) => punch.then(Promise.reject.bind(Promise), (reason: unknown) => reason))),
    );
    const tookMs = this.nowMs - startMs;
    await this.run(Promise.allSettled(punches));
    if (!P2PError.is(error)) throw new Error('The punch has not failed', { cause: error });
    return { error, sent: sent() - before, tookMs };
  }

  /** Whether what the swarms send by the paths arrives. */
  async talks(initiator: PunchHost, responder: PunchHost, { paths }: Punched): Promise<boolean> {
    const before = [initiator.heard.length, responder.heard.length];
    for (let i = 0; i < 20; i++) {
      for (const [at, path] of [
        [initiator, paths[0]],
        [responder, paths[1]],
      ] as const) {
        const { ip, port } = path.remote;
        await at.swarm.tell(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`, new Uint8Array(100));
      }
      await this.world.advance(50);
    }
    return initiator.heard.length > before[0]! && responder.heard.length > before[1]!;
  }
}
