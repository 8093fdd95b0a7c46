/**
 * Keeps mappings of this host's ports on its routers, without I/O: asks all protocols of all routers at once, uses the best one that
 * answers, renews, makes again after a restart of the router, and removes.
 */

import type { Bytes } from '../../base/bytes.ts';
import { sharesPrefix, type SocketAddress, withoutZone } from '../../base/ip.ts';
import type { Machine, Millis, Output } from '../../base/machine.ts';
import { Outbox } from '../../base/outbox.ts';
import { CHECK_MS, Mapping, type MappingView } from './mapping.ts';
import { NatPmpService } from './nat-pmp-service.ts';
import { MAPPING_SERVER_PORT } from './pcp.ts';
import { PcpService } from './pcp-service.ts';
import { decodeSsdpResponse, isOfGateway } from './ssdp.ts';
import { ANSWER_MS } from './transactions.ts';
import {
  type HttpResult,
  MAPPING_PROTOCOLS,
  type MappingFailure,
  type MappingGrant,
  type MappingJob,
  type MappingProtocol,
  type MappingRequest,
  type MappingRoute,
  type MappingService,
  type MappingServiceHost,
  type MappingTransmit,
} from './types.ts';
import { UpnpService } from './upnp-service.ts';

/** When the first verdict is given: of the routers that have answered by then, the best is used. Tailscale's time. */
export const VERDICT_MS = 250;
/** Mappings at once. */
export const MAX_MAPPINGS = 64;
/** Routers and addresses at once. */
export const MAX_ROUTES = 8;
/** Between two probes of one router because of what it does. */
const MIN_PROBE_MS = 4000;
const HTTP_TIMEOUT_MS = ANSWER_MS;

/** What the machine tells. */
export type PortMapperEvent =
  /** Something about the mapping is different. */
  | { readonly type: 'changed'; readonly mapping: number }
  /** There is a first verdict. */
  | { readonly type: 'decided'; readonly mapping: number }
  /** The mapping is removed; the machine has forgotten it. */
  | { readonly type: 'released'; readonly mapping: number };

/** What was found of one protocol of one router. */
export interface ServiceView {
  readonly via: MappingProtocol;
  readonly gateway: string | undefined;
  readonly route: MappingRoute;
  readonly state: MappingService['state'];
  /** From the probe to its outcome. */
  readonly afterMs: number | undefined;
  readonly failure: MappingFailure | undefined;
  readonly detail: string | undefined;
}

interface Found {
  readonly service: PcpService | NatPmpService | UpnpService;
  probedMs: Millis;
  answeredMs: Millis | undefined;
}

/** The machine. */
export class PortMapperMachine implements Machine<MappingTransmit, PortMapperEvent>, MappingServiceHost {
  readonly #outbox = new Outbox<MappingTransmit, PortMapperEvent, 'next'>();
  readonly #protocols: readonly MappingProtocol[];
  /** In order of preference. Bounded by {@link MAX_ROUTES} and the protocols. */
  #found: Found[] = [];
  /** Bounded by {@link MAX_MAPPINGS}. */
  readonly #mappings = new Map<number, Mapping>();
  /** HTTP requests under way. Bounded by the mappings and the descriptions of a search. */
  readonly #calls = new Map<
    number,
    { readonly service: MappingService; readonly done: (now: Millis, result: HttpResult) => void }
  >();
  #lastId = 0;
  #lastCall = 0;
  /** Of the last probe; `undefined` before the first. */
  #probedMs: Millis | undefined;
  /** Of the verdict after it; `Infinity` once it is given. */
  #verdictMs: Millis = Infinity;
  #foreign = 0;

  constructor(protocols: readonly MappingProtocol[] = MAPPING_PROTOCOLS) {
    this.#protocols = MAPPING_PROTOCOLS.filter((each) => protocols.includes(each));
  }

  /** Answers to a search that were not from a router of this host's networks, or that named another host. */
  get foreignAnswers(): number {
    return this.#foreign;
  }

