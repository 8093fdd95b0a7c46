/** Simulations of whole networks. */

export {
  type ChaosEvent,
  type Churn,
  type InternetNetwork,
  type MemoryNetwork,
  type NodeContext,
  type Simulation,
  type SimulationEvent,
  type SimulationOptions,
  type SimulationProgress,
} from './options.ts';
export { type Course, type Distribution, type SimulationMetrics } from './metrics.ts';
export { type SimulationFailure, type SimulationResult, simulate } from './simulate.ts';
export { type FoundFailure, type ReplayCheck, type SearchOptions, checkReplay, findFailure } from './search.ts';
export { metricSvg } from './svg.ts';
