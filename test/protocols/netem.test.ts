import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import * as fc from '../support/fast-check.ts';

import { netem } from '../../src/testing/netem.ts';
import {
  type Arrival,
  NETEM_PRESETS,
  Netem,
  type NetemConfig,
  type NetemPreset,
  mangle,
} from '../../src/protocols/netem/netem.ts';

function arrivals(config: NetemConfig | NetemPreset, count: number, everyMs = 1, bytes = 100): (readonly Arrival[])[] {
  const link = netem(config, 3);
  return Array.from({ length: count }, (_, i) => {
    const fate = link.handlePacket(i * everyMs, bytes);
    return fate.type === 'arrives' ? fate.arrivals : [];
  });
}

const share = (fates: readonly (readonly Arrival[])[], test: (fate: readonly Arrival[]) => boolean): number =>
  fates.filter(test).length / fates.length;

describe('Netem', () => {
  it('delays by latency and up to jitter more, in order', () => {
    const times = arrivals({ latencyMs: 50, jitterMs: 20 }, 500).map(([first]) => first!.atMs);
    for (const [i, at] of times.entries()) {
      assert.ok(at >= i + 50 && at <= i + 70, `packet ${i} at ${at}`);
      assert.ok(i === 0 || at >= times[i - 1]!, `packet ${i} overtakes`);
    }
    assert.ok(Math.max(...times.map((at, i) => at - i)) > 60);
  });

  it('loses, duplicates, reorders, flips and cuts the shares it is told', () => {
    const near = (actual: number, wanted: number): void =>
      assert.ok(Math.abs(actual - wanted) < 0.02, `${actual} is not about ${wanted}`);
    near(
      share(arrivals({ loss: 0.1 }, 10_000), (fate) => fate.length === 0),
      0.1,
    );
    near(
      share(arrivals({ duplicate: 0.1 }, 10_000), (fate) => fate.length === 2),
      0.1,
    );
    near(
      share(
        arrivals({ latencyMs: 50, reorder: 0.1 }, 10_000),
        ([first]) => first!.atMs % 1 === 0 && first!.mangling === undefined && first!.atMs < 50,
      ),
      0.005,
    );
    near(
      share(arrivals({ corrupt: 0.1 }, 10_000), ([first]) => first!.mangling?.type === 'flip'),
      0.1,
    );
    near(
      share(arrivals({ truncate: 0.1 }, 10_000), ([first]) => first!.mangling?.type === 'truncate'),
      0.1,
    );
    const reordered = arrivals({ latencyMs: 50, reorder: 0.1 }, 10_000).map(([first], i) => first!.atMs - i);
    near(reordered.filter((delay) => delay === 0).length / 10_000, 0.1);
  });

  it('sends no faster than its bandwidth, and loses what its queue cannot hold', () => {
    const link = new Netem({ bytesPerSecond: 1000, queueBytes: 300 }, () => 0.5);
    const fates = Array.from({ length: 6 }, () => link.handlePacket(0, 100));
    assert.deepEqual(
      fates.map((fate) => (fate.type === 'arrives' ? fate.arrivals[0]!.atMs : fate.reason)),
      [100, 200, 300, 'queue', 'queue', 'queue'],
    );
    const later = link.handlePacket(1000, 100);
    assert.equal(later.type === 'arrives' && later.arrivals[0]!.atMs, 1100);
  });

  it('has presets that it takes', () => {
    for (const preset of Object.keys(NETEM_PRESETS) as NetemPreset[]) assert.equal(arrivals(preset, 10).length, 10);
    assert.deepEqual(arrivals('perfect', 3), [
      [{ atMs: 0, mangling: undefined }],
      [{ atMs: 1, mangling: undefined }],
      [{ atMs: 2, mangling: undefined }],
    ]);
  });

  it('refuses configs that cannot be', () => {
    for (const config of [{ loss: 2 }, { loss: -0.1 }, { latencyMs: -1 }, { bytesPerSecond: 0 }])
      assert.throws(() => new Netem(config, () => 0), RangeError);
    // @ts-expect-error no such preset
    assert.throws(() => new Netem('moon', () => 0), TypeError);
  });

  it('mangle flips one bit or cuts off', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 50 }), fc.nat(), (packet, seed) => {
        const bit = seed % (packet.length * 8);
        const flipped = mangle(packet.slice(), { type: 'flip', bit });
        const difference = flipped.map((byte, i) => byte ^ packet[i]!);
        assert.deepEqual(
          difference.filter((byte) => byte !== 0),
          Uint8Array.of(1 << (bit & 7)),
        );
        assert.deepEqual(
          mangle(packet.slice(), { type: 'truncate', length: seed % packet.length }),
          packet.slice(0, seed % packet.length),
        );
      }),
    );
  });
});
