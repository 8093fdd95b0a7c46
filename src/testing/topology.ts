/** Network topologies, for tests; the implementation is in `base`, because nodes use it too. */

export { type Topologies, type Topology, topology } from '../base/topology.ts';
