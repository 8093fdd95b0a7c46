/**
 * Asks over the SSH swarm beside the independent Go peer on `golang.org/x/crypto/ssh`, which asks as go-p2p does, and beside our TCP
 * swarm. Both ends are processes of their own. Without Go its measures are left out.
 */

import { GoPeer, goMissing } from '../interop/go-peer.ts';
import { type Bench, type Claim, type Measure, rateOf, ROUND_MS, type Round, same } from './harness/bench.ts';
import { endAll, Lazy } from './harness/child.ts';
import { type End, programEnd } from './harness/ends.ts';
import { askMeasure, askRound, coresOf, type Load, RequestPair } from './harness/requests.ts';

/** Loads that are claimed of; the least ratios to the Go peer and to our TCP swarm are those of 64 B. */
const CASES = [
  { what: '64 B, one after the other', bytes: 64, inFlight: 1 },
  { what: '64 B, 64 in flight', bytes: 64, inFlight: 64 },
  { what: '16 KiB, one after the other', bytes: 16_384, inFlight: 1 },
  { what: '16 KiB, 8 in flight', bytes: 16_384, inFlight: 8 },
] as const;
const GOALS = { go: { ratio: 1 }, tcp: { ratio: 0.7 } };

/** Two Go peers, and pairs of one of them and one of ours. */
class GoPeers implements AsyncDisposable {
  readonly server: GoPeer;
  readonly client: GoPeer;
  readonly ours: RequestPair;
  /** Ours, connected to the Go server. */
  readonly asker: RequestPair['client'];
  readonly addr: string;

  private constructor(server: GoPeer, client: GoPeer, addr: string, ours: RequestPair, asker: RequestPair['client']) {
    [this.server, this.client, this.addr, this.ours, this.asker] = [server, client, addr, ours, asker];
  }

  static async start(): Promise<GoPeers> {
    const [server, client] = [new GoPeer('ssh', 5), new GoPeer('ssh', 6)];
    const addr = await server.address();
    await client.address();
    return new GoPeers(server, client, addr, await RequestPair.start('ssh'), await RequestPair.connect('ssh', addr));
  }

  /** One Go peer asks another, or a swarm of ours. */
  async ask(dst: string, { bytes, inFlight }: Load): Promise<Round> {
    this.client.command({ cmd: 'flood', dst, bytes, ms: ROUND_MS, times: inFlight });
    const { sent, ms } = await this.client.next('flooded');
    return rateOf(sent!, ms!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endAll([this.server, this.client, this.ours, this.asker]);
  }
}

const nameOf = (kind: string, { what }: Load): string => `${kind}: ${what}`;

/** The bench: `npm run bench -- ssh`. */
export const ssh: Bench = {
  name: 'ssh',
  question: 'How do asks over the SSH swarm compare with a Go peer that asks as go-p2p does, and with our TCP swarm?',
  prepare: () => {
    const pairs = { tcp: 'tcp', 'tcp again': 'tcp', ssh: 'ssh' };
    const ours = Object.entries(pairs).map(([label, kind]) => ({
      label,
      pair: new Lazy(() => RequestPair.start(kind)),
    }));
    const go = new Lazy(() => GoPeers.start());
    const measures: Measure[] = [];
    const claims: Claim[] = [];
    for (const load of CASES) {
      const withGo = (
        label: string,
        ends: (go: GoPeers) => readonly End[],
        ask: (go: GoPeers) => Promise<Round>,
      ): void =>
        void measures.push({
          name: nameOf(label, load),
          unit: 'asks/s',
          on: coresOf(load.inFlight),
          missing: goMissing,
          ends: async () => ends(await go.get()),
          round: async () => ask(await go.get()),
        });
      for (const { label, pair } of ours) measures.push(askMeasure(nameOf(label, load), pair, load));
      withGo(
        'Go',
        (all) => [programEnd(all.client.pid), programEnd(all.server.pid)],
        (all) => all.ask(all.addr, load),
      );
      withGo(
        'ssh to Go',
        (all) => [all.asker, programEnd(all.server.pid)],
        (all) => askRound(all.asker, load),
      );
      withGo(
        'Go to ssh',
        (all) => [programEnd(all.client.pid), all.ours.server],
        (all) => all.ask(all.ours.addr, load),
      );
      const goals = load.bytes === 64 ? GOALS : { go: undefined, tcp: undefined };
      claims.push(
        { subject: nameOf('ssh', load), baseline: nameOf('tcp', load), goal: goals.tcp },
        { subject: nameOf('ssh', load), baseline: nameOf('Go', load), goal: goals.go },
        { subject: nameOf('ssh to Go', load), baseline: nameOf('Go', load) },
        { subject: nameOf('Go to ssh', load), baseline: nameOf('Go', load) },
      );
    }
    return {
      measures,
      claims,
      controls: CASES.map((load) => same(nameOf('tcp again', load), nameOf('tcp', load), load.what)),
      [Symbol.asyncDispose]: () => endAll([...ours.map(({ pair }) => pair), go]),
    };
  },
};
