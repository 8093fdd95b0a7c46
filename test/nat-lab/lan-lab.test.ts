/** LAN discovery on LANs of the kernel: bridges and hosts in namespaces without an uplink. */

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it, type TestContext } from 'node:test';

import { whyNoLab } from './enter.ts';
import type { LanScenario } from './lan-scenario.ts';
import { runInLab } from './run.ts';

const scenarios = path.join(import.meta.dirname, 'lan-scenarios.ts');

describe('LANs of the kernel', { skip: whyNoLab() }, () => {
  let ran: Promise<readonly LanScenario[]> | undefined;
  const find = async <N extends LanScenario['name']>(
    name: N,
  ): Promise<(LanScenario & { readonly name: N }) | undefined> => {
    ran ??= runInLab<LanScenario>(scenarios, []);
    return (await ran).find((one): one is LanScenario & { readonly name: N } => one.name === name);
  };

  it('two hosts find each other, over IPv4 and IPv6', async (t: TestContext) => {
    const { tookMs, heard } = (await find('pair'))!;
    t.diagnostic(`${tookMs.map((ms) => ms.toFixed(1)).join(' and ')} ms after both were up`);
    for (const [i, { addrs }] of heard.entries()) {
      const other = 2 - i;
      assert.ok(addrs.some((addr) => addr.endsWith(`@10.55.0.${other}:500${other}`)));
      assert.ok(addrs.some((addr) => addr.endsWith(`@[fd55::${other}]:500${other}`)));
    }
  });

  it('three nodes on one host and one on another all find each other', async () => {
    const { ids, found } = (await find('host'))!;
    // One is on the first host, three are on the second; of the first two each has heard the other before.
    for (const [i, each] of found.entries()) {
      const expected = ids.filter((_, other) => other !== i && !(i < 2 && other < 2));
      assert.deepEqual([...each].toSorted(), expected.toSorted());
    }
  });

  it('every datagram has a TTL or hop limit of 1', async () => {
    const { datagrams, others } = (await find('ttl'))!;
    assert.ok(datagrams >= 10, String(datagrams));
    assert.equal(others, 0);
  });

  it('a host with ten interfaces is found on each', async () => {
    const { heard, id } = (await find('ten'))!;
    assert.deepEqual(
      heard.map((each) => each.heard),
      Array.from({ length: 10 }, () => id),
    );
    for (const [i, { addrs }] of heard.entries()) {
      const ipv4 = addrs.filter((addr) => !addr.includes('['));
      assert.deepEqual(ipv4, [`${id}@10.66.${i}.1:5010`]);
    }
  });

  it('hosts with link-local IPv6 addresses only find each other, and name the interface', async () => {
    const { heard } = (await find('ipv6'))!;
    assert.equal(heard.addrs.length, 1);
    assert.match(heard.addrs[0]!, /@\[fe80::[0-9a-f:]+%eth0\]:5040$/);
  });

  it('an interface that comes later is used', async () => {
    const { heard } = (await find('moved'))!;
    assert.deepEqual(heard.interfaces, ['eth1']);
    for (const addr of heard.addrs) assert.match(addr, /@(10\.55\.0\.|\[f)/);
  });

  /** Why Avahi was not tried; CI installs it. */
  const withoutAvahi = async (): Promise<string | false> => {
    const missing = await find('missing');
    if (missing === undefined) return false;
    assert.notEqual(process.env['CI'], 'true', '.ci/run installs avahi-daemon and avahi-utils');
    return `${missing.what} not installed`;
  };

  it('Avahi finds a node as _shoal._udp and resolves it, over IPv4 and IPv6', async (t: TestContext) => {
    const why = await withoutAvahi();
    if (why !== false) return t.skip(why);
    const { found, ids } = (await find('avahi'))!;
    const families = new Set(found.map(({ family }) => family));
    assert.deepEqual([...families].toSorted(), ['IPv4', 'IPv6']);
    for (const { label, host, ip, port, txt } of found) {
      assert.match(label, /^[0-9a-f]{32}$/);
      assert.equal(host, `${label}.local`);
      assert.ok(ip === '10.88.0.1' || /^(fd88::1|fe80:)/.test(ip), ip);
      assert.equal(port, 5060);
      assert.ok(txt.includes('v=1') && txt.some((text) => text.startsWith('r0=')));
      assert.equal(txt.join().includes(ids[0]!), false);
    }
    return undefined;
  });

  it('a node finds what Avahi publishes', async (t: TestContext) => {
    const why = await withoutAvahi();
    if (why !== false) return t.skip(why);
    const { heard, id } = (await find('published'))!;
    assert.equal(heard.heard, id);
    return undefined;
  });
});
