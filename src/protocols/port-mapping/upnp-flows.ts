/**
 * What is said to a UPnP router for a mapping, one call after the other. A flow yields calls, gets answers, and returns what came of it;
 * it ends after a bounded number of calls, whatever the answers are.
 */

import { canonicalIp, ipVersion, whyNoHost } from '../../base/ip.ts';
import type { IgdDescription, IgdService } from './igd.ts';
import { IP_PROTOCOL } from './pcp.ts';
import type { SoapAnswer, SoapArguments } from './soap.ts';
import type { MappingFailure, MappingGrant, MappingJob } from './types.ts';

/** A call to a service of the router. */
export interface SoapCall {
  readonly service: IgdService;
  readonly action: string;
  readonly args: SoapArguments;
}

export type Flow<T> = Generator<SoapCall, T, SoapAnswer>;

/** Why a flow came to nothing. */
export interface FlowFailure {
  readonly failure: MappingFailure;
  readonly detail?: string | undefined;
}

/** What a flow got. */
export interface FlowGrant {
  readonly grant: MappingGrant;
  /** The service that did it, with the URN that the router understands. */
  readonly service: IgdService;
  readonly pinhole?: string | undefined;
  /** The router had forgotten the mapping before. */
  readonly wasLost?: boolean | undefined;
}

/** Errors of UPnP that are told apart (IGD 2, WANIPConnection:2 §2.5; WANIPv6FirewallControl:1 §2.5). */
const CODE = {
  invalidAction: 401,
  actionNotAuthorized: 606,
  pinholeSpaceExhausted: 701,
  firewallDisabled: 702,
  inboundPinholeNotAllowed: 703,
  noSuchEntry: 704,
  noSuchEntryInArray: 714,
  conflictInMappingEntry: 718,
  samePortValuesRequired: 724,
  onlyPermanentLeases: 725,
  remoteHostOnlyWildcard: 726,
  externalPortOnlyWildcard: 727,
  noPortMapsAvailable: 728,
  conflictWithOtherMechanisms: 729,
} as const;

/** Who shows a list of mappings sees this. */
const DESCRIPTION = 'shoal';
/** WANIPConnection:2 §2.3.19: a week. */
const MAX_LEASE = 604_800;
/** WANIPv6FirewallControl:1 §2.3.5: a day. */
const MAX_PINHOLE_LEASE = 86_400;
/** Tries of one mapping: an error changes what is tried next, and a router may have more than one oddity. */
const MAX_TRIES = 12;
const FIRST_UNPRIVILEGED_PORT = 1024;

/** Maps a port of IPv4, or renews the mapping that the job has. */
export function* addMapping(device: IgdDescription, own: string, job: MappingJob): Flow<FlowGrant | FlowFailure> {
  const chosen = yield* chooseConnection(device);
  if ('failure' in chosen) return chosen;
  const { ip } = chosen;
  let { service } = chosen;
  const { protocol, internalPort, lifetimeMs, externalPort } = job.request;
  const before = job.grant === undefined ? 'unknown' : yield* lookUp(service, own, job);
  // A port that has been given to another host meanwhile is not asked for again.
  const wanted = job.grant?.external.port ?? externalPort;
  const ports = alternatives(job.nonce);
  let port = before === 'other' ? ports.shift()! : wanted;
  let lease = Math.min(Math.max(1, Math.round(lifetimeMs / 1000)), MAX_LEASE);
  let mayChoose = service.type.endsWith(':2') && before !== 'own';
  let isFlipped = false;
  let last: FlowFailure = { failure: 'router_error' };
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const action = mayChoose ? 'AddAnyPortMapping' : 'AddPortMapping';
    const answer = yield { service, action, args: mappingArgs(port, protocol, internalPort, own, lease) };
    if (answer.type === 'failed') return { failure: answer.reason === 'unreachable' ? 'no_answer' : answer.reason };
    if (answer.type === 'ok') {
      const reserved = mayChoose ? portOf(answer.values.get('NewReservedPort')) : port;
      if (reserved === undefined) return { failure: 'malformed' };
      const grant = { external: { ip, port: reserved }, lifetimeMs: lease === 0 ? Infinity : lease * 1000 };
      return { grant, service, wasLost: before === 'none' || before === 'other' };
    }
    const { code, description } = answer;
    // That the other version is not known says less than what the first one said.
    if (!isFlipped || code !== CODE.invalidAction) {
      last = { failure: failureOf(code), detail: said(code, description) };
    }
    if (code === CODE.onlyPermanentLeases && lease !== 0) {
      lease = 0;
      mayChoose = false;
    } else if (code === CODE.conflictInMappingEntry || code === CODE.conflictWithOtherMechanisms) {
      const next = ports.shift();
      if (next === undefined) return last;
      port = next;
    } else if (code === CODE.samePortValuesRequired && port !== internalPort) port = internalPort;
    else if (
      code === CODE.actionNotAuthorized &&
      port < FIRST_UNPRIVILEGED_PORT &&
      internalPort >= FIRST_UNPRIVILEGED_PORT
    ) {
      port = ports.shift()!;
    } else if (FINAL.has(code)) return last;
    // Generic errors, and none: the router may not know the action, the version or leases.
    else if (mayChoose) mayChoose = false;
    else if (!isFlipped) {
      isFlipped = true;
      service = otherVersion(chosen.service);
    } else if (lease !== 0) {
      lease = 0;
      isFlipped = false;
      service = chosen.service;
    } else return last;
  }
  return last;
}

