/** Our port mapper and miniupnpd on a router of the kernel, with upnpc, natpmpc and nft as witnesses. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { whyNoLab } from './enter.ts';
import type { MapperScenario } from './mapper-scenario.ts';
import { runInLab } from './run.ts';

const scenarios = path.join(import.meta.dirname, 'mapper-scenarios.ts');

type Mapped = MapperScenario & { readonly name: 'mapped' };

async function run(t: TestContext, group: string): Promise<readonly MapperScenario[] | undefined> {
  const found = await runInLab<MapperScenario>(scenarios, [group]);
  const missing = found.find((one) => one.name === 'missing');
  if (missing === undefined) return found;
  // The rival is no part of what CI installs.
  assert.ok(group === 'rival' || process.env['CI'] !== 'true', `.ci/run installs ${missing.what}`);
  t.skip(`${missing.what} not installed`);
  return undefined;
}

/** A line of the command. */
interface Said {
  readonly event: string;
  readonly external?: string;
  readonly via?: string;
  readonly protocols?: readonly { readonly via: string; readonly outcome: string }[];
}

const BOTH = { udp: 'over UDP', tcp: 'over TCP' };

describe('miniupnpd', { skip: whyNoLab() }, () => {
  for (const via of ['pcp', 'nat-pmp', 'upnp']) {
    it(`maps ports by ${via}: others see it, traffic comes in, again after a restart, and it is gone at close`, async (t) => {
      const found = await run(t, via);
      if (found === undefined) return;
      const { verdict, listed, through, again, publicAddress, remadeMs, closed } = found[0] as Mapped;
      t.diagnostic(`mapped after ${verdict.ms} ms, again ${remadeMs} ms after the restart, closed in ${closed.ms} ms`);
      for (const { external, via: by, reason } of verdict.mappings) {
        assert.deepEqual([external, by, reason], [{ ip: '11.22.33.1', port: 5000 }, via, undefined]);
      }
      assert.match(publicAddress, /Public IP address : 11\.22\.33\.1/);
      const [before, restarted, after] = listed;
      for (const list of [before, restarted]) {
        assert.match(list, /UDP {2}5000->192\.168\.60\.2:5000/);
        assert.match(list, /TCP {2}5000->192\.168\.60\.2:5000/);
      }
      assert.deepEqual([through, again], [BOTH, BOTH]);
      assert.match(after, /ExternalIPAddress = 11\.22\.33\.1/);
      assert.doesNotMatch(after, /5000->/);
      assert.ok(closed.mappings.every(({ reason }) => reason !== undefined));
    });
  }

  for (const via of ['pcp', 'upnp']) {
    it(`opens its IPv6 firewall by ${via}, and closes it again`, async (t) => {
      const found = await run(t, `${via}6`);
      if (found === undefined) return;
      const { verdict, listed, through, again } = found[0] as Mapped;
      for (const { external, via: by } of verdict.mappings) {
        assert.deepEqual([external, by], [{ ip: '2001:db8:60::2', port: 6000 }, via]);
      }
      const [before, , after] = listed;
      assert.equal(before.match(/dport 6000 .* accept/g)?.length, 2);
      assert.doesNotMatch(after, /6000/);
      assert.deepEqual([through, again], [BOTH, {}]);
    });
  }

  it('behind another NAT refuses, and the reason says so', async (t) => {
    const found = await run(t, 'double');
    if (found === undefined) return;
    const reasons = found.map((one) => (one.name === 'double' ? one.verdict.mappings[0]?.reason : undefined));
    // miniupnpd's PCP says NO_RESOURCES.
    assert.match(reasons[0]!, /no room|no public address/);
    for (const reason of reasons.slice(1)) assert.match(reason!, /no public address of its own.*behind another NAT/);
  });

  it('is shown by shoal nat --map, which leaves no mapping', async (t) => {
    const found = await run(t, 'command');
    if (found === undefined) return;
    const [{ said, after }] = found as readonly [MapperScenario & { readonly name: 'command' }];
    const events = said.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Said] : []));
    const [gateway] = events.filter(({ event }) => event === 'nat_gateway');
    assert.deepEqual(
      gateway?.protocols?.map(({ via, outcome }) => [via, outcome]),
      [
        ['pcp', 'found'],
        ['nat-pmp', 'found'],
        ['upnp', 'found'],
      ],
    );
    assert.deepEqual(
      events.flatMap(({ event, external, via }) => (event === 'nat_mapping' ? [[external, via]] : [])),
      [
        ['11.22.33.1:54321', 'pcp'],
        ['[2001:db8:60::2]:54321', 'pcp'],
      ],
    );
    assert.doesNotMatch(after, /54321->/);
  });

  it('is found by another mapper, whose times are shown', async (t) => {
    const found = await run(t, 'rival');
    if (found === undefined) return;
    const steps = found.filter((one) => one.name === 'rival');
    for (const { step, ms, value, error } of steps) t.diagnostic(`${step}: ${ms} ms ${value ?? error ?? ''}`);
    // It may find the IPv6 address of the router first, and its mapping of IPv4 then fails there.
    for (const step of ['upnp find', 'nat-pmp map']) {
      assert.equal(steps.find((one) => one.step === step)?.error, undefined, step);
    }
  });
});
