/** Counters of swarms as metrics. */

import type { Counters } from '../core/counters.ts';
import type { Metric, MetricSample } from './metric.ts';

/** Layers of one stack: none is deeper. */
const MAX_LAYERS = 32;

/**
 * What the layers of a swarm have counted, as metrics with the label `layer`.
 *
 * @param labels - added to every value, to tell several swarms apart. @default none
 */
export function countersMetrics(counters: Counters, labels: Readonly<Record<string, string>> = {}): readonly Metric[] {
  const layers: Counters[] = []; // Bounded by MAX_LAYERS.
  for (let each: Counters | undefined = counters; each !== undefined && layers.length < MAX_LAYERS; each = each.inner) {
    layers.push(each);
  }
  const samples = (value: (layer: Counters) => number): readonly MetricSample[] =>
    layers.map((each) => ({ value: value(each), labels: { ...labels, layer: each.layer } }));
  const drops = layers.flatMap((each) =>
    [...each.drops].map(([reason, value]) => ({ value, labels: { ...labels, layer: each.layer, reason } })),
  );
  return [
    counter(
      'shoal_sent_total',
      'Messages passed to the layer below.',
      samples(({ sent }) => sent),
    ),
    counter(
      'shoal_sent_bytes_total',
      'Payload bytes of those.',
      samples(({ sentBytes }) => sentBytes),
    ),
    counter(
      'shoal_received_total',
      'Messages given to a handler or an asker.',
      samples(({ received }) => received),
    ),
    counter(
      'shoal_received_bytes_total',
      'Payload bytes of those.',
      samples(({ receivedBytes }) => receivedBytes),
    ),
    counter('shoal_dropped_total', 'Messages that were dropped, by reason.', drops),
  ];
}

function counter(name: string, help: string, samples: readonly MetricSample[]): Metric {
  return { name, help, type: 'counter', samples };
}
