/** UPnP with the routers on one network: searched by SSDP, described by XML, told by SOAP. */

import type { SocketAddress } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';
import { encodeHttpRequest, type HttpUrl } from './http.ts';
import { decodeIgdDescription, type IgdDescription, type IgdService } from './igd.ts';
import { decodeSoap, encodeSoap, type SoapAnswer } from './soap.ts';
import { encodeSsdpSearch, SSDP_ALL, SSDP_TARGETS, ssdpGroup, ssdpUnicast } from './ssdp.ts';
import { ANSWER_MS } from './transactions.ts';
import type {
  HttpResult,
  MappingFailure,
  MappingJob,
  MappingProtocol,
  MappingRoute,
  MappingService,
  MappingServiceHost,
} from './types.ts';
import {
  addMapping,
  addPinhole,
  deleteMapping,
  deletePinhole,
  type Flow,
  type FlowFailure,
  type FlowGrant,
  hasPinhole,
  lookUp,
} from './upnp-flows.ts';

/** When a search is repeated: datagrams get lost, and the last one asks for everything. */
const SEARCH_AT_MS = [0, 400, 1200] as const;
/** How long another host of the network waits for the known router: a little less than the first verdict. */
const PREFER_ROUTER_MS = 200;
/** Descriptions that are read in one search. */
const MAX_DESCRIPTIONS = 4;

export class UpnpService implements MappingService {
  readonly via: MappingProtocol = 'upnp';
  readonly route: MappingRoute;
  state: MappingService['state'] = 'probing';
  failure: MappingFailure | undefined;
  detail: string | undefined;
  #nextMs: Millis = Infinity;
  readonly #host: MappingServiceHost;
  #probedMs: Millis = 0;
  #searches = 0;
  /** Where descriptions were asked for in this search. Bounded by {@link MAX_DESCRIPTIONS}. */
  readonly #described = new Set<string>();
  #device: IgdDescription | undefined;
  #deviceIp: string | undefined;
  /** Of another host than the known router, while that one may still answer. */
  #other: { readonly device: IgdDescription; readonly ip: string } | undefined;
  /** What runs for a mapping: a removal waits for it. Bounded by the mappings, as are the services that made them. */
  readonly #running = new Map<number, { isCancelled: boolean; afterwards: ((now: Millis) => void) | undefined }>();
  readonly #services = new Map<number, IgdService>();

  constructor(host: MappingServiceHost, route: MappingRoute) {
    this.#host = host;
    this.route = route;
  }

  get gateway(): string | undefined {
    return this.#deviceIp ?? this.route.gateway;
  }

