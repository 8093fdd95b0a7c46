import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSocketAddress } from '../../../src/base/ip.ts';
import { ObservedAddresses } from '../../../src/protocols/reachability/observed-addresses.ts';
import { elect } from '../../../src/protocols/reachability/votes.ts';
import { assert as check, array, boolean, constantFrom, integer, property, tuple } from '../../support/fast-check.ts';

const at = (text: string) => parseSocketAddress(text)!;
/** The observer of network `n`. */
const observer = (n: number, port = 3478): string => `10.${n >> 8}.${n & 255}.1:${port}`;

/** Observers that say what is given, in this order. */
function observed(...said: readonly (readonly [observer: string, mapped: string])[]): ObservedAddresses {
  const addresses = new ObservedAddresses();
  for (const [i, [by, mapped]] of said.entries()) addresses.note(i, { observer: at(by), mapped: at(mapped) });
  return addresses;
}

const HERE = '203.0.113.7:40000';
const LIE = '198.51.100.66:6666';

describe('observed addresses', () => {
  it('one observer makes them assumed, two likely, three in different networks proven', () => {
    const addresses = new ObservedAddresses();
    const seen: (string | undefined)[] = [];
    for (const n of [1, 2, 3]) {
      addresses.note(n, { observer: at(observer(n)), mapped: at(HERE) });
      seen.push(addresses.address(n, 4)?.ipCertainty);
    }
    assert.deepEqual(seen, ['assumed', 'likely', 'proven']);
    assert.deepEqual(addresses.address(4, 4), {
      ip: '203.0.113.7',
      ipCertainty: 'proven',
      port: 40_000,
      portCertainty: 'proven',
    });
  });

  it('observers of one network have one vote', () => {
    const addresses = observed(['10.0.1.1:1', HERE], ['10.0.1.2:1', HERE], ['10.0.1.3:1', HERE]);
    assert.equal(addresses.address(9, 4)?.ipCertainty, 'assumed');
  });

  it('a minority of liars moves no verdict, whatever they say and in whichever order they speak', () => {
    const honest = 5;
    const words = array(tuple(integer({ min: 0, max: 8 }), boolean()), { minLength: 1, maxLength: 60 });
    check(
      property(words, constantFrom(LIE, '203.0.113.7:1', '203.0.113.8:40000'), (order, lie) => {
        const addresses = observed(...Array.from({ length: honest }, (_, n) => [observer(n), HERE] as const));
        for (const [i, [n, again]] of order.entries()) {
          // Observers 5 to 8 lie: four against five.
          const mapped = n < honest ? HERE : lie;
          addresses.note(100 + i, { observer: at(observer(n, again ? 3478 : 3479)), mapped: at(mapped) });
          assert.deepEqual(addresses.address(100 + i, 4), {
            ip: '203.0.113.7',
            ipCertainty: 'proven',
            port: 40_000,
            portCertainty: 'proven',
          });
        }
        assert.equal(addresses.mapping(1000, 4, [at('192.168.1.2:40000')])?.behavior, 'endpoint-independent');
      }),
    );
  });

  it('one bad answer flips nothing, also against one observer that has left', () => {
    const addresses = observed([observer(1), HERE], [observer(2), HERE]);
    addresses.note(10, { observer: at(observer(3)), mapped: at(LIE) });
    assert.equal(addresses.address(10, 4)?.ip, '203.0.113.7');
    const alone = observed([observer(1), HERE]);
    alone.note(10, { observer: at(observer(2)), mapped: at(LIE) });
    assert.equal(alone.address(10, 4)?.ip, '203.0.113.7', 'one against one');
    assert.equal(elect([LIE], { value: HERE, certainty: 'likely' })?.value, HERE);
  });

  it('a port that only a minority says does not stand, whoever spoke first, and one that nobody says any more expires', () => {
    const port = (n: number): string => `203.0.113.7:${n}`;
    const dependent = observed([observer(1), port(1)], [observer(2), port(20_000)], [observer(3), port(333)]);
    assert.equal(dependent.address(4, 4)?.port, undefined);
    const lied = observed([observer(4), port(7)], [observer(5), port(7)]);
    for (const n of [1, 2, 3]) lied.note(9, { observer: at(observer(n)), mapped: at(port(1000 * n)) });
    assert.equal(lied.address(9, 4)?.port, undefined);
    const alone = observed([observer(1), port(7)], [observer(2), port(7)]);
    for (let ms = 1000; ms <= 1_202_000; ms += 100_000) {
      alone.note(ms, { observer: at(observer(1)), mapped: at(port(8)) });
      assert.equal(alone.address(ms, 4)?.port, ms < 600_001 ? 7 : 8, `after ${ms} ms`);
    }
  });

  it('when the address really changes, two that say so are enough against one', () => {
    const addresses = observed([observer(1), HERE]);
    for (const n of [2, 3]) addresses.note(10 + n, { observer: at(observer(n)), mapped: at('203.0.113.9:1') });
    assert.equal(addresses.address(20, 4)?.ip, '203.0.113.9');
  });

  it('expire, are forgotten on a change of interfaces, and are bounded with a share per source', () => {
    const addresses = observed([observer(1), HERE]);
    assert.ok(addresses.address(599_999, 4));
    assert.equal(addresses.address(600_000, 4), undefined);
    const cleared = observed([observer(1), HERE]);
    cleared.clear();
    assert.equal(cleared.address(1, 4), undefined);
    const flooded = observed([observer(1), HERE], [observer(2), HERE], [observer(3), HERE]);
    for (let i = 0; i < 1000; i++) {
      flooded.note(100, { observer: at(`10.9.9.${i & 255}:${1 + i}`), mapped: at(LIE) });
    }
    assert.equal(flooded.size, 64);
    assert.equal(flooded.address(100, 4)?.ip, '203.0.113.7');
  });

  it('families are apart, and an answer of the other family is none', () => {
    const addresses = observed([observer(1), HERE], ['[2001:db8:1::1]:1', '[2001:db8:9::7]:5000']);
    addresses.note(5, { observer: at(observer(2)), mapped: at('[2001:db8:9::7]:5000') });
    assert.deepEqual([addresses.address(9, 4)?.ip, addresses.address(9, 6)?.ip], ['203.0.113.7', '2001:db8:9::7']);
  });
});

