/** The UPnP side of a virtual router: SSDP, a description, and SOAP. */

import { decodeText, encodeText } from '../../src/base/bytes.ts';
import { canonicalIp, type SocketAddress } from '../../src/base/ip.ts';
import type { DatagramSocket, RawConnection } from '../../src/net/network.ts';
import {
  keyOf,
  PROTOCOLS,
  type RouterEntry,
  type RouterMapping,
  type RouterOddities,
  type VirtualRouterOptions,
} from './router-types.ts';

const URN = 'urn:schemas-upnp-org:service:';

/** What the IGD needs of its router. */
export interface IgdRouter {
  readonly mappings: ReadonlyMap<string, RouterEntry>;
  readonly log: string[];
  readonly externalIp: string;
  map(mapping: RouterMapping, mayChoose: boolean): number;
  unmap(key: string): boolean;
  later(which: 'pcp' | 'natPmp' | 'upnp', answer: () => void): void;
}

export class VirtualIgd {
  /** Of HTTP. */
  port = 5000;
  readonly #router: IgdRouter;
  readonly #options: VirtualRouterOptions;
  readonly #oddities: RouterOddities;
  readonly #faults: Map<string, number[]>;
  #lastPinhole = 0;
  readonly #pinholes = new Map<string, string>();

  constructor(router: IgdRouter, options: VirtualRouterOptions) {
    this.#router = router;
    this.#options = options;
    this.#oddities = options.oddities ?? {};
    this.#faults = new Map(Object.entries(this.#oddities.faults ?? {}).map(([action, codes]) => [action, [...codes]]));
  }

  restart(): void {
    this.#pinholes.clear();
  }

  answerSearch(socket: DatagramSocket, bytes: Uint8Array, own: string, from: SocketAddress): void {
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
    const location =
      this.#oddities.location ?? `http://${bare.includes(':') ? `[${bare}]` : bare}:${this.port}/rootDesc.xml`;
    const lines = [
      'HTTP/1.1 200 OK',
      'CACHE-CONTROL: max-age=120',
      `ST: ${target === 'ssdp:all' ? is[0] : target}`,
      'EXT:',
      `LOCATION: ${location}`,
    ];
    this.#router.later('upnp', () => socket.send(encodeText(`${lines.join('\r\n')}\r\n\r\n`), from.ip, from.port));
  }

  serveHttp({ pipe, remote }: RawConnection, own: string): void {
    let text = '';
    pipe.sink = {
      onData: (chunk) => {
        text += decodeText(chunk) ?? '';
        const head = text.indexOf('\r\n\r\n');
        const length = Number(/content-length: *([0-9]+)/i.exec(text)?.[1] ?? 0);
        if (head < 0 || text.length < head + 4 + length) return;
        const answer = this.#answerHttp(text.slice(0, head), text.slice(head + 4), own, remote.ip);
        this.#router.later('upnp', () => this.#respond(pipe, answer));
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
      this.#router.log.push('upnp description');
      return { status: 200, body: this.#oddities.description ?? this.#description(own) };
    }
    const [, service, version, action] =
      /SOAPAction: "urn:schemas-upnp-org:service:([A-Za-z0-9]+):([12])#([A-Za-z0-9]+)"/i.exec(head) ?? [];
    this.#router.log.push(`upnp ${action}`);
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
    const entry = this.#router.mappings.get(keyOf(protocol, externalPort));
    if (action === 'GetExternalIPAddress') return { NewExternalIPAddress: this.#router.externalIp };
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
    if (action === 'DeletePortMapping') return this.#router.unmap(keyOf(protocol, externalPort)) ? {} : 714;
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
    const port = this.#router.map({ via: 'upnp', protocol, externalPort, client: internal, lifetime }, isAny);
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
      this.#router.map({ via: 'upnp', protocol, externalPort: port, client: { ip, port }, lifetime }, false);
      this.#pinholes.set(String(++this.#lastPinhole), keyOf(protocol, `[${ip}]:${port}`));
      return { UniqueID: this.#lastPinhole };
    }
    const key = this.#pinholes.get(id);
    const entry = key === undefined ? undefined : this.#router.mappings.get(key);
    if (key === undefined || entry === undefined) return 704;
    if (action === 'GetPinholePackets') return { PinholePackets: 0 };
    if (action === 'UpdatePinhole') {
      this.#router.map({ ...entry, lifetime }, false);
      return {};
    }
    if (action !== 'DeletePinhole') return 401;
    this.#router.unmap(key);
    return {};
  }
}

const envelope = (body: string): string =>
  `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>${body}</s:Body></s:Envelope>`;
