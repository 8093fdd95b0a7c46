/** The sockets of LAN discovery. Nothing that they send passes a router: all hop limits are 1. */

import { doesNotThrow } from '../base/attempt.ts';
import type { Bytes } from '../base/bytes.ts';
import type { SocketAddress } from '../base/ip.ts';
import { P2PError } from '../core/errors.ts';
import type { LocalNetwork } from '../net/local-networks.ts';
import type { DatagramSocket, Network } from '../net/network.ts';

/** The IPv6 group of queries: of the link only (scope 2), not assigned by IANA (flag T); `73 68 6f 61 6c` is "shoal". */
export const LAN_GROUP = 'ff12::73:686f:616c';

/** What the sockets need. */
export interface LanSocketsOptions {
  readonly network: Network;
  readonly port: number;
  readonly ipv6: boolean;
  /** A broadcast address to use instead of those of the networks. */
  readonly broadcast: string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onDatagram: (payload: Bytes, ip: string, port: number) => void;
  readonly onSendFailed: () => void;
}

/** Two sockets of a family: queries leave from one, so that answers to it reach this process and no other. */
interface Pair {
  readonly asking: DatagramSocket;
  readonly answering: DatagramSocket;
}

export class LanSockets {
  readonly port: number;
  readonly #options: LanSocketsOptions;
  readonly #ipv4: Pair;
  readonly #ipv6: Pair | undefined;
  /** Interfaces on which the group is joined. Bounded by the interfaces. */
  readonly #joined = new Set<string>();

  private constructor(options: LanSocketsOptions, ipv4: Pair, ipv6: Pair | undefined) {
    this.#options = options;
    this.#ipv4 = ipv4;
    this.#ipv6 = ipv6;
    this.port = ipv4.answering.address.port;
    const { onDatagram, onSendFailed } = options;
    for (const socket of this.#all) socket.sink = { onDatagram, onSendFailed };
  }

  /** @throws (by rejection) {P2PError} `in_use` when a program that does not share it has the port; `unsupported`. */
  static async open(options: LanSocketsOptions): Promise<LanSockets> {
    const { port } = options;
    const ipv4 = await openPair(options, '0.0.0.0', port);
    for (const socket of [ipv4.asking, ipv4.answering]) socket.setBroadcast(true);
    if (!options.ipv6) return new LanSockets(options, ipv4, undefined);
    try {
      const ipv6 = await openPair(options, '::', ipv4.answering.address.port);
      for (const socket of [ipv6.asking, ipv6.answering]) socket.setMulticastTtl(1);
      return new LanSockets(options, ipv4, ipv6);
    } catch (error) {
      // A host without IPv6 has IPv4.
      if (P2PError.is(error, 'unreachable') || P2PError.is(error, 'unsupported')) {
        return new LanSockets(options, ipv4, undefined);
      }
      await Promise.all([ipv4.asking.close(), ipv4.answering.close()]);
      throw error;
    }
  }

  /** Joins the group on the interfaces that are there, and leaves it on those that are gone. */
  follow(networks: readonly LocalNetwork[]): void {
    if (this.#ipv6 === undefined) return;
    const { answering } = this.#ipv6;
    const there = new Set(networks.filter(({ hasIpv6 }) => hasIpv6).map(({ name }) => name));
    for (const name of this.#joined) {
      if (there.has(name)) continue;
      this.#joined.delete(name);
      doesNotThrow(() => answering.leaveMulticast(LAN_GROUP, name));
    }
    for (const name of there) {
      if (this.#joined.has(name)) continue;
      if (doesNotThrow(() => answering.joinMulticast(LAN_GROUP, name))) this.#joined.add(name);
    }
  }

  /** Sends to everybody on a LAN. */
  ask(bytes: Bytes, { broadcasts, name, hasIpv6 }: LocalNetwork): void {
    const { broadcast } = this.#options;
    for (const ip of broadcast === undefined ? broadcasts : [broadcast]) this.#send(this.#ipv4.asking, bytes, ip);
    if (hasIpv6 && this.#ipv6 !== undefined) this.#send(this.#ipv6.asking, bytes, `${LAN_GROUP}%${name}`);
  }

  /** Sends to one that has asked, from the port that it asked. */
  answer(bytes: Bytes, { ip, port }: SocketAddress): void {
    const pair = ip.includes(':') ? this.#ipv6 : this.#ipv4;
    if (pair !== undefined) this.#send(pair.answering, bytes, ip, port);
  }

  async close(): Promise<void> {
    await Promise.all(this.#all.map((socket) => socket.close()));
  }

  get #all(): readonly DatagramSocket[] {
    return [this.#ipv4, this.#ipv6].flatMap((pair) => (pair === undefined ? [] : [pair.asking, pair.answering]));
  }

  #send(socket: DatagramSocket, bytes: Bytes, ip: string, port: number = this.port): void {
    // A datagram of a size that fits a link, to an IP that the system gave or that a datagram came from.
    if (!doesNotThrow(() => socket.send(bytes, ip, port))) this.#options.onSendFailed();
  }
}

async function openPair({ network, signal }: LanSocketsOptions, ip: string, port: number): Promise<Pair> {
  const ipv6Only = ip === '::';
  const answering = await network.bindUdp({ bind: { ip, port }, reuseAddress: true, ipv6Only, signal });
  try {
    const asking = await network.bindUdp({ bind: { ip, port: 0 }, ipv6Only, signal });
    for (const socket of [asking, answering]) socket.setTtl(1);
    return { asking, answering };
  } catch (error) {
    await answering.close();
    throw error;
  }
}