  get nextMs(): Millis {
    return Math.min(this.#nextMs, this.#other === undefined ? Infinity : this.#probedMs + PREFER_ROUTER_MS);
  }

  probe(now: Millis): void {
    this.state = 'probing';
    this.failure = this.detail = undefined;
    this.#described.clear();
    this.#other = undefined;
    this.#searches = 0;
    this.#probedMs = now;
    this.#search();
  }

  /** A router has answered to a search; it was checked that the description is its own. */
  handleLocation(location: HttpUrl): void {
    const key = `${location.host.ip} ${location.host.port} ${location.path}`;
    if (this.state !== 'probing' || this.#described.has(key) || this.#described.size >= MAX_DESCRIPTIONS) return;
    this.#described.add(key);
    this.#host.http(this, location.host, encodeHttpRequest(location), (at, result) =>
      this.#handleDescription(at, location, result),
    );
  }

  request(now: Millis, job: MappingJob): void {
    const device = this.#device;
    const { own, family } = this.route;
    if (device === undefined) this.#host.refused(now, this, job, 'no_answer');
    else if (family === 4) this.#request(now, job, addMapping(device, own, job));
    else this.#request(now, job, addPinhole(device.firewall!, own, job));
  }

  release(now: Millis, job: MappingJob): void {
    const running = this.#running.get(job.id);
    if (running !== undefined) {
      // What it maps is removed as soon as it has.
      running.afterwards = (at) => this.release(at, job);
      return;
    }
    const service = this.#services.get(job.id);
    this.#services.delete(job.id);
    const { pinhole, grant } = job;
    if (service === undefined || grant === undefined) this.#host.released(now, job);
    else if (this.route.family === 4) this.#run(now, deleteMapping(service, job), (at) => this.#host.released(at, job));
    else if (pinhole === undefined) this.#host.released(now, job);
    else this.#run(now, deletePinhole(service, pinhole), (at) => this.#host.released(at, job));
  }

  cancel({ id }: MappingJob): void {
    const running = this.#running.get(id);
    if (running !== undefined) running.isCancelled = true;
    this.#running.delete(id);
    this.#services.delete(id);
  }

  check(now: Millis, job: MappingJob): void {
    const service = this.#services.get(job.id);
    if (service === undefined || job.grant === undefined || this.#running.has(job.id)) return;
    if (this.route.family === 4) {
      this.#run(now, lookUp(service, this.route.own, job), (at, whose) => {
        if (whose === 'none' || whose === 'other') this.#host.restarted(at, this);
        else if (whose === 'silent') this.#host.unsure(at, job);
      });
    } else if (job.pinhole !== undefined) {
      this.#run(now, hasPinhole(service, job.pinhole), (at, isThere) => {
        if (isThere === undefined) this.#host.unsure(at, job);
        else if (!isThere) this.#host.restarted(at, this);
      });
    }
  }

  handleTimeout(now: Millis): void {
    if (now < this.nextMs || this.state !== 'probing') return;
    if (this.#other !== undefined) {
      this.#found(now, this.#other.device, this.#other.ip);
      return;
    }
    if (now < this.#probedMs + ANSWER_MS) {
      this.#search();
      return;
    }
    this.state = 'absent';
    this.#nextMs = Infinity;
    // Its description does not come to an end.
    this.failure ??= this.#described.size > 0 ? 'too_slow' : 'no_answer';
    this.#host.probed(now, this);
  }

  #search(): void {
    const { own, family, interfaceName, gateway } = this.route;
    const isLast = ++this.#searches === SEARCH_AT_MS.length;
    for (const to of [ssdpGroup(family, interfaceName), ...(gateway === undefined ? [] : [ssdpUnicast(gateway)])]) {
      for (const target of isLast ? [...SSDP_TARGETS, SSDP_ALL] : SSDP_TARGETS) {
        this.#host.transmit({ type: 'datagram', from: own, to, bytes: encodeSsdpSearch(to, target) });
      }
    }
    this.#nextMs = this.#probedMs + (SEARCH_AT_MS[this.#searches] ?? ANSWER_MS);
  }

  #handleDescription(now: Millis, location: HttpUrl, result: HttpResult): void {
    if (this.state !== 'probing') return;
    const ok = typeof result !== 'string' && result.status === 200;
    const device = ok ? decodeIgdDescription(result.body, location) : undefined;
    if (device === undefined) {
      this.failure = result === 'too_slow' || result === 'unreachable' ? FAILURE_OF[result] : 'malformed';
      return;
    }
    if (this.route.family === 4 ? device.connections.length === 0 : device.firewall === undefined) {
      this.failure = 'unsupported';
      return;
    }
    const { gateway } = this.route;
    const { ip } = location.host;
    const isRouter = gateway === undefined || gateway === ip;
    if (isRouter || now >= this.#probedMs + PREFER_ROUTER_MS) this.#found(now, device, ip);
    else this.#other ??= { device, ip };
  }

  #found(now: Millis, device: IgdDescription, ip: string): void {
    this.#device = device;
    this.#deviceIp = ip;
    this.#other = undefined;
    // After a restart its control URLs may have another port.
    const [first] = this.route.family === 4 ? device.connections : [device.firewall!];
    for (const [id, { type }] of this.#services) {
      const control = (device.connections.find((each) => each.type === type) ?? first!).control;
      this.#services.set(id, { type, control });
    }
    this.state = 'found';
    this.failure = undefined;
    this.#nextMs = Infinity;
    this.#host.probed(now, this);
  }

  #request(now: Millis, job: MappingJob, flow: Flow<FlowGrant | FlowFailure>): void {
    if (this.#running.has(job.id)) return;
    const running: { isCancelled: boolean; afterwards: ((now: Millis) => void) | undefined } = {
      isCancelled: false,
      afterwards: undefined,
    };
    this.#running.set(job.id, running);
    this.#run(now, flow, (at, made) => {
      if (running.isCancelled) return;
      this.#running.delete(job.id);
      if ('failure' in made) this.#host.refused(at, this, job, made.failure, made.detail);
      else {
        this.#services.set(job.id, made.service);
        job.pinhole = made.pinhole;
        this.#host.granted(at, this, job, made.grant);
        // What was forgotten is not the only one.
        if (made.wasLost === true) this.#host.restarted(at, this);
      }
      running.afterwards?.(at);
    });
  }

  #run<T>(now: Millis, flow: Flow<T>, done: (now: Millis, result: T) => void, answer?: SoapAnswer): void {
    const next = answer === undefined ? flow.next() : flow.next(answer);
    if (next.done === true) {
      done(now, next.value);
      return;
    }
    const { service, action, args } = next.value;
    const to: SocketAddress = service.control.host;
    this.#host.http(this, to, encodeSoap(service, action, args), (at, result) =>
      this.#run(at, flow, done, decodeSoap(result, action)),
    );
  }
}

const FAILURE_OF = { too_slow: 'too_slow', unreachable: 'no_answer' } as const;