describe('the mapping of a NAT', () => {
  const local = [at('192.168.1.2:40000')];
  const behavior = (...said: readonly (readonly [string, string])[]): unknown => {
    const verdict = observed(...said).mapping(100, 4, local);
    return verdict === undefined ? undefined : [verdict.behavior, verdict.ports, verdict.portStep];
  };

  it('none: others see the socket itself', () => {
    const verdict = observed([observer(1), HERE]).mapping(1, 4, [at(HERE)]);
    assert.deepEqual([verdict?.behavior, verdict?.ports, verdict?.certainty], ['none', 'preserved', 'assumed']);
  });

  it('needs two observers', () => {
    assert.equal(behavior([observer(1), HERE]), undefined);
    assert.deepEqual(behavior([observer(1), HERE], [observer(2), HERE]), [
      'endpoint-independent',
      'preserved',
      undefined,
    ]);
    const other = '203.0.113.7:1234';
    assert.deepEqual(behavior([observer(1), other], [observer(2), other]), [
      'endpoint-independent',
      undefined,
      undefined,
    ]);
  });

  it('one bad answer does not flip what two have made', () => {
    const addresses = observed([observer(1), HERE], [observer(2), HERE]);
    for (const lie of ['203.0.113.7:6000', LIE]) {
      addresses.note(9, { observer: at(observer(2)), mapped: at(lie) });
      const verdict = addresses.mapping(9, 4, local);
      assert.deepEqual([verdict?.behavior, verdict?.certainty], ['endpoint-independent', 'likely'], lie);
    }
  });

  it('a port for each destination, in sequence or at random', () => {
    const ports = (...all: number[]): unknown =>
      behavior(...all.map((port, n) => [observer(n), `203.0.113.7:${port}`] as const));
    assert.deepEqual(ports(5000, 5001, 5002, 5003), ['dependent', 'sequential', 1]);
    assert.deepEqual(ports(5000, 5002, 5004, 5009), ['dependent', 'sequential', 2]);
    assert.deepEqual(ports(5000, 61_234, 2017, 40_001), ['dependent', 'random', undefined]);
  });

  it('observers that were asked on two ports tell IPs from IPs with ports', () => {
    const seen = (second: (n: number) => number): unknown =>
      behavior(
        ...[1, 2, 3].map((n) => [observer(n), `203.0.113.7:${1000 * n}`] as const),
        ...[1, 2, 3].map((n) => [observer(n, 3479), `203.0.113.7:${second(n)}`] as const),
      );
    assert.deepEqual((seen((n) => 1000 * n) as unknown[])[0], 'address-dependent');
    assert.deepEqual((seen((n) => 50_000 + 77 * n * n) as unknown[])[0], 'address-and-port-dependent');
  });

  it('liars that agree on a port make no endpoint-independent NAT of a dependent one', () => {
    assert.deepEqual(
      behavior(
        [observer(1), '203.0.113.7:1111'],
        [observer(2), '203.0.113.7:61111'],
        [observer(3), '203.0.113.7:33333'],
        [observer(4), '203.0.113.7:7'],
        [observer(5), '203.0.113.7:7'],
      ),
      ['dependent', 'random', undefined],
    );
  });
});
