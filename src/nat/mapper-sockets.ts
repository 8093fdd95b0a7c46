/** The sockets of a port mapper: one for each address that it asks from, and one of each family that hears announcements. */

import { doesNotThrow } from '../base/attempt.ts';
import type { Bytes } from '../base/bytes.ts';
import { isUnspecifiedIp, type SocketAddress, whyNoHost } from '../base/ip.ts';
import type { DatagramSocket, Network } from '../net/network.ts';
import { MAPPING_CLIENT_PORT } from '../protocols/port-mapping/pcp.ts';
import type { MappingRoute } from '../protocols/port-mapping/types.ts';

/** What the sockets need. */
export interface MapperSocketsOptions {
  readonly network: Network;
  readonly onDatagram: (own: string, from: SocketAddress, bytes: Bytes) => void;
  readonly onAnnouncement: (from: SocketAddress, bytes: Bytes) => void;
}

/** Where routers announce: all hosts of the link (RFC 6886 §3.2.1, RFC 6887 §14.1.1). */
const ANNOUNCEMENTS = { '0.0.0.0': '224.0.0.1', '::': 'ff02::1' } as const;
type Wildcard = keyof typeof ANNOUNCEMENTS;
/** Searches and announcements do not leave the link. */
const MULTICAST_TTL = 1;

export class MapperSockets {
  readonly #options: MapperSocketsOptions;
  /** By address. Bounded by the routes. */
  readonly #asking = new Map<string, DatagramSocket>();
  /** By wildcard. */
  readonly #hearing = new Map<Wildcard, DatagramSocket>();
  /** Interfaces on which the groups are joined. Bounded by the interfaces. */
  readonly #joined = new Set<string>();
  #isClosed = false;

  constructor(options: MapperSocketsOptions) {
    this.#options = options;
  }

  /**
   * Has sockets for these routes, and no others.
   *
   * @returns the routes that have one: an address may be gone before it is bound.
   */
  async follow(routes: readonly MappingRoute[]): Promise<readonly MappingRoute[]> {
    const needed = new Set(routes.map(({ own }) => own));
    const gone = [...this.#asking].filter(([own]) => !needed.has(own));
    for (const [own] of gone) this.#asking.delete(own);
    const names = new Map(routes.map(({ own, interfaceName }) => [own, interfaceName]));
    const missing = [...needed].filter((own) => !this.#asking.has(own));
    await Promise.all([
      ...gone.map(([, socket]) => socket.close()),
      ...missing.map((own) => this.#ask(own, names.get(own)!)),
      ...(['0.0.0.0', '::'] as const).map((ip) => this.#hear(ip, routes)),
    ]);
    return routes.filter(({ own }) => this.#asking.has(own));
  }

  send(own: string, to: SocketAddress, bytes: Bytes): void {
    const socket = this.#asking.get(own);
    if (socket === undefined) return;
    // The interface may have gone; what is not sent is not answered.
    doesNotThrow(() => socket.send(bytes, to.ip, to.port));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#asking.values(), ...this.#hearing.values()].map((socket) => socket.close()));
  }

  async #ask(own: string, interfaceName: string): Promise<void> {
    const socket = await this.#bind({ ip: own, port: 0 });
    if (socket === undefined) return;
    this.#asking.set(own, socket);
    socket.sink = {
      onDatagram: (payload, ip, port) => {
        if (whyNoHost(ip) === undefined) this.#options.onDatagram(own, { ip, port }, payload);
      },
    };
    doesNotThrow(() => socket.setMulticastInterface(interfaceName));
    doesNotThrow(() => socket.setMulticastTtl(MULTICAST_TTL));
  }

  async #hear(ip: Wildcard, routes: readonly MappingRoute[]): Promise<void> {
    const near = routes.filter(({ family }) => family === (ip === '::' ? 6 : 4));
    if (near.length === 0) return;
    const socket = this.#hearing.get(ip) ?? (await this.#bind({ ip, port: MAPPING_CLIENT_PORT }));
    // Without it, a restart is noticed when a mapping is looked at.
    if (socket === undefined) return;
    this.#hearing.set(ip, socket);
    socket.sink = { onDatagram: (payload, from, port) => this.#options.onAnnouncement({ ip: from, port }, payload) };
    for (const { interfaceName } of near) {
      const key = `${ip} ${interfaceName}`;
      if (this.#joined.has(key)) continue;
      if (doesNotThrow(() => socket.joinMulticast(ANNOUNCEMENTS[ip], interfaceName))) this.#joined.add(key);
    }
  }

  async #bind(bind: SocketAddress): Promise<DatagramSocket | undefined> {
    try {
      const isShared = isUnspecifiedIp(bind.ip);
      const socket = await this.#options.network.bindUdp({ bind, reuseAddress: isShared, ipv6Only: bind.ip === '::' });
      if (!this.#isClosed) return socket;
      await socket.close();
      return undefined;
    } catch {
      return undefined;
    }
  }
}
