/** The UDP ports of a virtual host: who is bound where, and who gets what comes. */

import { type BindFailure, bindError } from '../socket-errors.ts';
import type { DatagramOptions, DatagramSocket } from '../network.ts';
import type { SocketHost } from './socket-host.ts';
import type { Packet } from './packet.ts';
import { excludes, freePort } from './binding.ts';
import { VirtualDatagramSocket } from './udp-socket.ts';

export class UdpPorts {
  readonly #stack: SocketHost;
  /** By port, in order of binding. Bounded by the sockets that are open. */
  readonly #sockets = new Map<number, VirtualDatagramSocket[]>();

  constructor(stack: SocketHost) {
    this.#stack = stack;
  }

  bind(options: DatagramOptions): Promise<DatagramSocket> {
    const { bind, signal } = options;
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    const fail = (failure: BindFailure): Promise<never> => Promise.reject(bindError('bind UDP to', bind, failure));
    if (!this.#stack.canBind(bind.ip)) return fail('no_address');
    const port = bind.port === 0 ? freePort((each) => !this.#sockets.has(each), this.#stack) : bind.port;
    if (port === undefined) return fail('in_use');
    const socket = new VirtualDatagramSocket(this.#stack, { ...options, bind: { ip: bind.ip, port } }, () =>
      this.#release(socket),
    );
    const others = this.#sockets.get(port) ?? [];
    if (others.some((other) => excludes(other.options, options))) return fail('in_use');
    this.#sockets.set(port, [...others, socket]);
    return Promise.resolve(socket);
  }

  /** A datagram for one of the addresses of the host. */
  receive(packet: Packet, interfaceName: string): void {
    const { src, dst } = packet;
    const sockets = this.#sockets.get(dst.port);
    const socket = sockets === undefined ? undefined : choose(sockets, packet);
    if (socket === undefined) this.#stack.drop(packet, 'host.no_socket');
    else if (socket.sink === undefined) this.#stack.drop(packet, 'no_handler');
    else {
      this.#stack.received(packet);
      socket.deliver(packet.payload, src, interfaceName);
    }
  }

  /** A broadcast or multicast datagram: every socket that receives it gets its own copy. */
  receiveForMany(packet: Packet, interfaceName: string): void {
    const takers = (this.#sockets.get(packet.dst.port) ?? []).filter((socket) =>
      socket.takes(packet.dst, interfaceName),
    );
    if (takers.length === 0) this.#stack.drop(packet, 'host.no_socket');
    for (const socket of takers) {
      this.#stack.received(packet);
      socket.deliver(packet.payload.slice(), packet.src, interfaceName);
    }
  }

  #release(socket: VirtualDatagramSocket): void {
    const { port } = socket.address;
    const left = (this.#sockets.get(port) ?? []).filter((other) => other !== socket);
    if (left.length === 0) this.#sockets.delete(port);
    else this.#sockets.set(port, left);
  }
}

/** A socket of just this address before wildcards; of several that share the port, always the same for one source. */
function choose(sockets: readonly VirtualDatagramSocket[], { src, dst }: Packet): VirtualDatagramSocket | undefined {
  const first = sockets[0]!;
  if (sockets.length === 1) return first.isBoundFor(dst) ? first : undefined;
  const bound = sockets.filter((socket) => socket.isBoundFor(dst));
  const exact = bound.filter(({ address }) => address.ip === dst.ip);
  const best = exact.length > 0 ? exact : bound;
  // Of those that share an address the one that was bound last gets it, as in Linux.
  const last = best.at(-1);
  if (last === undefined || last.options.reusePort !== true) return last;
  let hash = src.port;
  for (let i = 0; i < src.ip.length; i++) hash = (hash * 31 + src.ip.charCodeAt(i)) >>> 0;
  return best[hash % best.length];
}
