import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { observing, openObserver } from 'shoal/nat';
import { openUdpSwarm } from 'shoal/udp';
import { assertFails, shoal, startShoal } from './command.ts';

describe('shoal nat', () => {
  it('shows what an observer sees, in words and as JSON', async () => {
    await using observer = await openObserver({ bind: '127.0.0.1:0' });
    const [address] = observer.addresses;
    const words = await shoal(['nat', address!]);
    assert.equal(words.code, 0, words.stderr);
    assert.match(words.stdout, new RegExp(`IPv4 UDP: ${address} sees 127\\.0\\.0\\.1:\\d+`));
    assert.match(words.stdout, /IPv4: others see this host as 127\.0\.0\.1 \(assumed\)/);
    const { code, events } = await shoal(['nat', '--json', address!]);
    assert.equal(code, 0);
    assert.deepEqual(
      events.map(({ event, transport }) => [event, transport]),
      [
        ['nat_path', 'udp'],
        ['nat_path', 'tcp'],
        ['nat', undefined],
      ],
    );
  });

  it('asks nobody without observers, and says so', async () => {
    const { code, stdout } = await shoal(['nat']);
    assert.equal(code, 0);
    assert.match(stdout, /No observer was named/);
  });

  it('fails when no observer answers, and for wrong options', async () => {
    await using silent = await openUdpSwarm({ bind: '127.0.0.1:0' });
    assertFails(await shoal(['nat', '--no-tcp', '--timeout', '50', silent.addr.text]), 1, /No observer answered/);
    assertFails(await shoal(['nat', 'somewhere']), 2, /Cannot use observer/);
    assertFails(await shoal(['nat', '--serve', '127.0.0.1:1']), 2, /takes no observers/);
    assertFails(await shoal(['nat', '--bind', '127.0.0.1:0']), 2, /options of --serve/);
  });

  it('says which routers map no ports, and asks none without --map', async () => {
    // This machine, on which nothing maps ports.
    const { code, events } = await shoal([
      'nat',
      '--json',
      '--map',
      '--gateway',
      '127.0.0.1',
      '--protocol',
      'pcp',
      'nat-pmp',
    ]);
    assert.equal(code, 1);
    const [gateway] = events.filter(({ event }) => event === 'nat_gateway');
    const protocols = gateway?.['protocols'] as readonly { readonly via: string; readonly outcome: string }[];
    assert.deepEqual(
      protocols.map(({ via, outcome }) => [via, outcome]),
      [
        ['pcp', 'absent'],
        ['nat-pmp', 'absent'],
      ],
    );
    const [mapping] = events.filter(({ event }) => event === 'nat_mapping');
    assert.match(String(mapping?.['reason']), /127\.0\.0\.1 does not answer/);
    assertFails(await shoal(['nat', '--gateway', '127.0.0.1']), 2, /options of --map/);
    assertFails(await shoal(['nat', '--map', '--gateway', 'router']), 2, /Cannot map/);
    assertFails(await shoal(['nat', '--serve', '--map']), 2, /asks no routers/);
    assert.doesNotMatch((await shoal(['nat'])).stdout, /[Rr]outer/);
  });

  it('serves as an observer until it is interrupted', async () => {
    await using served = startShoal('nat', '--serve', '--bind', '127.0.0.1:0');
    const { addrs } = await served.next('observing');
    const [address] = addrs as readonly string[];
    await using swarm = observing(await openUdpSwarm({ bind: '127.0.0.1:0' }));
    const { mapped } = await swarm.observe(address!);
    assert.equal(mapped.port, swarm.addr.port);
    const { code, events } = await served.interrupt();
    assert.deepEqual([code, events.at(-1)], [0, { event: 'closed', received: 1, answered: 1 }]);
  });
});
