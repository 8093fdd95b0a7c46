/** Two processes, of which one sends as many datagrams as it can and the other counts them; see bench/udp-packets-process.ts. */

import type { Link, UdpOrder, UdpReport } from '../udp-packets-process.ts';
import { type Measure, ROUND_MS, type Round } from './bench.ts';
import { Child, endAll, type Lazy } from './child.ts';
import { cpuOf, type End } from './ends.ts';

/** What was sent and what became of it, over all rounds. */
export interface Tally {
  sent: number;
  received: number;
  socketDrops: number;
  swarmDrops: number;
}

/** What one flood came to: packets a second at both ends. */
interface Flood {
  readonly sent: Round;
  readonly received: Round;
}

/** Both ends of a link. */
export class DatagramPair implements AsyncDisposable {
  readonly ends: readonly End[];
  readonly tally: Tally = { sent: 0, received: 0, socketDrops: 0, swarmDrops: 0 };
  readonly #sender: Child<UdpOrder, UdpReport>;
  readonly #receiver: Child<UdpOrder, UdpReport>;
  readonly #addr: string;
  /** Of the last flood. */
  received: Round = { figure: 0 };

  private constructor(sender: Child<UdpOrder, UdpReport>, receiver: Child<UdpOrder, UdpReport>, addr: string) {
    [this.#sender, this.#receiver, this.#addr] = [sender, receiver, addr];
    this.ends = [sender, receiver];
  }

  static async start(link: Link): Promise<DatagramPair> {
    const [sender, receiver] = [0, 1].map(
      () => new Child<UdpOrder, UdpReport>(new URL('../udp-packets-process.ts', import.meta.url), [link]),
    ) as [Child<UdpOrder, UdpReport>, Child<UdpOrder, UdpReport>];
    const { addr } = await receiver.order({ do: 'open' });
    await sender.order({ do: 'open' });
    const pair = new DatagramPair(sender, receiver, addr!);
    await pair.trickle(1); // A session, where there is one.
    return pair;
  }

  /** How many of so many arrive that are sent one by one. */
  async trickle(count: number, bytes = 1000): Promise<number> {
    await this.#receiver.order({ do: 'count' });
    await this.#sender.order({ do: 'trickle', addr: this.#addr, bytes, count });
    return (await this.#receiver.order({ do: 'counted' })).count!;
  }

  /** Sends for as long as a round is. */
  async flood(bytes: number): Promise<Flood> {
    await this.#receiver.order({ do: 'count' });
    const { result, cpuUs } = await cpuOf(this.ends, async () => ({
      sent: await this.#sender.order({ do: 'flood', addr: this.#addr, bytes, ms: ROUND_MS }),
      received: await this.#receiver.order({ do: 'counted' }),
    }));
    const { sent, received } = result;
    this.tally.sent += sent.count!;
    this.tally.received += received.count!;
    this.tally.socketDrops = received.socketDrops!;
    this.tally.swarmDrops = received.swarmDrops!;
    const round = ({ count, elapsedMs }: UdpReport): Round => ({
      figure: (count! * 1000) / elapsedMs!,
      operations: count!,
      cpuUs,
    });
    this.received = round(received);
    return { sent: round(sent), received: this.received };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll([this.#sender, this.#receiver]);
  }
}

/** A measure of a pair: each end has a core. */
export function datagramMeasure(
  name: string,
  unit: string,
  pair: Lazy<DatagramPair>,
  round: (pair: DatagramPair) => Promise<Round> | Round,
  missing?: () => string | false,
): Measure {
  return {
    name,
    unit,
    on: 'two cores',
    missing,
    ends: async () => (await pair.get()).ends,
    round: async () => round(await pair.get()),
  };
}
