/**
 * What runs in a browser: the conformance suites of everything that needs no socket, bundled from the package as users
 * get it. It is no test of node:test; `npm run test:browser` bundles it, opens it in Chromium and Firefox and takes its report.
 */

import type { Addr } from 'shoal';
import { peerIdOfKey } from 'shoal/keys';
import { createMemoryRealm } from 'shoal/memory';
import { p2pke } from 'shoal/p2pke';
import { loadQuicEngine, quic } from 'shoal/quic';
import { type SuiteFixture, type SuiteRunner, askSuite, secureSuite, swarmSuite, testKey } from 'shoal/testing';
import { cctvVerdicts, type CctvVector } from './cctv.ts';

/** What the page reports, as `globalThis.report`. */
export interface BrowserReport {
  readonly passed: number;
  /** Names. */
  readonly skipped: readonly string[];
  readonly failures: readonly { readonly name: string; readonly why: string }[];
}

interface Test {
  readonly name: string;
  readonly body: () => Promise<void>;
}

const tests: Test[] = [];
const skipped: string[] = [];
let group = '';

const runner: SuiteRunner = {
  describe: (name, body) => {
    group = name;
    body();
  },
  it: Object.assign(
    (name: string, body: () => Promise<void>) => void tests.push({ name: `${group} > ${name}`, body }),
    {
      skip: (name: string) => void skipped.push(name),
    },
  ),
};

interface Closes extends AsyncDisposable {
  close(): Promise<void>;
}

/** Swarms in a virtual realm each. */
function virtual<S extends Closes>(
  make: (realm: ReturnType<typeof virtualRealm>, index: number) => S,
  features: SuiteFixture<S>['features'],
): SuiteFixture<S> {
  return {
    features,
    make: async (n) => {
      const realm = virtualRealm();
      const swarms = Array.from({ length: n }, (_, i) => make(realm, i));
      return {
        swarms,
        run: (promise) => realm.clock.run(promise),
        [Symbol.asyncDispose]: async () => {
          await Promise.all(swarms.map((swarm) => swarm.close()));
        },
      };
    },
  };
}

const virtualRealm = () => createMemoryRealm({ clock: 'virtual' });

const memory = virtual((realm, i) => realm.secureSwarm(testKey(i).publicKey), {});
swarmSuite(runner, 'memory', memory);
askSuite(runner, 'memory', memory);
secureSuite(runner, 'memory', memory);

const overP2pke = virtual((realm, i) => p2pke(realm.swarm(), { privateKey: testKey(i) }), { manyMessages: 2000 });
swarmSuite(runner, 'p2pke', overP2pke);
secureSuite(runner, 'p2pke', overP2pke);

await loadQuicEngine();
const overQuic = virtual((realm, i) => quic(realm.swarm(), { privateKey: testKey(i) }), {
  ordered: false,
  flowControlled: true,
  manyMessages: 1000,
  maxTriedBytes: 200_000,
});
swarmSuite(runner, 'quic', overQuic);
askSuite(runner, 'quic', overQuic);
secureSuite(runner, 'quic', overQuic);

/** The keys are the same everywhere: what node:crypto and the browser's implementation make must agree. */
export const ids: readonly string[] = [1, 2, 3].map((i) => peerIdOfKey(testKey(i).publicKey));

const failures: { name: string; why: string }[] = [];
for (const { name, body } of tests) {
  try {
    await body();
  } catch (error) {
    failures.push({ name, why: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}
const report: BrowserReport = { passed: tests.length - failures.length, skipped, failures };
const vectors = await fetch('/cctv-ed25519.json');
const verdicts = vectors.ok ? cctvVerdicts((await vectors.json()) as readonly CctvVector[]) : undefined;
Object.assign(globalThis, { report: { ...report, ids, verdicts } });

export type { Addr };
