/** NAT-PMP with one router, from one address of this host. */

import type { Bytes } from '../../base/bytes.ts';
import { whyNoHost } from '../../base/ip.ts';
import type { Millis } from '../../base/machine.ts';
import { DatagramService } from './datagram-service.ts';
import { EpochWatch, natPmpRestarted } from './epoch.ts';
import {
  decodeNatPmpResponse,
  encodeNatPmpAddress,
  encodeNatPmpMap,
  NAT_PMP_RESULT,
  type NatPmpResponse,
} from './nat-pmp.ts';
import { decodePcpResponse, PCP_RESULT } from './pcp.ts';
import type { MappingFailure, MappingJob, MappingProtocol } from './types.ts';

const FAILURES: ReadonlyMap<number, readonly [MappingFailure, string]> = new Map([
  [NAT_PMP_RESULT.refused, ['refused', 'result 2: not authorized']],
  [NAT_PMP_RESULT.networkFailure, ['no_external_address', 'result 3: network failure']],
  [NAT_PMP_RESULT.noResources, ['no_resources', 'result 4: out of resources']],
  [NAT_PMP_RESULT.unsupportedOpcode, ['unsupported', 'result 5: unsupported opcode']],
]);

const failureOf = (result: number): readonly [MappingFailure, string] =>
  FAILURES.get(result) ?? ['router_error', `result ${result}`];

export class NatPmpService extends DatagramService {
  readonly via: MappingProtocol = 'nat-pmp';
  readonly #epoch = new EpochWatch(natPmpRestarted);
  /** The address outside, which answers about mappings do not contain. */
  #external: string | undefined;
  /** Mappings that wait for it. Bounded by the mappings. */
  readonly #waiting = new Set<MappingJob>();

  protected override probeBytes(): Bytes {
    return encodeNatPmpAddress();
  }

  protected override mapBytes({ request, grant }: MappingJob, lifetime: number): Bytes {
    const { protocol, internalPort, externalPort } = request;
    const wanted = lifetime === 0 ? 0 : (grant?.external.port ?? externalPort);
    return encodeNatPmpMap({ protocol, internalPort, externalPort: wanted, lifetime });
  }

  protected override keyOf({ request: { protocol, internalPort } }: MappingJob): string {
    return keyOf(protocol, internalPort);
  }

  override request(now: Millis, job: MappingJob): void {
    if (this.#external !== undefined) {
      super.request(now, job);
      return;
    }
    this.#waiting.add(job);
    this.ask(now, () => this.#refuseWaiting(now, 'no_answer'));
  }

  override release(now: Millis, job: MappingJob): void {
    this.#waiting.delete(job);
    super.release(now, job);
  }

  override cancel(job: MappingJob): void {
    this.#waiting.delete(job);
    super.cancel(job);
  }

  handleDatagram(now: Millis, bytes: Uint8Array): void {
    // A router that knows only PCP answers to version 0 with its own (RFC 6887 §9).
    if (decodePcpResponse(bytes)?.result === PCP_RESULT.unsupportedVersion) this.absent(now, 'unsupported', 'PCP only');
    const response = decodeNatPmpResponse(bytes);
    // The answer to a question of PCP.
    if (response === undefined || response.result === NAT_PMP_RESULT.unsupportedVersion) return;
    if (response.opcode === 'error') return;
    if (response.opcode === 'address') this.#handleAddress(now, response);
    else this.#handleMap(now, response);
    // Last: what was granted with this answer is of the router's new life.
    if (this.#epoch.note(now, response.epoch)) this.host.restarted(now, this);
  }

  #handleAddress(now: Millis, { result, externalIp }: NatPmpResponse & { readonly opcode: 'address' }): void {
    this.found(now);
    const isHost = result === NAT_PMP_RESULT.success && whyNoHost(externalIp) === undefined;
    const external = isHost ? externalIp : undefined;
    if (this.#external !== external) {
      this.#external = external;
      this.host.readdressed(now, this, external);
    }
    if (external === undefined) this.#refuseWaiting(now, ...failureOf(result || NAT_PMP_RESULT.networkFailure));
    else for (const job of this.#waiting) super.request(now, job);
    this.#waiting.clear();
  }

  #refuseWaiting(now: Millis, failure: MappingFailure, detail?: string): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const job of waiting) this.host.refused(now, this, job, failure, detail);
  }

  #handleMap(now: Millis, response: NatPmpResponse & { readonly opcode: 'udp' | 'tcp' }): void {
    const { opcode, internalPort, externalPort, lifetime, result } = response;
    const asked = this.asked(keyOf(opcode, internalPort));
    if (asked === undefined) return;
    const { job, isRelease } = asked;
    // A late answer to what was asked before the removal.
    if (isRelease && result === NAT_PMP_RESULT.success && lifetime !== 0) return;
    this.settle(job);
    if (isRelease) this.host.released(now, job);
    else if (result !== NAT_PMP_RESULT.success) this.host.refused(now, this, job, ...failureOf(result));
    else if (lifetime === 0 || externalPort === 0) this.host.refused(now, this, job, 'malformed');
    else {
      const external = { ip: this.#external, port: externalPort };
      this.host.granted(now, this, job, { external, lifetimeMs: lifetime * 1000 });
    }
  }
}

const keyOf = (protocol: 'udp' | 'tcp', internalPort: number): string => `${protocol} ${internalPort}`;
