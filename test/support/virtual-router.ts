/**
 * A router for tests: servers of PCP, NAT-PMP and UPnP IGD on the router of a virtual NAT, that forward its ports. The bytes are written
 * here once more, by the RFCs, so that nothing of the client checks itself.
 */

import { ipBytes, ipOfBytes, type SocketAddress } from '../../src/base/ip.ts';
import type { DatagramSocket, Listener } from '../../src/net/network.ts';
import type { VirtualNat } from '../../src/net/virtual/types.ts';
import {
  keyOf,
  PROTOCOLS,
  type RouterEntry,
  type RouterMapping,
  type RouterOddities,
  type VirtualRouter,
  type VirtualRouterOptions,
} from './router-types.ts';
import { VirtualIgd } from './virtual-igd.ts';

export { type VirtualRouter, type VirtualRouterOptions } from './router-types.ts';

/** Starts a router on a NAT. */
export async function virtualRouter(nat: VirtualNat, options: VirtualRouterOptions): Promise<VirtualRouter> {
  const router = new Router(nat, options);
  await router.open();
  return router;
}

class Router implements VirtualRouter {
  readonly mappings = new Map<string, RouterEntry>();
  readonly log: string[] = [];
  readonly #nat: VirtualNat;
  readonly #options: VirtualRouterOptions;
  readonly #oddities: RouterOddities;
  readonly #sockets: DatagramSocket[] = [];
  readonly #listeners: Listener[] = [];
  #startedMs: number;
  #isDown = false;
  readonly #igd: VirtualIgd;

  constructor(nat: VirtualNat, options: VirtualRouterOptions) {
    this.#nat = nat;
    this.#options = options;
    this.#oddities = options.oddities ?? {};
    this.#startedMs = options.realm.nowMs();
    this.#igd = new VirtualIgd(this, options);
  }

  async open(): Promise<void> {
    const { pcp = true, natPmp = true, upnp = 2, ipv6 = false } = this.#options;
    const lan = this.#nat.network.interfaces().filter(({ isInternal }) => !isInternal);
    const binds = lan.filter(({ ip }) => !ip.includes(':') || ipv6);
    for (const { ip, name } of binds) {
      if (pcp || natPmp) {
        const socket = await this.#bind(ip, 5351);
        socket.sink = {
          onDatagram: (payload, from, port) =>
            this.later(payload[0] === 2 ? 'pcp' : 'natPmp', () =>
              this.#answerDatagram(socket, payload, { ip: from, port }),
            ),
        };
      }
      if (upnp === false) continue;
      await this.#listen(ip);
      // Searches come to the group, or to the router's own address.
      const search = await this.#bind(ip.includes(':') ? '::' : '0.0.0.0', 1900, ip.includes(':'));
      search.joinMulticast(ip.includes(':') ? 'ff02::c' : '239.255.255.250', name);
      search.sink = {
        onDatagram: (payload, from, port) => this.#igd.answerSearch(search, payload, ip, { ip: from, port }),
      };
    }
  }