/** What does not become better with other arguments. */
const FINAL: ReadonlySet<number> = new Set([
  CODE.actionNotAuthorized,
  CODE.samePortValuesRequired,
  CODE.remoteHostOnlyWildcard,
  CODE.externalPortOnlyWildcard,
  CODE.noPortMapsAvailable,
]);

/** Removes a mapping. */
export function* deleteMapping(service: IgdService, { request, grant }: MappingJob): Flow<void> {
  const args = [...remote(grant!.external.port), ['NewProtocol', request.protocol.toUpperCase()]] as const;
  yield { service, action: 'DeletePortMapping', args };
}

/** Whose the mapping is now; `unknown` when the router cannot say, `silent` when it does not answer. */
export function* lookUp(
  service: IgdService,
  own: string,
  { request, grant }: MappingJob,
): Flow<'own' | 'other' | 'none' | 'unknown' | 'silent'> {
  const args = [...remote(grant!.external.port), ['NewProtocol', request.protocol.toUpperCase()]] as const;
  const answer = yield { service, action: 'GetSpecificPortMappingEntry', args };
  if (answer.type === 'fault') return answer.code === CODE.noSuchEntryInArray ? 'none' : 'unknown';
  if (answer.type === 'failed') return answer.reason === 'malformed' ? 'unknown' : 'silent';
  const client = canonicalIp(answer.values.get('NewInternalClient') ?? '');
  const port = portOf(answer.values.get('NewInternalPort'));
  if (client === undefined || port === undefined) return 'unknown';
  return client === own && port === request.internalPort ? 'own' : 'other';
}

/** The connection that has an address outside, and the address. Some routers know only the other version's URN. */
function* chooseConnection({
  connections,
}: IgdDescription): Flow<{ readonly service: IgdService; readonly ip: string } | FlowFailure> {
  let last: FlowFailure = { failure: 'unsupported' };
  for (const offered of connections) {
    for (const service of [offered, otherVersion(offered)]) {
      const answer = yield { service, action: 'GetExternalIPAddress', args: [] };
      if (answer.type === 'failed') {
        last = { failure: answer.reason === 'unreachable' ? 'no_answer' : answer.reason };
        break;
      }
      if (answer.type === 'ok') {
        const ip = canonicalIp(answer.values.get('NewExternalIPAddress') ?? '');
        if (ip !== undefined && ipVersion(ip) === 4 && whyNoHost(ip) === undefined) return { service, ip };
        last = { failure: 'no_external_address' };
        break;
      }
      const { code, description } = answer;
      last = { failure: 'no_external_address', detail: said(code, description) };
      if (code !== CODE.invalidAction && code !== 0) break;
    }
  }
  return last;
}

/** WANIPConnection:2 for :1 and the other way round; WANPPPConnection has one version. */
function otherVersion({ type, control }: IgdService): IgdService {
  const version = type.endsWith(':2') || type.includes('PPP') ? 1 : 2;
  return { type: `${type.slice(0, type.lastIndexOf(':'))}:${version}`, control };
}

const remote = (port: number): SoapArguments => [
  ['NewRemoteHost', ''],
  ['NewExternalPort', port],
];

function mappingArgs(port: number, protocol: string, internalPort: number, own: string, lease: number): SoapArguments {
  return [
    ...remote(port),
    ['NewProtocol', protocol.toUpperCase()],
    ['NewInternalPort', internalPort],
    ['NewInternalClient', own],
    ['NewEnabled', 1],
    ['NewPortMappingDescription', DESCRIPTION],
    ['NewLeaseDuration', lease],
  ];
}

