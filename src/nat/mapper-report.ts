/** What a port mapper found, as plain data. */

import type { ServiceView } from '../protocols/port-mapping/machine.ts';
import type { MappingProtocol } from '../protocols/port-mapping/types.ts';
import { failureText } from './mapping-text.ts';

/** One protocol of a router. */
export interface ProtocolReport {
  readonly via: MappingProtocol;
  /** `probing`: not known yet. */
  readonly outcome: 'found' | 'absent' | 'probing';
  /** From the question to the outcome. */
  readonly afterMs: number | undefined;
  /** Why it is absent, and what would help. */
  readonly reason: string | undefined;
}

/** A router, seen from one address of this host. */
export interface GatewayReport {
  /** Its IP; `undefined` where a search found none. */
  readonly gateway: string | undefined;
  readonly family: 4 | 6;
  /** This host's address, from which it was asked. */
  readonly from: string;
  readonly interfaceName: string;
  readonly protocols: readonly ProtocolReport[];
}

/** What a port mapper found. */
export interface PortMapperReport {
  /** Empty before the first request, and where no gateway was found. */
  readonly gateways: readonly GatewayReport[];
  /** Answers to searches that were ignored: of hosts that are in no network of this one, or that named another host. */
  readonly foreignAnswers: number;
}

export function mappingReport(services: readonly ServiceView[], foreignAnswers: number): PortMapperReport {
  /** Bounded by the routes. */
  const byRoute = new Map<string, ServiceView[]>();
  for (const service of services) {
    const { own, gateway } = service.route;
    const key = `${own} ${gateway}`;
    byRoute.set(key, [...(byRoute.get(key) ?? []), service]);
  }
  const gateways = [...byRoute.values()].map((each): GatewayReport => {
    const { own, family, interfaceName, gateway } = each[0]!.route;
    const found = gateway ?? each.find(({ state }) => state === 'found')?.gateway;
    return { gateway: found, family, from: own, interfaceName, protocols: each.map(protocolReport) };
  });
  return { gateways, foreignAnswers };
}

function protocolReport({ via, state, afterMs, failure, detail, gateway }: ServiceView): ProtocolReport {
  const reason =
    state !== 'absent' || failure === undefined
      ? undefined
      : failure === 'no_answer'
        ? 'no answer within 3 s'
        : failureText(failure, gateway, detail);
  return { via, outcome: state, afterMs, reason };
}
