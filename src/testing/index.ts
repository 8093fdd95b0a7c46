/**
 * `shoal/testing`: conformance suites, topologies, virtual time, network emulation, virtual networks and simulations, for
 * tests.
 */

export {
  type SuiteFeatures,
  type SuiteFixture,
  type SuiteNet,
  type SuiteRunner,
  askSuite,
  secureSuite,
  swarmSuite,
} from './suites/index.ts';
export { type CellFixture, type CellNet, CELL_RULES, cellSuite } from './suites/cells.ts';
export {
  type CellCall,
  checkLinearizable,
  type LinearizableOptions,
  type LinearizableResult,
  recordCalls,
} from './linearizable.ts';
export { LYING_CELL_RULES, lyingCell } from './lying-cell.ts';
export { LYING_RULES, lyingSwarm } from './lying-swarm.ts';
export { testKey } from './test-key.ts';
export { type Topologies, type Topology, topology } from './topology.ts';
export { type LeakCheck, type Leaks, watchLeaks } from './leaks.ts';
export {
  type RunOptions,
  type VirtualClock,
  type VirtualClockOptions,
  createVirtualClock,
} from '../runtime/virtual-clock.ts';
export {
  type Arrival,
  type Fate,
  type Mangling,
  type Netem,
  type NetemConfig,
  type NetemPreset,
  NETEM_PRESETS,
  mangle,
} from '../protocols/netem/netem.ts';
export { netem } from './netem.ts';
export { type VirtualInternet, type VirtualInternetOptions, createVirtualInternet } from '../net/virtual/internet.ts';
export {
  type VirtualAttachOptions,
  type VirtualHost,
  type VirtualHostOptions,
  type VirtualLan,
  type VirtualLanOptions,
  type VirtualNat,
  type VirtualNatOptions,
} from '../net/virtual/types.ts';
export { NAT_KINDS, type NatDependence, type NatKind, type NatPorts, type NatRules } from '../net/virtual/nat-rules.ts';
export { type Seed, type SeededRandom, createSeededRandom } from '../base/seeded-random.ts';
export * from './simulation/index.ts';