/** Other ports, of the random bytes of the mapping: six. */
function alternatives(nonce: Uint8Array): number[] {
  const span = 65_536 - FIRST_UNPRIVILEGED_PORT;
  return Array.from({ length: nonce.length >> 1 }, (_, i) => {
    return FIRST_UNPRIVILEGED_PORT + (((nonce[2 * i]! << 8) | nonce[2 * i + 1]!) % span);
  });
}

/** Opens the firewall to a port of `own`, or renews what the job has. Sent from that address. */
export function* addPinhole(firewall: IgdService, own: string, job: MappingJob): Flow<FlowGrant | FlowFailure> {
  const { protocol, internalPort, lifetimeMs } = job.request;
  const lease = Math.min(Math.max(1, Math.round(lifetimeMs / 1000)), MAX_PINHOLE_LEASE);
  const grant = { external: { ip: own, port: internalPort }, lifetimeMs: lease * 1000 };
  const service = firewall;
  let wasLost = false;
  if (job.pinhole !== undefined) {
    const args = [
      ['UniqueID', job.pinhole],
      ['NewLeaseTime', lease],
    ] as const;
    const answer = yield { service, action: 'UpdatePinhole', args };
    if (answer.type === 'ok') return { grant, service, pinhole: job.pinhole };
    if (answer.type === 'failed') return { failure: answer.reason === 'unreachable' ? 'no_answer' : answer.reason };
    wasLost = answer.code === CODE.noSuchEntry;
  }
  const status = yield { service, action: 'GetFirewallStatus', args: [] };
  if (status.type === 'ok') {
    // Nothing is filtered: every port can be reached as it is. Whether that is still so is asked at each renewal.
    if (isFalse(status.values.get('FirewallEnabled'))) return { grant, service };
    if (isFalse(status.values.get('InboundPinholeAllowed'))) {
      return { failure: 'refused', detail: 'InboundPinholeAllowed is 0' };
    }
  }
  const args: SoapArguments = [
    ['RemoteHost', ''],
    ['RemotePort', 0],
    ['InternalClient', own],
    ['InternalPort', internalPort],
    ['Protocol', IP_PROTOCOL[protocol]],
    ['LeaseTime', lease],
  ];
  const answer = yield { service, action: 'AddPinhole', args };
  if (answer.type === 'failed') return { failure: answer.reason === 'unreachable' ? 'no_answer' : answer.reason };
  if (answer.type === 'fault') {
    return { failure: failureOf(answer.code), detail: said(answer.code, answer.description) };
  }
  const pinhole = answer.values.get('UniqueID');
  // An unsigned number of two bytes; the text is sent back.
  if (pinhole === undefined || !/^[0-9]{1,10}$/.test(pinhole)) return { failure: 'malformed' };
  return { grant, service, pinhole, wasLost };
}

/** Closes a pinhole. */
export function* deletePinhole(service: IgdService, pinhole: string): Flow<void> {
  yield { service, action: 'DeletePinhole', args: [['UniqueID', pinhole]] };
}

/** Whether the firewall still knows a pinhole; `undefined` when it does not answer. */
export function* hasPinhole(service: IgdService, pinhole: string): Flow<boolean | undefined> {
  const answer = yield { service, action: 'GetPinholePackets', args: [['UniqueID', pinhole]] };
  if (answer.type === 'failed') return undefined;
  return answer.type !== 'fault' || answer.code !== CODE.noSuchEntry;
}

function failureOf(code: number): MappingFailure {
  switch (code) {
    case CODE.actionNotAuthorized:
    case CODE.inboundPinholeNotAllowed:
      return 'refused';
    case CODE.conflictInMappingEntry:
    case CODE.conflictWithOtherMechanisms:
    case CODE.samePortValuesRequired:
      return 'conflict';
    case CODE.noPortMapsAvailable:
    case CODE.pinholeSpaceExhausted:
      return 'no_resources';
    case CODE.remoteHostOnlyWildcard:
    case CODE.externalPortOnlyWildcard:
    case CODE.firewallDisabled:
      return 'unsupported';
    default:
      return 'router_error';
  }
}

const said = (code: number, description: string): string => (code === 0 ? description : `${code} ${description}`);
const isFalse = (value: string | undefined): boolean => value === '0' || value?.toLowerCase() === 'false';

function portOf(text: string | undefined): number | undefined {
  const port = text !== undefined && /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  return port > 0 && port <= 65_535 ? port : undefined;
}
