import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { countersMetrics, metric, prometheusText } from '../../src/metrics/index.ts';
import { CounterSet } from '../../src/swarm-kit/counter-set.ts';

describe('prometheusText', () => {
  it('writes each metric with its help, type and values', () => {
    const text = prometheusText([
      metric('gauge', 'a_cells', 'Cells.', 3),
      {
        name: 'b_total',
        help: 'A \\ and\na line.',
        type: 'counter',
        samples: [{ value: 1, labels: { kind: 'say "hi"\\\n' } }, { value: 2.5 }],
      },
      { name: 'b_total', help: 'again', type: 'counter', samples: [{ value: Infinity, labels: { a: '', b: 'ü' } }] },
    ]);
    assert.equal(
      text,
      '# HELP a_cells Cells.\n# TYPE a_cells gauge\na_cells 3\n' +
        '# HELP b_total A \\\\ and\\na line.\n# TYPE b_total counter\nb_total{kind="say \\"hi\\"\\\\\\n"} 1\nb_total 2.5\nb_total{a="",b="ü"} +Inf\n',
    );
  });

  it('throws for names that Prometheus does not take, and for two types of one name', () => {
    for (const name of ['', '1a', 'a-b', 'a b', 'a{'])
      assert.throws(() => prometheusText([metric('gauge', name, '', 1)]), TypeError);
    const labels = [{ name: 'a', help: '', type: 'gauge', samples: [{ value: 1, labels: { 'a-b': 'x' } }] }] as const;
    assert.throws(() => prometheusText(labels), TypeError);
    assert.throws(() => prometheusText([metric('gauge', 'a', '', 1), metric('counter', 'a', '', 1)]), TypeError);
  });
});

describe('countersMetrics', () => {
  it('names every layer of a stack, and every reason of a drop', () => {
    const udp = new CounterSet('udp');
    const frag = new CounterSet('frag', udp);
    udp.countSent(10);
    udp.countDrop('malformed');
    frag.countReceived(4);
    const text = prometheusText(countersMetrics(frag, { node: 'a' }));
    for (const line of [
      'shoal_sent_total{node="a",layer="frag"} 0',
      'shoal_sent_total{node="a",layer="udp"} 1',
      'shoal_sent_bytes_total{node="a",layer="udp"} 10',
      'shoal_received_bytes_total{node="a",layer="frag"} 4',
      'shoal_dropped_total{node="a",layer="udp",reason="malformed"} 1',
    ]) {
      assert.ok(text.includes(`${line}\n`), line);
    }
  });
});
