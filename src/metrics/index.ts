/**
 * `shoal/metrics`: what swarms and servers count, as the text that Prometheus reads. Exports only.
 *
 * @example
 * ```ts
 * response.end(prometheusText(countersMetrics(swarm.counters)));
 * ```
 */

export { countersMetrics } from './counters.ts';
export { metric, type Metric, type MetricSample, PROMETHEUS_TYPE, prometheusText } from './metric.ts';
