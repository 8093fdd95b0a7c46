/** PCP with one router, from one address of this host. For IPv6 a mapping opens the firewall to that address. */

import { type Bytes, toHex } from '../../base/bytes.ts';
import { ipVersion, whyNoHost } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';
import { DatagramService } from './datagram-service.ts';
import { EpochWatch, pcpRestarted } from './epoch.ts';
import { NAT_PMP_RESULT, decodeNatPmpResponse } from './nat-pmp.ts';
import {
  decodePcpResponse,
  encodePcpAnnounce,
  encodePcpMap,
  IP_PROTOCOL,
  PCP_RESULT,
  type PcpResponse,
} from './pcp.ts';
import type { MappingFailure, MappingJob, MappingProtocol } from './types.ts';

const FAILURES: ReadonlyMap<number, readonly [MappingFailure, string]> = new Map([
  [PCP_RESULT.unsupportedVersion, ['unsupported', 'UNSUPP_VERSION']],
  [PCP_RESULT.notAuthorized, ['refused', 'NOT_AUTHORIZED']],
  [PCP_RESULT.malformedRequest, ['router_error', 'MALFORMED_REQUEST']],
  [PCP_RESULT.unsupportedOpcode, ['unsupported', 'UNSUPP_OPCODE']],
  [PCP_RESULT.networkFailure, ['no_external_address', 'NETWORK_FAILURE']],
  [PCP_RESULT.noResources, ['no_resources', 'NO_RESOURCES']],
  [PCP_RESULT.unsupportedProtocol, ['unsupported', 'UNSUPP_PROTOCOL']],
  [PCP_RESULT.userExceededQuota, ['no_resources', 'USER_EX_QUOTA']],
  [PCP_RESULT.cannotProvideExternal, ['conflict', 'CANNOT_PROVIDE_EXTERNAL']],
  [PCP_RESULT.addressMismatch, ['other_source', 'ADDRESS_MISMATCH']],
]);

type PcpMapResponse = PcpResponse & { readonly opcode: 'map' };

export class PcpService extends DatagramService {
  readonly via: MappingProtocol = 'pcp';
  readonly #epoch = new EpochWatch(pcpRestarted);

  protected override probeBytes(): Bytes {
    return encodePcpAnnounce(this.route.own);
  }

  protected override mapBytes(job: MappingJob, lifetime: number): Bytes {
    const { own, family } = this.route;
    const { protocol, internalPort, externalPort } = job.request;
    // Suggesting what it had makes a restarted router give the same (RFC 6887 §11.2).
    const external = {
      ip: job.grant?.external.ip ?? (family === 4 ? '0.0.0.0' : '::'),
      port: lifetime === 0 ? 0 : (job.grant?.external.port ?? externalPort),
    };
    return encodePcpMap({ own, lifetime, nonce: job.nonce, protocol, internalPort, external });
  }

  protected override keyOf({ nonce }: MappingJob): string {
    return toHex(nonce);
  }

  handleDatagram(now: Millis, bytes: Uint8Array): void {
    // A router that knows only NAT-PMP says so in its words (RFC 6887 appendix A).
    const older = decodeNatPmpResponse(bytes);
    if (older?.result === NAT_PMP_RESULT.unsupportedVersion) this.absent(now, 'unsupported', 'NAT-PMP only');
    const response = decodePcpResponse(bytes);
    // The answer to a question of NAT-PMP.
    if (response === undefined || response.result === PCP_RESULT.unsupportedVersion) return;
    if (response.opcode === 'announce') this.#handleAnnounce(now, response);
    else this.#handleMap(now, response);
    // Last: what was granted with this answer is of the router's new life.
    if (this.#epoch.note(now, response.epoch)) this.host.restarted(now, this);
  }

  #handleAnnounce(now: Millis, { result }: PcpResponse): void {
    if (result === PCP_RESULT.addressMismatch) this.absent(now, 'other_source', 'ADDRESS_MISMATCH');
    else this.found(now);
  }

  #handleMap(now: Millis, response: PcpMapResponse): void {
    const { protocol, internalPort, external, lifetime, result } = response;
    const asked = this.asked(toHex(response.nonce));
    if (asked === undefined) return;
    const { job, isRelease } = asked;
    const { request } = job;
    if (protocol !== IP_PROTOCOL[request.protocol] || internalPort !== request.internalPort) return;
    this.settle(job);
    if (isRelease) this.host.released(now, job);
    else if (result !== PCP_RESULT.success) {
      const [failure, name] = FAILURES.get(result) ?? ['router_error', `result ${result}`];
      this.host.refused(now, this, job, failure, name);
    } else if (lifetime === 0 || external.port === 0 || !isHostOf(external.ip, this.route.family)) {
      this.host.refused(now, this, job, 'malformed');
    } else this.host.granted(now, this, job, { external, lifetimeMs: lifetime * 1000 });
  }
}

const isHostOf = (ip: string, family: 4 | 6): boolean => ipVersion(ip) === family && whyNoHost(ip) === undefined;