  async restart(downMs = 0): Promise<void> {
    const { clock } = this.#options.realm;
    this.#isDown = true;
    for (const { timer } of this.mappings.values()) timer?.cancel();
    this.mappings.clear();
    this.#igd.restart();
    this.#nat.reboot();
    if (downMs > 0) await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + downMs, resolve));
    this.#isDown = false;
    this.#startedMs = clock.nowMs();
    if (this.#oddities.movingPort === true) {
      const ips = this.#listeners.map(({ address }) => address.ip);
      await Promise.all(this.#listeners.splice(0).map((each) => each.close()));
      this.#igd.port++;
      for (const ip of ips) await this.#listen(ip);
    }
    if (this.#oddities.silentRestart === true) return;
    for (const socket of this.#sockets.filter(({ address }) => address.port === 5351)) {
      const isIpv6 = socket.address.ip.includes(':');
      const to = isIpv6 ? 'ff02::1%lan' : '224.0.0.1';
      if (this.#options.pcp !== false) socket.send(this.#pcpHeader(0, 0, 0), to, 5350);
      if (this.#options.natPmp !== false && !isIpv6) socket.send(this.#natPmpAddress(), to, 5350);
    }
  }

  async close(): Promise<void> {
    for (const { timer, forward } of this.mappings.values()) {
      timer?.cancel();
      forward[Symbol.dispose]();
    }
    await Promise.all([...this.#sockets, ...this.#listeners].map((each) => each.close()));
  }

  async #listen(ip: string): Promise<void> {
    const http = await this.#nat.network.listen({
      bind: { ip, port: this.#igd.port },
      backlog: 16,
      reusePort: false,
      onConnection: (connection) => this.#igd.serveHttp(connection, ip),
      onError: () => undefined,
    });
    this.#listeners.push(http);
  }

  async #bind(ip: string, port: number, ipv6Only = false): Promise<DatagramSocket> {
    const socket = await this.#nat.network.bindUdp({ bind: { ip, port }, ipv6Only });
    this.#sockets.push(socket);
    return socket;
  }

  get #epoch(): number {
    return Math.floor((this.#options.realm.nowMs() - this.#startedMs) / 1000);
  }

  get externalIp(): string {
    return this.#options.externalIp ?? this.#nat.ip;
  }

  later(which: 'pcp' | 'natPmp' | 'upnp', answer: () => void): void {
    const { answerMs = 0, realm } = this.#options;
    const ms = typeof answerMs === 'number' ? answerMs : (answerMs[which] ?? 0);
    const run = (): void => {
      if (!this.#isDown) answer();
    };
    if (ms === 0) run();
    else realm.clock.setTimer(realm.nowMs() + ms, run, { background: true });
  }

  /** Forwards a port. @returns the port outside, or an error of UPnP. */
  map(mapping: Omit<RouterMapping, 'externalPort'> & { readonly externalPort: number }, mayChoose: boolean): number {
    const { protocol, client, lifetime } = mapping;
    const { realm } = this.#options;
    for (let port = mapping.externalPort; port < mapping.externalPort + 100; port++) {
      const key = keyOf(protocol, client.ip.includes(':') ? `[${client.ip}]:${port}` : port);
      const old = this.mappings.get(key);
      const isOwn = old?.client.ip === client.ip && old.client.port === client.port;
      if ((old !== undefined && !isOwn) || this.#oddities.takenPorts?.includes(port) === true) {
        if (!mayChoose) return -718;
        continue;
      }
      const forward = this.#forward(protocol, port, client);
      if (forward === undefined) {
        if (!mayChoose) return -718;
        continue;
      }
      old?.timer?.cancel();
      const timer =
        lifetime === 0
          ? undefined
          : realm.clock.setTimer(realm.nowMs() + lifetime * 1000, () => this.unmap(key), { background: true });
      this.mappings.set(key, { ...mapping, externalPort: port, forward, timer });
      return port;
    }
    return -728;
  }

  /** @returns `undefined` when the NAT has another use for the port. */
  #forward(protocol: 'udp' | 'tcp', port: number, client: SocketAddress): Disposable | undefined {
    try {
      return this.#nat.forward(protocol, port, client);
    } catch (error) {
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  unmap(key: string): boolean {
    const entry = this.mappings.get(key);
    entry?.timer?.cancel();
    entry?.forward[Symbol.dispose]();
    return this.mappings.delete(key);
  }

  // PCP and NAT-PMP

  #answerDatagram(socket: DatagramSocket, bytes: Uint8Array, from: SocketAddress): void {
    const { pcp = true, natPmp = true } = this.#options;
    const answer =
      bytes[0] === 2
        ? pcp
          ? this.#answerPcp(bytes, from)
          : Uint8Array.of(0, 128 + bytes[1]!, 0, 1, 0, 0, 0, 0)
        : natPmp
          ? this.#answerNatPmp(bytes, from)
          : this.#pcpHeader(bytes[1]!, 1, 0);
    if (answer !== undefined) socket.send(answer, from.ip, from.port);
  }

  #pcpHeader(opcode: number, result: number, lifetime: number, bytes = 24): Uint8Array {
    const answer = new Uint8Array(bytes);
    answer[0] = 2;
    answer[1] = 128 + opcode;
    answer[3] = result;
    const view = new DataView(answer.buffer);
    view.setUint32(4, lifetime);
    view.setUint32(8, this.#epoch);
    return answer;
  }

  #answerPcp(bytes: Uint8Array, from: SocketAddress): Uint8Array | undefined {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const own = ipOfBytes(bytes.subarray(8, 24));
    if (bytes[1] === 0) {
      this.log.push('pcp announce');
      return this.#pcpHeader(0, own === from.ip ? 0 : 12, 0);
    }
    const protocol = PROTOCOLS[bytes[36] as keyof typeof PROTOCOLS];
    const internalPort = view.getUint16(40);
    const wanted = view.getUint16(42);
    const lifetime = Math.min(view.getUint32(4), this.#options.maxLifetime ?? 86_400);
    const nonce = bytes.slice(24, 36);
    this.log.push(`pcp ${lifetime === 0 ? 'unmap' : 'map'} ${protocol} ${internalPort}`);
    const reply = (result: number, port = 0, ip = '0.0.0.0'): Uint8Array => {
      const answer = this.#pcpHeader(1, result, lifetime, 60);
      answer.set(bytes.subarray(24, 60), 24);
      if (this.#oddities.wrongNonce === true) answer[30]! ^= 1;
      new DataView(answer.buffer).setUint16(42, port);
      answer.set(ip.includes(':') ? ipBytes(ip)! : ipBytes(`::ffff:${ip}`)!, 44);
      return answer;
    };
    if (own !== from.ip) return reply(12);
    const planned = this.#oddities.pcpResults?.shift() ?? 0;
    if (planned !== 0) return reply(planned);
    const hex = Buffer.from(nonce).toString('hex');
    const same = [...this.mappings].find(
      ([, { client, protocol: of }]) => client.ip === from.ip && client.port === internalPort && of === protocol,
    );
    if (same !== undefined && same[1].nonce !== undefined && same[1].nonce !== hex) return reply(2);
    if (lifetime === 0) {
      if (same !== undefined) this.unmap(same[0]);
      return reply(0, 0);
    }
    const client = { ip: from.ip, port: internalPort };
    const isIpv6 = from.ip.includes(':');
    const externalPort = isIpv6 ? internalPort : (same?.[1].externalPort ?? wanted);
    const port = this.map({ via: 'pcp', protocol, externalPort, client, lifetime, nonce: hex }, true);
    return port < 0 ? reply(8) : reply(0, port, isIpv6 ? from.ip : this.externalIp);
  }

  #natPmpAddress(): Uint8Array {
    const answer = new Uint8Array(12);
    answer[1] = 128;
    new DataView(answer.buffer).setUint32(4, this.#epoch);
    answer.set(ipBytes(this.externalIp)!, 8);
    return answer;
  }

  #answerNatPmp(bytes: Uint8Array, from: SocketAddress): Uint8Array | undefined {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes[1] === 0) {
      this.log.push('nat-pmp address');
      return this.#natPmpAddress();
    }
    const protocol = bytes[1] === 1 ? 'udp' : 'tcp';
    const [internalPort, wanted] = [view.getUint16(4), view.getUint16(6)];
    let lifetime = Math.min(view.getUint32(8), this.#options.maxLifetime ?? 86_400);
    this.log.push(`nat-pmp ${lifetime === 0 ? 'unmap' : 'map'} ${protocol} ${internalPort}`);
    let result = this.#oddities.natPmpResults?.shift() ?? 0;
    let port = 0;
    if (result === 0 && lifetime === 0) {
      for (const [key, { client, protocol: of }] of this.mappings) {
        if (client.ip === from.ip && client.port === internalPort && of === protocol) this.unmap(key);
      }
    } else if (result === 0) {
      const client = { ip: from.ip, port: internalPort };
      port = this.map({ via: 'nat-pmp', protocol, externalPort: wanted, client, lifetime }, true);
      if (port < 0) [result, port, lifetime] = [4, 0, 0];
    }
    const answer = new Uint8Array(16);
    const out = new DataView(answer.buffer);
    answer[1] = 128 + bytes[1]!;
    out.setUint16(2, result);
    out.setUint32(4, this.#epoch);
    out.setUint16(8, internalPort);
    out.setUint16(10, port);
    out.setUint32(12, lifetime);
    return answer;
  }
}
