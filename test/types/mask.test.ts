import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Swarm } from 'shoal';
import { mask } from 'shoal/mask';
import { createMemoryRealm, type MemoryAddr } from 'shoal/memory';
import { maskStreams, type Network } from 'shoal/net';

const same = <T>(value: T): T => value;
const key = new Uint8Array(32);

describe('types of shoal/mask', () => {
  it('a masked swarm has the addresses of the one below, and neither asks nor keys', () => {
    const swarm = mask(createMemoryRealm().secureSwarm({ algorithm: 'test', spki: Uint8Array.of(1) }), { key });
    same<Swarm<MemoryAddr>>(swarm);
    // @ts-expect-error it has no asks
    assert.equal(swarm.ask, undefined);
    same<Network>(maskStreams({ key }));
    // @ts-expect-error a key is needed
    assert.throws(() => maskStreams({}), TypeError);
  });
});
