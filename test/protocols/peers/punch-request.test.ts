import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Bytes, encodeText } from '../../../src/base/bytes.ts';
import {
  decodePunchAnswer,
  decodePunchBody,
  decodePunchRequest,
  decodeSignedPunch,
  encodePunchAnswer,
  encodePunchBody,
  encodePunchRequest,
  encodeSignedPunch,
  type PunchRequest,
} from '../../../src/protocols/peers/punch-request.ts';
import { decodeReport, encodeReport, helpForNetworks, reportLines } from '../../../src/protocols/peers/reach/report.ts';
import { idOf } from '../../support/peers-world.ts';
import * as fc from '../../support/fast-check.ts';

const body = { to: idOf(1), wallMs: 1_796_000_000_000, transport: 'quic', offer: Uint8Array.of(1, 2, 3) };
const signed = { spki: new Uint8Array(44).fill(4), signature: new Uint8Array(64).fill(5), body: encodePunchBody(body) };
const REQUESTS: readonly PunchRequest[] = [
  { type: 'punch', body },
  { type: 'forward', to: idOf(2), signed },
  { type: 'forwarded', signed },
  { type: 'observed', id: idOf(3), ip: '192.0.2.1' },
];

describe('requests before a hole punch', () => {
  it('are read as they were written', () => {
    assert.deepEqual(decodePunchBody(encodePunchBody(body)), body);
    assert.deepEqual(decodeSignedPunch(encodeSignedPunch(signed)), signed);
    for (const request of REQUESTS) assert.deepEqual(decodePunchRequest(encodePunchRequest(request)), request);
    for (const answer of [
      { type: 'offer', bytes: Uint8Array.of(7) },
      { type: 'refused', code: 'clock', reason: 'the clocks differ' },
    ] as const) {
      assert.deepEqual(decodePunchAnswer(encodePunchAnswer(answer)), answer);
    }
  });

  it('that are cut off, changed or too long never throw, and what is read is bounded', () => {
    const all: readonly Bytes[] = [...REQUESTS.map(encodePunchRequest), encodeSignedPunch(signed)];
    fc.assert(
      fc.property(
        fc.constantFrom(...all),
        fc.nat(300),
        fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 4 }),
        fc.uint8Array({ maxLength: 2000 }),
        (bytes, cut, changes, more) => {
          const spoilt = Uint8Array.of(...bytes.subarray(0, cut), ...more);
          for (const [at, value] of changes) if (at < spoilt.length) spoilt[at] = value;
          const request = decodePunchRequest(spoilt);
          if (request?.type === 'punch') assert.ok(request.body.offer.length <= 1024);
          if (request?.type === 'observed') assert.ok(request.ip.length <= 64);
          decodePunchAnswer(spoilt);
          decodeSignedPunch(spoilt);
          decodeReport(spoilt);
        },
      ),
    );
  });
});

describe('reports of attempts', () => {
  const network = { ports: 'random', isMapped: false, mapping: 'no router answers', relays: 1 } as const;

  it('are read as they were written, without control characters', () => {
    const report = decodeReport(encodeReport(network, undefined));
    assert.deepEqual(report, { network, attempts: [], refused: [] });
    const hostile = JSON.stringify({
      network: { ...network, mapping: 'a\u001b[2Jb' },
      attempts: [{ addr: '\u202e', agoMs: -1 }],
      refused: [{}],
    });
    const read = decodeReport(encodeText(hostile))!;
    assert.equal(read.network.mapping, 'a\u{fffd}[2Jb');
    assert.deepEqual([read.attempts[0]!.addr, read.attempts[0]!.agoMs], ['\u{fffd}', 0]);
    assert.ok(reportLines(read).every((line) => !line.includes('\u001b') && !line.includes('\u202e')));
  });

  it('that are too long or no reports are refused', () => {
    for (const text of ['', '[]', '{}', '{"network":{},"attempts":[],"refused":[]}', 'x'.repeat(40_000)]) {
      assert.equal(decodeReport(encodeText(text)), undefined);
    }
    const many = JSON.stringify({ network, attempts: Array.from({ length: 33 }, () => ({})), refused: [] });
    assert.equal(decodeReport(encodeText(many)), undefined);
  });

  it('of two networks say what would help', () => {
    const steady = { ...network, ports: 'steady', mapping: undefined } as const;
    assert.match(helpForNetworks(network, network)[0]!, /^Both NATs give random ports: only a relay can work/);
    assert.match(helpForNetworks(steady, network)[0]!, /^The NAT of the peer's side gives random ports/);
    assert.deepEqual(helpForNetworks(steady, steady), []);
    assert.deepEqual(helpForNetworks(steady, undefined), []);
  });
});
