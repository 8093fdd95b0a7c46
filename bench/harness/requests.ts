/** Two processes, of which one sends requests and the other answers; see bench/requests-process.ts. */

import type { RequestOrder, RequestReport } from '../requests-process.ts';
import { type Measure, rateOf, ROUND_MS, type Round } from './bench.ts';
import { Child, type Lazy } from './child.ts';
import type { Cores, End } from './ends.ts';

const PROCESS = new URL('../requests-process.ts', import.meta.url);

/** A load: one request after the other is measured on one core, more in flight on two. */
export interface Load {
  readonly what: string;
  readonly bytes: number;
  readonly inFlight: number;
}

export const coresOf = (inFlight: number): Cores => (inFlight === 1 ? 'one core' : 'two cores');

/** One process of a kind. */
class RequestEnd extends Child<RequestOrder, RequestReport> {
  constructor(kind: string) {
    super(PROCESS, [kind]);
  }
}

/** Both. */
export class RequestPair implements AsyncDisposable {
  readonly server: RequestEnd;
  readonly client: RequestEnd;
  readonly addr: string;

  private constructor(server: RequestEnd, client: RequestEnd, addr: string) {
    this.server = server;
    this.client = client;
    this.addr = addr;
  }

  static async start(kind: string): Promise<RequestPair> {
    const server = new RequestEnd(kind);
    const { addr } = await server.order({ do: 'serve' });
    return new RequestPair(server, await RequestPair.connect(kind, addr!), addr!);
  }

  /** A client that is connected. */
  static async connect(kind: string, addr: string): Promise<RequestEnd> {
    const client = new RequestEnd(kind);
    await client.order({ do: 'connect', addr });
    return client;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.server[Symbol.asyncDispose](), this.client[Symbol.asyncDispose]()]);
  }
}

/** Requests for as long as a round is. */
export async function askRound(client: RequestEnd, { bytes, inFlight }: Load): Promise<Round> {
  const { count, ms } = await client.order({ do: 'ask', bytes, inFlight, forMs: ROUND_MS });
  return rateOf(count!, ms!);
}

/** A measure of a pair that is started when it is needed. */
export function askMeasure(name: string, pair: Lazy<RequestPair>, load: Load, missing?: () => string | false): Measure {
  return {
    name,
    unit: 'asks/s',
    on: coresOf(load.inFlight),
    missing,
    ends: async () => {
      const { server, client } = await pair.get();
      return [client, server] satisfies End[];
    },
    round: async () => askRound((await pair.get()).client, load),
  };
}