  get services(): readonly ServiceView[] {
    return this.#found.map(({ service, probedMs, answeredMs }) => {
      const { via, gateway, route, state, failure, detail } = service;
      const afterMs = answeredMs === undefined ? undefined : answeredMs - probedMs;
      return { via, gateway, route, state, afterMs, failure, detail };
    });
  }

  /**
   * Says which routers there are. Those that stay are asked whether they have restarted: it may be another network with the same
   * addresses.
   */
  setRoutes(now: Millis, routes: readonly MappingRoute[]): void {
    const known = new Map(this.#found.map((one) => [keyOf(one.service.via, one.service.route), one]));
    this.#found = this.#protocols.flatMap((via) =>
      routes.slice(0, MAX_ROUTES).flatMap((route) => {
        const service = known.get(keyOf(via, route))?.service ?? this.#serviceOf(via, route);
        return service === undefined
          ? []
          : [known.get(keyOf(via, route)) ?? { service, probedMs: now, answeredMs: undefined }];
      }),
    );
    const services = new Set<MappingService>(this.#found.map(({ service }) => service));
    for (const [call, { service }] of this.#calls) if (!services.has(service)) this.#calls.delete(call);
    for (const mapping of this.#mappings.values()) {
      mapping.tried.clear();
      if (mapping.service === undefined) mapping.retryMs = Infinity;
      else if (!services.has(mapping.service)) this.#lose(now, mapping);
      else if (mapping.phase === 'mapped') mapping.check(now);
    }
    this.#probe(now);
    this.#arm();
  }

  /**
   * Asks for a mapping.
   *
   * @param nonce - 12 random bytes.
   * @returns its number; `undefined` when there are {@link MAX_MAPPINGS}.
   */
  map(now: Millis, request: MappingRequest, nonce: Bytes): number | undefined {
    if (this.#mappings.size >= MAX_MAPPINGS) return undefined;
    const id = ++this.#lastId;
    this.#mappings.set(id, new Mapping(now, id, request, nonce));
    const isStale = this.#probedMs !== undefined && now - this.#probedMs >= CHECK_MS;
    const isFound = this.#found.some(
      ({ service: { state, route } }) => state !== 'absent' && route.family === request.family,
    );
    if (isStale || (this.#probedMs !== undefined && !isFound)) this.#probe(now);
    this.#advanceAll(now);
    this.#arm();
    return id;
  }

  /** Removes a mapping; `released` follows, when the router has done it or has not answered for 3 s. */
  unmap(now: Millis, id: number): void {
    const mapping = this.#mappings.get(id);
    if (mapping === undefined || mapping.phase === 'releasing') return;
    const { service } = mapping;
    mapping.release();
    if (service === undefined) this.released(now, mapping);
    else service.release(now, mapping);
    this.#arm();
  }

  /** @returns `undefined` for a mapping that is released. */
  view(id: number): MappingView | undefined {
    return this.#mappings.get(id)?.view;
  }

  /** A datagram for one of the addresses of the routes. @returns whether it was for this machine. */
  handleDatagram(now: Millis, own: string, from: SocketAddress, bytes: Uint8Array): boolean {
    const isRouter = from.port === MAPPING_SERVER_PORT;
    const taken = isRouter ? this.#toRouters(now, own, from, bytes) : this.#handleSearchAnswer(own, from, bytes);
    this.#arm();
    return taken;
  }

  /** A datagram to the group in which routers announce restarts and other addresses. */
  handleAnnouncement(now: Millis, from: SocketAddress, bytes: Uint8Array): boolean {
    const isRouter =
      from.port === MAPPING_SERVER_PORT && this.#found.some(({ service }) => service.gateway === from.ip);
    if (isRouter) {
      this.#toRouters(now, undefined, from, bytes);
      // A router announces in one protocol what is so for all: those of the others are looked at.
      for (const mapping of this.#mappings.values()) if (mapping.service?.gateway === from.ip) mapping.checkSoon(now);
    }
    this.#arm();
    return isRouter;
  }

  /** What became of an HTTP request. */
  handleHttp(now: Millis, call: number, result: HttpResult): void {
    const pending = this.#calls.get(call);
    this.#calls.delete(call);
    pending?.done(now, result);
    this.#arm();
  }

  handleTimeout(now: Millis): void {
    if (this.#outbox.takeDue(now).length === 0) return;
    if (now >= this.#verdictMs) this.#verdictMs = Infinity;
    for (const { service } of this.#found) service.handleTimeout(now);
    for (const mapping of this.#mappings.values()) this.#handleDue(now, mapping);
    this.#advanceAll(now);
    this.#arm();
  }

  poll(): Output<MappingTransmit, PortMapperEvent> {
    return this.#outbox.poll();
  }

  // What services tell.

  transmit(transmit: MappingTransmit): void {
    this.#outbox.transmit(transmit);
  }

  http(
    service: MappingService,
    to: SocketAddress,
    bytes: Bytes,
    done: (now: Millis, result: HttpResult) => void,
  ): void {
    const call = ++this.#lastCall;
    this.#calls.set(call, { service, done });
    this.#outbox.transmit({ type: 'http', call, from: service.route.own, to, bytes, timeoutMs: HTTP_TIMEOUT_MS });
  }

  probed(now: Millis, service: MappingService): void {
    const found = this.#found.find((one) => one.service === service);
    if (found !== undefined) found.answeredMs = now;
    for (const mapping of this.#mappings.values()) {
      if (mapping.service === service && mapping.isUnanswered && service.state === 'found') mapping.ask(now, service);
    }
    this.#advanceAll(now);
  }

  granted(now: Millis, service: MappingService, job: MappingJob, grant: MappingGrant): void {
    const mapping = this.#mappings.get(job.id);
    if (mapping?.service !== service) return;
    // A removal that waits for it needs to know the port.
    if (mapping.phase === 'releasing') mapping.grant = grant;
    else {
      mapping.mapped(now, service, grant);
      this.#tell(mapping);
    }
  }

  refused(now: Millis, service: MappingService, job: MappingJob, failure: MappingFailure, detail?: string): void {
    const mapping = this.#mappings.get(job.id);
    if (mapping?.service !== service || mapping.phase === 'releasing') return;
    const isSilent = failure === 'no_answer' || failure === 'too_slow';
    if (mapping.phase === 'mapped' && !mapping.isLost) mapping.notRenewed(now, failure, isSilent);
    else {
      mapping.reset();
      mapping.refusedBy(service, failure, detail);
      this.#advance(now, mapping);
    }
    if (isSilent) this.#probeAgain(now, service);
  }

  released(_now: Millis, job: MappingJob): void {
    if (this.#mappings.delete(job.id)) this.#outbox.event({ type: 'released', mapping: job.id });
  }

  restarted(now: Millis, service: MappingService): void {
    for (const mapping of this.#mappings.values()) {
      // A router that comes up may take what it or another one refused before.
      mapping.retrySoon(now);
      if (mapping.service !== service || mapping.phase !== 'mapped' || mapping.grantedMs === now) continue;
      mapping.lost(now);
      if (now >= mapping.renewMs) mapping.ask(now, service);
    }
  }

  unsure(now: Millis, job: MappingJob): void {
    const mapping = this.#mappings.get(job.id);
    if (mapping?.service === undefined) return;
    mapping.unsure(now);
    this.#probeAgain(now, mapping.service);
  }

  readdressed(_now: Millis, service: MappingService, ip: string | undefined): void {
    for (const mapping of this.#mappings.values()) {
      if (mapping.service !== service || mapping.grant === undefined) continue;
      mapping.grant = { ...mapping.grant, external: { ip, port: mapping.grant.external.port } };
      this.#tell(mapping);
    }
  }

  // The rest.

  #serviceOf(via: MappingProtocol, route: MappingRoute): Found['service'] | undefined {
    if (via === 'upnp') return new UpnpService(this, route);
    const { gateway, family } = route;
    if (gateway === undefined || (via === 'nat-pmp' && family === 6)) return undefined;
    return via === 'pcp' ? new PcpService(this, { ...route, gateway }) : new NatPmpService(this, { ...route, gateway });
  }

  /** Asks the routers that are not found. */
  #probe(now: Millis): void {
    this.#probedMs = now;
    this.#verdictMs = now + VERDICT_MS;
    for (const found of this.#found) {
      if (found.service.state !== 'found') this.#probeOne(now, found);
    }
  }

  /** A router that was found, or was not, may be another one now, or at another port. */
  #probeAgain(now: Millis, service: MappingService): void {
    const found = this.#found.find((one) => one.service === service);
    if (found !== undefined && service.state !== 'probing' && now >= found.probedMs + MIN_PROBE_MS) {
      this.#probeOne(now, found);
    }
  }

  #probeOne(now: Millis, found: Found): void {
    found.probedMs = now;
    found.answeredMs = undefined;
    found.service.probe(now);
  }

  #toRouters(now: Millis, own: string | undefined, from: SocketAddress, bytes: Uint8Array): boolean {
    let taken = false;
    for (const found of this.#found) {
      const { service } = found;
      if (service instanceof UpnpService || service.gateway !== from.ip) continue;
      if (own !== undefined && service.route.own !== own) continue;
      // A router that announces itself has come up.
      if (own === undefined && service.state === 'absent') this.#probeAgain(now, service);
      service.handleDatagram(now, bytes);
      taken = true;
    }
    return taken;
  }

  #handleSearchAnswer(own: string, from: SocketAddress, bytes: Uint8Array): boolean {
    const response = decodeSsdpResponse(bytes);
    if (response === undefined || !isOfGateway(response)) return false;
    const { location } = response;
    const services = this.#found.flatMap(({ service }) =>
      service instanceof UpnpService && service.route.own === own && isNear(service.route, from.ip) ? [service] : [],
    );
    // A description is read from the host that answers, in a network of this host, and from nowhere else.
    if (services.length === 0 || withoutZone(location.host.ip) !== withoutZone(from.ip)) {
      this.#foreign++;
      return false;
    }
    const at = { host: { ip: from.ip, port: location.host.port }, path: location.path };
    for (const service of services) service.handleLocation(at);
    return true;
  }

  #handleDue(now: Millis, mapping: Mapping): void {
    const { phase, service } = mapping;
    if (phase === 'mapped') {
      if (now >= mapping.expiresMs) {
        this.#lose(now, mapping);
        this.#probe(now);
      } else if (now >= mapping.renewMs) mapping.ask(now, service!);
      else if (now >= mapping.checkMs) mapping.check(now);
    } else if (now >= mapping.retryMs) {
      mapping.retry(now);
      // Those that are due at once are one probe.
      if (this.#probedMs !== now) this.#probe(now);
    }
    if (now >= mapping.decideMs) this.#decide(mapping);
  }

  #advanceAll(now: Millis): void {
    for (const mapping of this.#mappings.values()) this.#advance(now, mapping);
  }

  /** Takes the best service that is left for a mapping that waits. */
  #advance(now: Millis, mapping: Mapping): void {
    if (mapping.phase !== 'waiting' || this.#probedMs === undefined || now < this.#probedMs + VERDICT_MS) return;
    const services = this.#found.flatMap(({ service }) =>
      service.route.family === mapping.request.family && !mapping.tried.has(service) ? [service] : [],
    );
    const best = services.find(({ state }) => state === 'found');
    if (best !== undefined) {
      mapping.ask(now, best);
      return;
    }
    const isFinal = !services.some(({ state }) => state === 'probing');
    // What a router refused says more than that others did not answer.
    if (mapping.tried.size === 0) {
      const failed = isFinal ? services.find(({ failure }) => failure !== 'no_answer') : undefined;
      const failure = services.length === 0 ? 'no_gateway' : (failed?.failure ?? 'no_answer');
      mapping.fail(failure, failed?.detail, (failed ?? services[0])?.gateway);
    }
    if (isFinal) mapping.retryLater(now);
    this.#tell(mapping);
  }

  /** It is there no more: of whatever is found, another one is taken. */
  #lose(now: Millis, mapping: Mapping): void {
    if (mapping.phase === 'releasing') {
      this.released(now, mapping);
      return;
    }
    mapping.reset();
    mapping.tried.clear();
    mapping.fail('no_answer', undefined, undefined);
    this.#tell(mapping);
  }

  /** There is something to say of it: the first time that is the verdict. */
  #tell(mapping: Mapping): void {
    const { grant, failure, detail, expiresMs } = mapping.view;
    const tells = JSON.stringify([grant?.external, expiresMs, failure, detail]);
    const isNew = mapping.told !== tells;
    mapping.told = tells;
    if (!mapping.isDecided) this.#decide(mapping);
    else if (isNew) this.#outbox.event({ type: 'changed', mapping: mapping.id });
  }

  #decide(mapping: Mapping): void {
    if (mapping.isDecided) return;
    mapping.isDecided = true;
    this.#outbox.event({ type: 'decided', mapping: mapping.id });
  }

  #arm(): void {
    let next = this.#verdictMs;
    for (const { service } of this.#found) next = Math.min(next, service.nextMs);
    for (const mapping of this.#mappings.values()) next = Math.min(next, mapping.nextMs);
    this.#outbox.arm('next', next);
  }
}

const keyOf = (via: MappingProtocol, { own, gateway, prefixLength, interfaceName }: MappingRoute): string =>
  [via, own, prefixLength, interfaceName, gateway].join(' ');

/** Whether an IP is the router's, or of the network of this host's address. */
function isNear({ own, prefixLength, gateway, interfaceName }: MappingRoute, ip: string): boolean {
  const percent = ip.indexOf('%');
  return (
    ip === gateway || (percent < 0 ? sharesPrefix(ip, own, prefixLength) : ip.slice(percent + 1) === interfaceName)
  );
}
