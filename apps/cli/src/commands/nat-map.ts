/** `shoal nat --map`: which routers map ports, and a mapping of each family, which is removed at the end. */

import { setTimeout as pause } from 'node:timers/promises';
import { type GatewayReport, type MappingProtocol, openPortMapper, type PortMapper, type PortMapping } from 'shoal/nat';
import type { CommandContext } from '../context.ts';
import { asUsage, Failure } from '../failure.ts';

/** Options of `shoal nat --map`. */
export interface MapOptions {
  /** IPs of routers. */
  readonly gateway?: readonly string[] | undefined;
  readonly protocol?: readonly MappingProtocol[] | undefined;
}

/** Until then routers may answer. */
const ANSWERS_MS = 3200;
/** Between two looks at what has answered. */
const LOOK_MS = 50;
/** The port of the example: of the private ones, where rarely anything listens. */
const PORT = 54_321;
/** It is gone soon after, should this process be killed. */
const LIFETIME_MS = 120_000;

/**
 * Asks the routers of this host, or those that are named, and nobody else.
 *
 * @param observed - the IPv4 address under which observers see this host.
 * @throws {Failure} when no router maps.
 */
export async function showMapping(
  { output, interrupt, realm }: CommandContext,
  { gateway, protocol }: MapOptions,
  observed: string | undefined,
): Promise<void> {
  const { signal } = interrupt;
  await using mapper = asUsage('Cannot map', () =>
    openPortMapper({ gateways: gateway, protocols: protocol, observed: () => observed, realm, signal }),
  );
  const map = (family: 4 | 6): PortMapping =>
    mapper.map({ protocol: 'udp', family, internalPort: PORT, lifetimeMs: LIFETIME_MS });
  const first = map(4);
  await first.ready;
  const mappings = [first, ...(mapper.report.gateways.some(({ family }) => family === 6) ? [map(6)] : [])];
  await Promise.all(mappings.map(({ ready }) => ready));
  await answers(mapper, signal);
  for (const report of mapper.report.gateways) output.show({ event: 'nat_gateway', ...report }, gatewayLines(report));
  for (const [i, { external, via, doubleNat, reason }] of mappings.entries()) {
    const family = i === 0 ? 4 : 6;
    const mapped =
      external && (external.ip.includes(':') ? `[${external.ip}]:${external.port}` : `${external.ip}:${external.port}`);
    const words = mapped === undefined ? 'is not mapped' : `is ${mapped} outside, by ${via}`;
    output.show(
      { event: 'nat_mapping', transport: 'udp', family, port: PORT, external: mapped, via, doubleNat, reason },
      [`IPv${family} UDP port ${PORT} ${words}`, ...(reason === undefined ? [] : [`  ${reason}`])],
    );
  }
  if (mappings.every(({ external }) => external === undefined)) throw new Failure('No router mapped a port');
}

/** Waits for all protocols, which answer for 3 s. */
async function answers(mapper: PortMapper, signal: AbortSignal): Promise<void> {
  const isDone = (): boolean =>
    mapper.report.gateways.every(({ protocols }) => protocols.every(({ outcome }) => outcome !== 'probing'));
  for (let waited = 0; waited < ANSWERS_MS && !isDone() && !signal.aborted; waited += LOOK_MS) await pause(LOOK_MS);
}

function gatewayLines({ gateway, from, interfaceName, protocols }: GatewayReport): readonly string[] {
  const name = gateway === undefined ? 'No router found' : `Router ${gateway}`;
  return [
    `${name}, asked from ${from} (${interfaceName})`,
    ...protocols.map(({ via, outcome, afterMs, reason }) =>
      outcome === 'found'
        ? `  ${via}: answers (${Math.round(afterMs ?? 0)} ms)`
        : `  ${via}: ${reason ?? 'has not answered yet'}`,
    ),
  ];
}
