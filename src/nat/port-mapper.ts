/** Maps ports of this host on its routers by PCP, NAT-PMP and UPnP: the machine with sockets and promises. */

import { assertFunction, describeValue, quantity, wholeNumber } from '../base/checks.ts';
import { canonicalIp } from '../base/ip.ts';
import { assertRealm, type Realm } from '../core/realm.ts';
import type { CallOptions } from '../core/swarm.ts';
import { gatewaysOf } from '../net/default-gateways.ts';
import { assertNetwork, type Network } from '../net/network.ts';
import { systemNetwork } from '../net/system-network.ts';
import { MAX_MAPPINGS, PortMapperMachine, type PortMapperEvent } from '../protocols/port-mapping/machine.ts';
import { PCP_NONCE_BYTES } from '../protocols/port-mapping/pcp.ts';
import {
  MAPPING_PROTOCOLS,
  type MappingProtocol,
  type MappingRequest,
  type MappingTransmit,
} from '../protocols/port-mapping/types.ts';
import { CloseLatch } from '../runtime/close-latch.ts';
import { Driver } from '../runtime/driver.ts';
import { clockOf, systemRealm } from '../runtime/system-realm.ts';
import { checkCall } from '../runtime/waits.ts';
import { httpCall } from './http-call.ts';
import { MapperSockets } from './mapper-sockets.ts';
import { mappingReport, type PortMapperReport } from './mapper-report.ts';
import { mappingRoutes } from './mapping-routes.ts';
import { type MappingState, OpenMapping } from './open-mapping.ts';
import type { PortMapper, PortMapping, PortMappingRequest } from './port-mapping.ts';

/** How ports are mapped. */
export interface PortMapperOptions {
  /** Whose sockets and interfaces. @default this system's */
  readonly network?: Network | undefined;
  readonly realm?: Realm | undefined;
  /**
   * IPs of routers; only these are asked. @default the default gateways of `network`; UPnP also searches on every interface with a private
   * address
   */
  readonly gateways?: readonly string[] | undefined;
  /** @default all three */
  readonly protocols?: readonly MappingProtocol[] | undefined;
  /** The IPv4 address under which others see this host, where that is known: a router that says another one is behind a NAT. */
  readonly observed?: (() => string | undefined) | undefined;
  /** Closes the mapper. */
  readonly signal?: AbortSignal | undefined;
}

/** UPnP's shortest and PCP's usual longest lifetime. */
const MIN_LIFETIME_MS = 1000;
const MAX_LIFETIME_MS = 86_400_000;
const DEFAULT_LIFETIME_MS = 7_200_000;
/** How long a removal may take, of the second that closing has. */
const RELEASE_MS = 800;
const MAX_GATEWAYS = 8;

/**
 * Opens a port mapper. It sends nothing before the first `map`, and then to the routers of this host only.
 *
 * @throws {TypeError | RangeError} for options out of bounds.
 */
