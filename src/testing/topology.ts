/** Shapes of networks, for tests; the maths is below, where nodes use it too. */

export { type Topologies, type Topology, topology } from '../base/topology.ts';
