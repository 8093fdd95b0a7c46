/**
 * A router for tests: servers of PCP, NAT-PMP and UPnP IGD on the router of a virtual NAT, that forward its ports. The bytes are written
 * here once more, by the RFCs, so that nothing of the client checks itself.
 */

import { canonicalIp, ipBytes, ipOfBytes, type SocketAddress } from '../../src/base/ip.ts';
import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { type Clock, type Realm, type Timer } from '../../src/core/realm.ts';
import { type DatagramSocket, type Listener, type RawConnection } from '../../src/net/network.ts';
import { type VirtualNat } from '../../src/net/virtual/types.ts';

/** What a router does. */
export interface VirtualRouterOptions {
  readonly realm: Realm & { readonly clock: Clock };
  /** @default true */
  readonly pcp?: boolean;
  /** @default true */
  readonly natPmp?: boolean;
  /** The version of its IGD; `false`: no UPnP. @default 2 */
  readonly upnp?: 1 | 2 | false;
  /** Whether it has an IPv6 firewall to open, by PCP and UPnP. @default false */
  readonly ipv6?: boolean;
  /** How long it thinks before it answers: all, or each protocol. @default 0 */
  readonly answerMs?: number | Partial<Record<'pcp' | 'natPmp' | 'upnp', number>>;
  /** What it says its address outside is. @default that of the NAT */
  readonly externalIp?: string;
  /** The most seconds for which it maps. @default 86 400 */
  readonly maxLifetime?: number;
  readonly oddities?: RouterOddities;
}

/** What routers do that they should not, or need not. */
export interface RouterOddities {
  /** UPnP error 725 for leases other than 0. */
  readonly onlyPermanentLeases?: boolean;
  /** It understands only the URN of this version, whatever its description says. */
  readonly urnVersion?: 1 | 2;
  /** Errors of UPnP for an action, in order; then it works. */
  readonly faults?: Readonly<Record<string, readonly number[]>>;
  /** UPnP error 724 when the ports differ. */
  readonly samePorts?: boolean;
  /** Ports outside that others have. */
  readonly takenPorts?: readonly number[];
  /** Seconds between two bytes of each HTTP answer. */
  readonly dripMs?: number;
  /** LOCATION of its answers to searches. */
  readonly location?: string;
  /** Its description. */
  readonly description?: string;
  /** Control URLs in its description. */
  readonly controlUrl?: string;
  /** Results of PCP for requests to map, in order; then it works. */
  readonly pcpResults?: number[];
  /** The same of NAT-PMP. */
  readonly natPmpResults?: number[];
  /** It answers PCP with another nonce. */
  readonly wrongNonce?: boolean;
  /** It sends HTTP bodies in chunks. */
  readonly chunked?: boolean;
  /** It does not announce that it has restarted. */
  readonly silentRestart?: boolean;
}

/** A mapping that a router has. */
export interface RouterMapping {
  readonly via: 'pcp' | 'nat-pmp' | 'upnp';
  readonly protocol: 'udp' | 'tcp';
  readonly externalPort: number;
  readonly client: SocketAddress;
  /** Seconds; 0: until it is removed. */
  readonly lifetime: number;
  /** Of PCP, in hexadecimal. */
  readonly nonce?: string;
}

/** A router that runs. */
export interface VirtualRouter {
  /** By `udp 5000`, its port outside. */
  readonly mappings: ReadonlyMap<string, RouterMapping>;
  /** What it was asked, in order: `pcp announce`, `pcp map udp 5000`, `upnp AddPortMapping`. */
  readonly log: readonly string[];
  /** Forgets everything, begins with epoch 0 and announces itself. @param downMs - how long it answers nothing before that. */
  restart(downMs?: number): Promise<void>;
  close(): Promise<void>;
}

const URN = 'urn:schemas-upnp-org:service:';
const PROTOCOLS = { 17: 'udp', 6: 'tcp' } as const;

/** Starts a router on a NAT. */
export async function virtualRouter(nat: VirtualNat, options: VirtualRouterOptions): Promise<VirtualRouter> {
  const router = new Router(nat, options);
  await router.open();
  return router;
}

interface Entry extends RouterMapping {
  readonly forward: Disposable;
  readonly timer: Timer | undefined;
}

class Router implements VirtualRouter {
  readonly mappings = new Map<string, Entry>();
  readonly log: string[] = [];
  readonly #nat: VirtualNat;
  readonly #options: VirtualRouterOptions;
  readonly #oddities: RouterOddities;
  readonly #sockets: DatagramSocket[] = [];
  readonly #listeners: Listener[] = [];
  readonly #faults: Map<string, number[]>;
  #startedMs: number;
  #isDown = false;
  #lastPinhole = 0;
  readonly #pinholes = new Map<string, string>();