export function openPortMapper(options: PortMapperOptions = {}): PortMapper {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Cannot take options: expected an object, got ${describeValue(options)}`);
  }
  const { network = systemNetwork, realm = systemRealm, observed = () => undefined, protocols, signal } = options;
  assertRealm(realm);
  assertNetwork(network);
  assertFunction(observed, 'observed');
  checkCall({ signal });
  return new OpenMapper({
    network,
    realm,
    observed,
    signal,
    gateways: checkGateways(options.gateways),
    protocols: checkProtocols(protocols),
  });
}

function checkGateways(gateways: readonly string[] | undefined): readonly string[] | undefined {
  if (gateways === undefined) return undefined;
  if (!Array.isArray(gateways))
    throw new TypeError(`Cannot take gateways: expected IPs, got ${describeValue(gateways)}`);
  if (gateways.length > MAX_GATEWAYS) {
    throw new RangeError(`Cannot take gateways: expected ${MAX_GATEWAYS} at most, got ${gateways.length}`);
  }
  return gateways.map((text: unknown) => {
    const ip = typeof text === 'string' ? canonicalIp(text) : undefined;
    if (ip === undefined) throw new TypeError(`Cannot take gateways: expected IPs, got ${describeValue(text)}`);
    return ip;
  });
}

function checkProtocols(protocols: readonly MappingProtocol[] | undefined): readonly MappingProtocol[] {
  if (protocols === undefined) return MAPPING_PROTOCOLS;
  const isKnown =
    Array.isArray(protocols) && protocols.every((each: MappingProtocol) => MAPPING_PROTOCOLS.includes(each));
  if (isKnown && protocols.length > 0) return protocols;
  throw new TypeError(
    `Cannot take protocols: expected some of ${MAPPING_PROTOCOLS.join(', ')}, got ${describeValue(String(protocols))}`,
  );
}

interface Parts {
  readonly network: Network;
  readonly realm: Realm;
  readonly observed: () => string | undefined;
  readonly signal: AbortSignal | undefined;
  readonly gateways: readonly string[] | undefined;
  readonly protocols: readonly MappingProtocol[];
}

class OpenMapper implements PortMapper {
  readonly #parts: Parts;
  readonly #machine: PortMapperMachine;
  readonly #driver: Driver<MappingTransmit, PortMapperEvent>;
  readonly #sockets: MapperSockets;
  readonly #latch: CloseLatch;
  readonly #stopped = new AbortController();
  /** By the machine's number. Bounded by {@link MAX_MAPPINGS}. */
  readonly #states = new Map<number, MappingState>();
  #interfaces: Disposable | undefined;
  #isFollowing = false;
  #followAgain = false;

  constructor(parts: Parts) {
    const { network, realm, signal, protocols } = parts;
    this.#parts = parts;
    this.#machine = new PortMapperMachine(protocols);
    this.#driver = new Driver(this.#machine, {
      realm,
      transmit: (transmit) => this.#transmit(transmit),
      event: (event) => this.#handle(event),
      failed: (bug) => this.#latch.fail(bug),
      // Who waits for a verdict or a removal has a timer of its own, and nobody waits for renewals.
      background: true,
    });
    this.#sockets = new MapperSockets({
      network,
      onDatagram: (own, from, bytes) => {
        this.#machine.handleDatagram(realm.nowMs(), own, from, bytes);
        this.#driver.poll();
      },
      onAnnouncement: (from, bytes) => {
        this.#machine.handleAnnouncement(realm.nowMs(), from, bytes);
        this.#driver.poll();
      },
    });
    this.#latch = new CloseLatch({ realm, layer: 'port-mapper', release: () => this.#release() });
    const onAbort = (): void => void this.close();
    signal?.addEventListener('abort', onAbort, { once: true, signal: this.#stopped.signal });
    if (signal?.aborted === true) onAbort();
  }

  get report(): PortMapperReport {
    const { services, foreignAnswers } = this.#machine;
    return mappingReport(services, foreignAnswers);
  }

  map(request: PortMappingRequest, options?: CallOptions): PortMapping {
    const wanted = checkRequest(request);
    checkCall(options);
    const { protocol, family, internalPort } = wanted;
    const key = `${family} ${protocol} ${internalPort}`;
    const state =
      [...this.#states.values()].find((one) => one.key === key && !one.isReleasing) ?? this.#ask(key, wanted);
    return new OpenMapping(state, this.#parts.realm, options);
  }

  close(): Promise<void> {
    return this.#latch.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ask(key: string, request: MappingRequest): MappingState {
    const { realm, observed } = this.#parts;
    const nonce = realm.random(PCP_NONCE_BYTES);
    const id = this.#latch.isClosed ? undefined : this.#machine.map(realm.nowMs(), request, nonce);
    const why = this.#latch.isClosed
      ? 'The port mapper is closed'
      : `This port mapper has ${MAX_MAPPINGS} mappings, which is its limit: close some`;
    const state: MappingState = {
      key,
      family: request.family,
      isDecided: id === undefined,
      isReleasing: false,
      handles: new Set(),
      observed,
      view: () => (id === undefined ? undefined : this.#machine.view(id)),
      gone: id === undefined ? why : 'The mapping is closed',
      release: () => (id === undefined ? Promise.resolve() : this.#unmap(id)),
      released: undefined,
    };
    if (id === undefined) return state;
    this.#states.set(id, state);
    if (this.#interfaces === undefined) {
      this.#interfaces = this.#parts.network.onInterfacesChanged(() => void this.#follow());
      void this.#follow();
    }
    this.#driver.poll();
    return state;
  }

  #unmap(id: number): Promise<void> {
    const state = this.#states.get(id);
    if (state === undefined) return Promise.resolve();
    state.released ??= this.#waitForRelease(id, state);
    return state.released;
  }

  async #waitForRelease(id: number, state: MappingState): Promise<void> {
    const { realm } = this.#parts;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = clockOf(realm).setTimer(realm.nowMs() + RELEASE_MS, resolve);
    state.isReleasing = true;
    state.onReleased = resolve;
    this.#machine.unmap(realm.nowMs(), id);
    this.#driver.poll();
    await promise;
    timer.cancel();
  }

  /** Learns which routers there are; one run at a time. */
  async #follow(): Promise<void> {
    this.#followAgain = true;
    if (this.#isFollowing) return;
    this.#isFollowing = true;
    const { network, realm, gateways } = this.#parts;
    while (this.#followAgain && !this.#latch.isClosed) {
      this.#followAgain = false;
      const found = gateways ?? gatewaysOf(network);
      const routes = await this.#sockets.follow(mappingRoutes(network.interfaces(), found, gateways !== undefined));
      if (this.#latch.isClosed) break;
      this.#machine.setRoutes(realm.nowMs(), routes);
      this.#driver.poll();
    }
    this.#isFollowing = false;
  }

  #transmit(transmit: MappingTransmit): void {
    const { from, to, bytes } = transmit;
    if (transmit.type === 'datagram') {
      this.#sockets.send(from, to, bytes);
      return;
    }
    const { network, realm } = this.#parts;
    const { call, timeoutMs } = transmit;
    void httpCall({ network, realm, from, to, bytes, timeoutMs, signal: this.#stopped.signal }).then((result) => {
      this.#machine.handleHttp(realm.nowMs(), call, result);
      this.#driver.poll();
    });
  }

  #handle({ type, mapping }: PortMapperEvent): void {
    const state = this.#states.get(mapping);
    if (state === undefined) return;
    if (type === 'released') {
      this.#states.delete(mapping);
      state.onReleased?.();
      return;
    }
    if (type === 'decided') state.isDecided = true;
    for (const handle of state.handles) handle.changed();
  }

  async #release(): Promise<void> {
    this.#interfaces?.[Symbol.dispose]();
    await Promise.all([...this.#states.keys()].map((id) => this.#unmap(id)));
    for (const state of this.#states.values()) state.isDecided = true;
    for (const state of this.#states.values()) for (const handle of state.handles) handle.changed();
    this.#driver.stop();
    this.#stopped.abort(new Error('The port mapper is closed'));
    await this.#sockets.close();
  }
}

/** @throws {TypeError | RangeError} */
function checkRequest(request: PortMappingRequest): MappingRequest {
  if (typeof request !== 'object' || request === null) {
    throw new TypeError(`Cannot take request: expected an object, got ${describeValue(request)}`);
  }
  const { protocol, family = 4 } = request;
  if (protocol !== 'udp' && protocol !== 'tcp') {
    throw new TypeError(`Cannot take protocol: expected udp or tcp, got ${describeValue(protocol)}`);
  }
  if (family !== 4 && family !== 6)
    throw new TypeError(`Cannot take family: expected 4 or 6, got ${describeValue(family)}`);
  const internalPort = wholeNumber(request.internalPort, 'internalPort', 0, 1, 65_535);
  if (internalPort === 0) throw new TypeError('Cannot take internalPort: expected a port, got undefined');
  const externalPort = wholeNumber(request.externalPort, 'externalPort', internalPort, 1, 65_535);
  const lifetimeMs = quantity(request.lifetimeMs, 'lifetimeMs', DEFAULT_LIFETIME_MS, MIN_LIFETIME_MS, MAX_LIFETIME_MS);
  return { protocol, family, internalPort, externalPort, lifetimeMs };
}
