/** `shoal/chord`: a ring of nodes, each responsible for the keys before it; and go-p2p's distances. */

export { distanceAbsolute, distanceForward } from '../../protocols/chord/distance.ts';
export { openChord } from './open-chord.ts';
export { type ChordInspection, type ChordOptions, type ChordOwners, type ChordRing } from './ring.ts';