  constructor(nat: VirtualNat, options: VirtualRouterOptions) {
    this.#nat = nat;
    this.#options = options;
    this.#oddities = options.oddities ?? {};
    this.#startedMs = options.realm.nowMs();
    this.#faults = new Map(Object.entries(this.#oddities.faults ?? {}).map(([action, codes]) => [action, [...codes]]));
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
            this.#later(payload[0] === 2 ? 'pcp' : 'natPmp', () =>
              this.#answerDatagram(socket, payload, { ip: from, port }),
            ),
        };
      }
      if (upnp === false) continue;
      const http = await this.#nat.network.listen({
        bind: { ip, port: 5000 },
        backlog: 16,
        reusePort: false,
        onConnection: (connection) => this.#serveHttp(connection, ip),
        onError: () => undefined,
      });
      this.#listeners.push(http);
      // Searches come to the group, or to the router's own address.
      const search = await this.#bind(ip.includes(':') ? '::' : '0.0.0.0', 1900, ip.includes(':'));
      search.joinMulticast(ip.includes(':') ? 'ff02::c' : '239.255.255.250', name);
      search.sink = {
        onDatagram: (payload, from, port) => this.#answerSearch(search, payload, ip, { ip: from, port }),
      };
    }
  }

  async restart(downMs = 0): Promise<void> {
    const { clock } = this.#options.realm;
    this.#isDown = true;
    for (const { timer } of this.mappings.values()) timer?.cancel();
    this.mappings.clear();
    this.#pinholes.clear();
    this.#nat.reboot();
    if (downMs > 0) await new Promise<void>((resolve) => clock.setTimer(clock.nowMs() + downMs, resolve));
    this.#isDown = false;
    this.#startedMs = clock.nowMs();
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

  async #bind(ip: string, port: number, ipv6Only = false): Promise<DatagramSocket> {
    const socket = await this.#nat.network.bindUdp({ bind: { ip, port }, ipv6Only });
    this.#sockets.push(socket);
    return socket;
  }

  get #epoch(): number {
    return Math.floor((this.#options.realm.nowMs() - this.#startedMs) / 1000);
  }

  get #externalIp(): string {
    return this.#options.externalIp ?? this.#nat.ip;
  }

  #later(which: 'pcp' | 'natPmp' | 'upnp', answer: () => void): void {
    const { answerMs = 0, realm } = this.#options;
    const ms = typeof answerMs === 'number' ? answerMs : (answerMs[which] ?? 0);
    const run = (): void => {
      if (!this.#isDown) answer();
    };
    if (ms === 0) run();
    else realm.clock.setTimer(realm.nowMs() + ms, run, { background: true });
  }

  /** Forwards a port. @returns the port outside, or an error of UPnP. */
  #map(mapping: Omit<RouterMapping, 'externalPort'> & { readonly externalPort: number }, mayChoose: boolean): number {
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
      old?.timer?.cancel();
      const forward = this.#nat.forward(protocol, port, client);
      const timer =
        lifetime === 0
          ? undefined
          : realm.clock.setTimer(realm.nowMs() + lifetime * 1000, () => this.#unmap(key), { background: true });
      this.mappings.set(key, { ...mapping, externalPort: port, forward, timer });
      return port;
    }
    return -728;
  }

  #unmap(key: string): boolean {
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
      if (same !== undefined) this.#unmap(same[0]);
      return reply(0, 0);
    }
    const client = { ip: from.ip, port: internalPort };
    const isIpv6 = from.ip.includes(':');
    const externalPort = isIpv6 ? internalPort : (same?.[1].externalPort ?? wanted);
    const port = this.#map({ via: 'pcp', protocol, externalPort, client, lifetime, nonce: hex }, true);
    return port < 0 ? reply(8) : reply(0, port, isIpv6 ? from.ip : this.#externalIp);
  }

  #natPmpAddress(): Uint8Array {
    const answer = new Uint8Array(12);
    answer[1] = 128;
    new DataView(answer.buffer).setUint32(4, this.#epoch);
    answer.set(ipBytes(this.#externalIp)!, 8);
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
        if (client.ip === from.ip && client.port === internalPort && of === protocol) this.#unmap(key);
      }
    } else if (result === 0) {
      const client = { ip: from.ip, port: internalPort };
      port = this.#map({ via: 'nat-pmp', protocol, externalPort: wanted, client, lifetime }, true);
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

  // UPnP

  #answerSearch(socket: DatagramSocket, bytes: Uint8Array, own: string, from: SocketAddress): void {
    const text = decodeText(bytes) ?? '';
    const target = /^ST: *(.+?)\r$/m.exec(text)?.[1] ?? '';
    const version = this.#options.upnp === 1 ? 1 : 2;
    if (!text.startsWith('M-SEARCH * HTTP/1.1\r\n') || !/^MAN: "ssdp:discover"\r$/m.test(text)) return;
    const is = [
      `urn:schemas-upnp-org:device:InternetGatewayDevice:${version}`,
      'urn:schemas-upnp-org:device:InternetGatewayDevice:1',
    ];
    if (!is.includes(target) && target !== 'ssdp:all') return;
    const bare = own.split('%')[0]!;
    const location = this.#oddities.location ?? `http://${bare.includes(':') ? `[${bare}]` : bare}:5000/rootDesc.xml`;
    const lines = [
      'HTTP/1.1 200 OK',
      'CACHE-CONTROL: max-age=120',
      `ST: ${target === 'ssdp:all' ? is[0] : target}`,
      'EXT:',
      `LOCATION: ${location}`,
    ];
    this.#later('upnp', () => socket.send(encodeText(`${lines.join('\r\n')}\r\n\r\n`), from.ip, from.port));
  }

  #serveHttp({ pipe, remote }: RawConnection, own: string): void {
    let text = '';
    pipe.sink = {
      onData: (chunk) => {
        text += decodeText(chunk) ?? '';
        const head = text.indexOf('\r\n\r\n');
        const length = Number(/content-length: *([0-9]+)/i.exec(text)?.[1] ?? 0);
        if (head < 0 || text.length < head + 4 + length) return;
        const answer = this.#answerHttp(text.slice(0, head), text.slice(head + 4), own, remote.ip);
        this.#later('upnp', () => this.#respond(pipe, answer));
      },
      onEnd: () => pipe.end(),
      onClose: () => undefined,
    };
    pipe.resume();
  }

  #respond(pipe: RawConnection['pipe'], { status, body }: { readonly status: number; readonly body: string }): void {
    const isChunked = this.#oddities.chunked === true;
    const middle = body.length >> 1;
    const chunks = [body.slice(0, middle), body.slice(middle)].map(
      (part) => `${part.length.toString(16)}\r\n${part}\r\n`,
    );
    const head = `HTTP/1.1 ${status} X\r\nContent-Type: text/xml\r\n${isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`}\r\n\r\n`;
    const bytes = encodeText(head + (isChunked ? `${chunks.join('')}0\r\n\r\n` : body));
    const { dripMs } = this.#oddities;
    if (dripMs === undefined) {
      pipe.write([bytes], () => undefined);
      pipe.end();
      return;
    }
    const { realm } = this.#options;
    let at = 0;
    const drip = (): void => {
      pipe.write([bytes.slice(at, at + 1)], () => undefined);
      if (++at < bytes.length) realm.clock.setTimer(realm.nowMs() + dripMs, drip, { background: true });
    };
    drip();
  }

  #answerHttp(
    head: string,
    body: string,
    own: string,
    client: string,
  ): { readonly status: number; readonly body: string } {
    if (head.startsWith('GET /rootDesc.xml ')) {
      this.log.push('upnp description');
      return { status: 200, body: this.#oddities.description ?? this.#description(own) };
    }
    const [, service, version, action] =
      /SOAPAction: "urn:schemas-upnp-org:service:([A-Za-z0-9]+):([12])#([A-Za-z0-9]+)"/i.exec(head) ?? [];
    this.log.push(`upnp ${action}`);
    const args = new Map(
      [...body.matchAll(/<([A-Z][A-Za-z]+)>([^<]*)<\/\1>/g)].map(([, name, value]) => [name!, value!]),
    );
    const result = this.#act(service ?? '', Number(version), action ?? '', args, client);
    if (typeof result === 'number') {
      return {
        status: 500,
        body: envelope(
          `<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>${result}</errorCode><errorDescription>E${result}</errorDescription></UPnPError></detail></s:Fault>`,
        ),
      };
    }
    const values = Object.entries(result).map(([name, value]) => `<${name}>${value}</${name}>`);
    return {
      status: 200,
      body: envelope(
        `<u:${action}Response xmlns:u="${URN}${service}:${version}">${values.join('')}</u:${action}Response>`,
      ),
    };
  }

  #description(own: string): string {
    const { upnp = 2, ipv6 = false } = this.#options;
    const control = this.#oddities.controlUrl ?? '/ctl';
    const service = (type: string): string =>
      `<service><serviceType>${URN}${type}</serviceType><serviceId>x</serviceId><controlURL>${control}</controlURL></service>`;
    const firewall = ipv6 && own.includes(':') ? service('WANIPv6FirewallControl:1') : '';
    return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:${upnp}</deviceType><friendlyName>R &amp; D</friendlyName><deviceList><device><serviceList>${service(`WANIPConnection:${upnp}`)}${firewall}</serviceList></device></deviceList></device></root>`;
  }

  /** @returns values, or an error of UPnP. */
  #act(
    service: string,
    version: number,
    action: string,
    args: ReadonlyMap<string, string>,
    client: string,
  ): Record<string, string | number> | number {
    const { upnp = 2 } = this.#options;
    const { urnVersion, onlyPermanentLeases, samePorts } = this.#oddities;
    const fault = this.#faults.get(action)?.shift();
    if (fault !== undefined) return fault;
    if (service === 'WANIPv6FirewallControl') return this.#actOnFirewall(action, args, client);
    // IGD 2 understands the names of IGD 1.
    if (urnVersion === undefined ? version > Number(upnp) : version !== urnVersion) return 401;
    const protocol = args.get('NewProtocol') === 'TCP' ? 'tcp' : 'udp';
    const externalPort = Number(args.get('NewExternalPort'));
    const entry = this.mappings.get(keyOf(protocol, externalPort));
    if (action === 'GetExternalIPAddress') return { NewExternalIPAddress: this.#externalIp };
    if (action === 'GetSpecificPortMappingEntry') {
      if (entry === undefined) return 714;
      return {
        NewInternalPort: entry.client.port,
        NewInternalClient: entry.client.ip,
        NewEnabled: 1,
        NewPortMappingDescription: 'x',
        NewLeaseDuration: entry.lifetime,
      };
    }
    if (action === 'DeletePortMapping') return this.#unmap(keyOf(protocol, externalPort)) ? {} : 714;
    const isAny = action === 'AddAnyPortMapping';
    if (action !== 'AddPortMapping' && !(isAny && upnp === 2)) return 401;
    const lifetime = Number(args.get('NewLeaseDuration'));
    if (onlyPermanentLeases === true && lifetime !== 0) return 725;
    const internal = {
      ip: canonicalIp(args.get('NewInternalClient') ?? '') ?? '',
      port: Number(args.get('NewInternalPort')),
    };
    if (internal.ip !== client || (upnp === 2 && (externalPort < 1024 || internal.port < 1024))) return 606;
    if (samePorts === true && externalPort !== internal.port) return 724;
    const port = this.#map({ via: 'upnp', protocol, externalPort, client: internal, lifetime }, isAny);
    if (port < 0) return -port;
    return isAny ? { NewReservedPort: port } : {};
  }

  #actOnFirewall(
    action: string,
    args: ReadonlyMap<string, string>,
    client: string,
  ): Record<string, string | number> | number {
    if (action === 'GetFirewallStatus') return { FirewallEnabled: 1, InboundPinholeAllowed: 1 };
    const id = args.get('UniqueID') ?? '';
    const lifetime = Number(args.get('NewLeaseTime') ?? args.get('LeaseTime'));
    if (action === 'AddPinhole') {
      const [ip, port] = [canonicalIp(args.get('InternalClient') ?? ''), Number(args.get('InternalPort'))];
      if (ip === undefined || ip !== client) return 606;
      const protocol = PROTOCOLS[Number(args.get('Protocol')) as keyof typeof PROTOCOLS];
      this.#map({ via: 'upnp', protocol, externalPort: port, client: { ip, port }, lifetime }, false);
      this.#pinholes.set(String(++this.#lastPinhole), keyOf(protocol, `[${ip}]:${port}`));
      return { UniqueID: this.#lastPinhole };
    }
    const key = this.#pinholes.get(id);
    const entry = key === undefined ? undefined : this.mappings.get(key);
    if (key === undefined || entry === undefined) return 704;
    if (action === 'GetPinholePackets') return { PinholePackets: 0 };
    if (action === 'UpdatePinhole') {
      this.#map({ ...entry, lifetime }, false);
      return {};
    }
    if (action !== 'DeletePinhole') return 401;
    this.#unmap(key);
    return {};
  }
}

const keyOf = (protocol: string, port: number | string): string => `${protocol} ${port}`;

const envelope = (body: string): string =>
  `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>${body}</s:Body></s:Envelope>`;
